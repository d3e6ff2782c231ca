// 1_cached_row.cpp - exercise: attention of the newest token alone. One head: its query q (HS) meets the keys and values of
// all positions so far, (keys,HS) each, its own last among them. out = softmax(q k^T / sqrt(HS)) v.
// Scores may be in the hundreds: subtract their maximum before the exponential.
// Fill in the gap, then: make exercise-02-1
#include "chapters/02_small_gpt/exercises/check_1.h"

void cached_row(float* out, const float* q, const float* k, const float* v, int keys, int HS) {
    // Your part. What is here looks at the last position alone.
    (void)q, (void)k;
    for (int d = 0; d < HS; d++) out[d] = v[(keys - 1) * HS + d];
}
