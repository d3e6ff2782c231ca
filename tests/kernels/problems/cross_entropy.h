// cross_entropy.h - random inputs for the cross-entropy kernels, and the definition of their results in plain
// double-precision loops: for the tests of cpu:: and of gpu::.
#pragma once
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "tests/support/allclose.h"
#include "tests/support/arrays.h"
#include "tests/support/catch.h"

namespace cross_entropy_problem {

constexpr float kScale = 0.125f;
// A sum of V exponentials that are each right to 5e-7, their rounding and a logarithm's.
constexpr double kTolerance = 5e-6;

struct Problem {
    int64_t N, V;
    std::vector<float> logits;
    std::vector<int> targets;

    Problem(int64_t N, int64_t V, float spread = 3)
        : N(N), V(V), logits(random_floats(N * V, 1, spread)), targets(random_ids(N, V, 2)) {
        for (int64_t i = 2; i < N; i += 5) targets[size_t(i)] = kIgnore;
        if (N > 1) targets[1] = int(V - 1);  // in the ragged end of the row
    }
    std::string sizes() const { return format("N=%lld V=%lld", (long long)N, (long long)V); }
};

// Logits at which a careless softmax overflows, or loses the answer.
inline Problem extreme_problem() {
    Problem p(6, 35);
    p.targets = {0, 1, 34, 3, 4, 5};
    const auto row = [&](int64_t i) { return &p.logits[size_t(i * p.V)]; };
    for (int64_t v = 0; v < p.V; v++) {
        row(0)[v] = v % 2 ? 80.0f : -80.0f;  // the target among the small ones
        row(1)[v] = v % 2 ? 80.0f : -80.0f;  // and among the large
        row(2)[v] = 12345.0f;                // all equal: the loss is log V
        row(3)[v] = v == 3 ? 0.0f : -1e30f;  // certain: the loss is 0
        row(4)[v] = v == 4 ? -1e30f : 0.0f;  // certainly wrong: the loss is 1e30
        row(5)[v] = -1e30f;  // all equal, and all far below what a float exponential can tell from 0
    }
    return p;
}

struct Result {
    std::vector<float> losses, dlogits;
};

struct Reference {
    std::vector<double> losses, dlogits;
};

inline Reference reference(const Problem& p) {
    Reference r{std::vector<double>(size_t(p.N)), std::vector<double>(p.logits.size())};
    for (int64_t i = 0; i < p.N; i++) {
        const int target = p.targets[size_t(i)];
        if (target == kIgnore) continue;
        const float* row = &p.logits[size_t(i * p.V)];
        const double maximum = double(*std::max_element(row, row + p.V));
        double sum = 0;
        for (int64_t v = 0; v < p.V; v++) sum += std::exp(double(row[v]) - maximum);
        r.losses[size_t(i)] = std::log(sum) + (maximum - double(row[target]));
        for (int64_t v = 0; v < p.V; v++)
            r.dlogits[size_t(i * p.V + v)] =
                double(kScale) * (std::exp(double(row[v]) - maximum) / sum - (v == target ? 1 : 0));
    }
    return r;
}

inline void require_close(const Problem& p, const char* form, const Result& got, const Reference& want) {
    CAPTURE(form);
    REQUIRE(allclose("cross_entropy losses", p.sizes(), got.losses.data(), want.losses.data(), p.N,
                     kTolerance, kTolerance) == "");
    REQUIRE(allclose("cross_entropy dlogits", p.sizes(), got.dlogits.data(), want.dlogits.data(), p.N * p.V,
                     kTolerance, kTolerance * double(kScale)) == "");
}

}  // namespace cross_entropy_problem
