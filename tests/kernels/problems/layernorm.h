// layernorm.h - random inputs for the LayerNorm kernels, and the definition of their results in plain
// double-precision loops: for the tests of cpu:: and of gpu::.
#pragma once
#include <cmath>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "tests/support/allclose.h"
#include "tests/support/arrays.h"
#include "tests/support/catch.h"

namespace layernorm_problem {

constexpr double kRowTolerance = 2e-5;  // float sums over C of numbers around 1, and one division
// dweight and dbias are sums over N rows: their rounding grows like sqrt(N).
inline double column_tolerance(int64_t N) {
    return 4e-6 * (4 + std::sqrt(double(N)));
}

struct Problem {
    int64_t N, C;
    std::vector<float> inp, weight, bias, dout, dinp_before, dweight_before, dbias_before;

    Problem(int64_t N, int64_t C)
        : N(N),
          C(C),
          inp(random_floats(N * C, 1)),
          weight(random_floats(C, 2)),
          bias(random_floats(C, 3)),
          dout(random_floats(N * C, 4)),
          dinp_before(random_floats(N * C, 5)),
          dweight_before(random_floats(C, 6)),
          dbias_before(random_floats(C, 7)) {}
    std::string sizes() const { return format("N=%lld C=%lld", (long long)N, (long long)C); }
};

struct Result {
    std::vector<float> out, mean, rstd, dinp, dweight, dbias;

    std::vector<float> all() const {
        std::vector<float> joined;
        for (const auto* part : {&out, &mean, &rstd, &dinp, &dweight, &dbias})
            joined.insert(joined.end(), part->begin(), part->end());
        return joined;
    }
};

// By the CPU's kernels; NaN wherever one should have written and did not.
inline Result run_on_cpu(const Problem& p, bool accumulate) {
    const size_t elements = p.inp.size(), rows = size_t(p.N);
    Result r{std::vector<float>(elements, NAN),
             std::vector<float>(rows, NAN),
             std::vector<float>(rows, NAN),
             accumulate ? p.dinp_before : std::vector<float>(elements, NAN),
             p.dweight_before,
             p.dbias_before};
    cpu::layernorm_forward(r.out.data(), r.mean.data(), r.rstd.data(), p.inp.data(), p.weight.data(),
                           p.bias.data(), p.N, p.C, {});
    cpu::layernorm_backward(r.dinp.data(), r.dweight.data(), r.dbias.data(), p.dout.data(), p.inp.data(),
                            p.weight.data(), r.mean.data(), r.rstd.data(), p.N, p.C, accumulate, {});
    return r;
}

struct Reference {
    std::vector<double> out, mean, rstd, dinp, dweight, dbias;
};

inline Reference reference(const Problem& p, bool accumulate) {
    const int64_t C = p.C;
    Reference r{std::vector<double>(p.inp.size()),
                std::vector<double>(size_t(p.N)),
                std::vector<double>(size_t(p.N)),
                std::vector<double>(p.inp.size()),
                {p.dweight_before.begin(), p.dweight_before.end()},
                {p.dbias_before.begin(), p.dbias_before.end()}};
    for (int64_t i = 0; i < p.N; i++) {
        const float *x = &p.inp[size_t(i * C)], *dy = &p.dout[size_t(i * C)];
        double mean = 0, variance = 0;
        for (int64_t c = 0; c < C; c++) mean += double(x[c]) / double(C);
        for (int64_t c = 0; c < C; c++) variance += (double(x[c]) - mean) * (double(x[c]) - mean) / double(C);
        const double rstd = 1 / std::sqrt(variance + double(kLayerNormEpsilon));
        r.mean[size_t(i)] = mean, r.rstd[size_t(i)] = rstd;
        double dxhat_mean = 0, dxhat_xhat_mean = 0;
        for (int64_t c = 0; c < C; c++) {
            const double xhat = (double(x[c]) - mean) * rstd,
                         dxhat = double(dy[c]) * double(p.weight[size_t(c)]);
            r.out[size_t(i * C + c)] = xhat * double(p.weight[size_t(c)]) + double(p.bias[size_t(c)]);
            dxhat_mean += dxhat / double(C), dxhat_xhat_mean += dxhat * xhat / double(C);
            r.dweight[size_t(c)] += double(dy[c]) * xhat;
            r.dbias[size_t(c)] += double(dy[c]);
        }
        for (int64_t c = 0; c < C; c++) {
            const double xhat = (double(x[c]) - mean) * rstd,
                         dxhat = double(dy[c]) * double(p.weight[size_t(c)]);
            r.dinp[size_t(i * C + c)] = rstd * (dxhat - dxhat_mean - xhat * dxhat_xhat_mean) +
                                        (accumulate ? double(p.dinp_before[size_t(i * C + c)]) : 0);
        }
    }
    return r;
}

inline void require_close(const Problem& p, const char* what, const std::vector<float>& got,
                          const std::vector<double>& want, double tolerance) {
    REQUIRE(allclose(std::string("layernorm ") + what, p.sizes(), got.data(), want.data(),
                     int64_t(want.size()), tolerance, tolerance) == "");
}

}  // namespace layernorm_problem
