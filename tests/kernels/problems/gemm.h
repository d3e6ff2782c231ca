// gemm.h - sizes for the kernels that multiply matrices, and products in plain double-precision loops: for the
// tests of cpu:: and of gpu::.
#pragma once
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "core/rng.h"
#include "kernels/kernels.h"
#include "tests/support/allclose.h"
#include "tests/support/catch.h"

namespace gemm_problem {

// Floats in [-1, 1), different for each stream.
inline std::vector<float> random_floats(int64_t n, uint64_t stream) {
    std::vector<float> x(n);
    RandomStream random{1, stream};
    for (float& value : x) value = 2 * random.next_uniform() - 1;
    return x;
}

// Rounding of a float sum of K products of numbers below 1: grows like sqrt(K), a factor of some ten above
// it.
inline double tolerance(int64_t K) {
    return 1e-6 * (4 + std::sqrt(double(K)));
}

struct Sizes {
    int64_t M, N, K;
    std::string text() const {
        return format("M=%lld N=%lld K=%lld", (long long)M, (long long)N, (long long)K);
    }
};

// 1, odd, below and above a tile and a vector, not multiples of them, more than one block of k and of rows, narrow
// matrices and wider ones.
inline const std::vector<Sizes> kSizes = {
    {1, 1, 1},     {1, 65, 128}, {2, 3, 5},      {5, 48, 7},    {6, 16, 8},     {7, 17, 9},
    {8, 96, 1},    {13, 1, 31},  {65, 65, 65},   {64, 192, 64}, {97, 33, 300},  {101, 50, 769},
    {16, 768, 33}, {768, 16, 7}, {48, 49, 2049}, {200, 7, 400}, {129, 48, 200}, {600, 32, 130},
};

// Element (i,j) of a b in double.
inline double product_at(const std::vector<float>& a, const std::vector<float>& b, Sizes s, bool trans_a,
                         bool trans_b, int64_t i, int64_t j) {
    double sum = 0;
    for (int64_t k = 0; k < s.K; k++)
        sum +=
            double(a[trans_a ? k * s.M + i : i * s.K + k]) * double(b[trans_b ? j * s.K + k : k * s.N + j]);
    return sum;
}

inline std::vector<double> plain_product(const std::vector<float>& a, const std::vector<float>& b, Sizes s,
                                         bool trans_a, bool trans_b) {
    std::vector<double> c(s.M * s.N);
    for (int64_t i = 0; i < s.M; i++)
        for (int64_t j = 0; j < s.N; j++) c[i * s.N + j] = product_at(a, b, s, trans_a, trans_b, i, j);
    return c;
}

// storage: what rounding the results to less than float may cost.
template <class Want>
void require_close(const std::string& op, Sizes s, const std::vector<float>& got,
                   const std::vector<Want>& want, double storage = 0) {
    REQUIRE(got.size() == want.size());
    REQUIRE(allclose(op, s.text(), got.data(), want.data(), int64_t(got.size()), 1e-5 + storage,
                     tolerance(s.K) + storage) == "");
}

// The same of 500 elements of a product that is too large for plain loops; all must be finite.
inline void require_close_at_samples(Sizes s, const std::vector<float>& out, const std::vector<float>& a,
                                     const std::vector<float>& b, bool trans_a, bool trans_b) {
    RandomStream random{1, 9};
    std::vector<float> got;
    std::vector<double> want;
    for (int sample = 0; sample < 500; sample++) {
        const int64_t i = random.next_below(uint32_t(s.M)), j = random.next_below(uint32_t(s.N));
        got.push_back(out[i * s.N + j]);
        want.push_back(product_at(a, b, s, trans_a, trans_b, i, j));
    }
    require_close("gemm", s, got, want);
    REQUIRE(std::all_of(out.begin(), out.end(), [](float x) { return std::isfinite(x); }));
}

inline double activation_of(double x, Activation activation) {
    return activation == Activation::kGelu
               ? 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)))
               : std::max(x, 0.0);
}

inline double activation_derivative(double x, Activation activation) {
    if (activation == Activation::kRelu) return x > 0 ? 1 : 0;
    const double slope = std::sqrt(2 / M_PI), t = std::tanh(slope * (x + 0.044715 * x * x * x));
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope * (1 + 3 * 0.044715 * x * x);
}

}  // namespace gemm_problem
