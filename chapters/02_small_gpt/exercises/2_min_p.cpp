// 2_min_p.cpp - exercise: another way to leave out unlikely tokens. Min-p keeps those that are at least `share` times as
// likely as the likeliest (Nguyen et al. 2024): few where the model is sure, many where it is not, without a sum over all.
// Hint: how far below the largest logit may a token's be? No exponential is needed.
// Fill in the gap, then: make exercise-02-2
#include "chapters/02_small_gpt/exercises/check_2.h"

// The ids that are kept, in increasing order. share is in (0,1]; temperature above 0 divides the logits first.
std::vector<int> min_p(const std::vector<float>& logits, float temperature, float share) {
    // Your part. What is here keeps all.
    (void)temperature, (void)share;
    std::vector<int> kept;
    for (int id = 0; id < int(logits.size()); id++) kept.push_back(id);
    return kept;
}
