// sampler.h - one id from one row of logits: temperature, top-k, and a draw.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "core/rng.h"

struct Sampler {
    float temperature = 1.0f;  // 0: always the most likely id
    int top_k = 0;             // only the k most likely ids; 0: all
    RandomStream random;

    int pick(const float* logits, int V) {
        const int best = int(std::max_element(logits, logits + V) - logits);
        if (temperature == 0) return best;
        // Everything below the k-th largest logit is out; ties with it stay in.
        float threshold = -INFINITY;
        if (top_k > 0 && top_k < V) {
            std::vector<float> sorted(logits, logits + V);
            std::nth_element(sorted.begin(), sorted.begin() + (top_k - 1), sorted.end(),
                             std::greater<float>());
            threshold = sorted[size_t(top_k - 1)];
        }
        std::vector<double> cumulative(static_cast<size_t>(V));
        double sum = 0;
        for (int v = 0; v < V; v++) {
            if (logits[v] >= threshold)
                sum += std::exp(double(logits[v] - logits[best]) / double(temperature));
            cumulative[size_t(v)] = sum;
        }
        const double draw = double(random.next_uniform()) * sum;
        const auto pick = std::upper_bound(cumulative.begin(), cumulative.end(), draw);
        return pick == cumulative.end() ? best : int(pick - cumulative.begin());
    }
};
