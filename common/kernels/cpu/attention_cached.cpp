// attention_cached.cpp - attention of the newest token alone, over keys and values that were kept; a task is one head of
// one sequence. All of it is reading: each key and each value is used once, by one query.
// Not here: attention with all queries of a sequence at once (attention.cpp).
// Source: Vaswani et al. 2017, eq. 1, for one row.
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/check.h"
#include "core/parallel.h"
#include "kernels/cpu/simd.h"
#include "kernels/kernels.h"

namespace {

using simd::kWidth;
using simd::Vec;

constexpr int64_t kRowsPerTask = 64;

// Lane by lane x y over a row of HS numbers, still to be added up across the lanes.
GPT_INLINE Vec products(const float* x, const float* y, int HS) {
    Vec sum{};
    int d = 0;
    for (; d + kWidth <= HS; d += kWidth) sum += simd::load(x + d) * simd::load(y + d);
    if (d < HS) sum += simd::load_first(x + d, HS - d) * simd::load_first(y + d, HS - d);
    return sum;
}

// scores[j] = q . k[j,:] * scale, with k (keys,HS). kWidth keys at a time: transposed, their lanes are added up by
// kWidth plain additions, where kWidth sums across a vector would cost more than reading the keys.
void score_keys(float* scores, const float* q, const float* k, int64_t keys, int HS, float scale) {
    for (int64_t j = 0; j < keys; j += kWidth) {
        const int count = int(std::min<int64_t>(kWidth, keys - j));
        Vec square[kWidth] = {};
        if (count == kWidth) {
            GPT_UNROLL
            for (int u = 0; u < kWidth; u++) square[u] = products(q, k + (j + u) * HS, HS);
        } else {
            for (int u = 0; u < count; u++) square[u] = products(q, k + (j + u) * HS, HS);
        }
        simd::transpose(square);
        Vec sum{};
        GPT_UNROLL
        for (int u = 0; u < kWidth; u++) sum += square[u];
        simd::store_first(scores + j, sum * scale, count);
    }
}

// In place exp(scores - their maximum); returns the sum.
float exponentials(float* scores, int64_t keys) {
    const float max = *std::max_element(scores, scores + keys);
    Vec sum{};
    int64_t j = 0;
    for (; j + kWidth <= keys; j += kWidth) {
        const Vec e = simd::exp(simd::load(scores + j) - max);
        simd::store(scores + j, e);
        sum += e;
    }
    if (j < keys) {
        const int rest = int(keys - j);
        const Vec e = simd::exp(simd::load_first(scores + j, rest) - max);
        sum += simd::lane_index() < rest ? e : Vec{};
        simd::store_first(scores + j, e, rest);
    }
    return simd::sum(sum);
}

// out[d] = factor * sum_j p[j] v[j,d] for V vectors of columns from d on, `columns` of which exist.
template <int V>
GPT_INLINE void mix_values(float* out, const float* p, const float* v, int64_t keys, int HS, int columns,
                           float factor) {
    Vec sums[V] = {};
    for (int64_t j = 0; j < keys; j++) {
        const float* row = v + j * HS;
        GPT_UNROLL
        for (int x = 0; x < V; x++) {
            const int rest = columns - x * kWidth;
            sums[x] += p[j] * (rest >= kWidth ? simd::load(row + x * kWidth)
                                              : simd::load_first(row + x * kWidth, rest));
        }
    }
    GPT_UNROLL
    for (int x = 0; x < V; x++)
        simd::store_first(out + x * kWidth, sums[x] * factor, std::min(kWidth, columns - x * kWidth));
}

}  // namespace

void cpu::cache_keys_values(float* k_cache, float* v_cache, const float* qkv, int64_t B, int64_t T,
                            int64_t first, int64_t capacity, int64_t NH, int64_t HS, Stream) {
    CHECK(first >= 0 && first + T <= capacity,
          "[cache_keys_values] positions [%lld, %lld), the cache has %lld", (long long)first,
          (long long)(first + T), (long long)capacity);
    const int64_t C = NH * HS;
    parallel_ranges(B * T, kRowsPerTask, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; row++) {
            const int64_t b = row / T, t = row % T;
            const float* k = qkv + row * 3 * C + C;
            for (int64_t h = 0; h < NH; h++) {
                const int64_t to = ((b * NH + h) * capacity + first + t) * HS;
                std::copy_n(k + h * HS, HS, k_cache + to);
                std::copy_n(k + C + h * HS, HS, v_cache + to);
            }
        }
    });
}

void cpu::attention_cached_forward(float* out, const float* qkv, const float* k_cache, const float* v_cache,
                                   int64_t B, int64_t keys, int64_t capacity, int64_t NH, int64_t HS,
                                   Stream) {
    CHECK(keys >= 1 && keys <= capacity, "[attention_cached] %lld keys, the cache has %lld", (long long)keys,
          (long long)capacity);
    constexpr int kVecs = 4;  // of columns at a time: enough sums to hide the latency of the additions
    parallel_for(B * NH, [&](int64_t bh) {
        const int64_t b = bh / NH, h = bh % NH;
        static thread_local std::vector<float> scores;
        scores.resize(size_t(keys));
        const float* q = qkv + b * 3 * NH * HS + h * HS;
        const float* v = v_cache + bh * capacity * HS;
        score_keys(scores.data(), q, k_cache + bh * capacity * HS, keys, int(HS),
                   1.0f / std::sqrt(float(HS)));
        const float factor = 1.0f / exponentials(scores.data(), keys);
        float* row = out + bh * HS;
        int d = 0;
        for (; d + kVecs * kWidth <= HS; d += kVecs * kWidth)
            mix_values<kVecs>(row + d, scores.data(), v + d, keys, int(HS), kVecs * kWidth, factor);
        for (; d < HS; d += kWidth)
            mix_values<1>(row + d, scores.data(), v + d, keys, int(HS),
                          int(std::min<int64_t>(kWidth, HS - d)), factor);
    });
}
