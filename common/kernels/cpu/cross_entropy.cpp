// cross_entropy.cpp - softmax and negative log-likelihood of each row, and the gradient of the logits.
// Derivation: chapters/00_char_gpt/README.md, "Cross-entropy, backwards".
#include <cmath>

#include "core/check.h"
#include "core/parallel.h"
#include "kernels/cpu/simd.h"
#include "kernels/kernels.h"

namespace {

using simd::kWidth;
using simd::Vec;

constexpr float kMinusInfinity = -3.0e38f;  // finite: inf - inf would be NaN in a row of equal infinities

int64_t rows_per_task(int64_t V) {
    return V >= 4096 ? 4 : 64;
}

GPT_INLINE Vec load_row_end(const float* p, int n) {
    const Vec x = simd::load_first(p, n);
    return simd::lane_index() < n ? x : simd::broadcast(kMinusInfinity);
}

struct RowSums {
    float maximum, sum;  // of the logits; of exp(logit - maximum)
};

// exponentials: where exp(logit - maximum) is written, or null when only the sum is wanted; may be the row
// itself.
RowSums softmax_sums(float* exponentials, const float* row, int64_t V) {
    Vec best = simd::broadcast(kMinusInfinity);
    int64_t j = 0;
    for (; j + kWidth <= V; j += kWidth) best = simd::max(best, simd::load(row + j));
    const int rest = int(V - j);
    if (rest) best = simd::max(best, load_row_end(row + j, rest));
    const float maximum = simd::max_lane(best);

    Vec sum{};
    for (j = 0; j + kWidth <= V; j += kWidth) {
        __builtin_prefetch(row + V + j, 0, 2);  // the next row, into the L2 cache
        const Vec e = simd::exp(simd::load(row + j) - maximum);
        if (exponentials) simd::store(exponentials + j, e);
        sum += e;
    }
    if (rest) {
        Vec e = simd::exp(simd::load_first(row + j, rest) - maximum);
        e = simd::lane_index() < rest ? e : Vec{};
        if (exponentials) simd::store_first(exponentials + j, e, rest);
        sum += e;
    }
    return {maximum, simd::sum(sum)};
}

void check_target([[maybe_unused]] int target, [[maybe_unused]] int64_t V) {
    DCHECK(target == kIgnore || (target >= 0 && target < V), "[cross_entropy] target %d is outside [0,%lld)",
           target, static_cast<long long>(V));
}

// -log softmax(row)[target] = log(sum) + (maximum - row[target]).
// subtle: without the brackets large logits would round log(sum)
float row_loss(const RowSums& s, float target_logit) {
    return std::log(s.sum) + (s.maximum - target_logit);
}

}  // namespace

void cpu::cross_entropy_forward(float* losses, const float* logits, const int* targets, int64_t N, int64_t V,
                                Stream) {
    parallel_ranges(N, rows_per_task(V), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) {
            check_target(targets[i], V);
            losses[i] = targets[i] == kIgnore
                            ? 0.0f
                            : row_loss(softmax_sums(nullptr, logits + i * V, V), logits[i * V + targets[i]]);
        }
    });
}

void cpu::cross_entropy_backward(float* dlogits, const float* logits, const int* targets, int64_t N,
                                 int64_t V, float scale, bool accumulate, Stream) {
    parallel_ranges(N, rows_per_task(V), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) {
            float* d = dlogits + i * V;
            const float* row = logits + i * V;
            if (targets[i] == kIgnore) {
                for (int64_t j = 0; j < V && !accumulate; j++) d[j] = 0.0f;
                continue;
            }
            const RowSums s = softmax_sums(accumulate ? nullptr : d, row, V);
            const float k = scale / s.sum;
            for (int64_t j = 0; j < V; j++)
                d[j] = accumulate ? d[j] + k * std::exp(row[j] - s.maximum) : k * d[j];
            d[targets[i]] -= scale;
        }
    });
}

void cpu::cross_entropy_forward_backward(float* losses, float* logits, const int* targets, int64_t N,
                                         int64_t V, float scale, Stream) {
    parallel_ranges(N, rows_per_task(V), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) {
            float* row = logits + i * V;
            check_target(targets[i], V);
            if (targets[i] == kIgnore) {
                losses[i] = 0.0f;
                for (int64_t j = 0; j < V; j++) row[j] = 0.0f;
                continue;
            }
            const float target_logit = row[targets[i]];
            const RowSums s = softmax_sums(row, row, V);
            losses[i] = row_loss(s, target_logit);
            const float k = scale / s.sum;
            for (int64_t j = 0; j < V; j++) row[j] *= k;
            row[targets[i]] -= scale;
        }
    });
}

void cpu::mean_loss(float* mean, const float* losses, int64_t N, int64_t counted, Stream) {
    double sum = 0;
    for (int64_t i = 0; i < N; i++) sum += double(losses[i]);
    *mean = float(sum / double(counted));
}
