// attention_cached.cu - attention of the newest token alone, over keys and values that were kept: a block per head of a
// sequence. Its warps take turns with the keys, each with a running maximum and sum of its own; at the end the warps'
// results are put on one maximum and added up.
// Not here: several blocks for one head, which a long context with few heads would want; attention with all queries of a
// sequence at once (attention.cu).
// Source: Milakov and Gimelshein 2018 for the running softmax and for merging two of them (section 3.1).
#include <cmath>

#include "core/check.h"
#include "kernels/cuda/launcher.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/kernels.h"

namespace {

using gpu::real;

constexpr unsigned kCopyThreads = 256;

// Keys that are read at the same time: one per warp. Eight warps of 128-byte rows keep enough loads under way.
constexpr int kWarps = 8;
constexpr int kThreads = kWarps * kWarpSize;
constexpr int kDims = 4;  // channels of a lane: lane, lane + 32, ...
constexpr int kMaxHeadSize = kDims * kWarpSize;

// Below every score. Not -infinity: the difference of two infinities is not a number.
constexpr float kLowest = -1e30f;

// One thread per number of a key, and the same of its value.
__global__ void cache_keys_values_kernel(real* __restrict__ k_cache, real* __restrict__ v_cache,
                                         const real* __restrict__ qkv, int64_t n, int T, int first,
                                         int capacity, int NH, int HS) {
    const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= n) return;
    const int64_t C = int64_t(NH) * HS, row = i / C, c = i % C;
    const int64_t b = row / T, t = row % T, h = c / HS, d = c % HS;
    const int64_t to = ((b * NH + h) * capacity + first + t) * HS + d;
    k_cache[to] = qkv[row * 3 * C + C + c];
    v_cache[to] = qkv[row * 3 * C + 2 * C + c];
}

__global__ void __launch_bounds__(kThreads)
    attention_cached_forward_kernel(real* __restrict__ out, const real* __restrict__ qkv,
                                    const real* __restrict__ k_cache, const real* __restrict__ v_cache,
                                    int keys, int capacity, int NH, int HS, float scale) {
    __shared__ float max_of_warp[kWarps], sum_of_warp[kWarps], out_of_warp[kWarps][kMaxHeadSize];
    const int64_t bh = blockIdx.x, b = bh / NH, h = bh % NH;
    const int warp = threadIdx.x / kWarpSize, lane = threadIdx.x % kWarpSize;
    const real* q = qkv + b * 3 * NH * HS + h * HS;
    const real* k = k_cache + bh * capacity * HS;
    const real* v = v_cache + bh * capacity * HS;

    float q_own[kDims], mixed[kDims] = {};
    for (int x = 0; x < kDims; x++) {
        const int d = lane + x * kWarpSize;
        q_own[x] = d < HS ? float(q[d]) * scale : 0.0f;
    }
    float max = kLowest, sum = 0;
    for (int j = warp; j < keys; j += kWarps) {
        float score = 0;
        for (int x = 0; x < kDims; x++) {
            const int d = lane + x * kWarpSize;
            if (d < HS) score += q_own[x] * float(k[int64_t(j) * HS + d]);
        }
        score = warp_sum(score);
        const float new_max = fmaxf(max, score);
        const float rescale = expf(max - new_max), e = expf(score - new_max);
        sum = sum * rescale + e;
        for (int x = 0; x < kDims; x++) {
            const int d = lane + x * kWarpSize;
            if (d < HS) mixed[x] = mixed[x] * rescale + e * float(v[int64_t(j) * HS + d]);
        }
        max = new_max;
    }
    if (lane == 0) max_of_warp[warp] = max, sum_of_warp[warp] = sum;
    for (int x = 0; x < kDims; x++) out_of_warp[warp][lane + x * kWarpSize] = mixed[x];
    __syncthreads();

    // A warp that had no key has the lowest maximum, a sum of 0, and adds nothing.
    float block_max = max_of_warp[0];
    for (int w = 1; w < kWarps; w++) block_max = fmaxf(block_max, max_of_warp[w]);
    for (int d = threadIdx.x; d < HS; d += kThreads) {
        float total = 0, total_sum = 0;
        for (int w = 0; w < kWarps; w++) {
            const float factor = expf(max_of_warp[w] - block_max);
            total += factor * out_of_warp[w][d];
            total_sum += factor * sum_of_warp[w];
        }
        out[bh * HS + d] = real(total / total_sum);
    }
}

}  // namespace

void gpu::cache_keys_values(real* k_cache, real* v_cache, const real* qkv, int64_t B, int64_t T,
                            int64_t first, int64_t capacity, int64_t NH, int64_t HS, Stream s) {
    CHECK(first >= 0 && first + T <= capacity,
          "[cache_keys_values] positions [%lld, %lld), the cache has %lld", (long long)first,
          (long long)(first + T), (long long)capacity);
    const int64_t n = B * T * NH * HS;
    if (n == 0) return;
    launch(cache_keys_values_kernel, blocks_for(n, kCopyThreads), kCopyThreads, 0, cuda_stream(s), k_cache,
           v_cache, qkv, n, int(T), int(first), int(capacity), int(NH), int(HS));
}

void gpu::attention_cached_forward(real* out, const real* qkv, const real* k_cache, const real* v_cache,
                                   int64_t B, int64_t keys, int64_t capacity, int64_t NH, int64_t HS,
                                   Stream s) {
    CHECK(keys >= 1 && keys <= capacity, "[attention_cached] %lld keys, the cache has %lld", (long long)keys,
          (long long)capacity);
    CHECK(HS <= kMaxHeadSize, "[attention_cached] HS=%lld, CUDA's kernel takes up to %d", (long long)HS,
          kMaxHeadSize);
    if (B * NH == 0) return;
    launch(attention_cached_forward_kernel, unsigned(B * NH), kThreads, 0, cuda_stream(s), out, qkv, k_cache,
           v_cache, int(keys), int(capacity), int(NH), int(HS), 1.0f / std::sqrt(float(HS)));
}
