// embedding.h - random inputs for the embedding kernels, and the definition of the gradients in plain loops: for
// the tests of cpu:: and of gpu::.
#pragma once
#include <cmath>
#include <string>
#include <vector>

#include "tests/support/allclose.h"
#include "tests/support/arrays.h"
#include "tests/support/catch.h"

namespace embedding_problem {

struct Problem {
    int64_t B, T, C, V;
    std::vector<int> ids;
    std::vector<float> wte, wpe, dout, dwte_before, dwpe_before;

    Problem(int64_t B, int64_t T, int64_t C, int64_t V)
        : B(B),
          T(T),
          C(C),
          V(V),
          ids(random_ids(B * T, V, 1)),
          wte(random_floats(V * C, 1)),
          wpe(random_floats((T + 2) * C, 2)),  // more positions than are used
          dout(random_floats(B * T * C, 3)),
          dwte_before(random_floats(V * C, 4)),
          dwpe_before(random_floats((T + 2) * C, 5)) {
        ids.back() = int(V - 1);  // the last row of the table is reached
    }
    std::string sizes() const {
        return format("B=%lld T=%lld C=%lld V=%lld", (long long)B, (long long)T, (long long)C, (long long)V);
    }
};

struct Gradients {
    std::vector<float> dwte, dwpe;
};

inline void require_close(const Problem& p, const Gradients& got) {
    std::vector<double> dwte(p.dwte_before.begin(), p.dwte_before.end());
    std::vector<double> dwpe(p.dwpe_before.begin(), p.dwpe_before.end());
    for (int64_t i = 0; i < p.B * p.T; i++)
        for (int64_t c = 0; c < p.C; c++) {
            dwte[size_t(p.ids[size_t(i)] * p.C + c)] += double(p.dout[size_t(i * p.C + c)]);
            dwpe[size_t(i % p.T * p.C + c)] += double(p.dout[size_t(i * p.C + c)]);
        }
    // At worst all B*T rows have one id: float sums of that many numbers around 1.
    const double tolerance = 1e-6 * (4 + std::sqrt(double(p.B * p.T)));
    REQUIRE(allclose("embedding dwte", p.sizes(), got.dwte.data(), dwte.data(), int64_t(dwte.size()), 1e-5,
                     tolerance) == "");
    REQUIRE(allclose("embedding dwpe", p.sizes(), got.dwpe.data(), dwpe.data(), int64_t(dwpe.size()), 1e-5,
                     tolerance) == "");
}

}  // namespace embedding_problem
