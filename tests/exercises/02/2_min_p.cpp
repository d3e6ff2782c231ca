// 2_min_p.cpp - solution of the exercise: another way to leave out unlikely tokens. Min-p keeps those that are at least `share` times as
// likely as the likeliest (Nguyen et al. 2024): few where the model is sure, many where it is not, without a sum over all.
// Hint: how far below the largest logit may a token's be? No exponential is needed.
#include "chapters/02_small_gpt/exercises/check_2.h"

#include <algorithm>

std::vector<int> min_p(const std::vector<float>& logits, float temperature, float share) {
    const float max = *std::max_element(logits.begin(), logits.end());
    std::vector<int> kept;
    for (int id = 0; id < int(logits.size()); id++)
        if ((logits[size_t(id)] - max) / temperature >= std::log(share)) kept.push_back(id);
    return kept;
}
