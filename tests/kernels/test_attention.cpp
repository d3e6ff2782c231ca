// test_attention.cpp - cpu::attention_forward and _backward against plain double-precision loops that do
// store T x T, against finite differences, and for what makes attention attention: causality, no overflow,
// the same bytes always.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "kernels/kernels.h"
#include "tests/kernels/problems/attention.h"
#include "tests/support/arrays.h"
#include "tests/support/catch.h"
#include "tests/support/gradcheck.h"

namespace {

using attention_problem::Problem;
using attention_problem::Result;

// lse_noise: the backward takes exp(score - lse), where a large lse is rounded to |lse| * 2^-24.
void check_against_reference(const Problem& a, double lse_noise = 0) {
    require_close(a, run_on_cpu(a), lse_noise);
}

}  // namespace

TEST_CASE("attention agrees with plain loops in double", "[cpu][attention]") {
    // one row; odd; a block of queries less one, whole, and one more; a tile of the backward; several tiles
    const int64_t T = GENERATE(1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 100, 129, 160);
    const int64_t HS = GENERATE(1, 3, 4, 16, 33, 64);
    const int64_t NH = 1 + T % 3, B = 1 + (T + HS) % 2;
    check_against_reference(Problem(B, T, NH, HS));
}

TEST_CASE("attention agrees with plain loops for more heads, wider heads, longer contexts",
          "[cpu][attention]") {
    check_against_reference(Problem(3, 64, 4, 32));
    check_against_reference(Problem(2, 40, 6, 128));
    check_against_reference(Problem(1, 70, 5, 127));
    check_against_reference(Problem(2, 256, 1, 64));  // the whole of one tile of keys in the forward
    check_against_reference(Problem(1, 257, 2, 8));   // one key more
    check_against_reference(Problem(1, 600, 1, 4));   // three tiles
    check_against_reference(Problem(1, 523, 2, 5));
}

TEST_CASE("attention with dropout agrees with plain loops that draw the same mask", "[cpu][attention]") {
    // T divisible by 4: Philox by fours; else one number at a time
    const int64_t T = GENERATE(1, 4, 17, 20, 64, 67, 132, 300);
    const float dropout = GENERATE(0.1f, 0.5f);
    check_against_reference(Problem(2, T, 3, 20, dropout));
}

TEST_CASE("attention's dropout drops a probability's share", "[cpu][attention]") {
    // v = 1 everywhere: without dropout out = 1, with dropout the sum of the kept probabilities over 1 - p,
    // mean 1
    Problem a(4, 64, 4, 8, 0.25f);
    for (int64_t t = 0; t < a.B * a.T; t++)
        for (int64_t c = 0; c < a.NH * a.HS; c++) a.qkv[size_t((t * 3 + 2) * a.NH * a.HS + c)] = 1;
    const Result r = run_on_cpu(a);
    double mean = 0;
    int64_t zero_rows = 0;
    for (float x : r.out) mean += double(x) / double(r.out.size()), zero_rows += x == 0;
    REQUIRE(mean == Approx(1.0).margin(0.03));
    REQUIRE(zero_rows > 0);  // first rows have one key, which a quarter of them loses
}

TEST_CASE("attention's gradient is the slope of its output", "[cpu][attention][grad]") {
    const int64_t T = GENERATE(5, 19);
    const float dropout = GENERATE(0.0f, 0.3f);
    Problem a(2, T, 2, 3, dropout);
    a.dout = random_weights(int64_t(a.dout.size()));
    const Result r = run_on_cpu(a);
    std::vector<float> out(r.out.size()), lse(r.lse.size());
    const auto f = [&] {
        cpu::attention_forward(out.data(), lse.data(), a.qkv.data(), a.B, a.T, a.NH, a.HS, a.mask, {});
        return weighted_sum(a.dout, out.data());
    };
    const GradcheckResult check = gradcheck(f, a.qkv.data(), r.dqkv.data(), int64_t(a.qkv.size()));
    INFO(a.sizes() << ": " << check.message("qkv"));
    REQUIRE(check.passes());
}

