// sampler.h - one id from one row of logits: a penalty for repetition, temperature, top-k, top-p, and a draw.
// In this order: the penalty changes logits, the temperature all of them alike, and then the unlikely ones are left out.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

#include "core/rng.h"

// Lowers the logits of ids that were there: positive ones are divided by `penalty`, negative ones multiplied by it.
// Source: Keskar et al. 2019, "CTRL", section 4.1. subtle: the paper divides whatever the sign, which makes a negative
// logit larger, and so a repeated token likelier; the authors' program and all that followed do what is done here.
inline void penalize_repetition(float* logits, int V, const std::vector<int>& ids, float penalty) {
    if (penalty == 1) return;
    std::vector<int> seen(ids);  // each id once
    std::sort(seen.begin(), seen.end());
    seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
    for (const int id : seen)
        if (id >= 0 && id < V) logits[id] = logits[id] > 0 ? logits[id] / penalty : logits[id] * penalty;
}

struct Sampler {
    float temperature = 1.0f;         // 0: always the most likely id
    int top_k = 0;                    // only the k most likely ids; 0: all
    float top_p = 1.0f;               // only the most likely ids that together have this probability; 1: all
    float repetition_penalty = 1.0f;  // of ids that were there; 1: none
    RandomStream random;

    // before: the text so far, for the penalty.
    int pick(const float* logits, int V, const std::vector<int>& before) {
        if (repetition_penalty == 1) return pick(logits, V);
        std::vector<float> changed(logits, logits + V);
        penalize_repetition(changed.data(), V, before, repetition_penalty);
        return pick(changed.data(), V);
    }

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
        if (top_p < 1) threshold = nucleus(logits, V, best, threshold);
        std::vector<double> cumulative(static_cast<size_t>(V));
        double sum = 0;
        for (int v = 0; v < V; v++) {
            if (logits[v] >= threshold) sum += weight(logits[v], logits[best]);
            cumulative[size_t(v)] = sum;
        }
        const double draw = double(random.next_uniform()) * sum;
        const auto pick = std::upper_bound(cumulative.begin(), cumulative.end(), draw);
        return pick == cumulative.end() ? best : int(pick - cumulative.begin());
    }

  private:
    double weight(float logit, float best) const {
        return std::exp(double(logit - best) / double(temperature));
    }

    // The smallest logit of the nucleus: the likeliest ids, so many that they hold top_p of the probability of those
    // that reach `threshold`. The id that crosses the line is in, and so are its ties.
    // Source: Holtzman et al. 2019, section 3.1.
    float nucleus(const float* logits, int V, int best, float threshold) const {
        std::vector<float> sorted;
        double sum = 0;
        for (int v = 0; v < V; v++)
            if (logits[v] >= threshold) {
                sorted.push_back(logits[v]);
                sum += weight(logits[v], logits[best]);
            }
        std::sort(sorted.begin(), sorted.end(), std::greater<float>());
        double inside = 0;
        for (const float logit : sorted) {
            inside += weight(logit, logits[best]);
            if (inside >= double(top_p) * sum) return logit;
        }
        return threshold;
    }
};
