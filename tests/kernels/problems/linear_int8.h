// linear_int8.h - sizes and inputs for linear_int8_forward, and its result in plain double-precision loops: for the tests of
// cpu:: and of gpu::.
#pragma once
#include <string>
#include <vector>

#include "tests/kernels/problems/gemm.h"

namespace int8_problem {

struct Problem {
    int64_t N, IC, OC;
    std::vector<float> inp, scale, bias, residual;
    std::vector<int8_t> codes;

    Problem(int64_t N, int64_t IC, int64_t OC)
        : N(N),
          IC(IC),
          OC(OC),
          inp(gemm_problem::random_floats(N * IC, 1)),
          scale(gemm_problem::random_floats(OC, 2)),
          bias(gemm_problem::random_floats(OC, 3)),
          residual(gemm_problem::random_floats(N * OC, 4)),
          codes(size_t(OC * IC)) {
        RandomStream random{1, 5};
        for (int8_t& code : codes) code = int8_t(int(random.next_below(256)) - 128);
        for (float& s : scale) s /= 128;
    }

    std::string sizes() const {
        return format("N=%lld IC=%lld OC=%lld", (long long)N, (long long)IC, (long long)OC);
    }
    double tolerance() const { return gemm_problem::tolerance(IC); }

    std::vector<double> want(bool has_bias, bool has_residual) const {
        std::vector<double> out;
        for (int64_t n = 0; n < N; n++)
            for (int64_t o = 0; o < OC; o++) {
                double sum = 0;
                for (int64_t i = 0; i < IC; i++)
                    sum += double(inp[size_t(n * IC + i)]) * codes[size_t(o * IC + i)];
                out.push_back(sum * double(scale[size_t(o)]) + (has_bias ? double(bias[size_t(o)]) : 0.0) +
                              (has_residual ? double(residual[size_t(n * OC + o)]) : 0.0));
            }
        return out;
    }
};

}  // namespace int8_problem
