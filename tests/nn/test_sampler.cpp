// test_sampler.cpp - which id is drawn: the most likely, one of the k most likely, or each as often as it
// should be.
#include "nn/sampler.h"

#include <cmath>
#include <vector>

#include "tests/support/catch.h"

namespace {

const std::vector<float> kLogits = {1.0f, -0.5f, 2.0f, 0.3f, 1.5f, -3.0f};

Sampler sampler(float temperature, int top_k, uint64_t seed = 1) {
    Sampler s;
    s.temperature = temperature;
    s.top_k = top_k;
    s.random = {seed, 5};
    return s;
}

constexpr int kDraws = 40000;

std::vector<int> draws(Sampler s, const std::vector<float>& logits) {
    std::vector<int> hits(logits.size(), 0);
    for (int i = 0; i < kDraws; i++) hits[size_t(s.pick(logits.data(), int(logits.size())))]++;
    return hits;
}

// Pearson's chi-squared over the ids that can be drawn; those that cannot must not have been.
double chi_squared(const std::vector<int>& hits, const std::vector<float>& logits, double temperature,
                   float threshold) {
    double sum = 0, chi = 0;
    for (const float logit : logits) sum += logit >= threshold ? std::exp(double(logit) / temperature) : 0;
    for (size_t v = 0; v < logits.size(); v++) {
        const double expected =
            logits[v] >= threshold ? kDraws * std::exp(double(logits[v]) / temperature) / sum : 0;
        if (expected == 0) {
            CAPTURE(v);
            REQUIRE(hits[v] == 0);
        } else {
            chi += (hits[v] - expected) * (hits[v] - expected) / expected;
        }
    }
    return chi;
}

// Five degrees of freedom pass 25 once in 7000 seeds; this seed is fixed.
constexpr double kChiSquaredBar = 25;

}  // namespace

TEST_CASE("temperature 0 and top-k 1 always pick the most likely id", "[nn][cpu]") {
    Sampler greedy = sampler(0, 0), one = sampler(1, 1);
    for (int i = 0; i < 100; i++) {
        REQUIRE(greedy.pick(kLogits.data(), 6) == 2);
        REQUIRE(one.pick(kLogits.data(), 6) == 2);
    }
    REQUIRE(greedy.random.position == 0);  // nothing was drawn
}

TEST_CASE("each id is drawn as often as softmax says", "[nn][cpu]") {
    const float temperature = GENERATE(0.5f, 1.0f, 2.0f);
    CAPTURE(temperature);
    REQUIRE(chi_squared(draws(sampler(temperature, 0), kLogits), kLogits, double(temperature), -INFINITY) <
            kChiSquaredBar);
}

TEST_CASE("top-k keeps the k most likely ids, and their proportions", "[nn][cpu]") {
    REQUIRE(chi_squared(draws(sampler(1, 3), kLogits), kLogits, 1, 1.0f) < kChiSquaredBar);
    REQUIRE(chi_squared(draws(sampler(1, 6), kLogits), kLogits, 1, -INFINITY) < kChiSquaredBar);
    REQUIRE(chi_squared(draws(sampler(1, 100), kLogits), kLogits, 1, -INFINITY) < kChiSquaredBar);
}

TEST_CASE("ids that tie with the k-th stay in", "[nn][cpu]") {
    const std::vector<float> logits = {1, 1, 0, 1};
    const std::vector<int> hits = draws(sampler(1, 2), logits);
    REQUIRE(hits[2] == 0);
    REQUIRE((hits[0] > 0 && hits[1] > 0 && hits[3] > 0));
}

TEST_CASE("extreme logits are drawn from without overflow", "[nn][cpu]") {
    const std::vector<float> logits = {1e30f, -1e30f, 1e30f, 0};
    const std::vector<int> hits = draws(sampler(1, 0), logits);
    REQUIRE(hits[1] + hits[3] == 0);
    REQUIRE(std::abs(hits[0] - kDraws / 2) < 5 * 100);  // standard deviation 100
    const std::vector<float> only = {0};
    REQUIRE(draws(sampler(1, 0), only)[0] == kDraws);
}

TEST_CASE("the same seed draws the same ids, and the position is all of the state", "[nn][cpu]") {
    Sampler a = sampler(1, 0), b = sampler(1, 0);
    std::vector<int> first, second;
    for (int i = 0; i < 50; i++) first.push_back(a.pick(kLogits.data(), 6));
    for (int i = 0; i < 25; i++) second.push_back(b.pick(kLogits.data(), 6));
    Sampler c = sampler(1, 0);
    c.random.position = b.random.position;
    for (int i = 0; i < 25; i++) second.push_back(c.pick(kLogits.data(), 6));
    REQUIRE(first == second);
}
