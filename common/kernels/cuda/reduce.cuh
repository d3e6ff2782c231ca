// reduce.cuh - one value of every thread made into one for all of them: sums and maxima over a warp, and over
// a block.
// The order of the additions is fixed by the number of threads alone, so a result has the same bits on every
// run: no atomics.
// Source: Harris 2007, "Optimizing parallel reduction in CUDA"; shuffles took over the last steps since.
#pragma once
#include "core/device.h"

constexpr int kWarpSize = 32;
constexpr int kMaxWarps = 32;  // a block has at most 1024 threads
constexpr unsigned kAllLanes = 0xffffffffu;

// A butterfly: after log2(32) exchanges every lane holds the result. Lanes i and i^step add the same two
// numbers, and addition commutes, so all 32 results are equal to the last bit.
template <class T>
__device__ T warp_sum(T x) {
    for (int step = kWarpSize / 2; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
    return x;
}

__device__ inline float warp_max(float x) {
    for (int step = kWarpSize / 2; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, step));
    return x;
}

// Over a block: every warp leaves its result in shared memory, then every thread reads all of them. To be
// called by all threads of the block, whose number is a multiple of 32.
template <class T>
__device__ T block_sum(T x) {
    __shared__ T of_warp[kMaxWarps];
    x = warp_sum(x);
    if (threadIdx.x % kWarpSize == 0) of_warp[threadIdx.x / kWarpSize] = x;
    __syncthreads();
    T sum = 0;
    for (unsigned w = 0; w < blockDim.x / kWarpSize; w++) sum += of_warp[w];
    __syncthreads();  // the next call writes of_warp again
    return sum;
}

__device__ inline float block_max(float x) {
    __shared__ float of_warp[kMaxWarps];
    x = warp_max(x);
    if (threadIdx.x % kWarpSize == 0) of_warp[threadIdx.x / kWarpSize] = x;
    __syncthreads();
    float max = of_warp[0];
    for (unsigned w = 1; w < blockDim.x / kWarpSize; w++) max = fmaxf(max, of_warp[w]);
    __syncthreads();
    return max;
}
