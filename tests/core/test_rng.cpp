// test_rng.cpp - Philox against published vectors; uniform, normal and bounded numbers against their
// definitions.
#include "core/rng.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "tests/support/catch.h"

namespace {

struct KnownAnswer {
    uint32_t counter[4];
    uint32_t key[2];
    uint32_t expected[4];
};

// Source: the known-answer file of the Random123 distribution (philox4x32, 10 rounds). The third counter and
// key are digits of pi.
const KnownAnswer kKnownAnswers[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

uint64_t join(uint32_t low, uint32_t high) {
    return uint64_t(high) << 32 | low;
}

}  // namespace

TEST_CASE("philox gives the published numbers", "[core][cpu][golden]") {
    for (const KnownAnswer& known : kKnownAnswers) {
        const Philox4 got = philox(join(known.key[0], known.key[1]), join(known.counter[0], known.counter[1]),
                                   join(known.counter[2], known.counter[3]));
        for (int i = 0; i < 4; i++) {
            CAPTURE(known.counter[0], i);
            REQUIRE(got.word[i] == known.expected[i]);
        }
    }
}

TEST_CASE("a stream is its four-word blocks in order, and position is all of its state", "[core][cpu]") {
    RandomStream stream{7, 3};
    const Philox4 block = philox(7, 1, 3);
    for (int i = 0; i < 4; i++) REQUIRE(stream.word(uint64_t(4 + i)) == block.word[i]);

    for (int i = 0; i < 13; i++) stream.next_normal();
    RandomStream resumed{7, 3, stream.position};
    for (int i = 0; i < 100; i++) REQUIRE(resumed.next_word() == stream.next_word());
}

TEST_CASE("different seeds and streams share no words", "[core][cpu]") {
    std::set<uint32_t> words;
    for (uint64_t seed : {0, 1, 2})
        for (uint64_t id : {0, 1, 2})
            for (uint64_t i = 0; i < 8; i++) words.insert(RandomStream{seed, id}.word(i));
    REQUIRE(words.size() ==
            3 * 3 * 8);  // a collision of 72 draws from 2^32 would be a chance of one in a million
}

TEST_CASE("uniform numbers lie in [0, 1) and fill it evenly", "[core][cpu]") {
    REQUIRE(uniform_from_word(0) == 0.0f);
    REQUIRE(uniform_from_word(0xffffffff) < 1.0f);
    RandomStream stream{1, 0};
    constexpr int kDraws = 100000, kBins = 10;
    std::vector<int> bins(kBins, 0);
    for (int i = 0; i < kDraws; i++) bins[size_t(stream.next_uniform() * kBins)]++;
    // One bin has a standard deviation of sqrt(n p (1 - p)) = 95; five of them are one failure in 1.7 million
    // seeds.
    for (const int bin : bins) REQUIRE(std::abs(bin - kDraws / kBins) < 5 * 95);
}

TEST_CASE("next_below reaches every value and no other", "[core][cpu]") {
    const uint32_t n = GENERATE(1u, 2u, 3u, 65u, 1000u);
    CAPTURE(n);
    RandomStream stream{5, 9};
    std::vector<int> hits(n, 0);
    for (uint32_t i = 0; i < 100 * n; i++) hits.at(stream.next_below(n))++;  // at() throws beyond n
    REQUIRE(*std::min_element(hits.begin(), hits.end()) > 40);  // 100 expected, standard deviation 10
}

TEST_CASE("normal numbers have mean 0, variance 1 and the normal's tails", "[core][cpu]") {
    RandomStream stream{2, 4};
    constexpr int kDraws = 200000;
    double sum = 0, sum_of_squares = 0;
    int beyond_two = 0, not_finite = 0;
    for (int i = 0; i < kDraws; i++) {
        const double x = double(stream.next_normal());
        not_finite += !std::isfinite(x);
        sum += x;
        sum_of_squares += x * x;
        beyond_two += std::fabs(x) > 2;
    }
    REQUIRE(not_finite == 0);
    // Five standard errors each: 1/sqrt(n), sqrt(2/n), and sqrt(p (1 - p) / n) with p = P(|x| > 2) = 0.0455.
    REQUIRE(std::fabs(sum / kDraws) < 5 * 0.00224);
    REQUIRE(std::fabs(sum_of_squares / kDraws - 1) < 5 * 0.00316);
    REQUIRE(std::fabs(double(beyond_two) / kDraws - 0.0455) < 5 * 0.000466);
}

TEST_CASE("a dropout mask drops the share p and scales what it keeps", "[core][cpu]") {
    const float p = GENERATE(0.0f, 0.1f, 0.5f, 0.9f);
    CAPTURE(p);
    const DropoutMask mask{p, 11, 2};
    constexpr int kElements = 50000;
    int dropped = 0, kept = 0;
    for (uint64_t i = 0; i < kElements; i++) {
        const float scale = mask.scale(i);
        dropped += scale == 0.0f;
        kept += scale == 1.0f / (1.0f - p);
    }
    REQUIRE(dropped + kept == kElements);
    const double standard_error = std::sqrt(double(p) * (1 - double(p)) / kElements);
    REQUIRE(std::fabs(double(dropped) / kElements - double(p)) <= 5 * standard_error);
}

TEST_CASE("two uses of dropout in one step draw different masks", "[core][cpu]") {
    const DropoutMask first{0.5f, 11, 0}, second{0.5f, 11, 1};
    int equal = 0;
    for (uint64_t i = 0; i < 10000; i++) equal += first.scale(i) == second.scale(i);
    REQUIRE(std::abs(equal - 5000) < 5 * 50);
}
