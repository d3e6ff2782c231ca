// check_2.h - checks exercise 2 on distributions that can be computed by hand.
#pragma once
#include <cmath>

#include "chapters/02_small_gpt/exercises/checker.h"

std::vector<int> min_p(const std::vector<float>& logits, float temperature, float share);

int main() {
    Verdict verdict;
    // probabilities 0.4, 0.3, 0.2, 0.1 in another order
    const std::vector<float> logits = {std::log(0.2f), std::log(0.4f), std::log(0.1f), std::log(0.3f)};
    verdict.same("a share of 0.6 of (0.2, 0.4, 0.1, 0.3)", min_p(logits, 1, 0.6f), {1, 3});
    verdict.same("a share of 0.3", min_p(logits, 1, 0.3f), {0, 1, 3});
    verdict.same("a share of 0.2", min_p(logits, 1, 0.2f), {0, 1, 2, 3});
    verdict.same("a share of 1", min_p(logits, 1, 1), {1});
    // a temperature of 1/2 squares the ratios: 0.25, 1, 0.06, 0.56
    verdict.same("a share of 0.3 at temperature 0.5", min_p(logits, 0.5f, 0.3f), {1, 3});
    verdict.same("a share of 0.6 at temperature 4", min_p(logits, 4, 0.6f), {0, 1, 2, 3});
    verdict.same("equal logits", min_p({7, 7, 7}, 1, 1), {0, 1, 2});
    verdict.same("logits in the thousands", min_p({-2000, -2001, -2010}, 1, 0.1f), {0, 1});
    return verdict.finish("min-p");
}
