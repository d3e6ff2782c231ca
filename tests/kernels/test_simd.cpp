// test_simd.cpp - the vector functions that kernels are built from: exp against libm, sums, ragged ends,
// transposition.
#include <cmath>
#include <vector>

#include "kernels/cpu/simd.h"
#include "tests/support/arrays.h"
#include "tests/support/catch.h"

namespace {

using simd::kWidth;
using simd::Vec;

// subtle: the argument is volatile, or the compiler computes exp of a constant itself, without fused
// multiply-adds.
float exp_of(float constant) {
    volatile float x = constant;
    return simd::exp(simd::broadcast(x))[0];
}

}  // namespace

TEST_CASE("simd::exp is libm's to a few units in the last place over [-87, 88]", "[cpu]") {
    // The polynomial is good for 2e-7. Taking n ln 2 away rounds once more where the compiler does not fuse
    // (-O0, -O1).
#if defined(__FMA__) && !defined(GPT_DEBUG)
    constexpr double kTolerance = 5e-7;
#else
    constexpr double kTolerance = 5e-6;
#endif
    double worst = 0;
    float worst_x = 0;
    constexpr int kPoints = 100000;
    for (int i = 0; i <= kPoints; i++) {
        const float x = -87.0f + 175.0f * float(i) / kPoints;
        const double want = std::exp(double(x)), error = std::fabs(double(exp_of(x)) - want) / want;
        if (!(error <= worst)) worst = error, worst_x = x;
    }
    CAPTURE(worst_x);
    REQUIRE(worst < kTolerance);
    REQUIRE(exp_of(0.0f) == 1.0f);
}

TEST_CASE("simd::exp is clamped outside its range and lets NaN through", "[cpu]") {
    for (const float x : {-88.0f, -1e4f, -1e30f, -INFINITY}) {
        CAPTURE(x);
        REQUIRE(exp_of(x) == exp_of(-87.0f));
    }
    for (const float x : {89.0f, 1e4f, 1e30f, INFINITY}) {
        CAPTURE(x);
        REQUIRE(exp_of(x) == exp_of(88.0f));
    }
    // A NaN that becomes a small number here would never be found again.
    REQUIRE(std::isnan(exp_of(NAN)));
    REQUIRE(std::isnan(simd::gelu(simd::broadcast(NAN))[0]));
    REQUIRE(std::isnan(simd::max(Vec{}, simd::broadcast(NAN))[0]));  // of two operands, the second
}

TEST_CASE("simd: sum, max_lane, and the ragged end touch the lanes that they should", "[cpu]") {
    const std::vector<float> x = random_floats(2 * kWidth, 1);
    double sum = 0;
    float largest = x[0];
    for (int i = 0; i < kWidth; i++) sum += double(x[size_t(i)]), largest = std::max(largest, x[size_t(i)]);
    const Vec v = simd::load(x.data());
    REQUIRE(std::fabs(double(simd::sum(v)) - sum) < 1e-5);
    REQUIRE(simd::max_lane(v) == largest);

    for (int n = 0; n < kWidth; n++) {
        std::vector<float> out(kWidth, -1.0f);
        const Vec first = simd::load_first(x.data(), n);
        simd::store_first(out.data(), first, n);
        bool is_right = true;
        for (int i = 0; i < kWidth; i++) {
            is_right &= first[i] == (i < n ? x[size_t(i)] : 0.0f);
            is_right &= out[size_t(i)] == (i < n ? x[size_t(i)] : -1.0f);
        }
        CAPTURE(n);
        REQUIRE(is_right);
    }
}

TEST_CASE("simd::transpose swaps rows and lanes", "[cpu]") {
    Vec rows[kWidth];
    for (int i = 0; i < kWidth; i++)
        for (int j = 0; j < kWidth; j++) rows[i][j] = float(100 * i + j);
    simd::transpose(rows);
    bool is_transposed = true;
    for (int i = 0; i < kWidth; i++)
        for (int j = 0; j < kWidth; j++) is_transposed &= rows[i][j] == float(100 * j + i);
    REQUIRE(is_transposed);
}