TEST_CASE("attention survives scores whose exponentials overflow", "[cpu][attention]") {
    // scores are normal with a spread of 100, up to about 500: e^100 is no float. Inputs are multiples of
    // 1/4, so that the scores themselves are exact in float and tolerances need not grow.
    for (const int64_t T : {40, 300}) {
        Problem a(1, T, 2, 16, 0, 10);
        for (float& x : a.qkv) x = std::round(x * 4) / 4;
        check_against_reference(a, 500 * 0x1p-24);
    }

    // every score is +80 or -80, and then all -80: the running maximum must rise, and a low one must not
    // underflow
    for (const bool all_low : {false, true}) {
        Problem a(1, 530, 1, 4);
        for (int64_t t = 0; t < a.T; t++)
            for (int64_t d = 0; d < 4; d++) {
                a.qkv[size_t(t * 12 + d)] = std::sqrt(40.0f);
                a.qkv[size_t(t * 12 + 4 + d)] = (all_low || t % 7 ? -1 : 1) * std::sqrt(40.0f);
            }
        check_against_reference(a, 87 * 0x1p-24);
        // and with keys that get better (all_low: worse) tile by tile
        for (int64_t t = 0; t < a.T; t++)
            for (int64_t d = 0; d < 4; d++) a.qkv[size_t(t * 12 + 4 + d)] *= float(t) / float(a.T);
        check_against_reference(a, 87 * 0x1p-24);
    }
}

TEST_CASE("attention sees no later token", "[cpu][attention]") {
    const int64_t T = GENERATE(33, 100, 300), cut = T / 2;
    Problem a(1, T, 2, 12);
    const int64_t C = a.NH * a.HS;
    const Result before = run_on_cpu(a);
    for (size_t x = size_t(cut * 3 * C); x < a.qkv.size(); x++) a.qkv[x] = x % 2 ? -1e3f : 1e3f;
    const Result after = run_on_cpu(a);
    REQUIRE(std::memcmp(before.out.data(), after.out.data(), size_t(cut * C) * sizeof(float)) == 0);
    for (int64_t h = 0; h < a.NH; h++)
        REQUIRE(std::memcmp(&before.lse[size_t(h * T)], &after.lse[size_t(h * T)],
                            size_t(cut) * sizeof(float)) == 0);
    REQUIRE(before.out.back() != after.out.back());

    // and the gradient of what came later reaches no earlier query
    Problem b(1, T, 2, 12);
    std::fill(b.dout.begin(), b.dout.begin() + cut * C, 0.0f);
    const Result later = run_on_cpu(b);
    for (int64_t t = 0; t < cut; t++)
        for (int64_t c = 0; c < C; c++) REQUIRE(later.dqkv[size_t(t * 3 * C + c)] == 0);
}

TEST_CASE("attention hides no NaN", "[cpu][attention]") {
    const int part = GENERATE(0, 1, 2);  // in a query, a key, a value
    Problem a(1, 50, 1, 16);
    a.qkv[size_t((20 * 3 + part) * 16 + 5)] = NAN;
    const Result r = run_on_cpu(a);
    bool is_nan = false;
    for (int c = 0; c < 16; c++) is_nan = is_nan || std::isnan(r.out[size_t(20 * 16 + c)]);
    REQUIRE(is_nan);
}

TEST_CASE("attention gives the same bytes for any number of threads", "[cpu][attention]") {
    const float dropout = GENERATE(0.0f, 0.2f);
    const Problem a(3, 84, 5, 20, dropout);
    const int threads_before = parallel::num_threads();
    parallel::set_num_threads(1);
    const Result one = run_on_cpu(a);
    for (int threads : {2, 3, 4}) {
        CAPTURE(threads);
        parallel::set_num_threads(threads);
        const Result many = run_on_cpu(a);
        REQUIRE(same_bytes(one.out, many.out));
        REQUIRE(same_bytes(one.lse, many.lse));
        REQUIRE(same_bytes(one.dqkv, many.dqkv));
    }
    parallel::set_num_threads(threads_before);
}
