// 1_cached_row.cpp - solution of the exercise: attention of the newest token alone. One head: its query q (HS) meets the keys and values of
// all positions so far, (keys,HS) each, its own last among them. out = softmax(q k^T / sqrt(HS)) v.
// Scores may be in the hundreds: subtract their maximum before the exponential.
#include "chapters/02_small_gpt/exercises/check_1.h"

#include <algorithm>
#include <cmath>

void cached_row(float* out, const float* q, const float* k, const float* v, int keys, int HS) {
    std::vector<float> p(static_cast<size_t>(keys));
    for (int j = 0; j < keys; j++) {
        for (int d = 0; d < HS; d++) p[size_t(j)] += q[d] * k[j * HS + d];
        p[size_t(j)] /= std::sqrt(float(HS));
    }
    const float max = *std::max_element(p.begin(), p.end());
    float sum = 0;
    for (float& score : p) sum += score = std::exp(score - max);
    for (int d = 0; d < HS; d++) {
        out[d] = 0;
        for (int j = 0; j < keys; j++) out[d] += p[size_t(j)] / sum * v[j * HS + d];
    }
}
