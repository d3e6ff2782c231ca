// test_bfloat16.cpp - floats to bfloat16 and back: every bfloat16 survives, the nearest is the nearest, and stochastic rounding
// is right on average.
#include "core/bfloat16.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <set>
#include <vector>

#include "tests/support/arrays.h"
#include "tests/support/catch.h"

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

}  // namespace

TEST_CASE("every bfloat16 is a float, and comes back from it, however it is rounded", "[core][cpu]") {
    for (uint32_t half = 0; half < 0x10000; half++) {
        const float x = bfloat16_to_float(uint16_t(half));
        const uint16_t want = std::isnan(x) ? kBFloat16NaN : uint16_t(half);
        if (bfloat16_nearest(x) != want || bfloat16_stochastic(x, 0) != want ||
            bfloat16_stochastic(x, 0xffffffff) != want)
            FAIL("bits " << half << " do not survive");
    }
}

TEST_CASE("bfloat16_nearest rounds to the nearest, halfway to even", "[core][cpu]") {
    // 1 + 2^-7 is the neighbour of 1
    REQUIRE(bfloat16_to_float(bfloat16_nearest(1 + 0.49f * 0x1p-7f)) == 1);
    REQUIRE(bfloat16_to_float(bfloat16_nearest(1 + 0.51f * 0x1p-7f)) == 1 + 0x1p-7f);
    REQUIRE(bfloat16_to_float(bfloat16_nearest(1 + 0x1p-8f)) == 1);                // to the even one
    REQUIRE(bfloat16_to_float(bfloat16_nearest(1 + 3 * 0x1p-8f)) == 1 + 0x1p-6f);  // up, for the same reason
    REQUIRE(bfloat16_to_float(bfloat16_nearest(-1 - 0.51f * 0x1p-7f)) == -1 - 0x1p-7f);
    REQUIRE(bfloat16_to_float(bfloat16_nearest(std::numeric_limits<float>::max())) == kInfinity);
    for (const float x : random_floats(10000, 1)) {
        const float nearest = bfloat16_to_float(bfloat16_nearest(x));
        if (!(std::fabs(nearest - x) <= 0x1p-8f * std::fabs(x))) FAIL(x << " became " << nearest);
    }
}

TEST_CASE("bfloat16_stochastic takes one of the two neighbours, the nearer one more often", "[core][cpu]") {
    const RandomStream random{11, 4};
    constexpr int kDraws = 40000;
    const float sign = GENERATE(1.0f, -1.0f);
    const int eighths = GENERATE(1, 3, 4, 7);  // of the way from one neighbour to the next
    const float low = sign * 0.75f, high = sign * (0.75f + 0x1p-8f),
                x = low + (high - low) * float(eighths) / 8;
    CAPTURE(x);
    int ups = 0;
    for (uint64_t i = 0; i < kDraws; i++) {
        const float rounded = bfloat16_to_float(bfloat16_stochastic(x, random.word(i)));
        if (rounded != low && rounded != high) FAIL("rounded to " << rounded);
        ups += rounded == high;
    }
    const double p = eighths / 8.0, standard_error = std::sqrt(p * (1 - p) / kDraws);
    REQUIRE(std::fabs(double(ups) / kDraws - p) < 4 * standard_error);
}

TEST_CASE("stochastic rounding of what is not finite: an infinity stays one, a NaN one NaN", "[core][cpu]") {
    for (const uint32_t word : {0u, 0xffffu, 0xffffffffu}) {
        REQUIRE(bfloat16_to_float(bfloat16_stochastic(kInfinity, word)) == kInfinity);
        REQUIRE(bfloat16_to_float(bfloat16_stochastic(-kInfinity, word)) == -kInfinity);
        // NaNs whose bits a plain cut would turn into an infinity, or a plain addition into -0
        for (const uint32_t bits : {0x7f800001u, 0x7fffffffu, 0xff800001u, 0xffffffffu}) {
            float nan;
            std::memcpy(&nan, &bits, sizeof nan);
            REQUIRE(std::isnan(bfloat16_to_float(bfloat16_stochastic(nan, word))));
            REQUIRE(std::isnan(bfloat16_to_float(bfloat16_nearest(nan))));
        }
    }
}

TEST_CASE("a weight that moves by far less than bfloat16's steps gets there on average", "[core][cpu]") {
    // 1000 steps of 1/1000 of the distance between two neighbours, bfloat16 alone without a master
    const RandomStream random{11, 5};
    constexpr int kWeights = 400, kSteps = 1000;
    double stochastic = 0, nearest = 0;
    for (uint64_t weight = 0; weight < kWeights; weight++) {
        float s = 1, r = 1;
        for (uint64_t step = 0; step < kSteps; step++) {
            const uint32_t word = random.word(weight * kSteps + step);
            s = bfloat16_to_float(bfloat16_stochastic(s + 0x1p-7f / kSteps, word));
            r = bfloat16_to_float(bfloat16_nearest(r + 0x1p-7f / kSteps));
        }
        stochastic += double(s - 1) / kWeights, nearest += double(r - 1) / kWeights;
    }
    REQUIRE(nearest == 0);  // it never moves
    // jumps of 2^-7, on average one to a weight: Poisson's spread, five standard errors
    REQUIRE(std::fabs(stochastic * 0x1p7 - 1) < 5 / std::sqrt(double(kWeights)));
}

TEST_CASE("each weight of each step of each run is rounded by a word of its own", "[core][cpu]") {
    std::set<uint32_t> words;
    size_t drawn = 0;
    for (const uint64_t seed : {1u, 2u})
        for (const uint64_t step : {1u, 2u, 3u})
            for (uint64_t i = 0; i < 64; i += 4, drawn += 4)
                for (const uint32_t word : WeightRounding{seed, step, 0}.words(i).word) words.insert(word);
    REQUIRE(words.size() == drawn);
    // a block that begins later is the same weights
    REQUIRE(WeightRounding{1, 2, 16}.words(4).word[3] == WeightRounding{1, 2, 0}.words(20).word[3]);
    // and dropout's masks of the same seed and step are drawn elsewhere
    const DropoutMask mask{0.5f, 1, 2};
    REQUIRE(philox(mask.seed, 0, mask.site).word[0] != WeightRounding{1, 2, 0}.words(0).word[0]);
}
