// attention.h - random inputs for the attention kernels, the definition of their results in plain
// double-precision loops that do store T x T, and the tolerance between the two: for the tests of cpu:: and
// of gpu::.
#pragma once
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/rng.h"
#include "tests/support/allclose.h"
#include "tests/support/catch.h"

namespace attention_problem {

// float sums over HS and T, probabilities from an exponential that is right to 2e-7
constexpr double kForwardTolerance = 1e-5;
// and the difference dp - D in front of more sums
constexpr double kBackwardTolerance = 3e-5;

struct Problem {
    int64_t B, T, NH, HS;
    DropoutMask mask;
    std::vector<float> qkv, dout;

    Problem(int64_t B, int64_t T, int64_t NH, int64_t HS, float dropout = 0, float spread = 1)
        : B(B),
          T(T),
          NH(NH),
          HS(HS),
          mask{dropout, 77, 5},
          qkv(size_t(B * T * 3 * NH * HS)),
          dout(size_t(B * T * NH * HS)) {
        RandomStream random{uint64_t(B * 1000003 + T * 1009 + NH * 31 + HS), 1};
        for (float& x : qkv) x = spread * random.next_normal();
        for (float& x : dout) x = random.next_normal();
    }
    std::string sizes() const {
        return format("B=%lld T=%lld NH=%lld HS=%lld p=%g", (long long)B, (long long)T, (long long)NH,
                      (long long)HS, double(mask.p));
    }
};

struct Result {
    std::vector<float> out, lse, dqkv;
};

struct Reference {
    std::vector<double> out, lse, dqkv;
};

// The definition, row by row, in double.
inline Reference reference(const Problem& a) {
    const int64_t T = a.T, HS = a.HS, C = a.NH * a.HS;
    Reference r{std::vector<double>(a.dout.size()), std::vector<double>(size_t(a.B * a.NH * T)),
                std::vector<double>(a.qkv.size())};
    const double scale = 1 / std::sqrt(double(HS));
    std::vector<double> att(size_t(T), 0.0), keep(size_t(T), 1.0), dp(size_t(T), 0.0);
    for (int64_t b = 0; b < a.B; b++)
        for (int64_t h = 0; h < a.NH; h++)
            for (int64_t i = 0; i < T; i++) {
                const auto at = [&](int64_t t, int64_t part) {
                    return ((b * T + t) * 3 + part) * C + h * HS;
                };
                const float* q = &a.qkv[size_t(at(i, 0))];
                double top = -INFINITY, sum = 0;
                for (int64_t j = 0; j <= i; j++) {
                    const float* k = &a.qkv[size_t(at(j, 1))];
                    double s = 0;
                    for (int64_t d = 0; d < HS; d++) s += double(q[d]) * double(k[d]);
                    att[size_t(j)] = s * scale;
                    top = std::max(top, s * scale);
                }
                for (int64_t j = 0; j <= i; j++) sum += std::exp(att[size_t(j)] - top);
                const double lse = top + std::log(sum);
                r.lse[size_t((b * a.NH + h) * T + i)] = lse;
                double* out = &r.out[size_t((b * T + i) * C + h * HS)];
                for (int64_t j = 0; j <= i; j++) {
                    att[size_t(j)] = std::exp(att[size_t(j)] - lse);
                    if (a.mask.p > 0)
                        keep[size_t(j)] = double(a.mask.scale(uint64_t(((b * a.NH + h) * T + i) * T + j)));
                    for (int64_t d = 0; d < HS; d++)
                        out[d] += att[size_t(j)] * keep[size_t(j)] * double(a.qkv[size_t(at(j, 2) + d)]);
                }
                const float* dout = &a.dout[size_t((b * T + i) * C + h * HS)];
                double mean = 0;  // sum_j p_ij dp_ij
                for (int64_t j = 0; j <= i; j++) {
                    dp[size_t(j)] = 0;
                    for (int64_t d = 0; d < HS; d++)
                        dp[size_t(j)] +=
                            double(dout[d]) * double(a.qkv[size_t(at(j, 2) + d)]) * keep[size_t(j)];
                    mean += att[size_t(j)] * dp[size_t(j)];
                }
                for (int64_t j = 0; j <= i; j++) {
                    const double ds = att[size_t(j)] * (dp[size_t(j)] - mean) * scale;
                    for (int64_t d = 0; d < HS; d++) {
                        r.dqkv[size_t(at(i, 0) + d)] += ds * double(a.qkv[size_t(at(j, 1) + d)]);
                        r.dqkv[size_t(at(j, 1) + d)] += ds * double(q[d]);
                        r.dqkv[size_t(at(j, 2) + d)] += att[size_t(j)] * keep[size_t(j)] * double(dout[d]);
                    }
                }
            }
    return r;
}

// By the CPU's kernels; NaN wherever one should have written and did not.
inline Result run_on_cpu(const Problem& a) {
    Result r{std::vector<float>(a.dout.size(), NAN), std::vector<float>(size_t(a.B * a.NH * a.T), NAN),
             std::vector<float>(a.qkv.size(), NAN)};
    cpu::attention_forward(r.out.data(), r.lse.data(), a.qkv.data(), a.B, a.T, a.NH, a.HS, a.mask, {});
    cpu::attention_backward(r.dqkv.data(), a.dout.data(), a.qkv.data(), r.out.data(), r.lse.data(), a.B, a.T,
                            a.NH, a.HS, a.mask, {});
    return r;
}

// lse_noise: see test_attention.cpp. storage: what rounding the results to less than float may cost.
inline void require_close(const Problem& a, const Result& got, double lse_noise = 0, double storage = 0) {
    const Reference want = reference(a);
    const auto agree = [&](const char* what, const std::vector<float>& g, const std::vector<double>& w,
                           double tol) {
        REQUIRE(allclose(what, a.sizes(), g.data(), w.data(), int64_t(w.size()), tol, tol) == "");
    };
    agree("attention_forward, out", got.out, want.out, kForwardTolerance + storage);
    agree("attention_forward, lse", got.lse, want.lse, kForwardTolerance);
    // note: a gradient's elements are sums of up to T terms of either sign, so that their errors are relative
    // to the largest element and not to each.
    double largest = 1;
    for (double x : want.dqkv) largest = std::max(largest, std::fabs(x));
    const double tolerance = kBackwardTolerance + storage;
    REQUIRE(allclose("attention_backward, dqkv", a.sizes(), got.dqkv.data(), want.dqkv.data(),
                     int64_t(want.dqkv.size()), tolerance, (tolerance + lse_noise) * largest) == "");
}

}  // namespace attention_problem
