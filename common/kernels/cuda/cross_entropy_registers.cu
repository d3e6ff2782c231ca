// cross_entropy_registers.cu - the fast form of the classifier: loss and gradient in place, with a row of logits in
// the registers of its block. Memory sees one read and one write of the logits, 16 bytes at a time. GPT-2's 50,257
// logits in bfloat16 are 100 KB: 9 pieces of 16 bytes, 36 registers, for each of 768 threads.
// Not here: the online maximum and sum (cross_entropy.cu): a row at hand can be looked at twice for nothing.
// Source: derivation in chapters/00_char_gpt/README.md, "Cross-entropy, backwards".
#include "kernels/cuda/cross_entropy.cuh"
#include "kernels/cuda/launcher.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/vec.cuh"

namespace {

using cross_entropy_row::Sums;
using gpu::real;

constexpr int kSize = Vec<real>::kSize;
constexpr unsigned kMaxThreads = 768;  // leaves 80 registers a thread; 1024 threads would have 64, and spill
constexpr int kMaxVecs = 9;

// Where the pieces of a row are: an odd V lets rows begin anywhere, so up to kSize - 1 logits come before the first
// multiple of 16 bytes, and fewer than kSize after the last whole piece.
struct Pieces {
    int head, whole, tail;

    __device__ Pieces(const real* row, int V) {
        const int past = int(reinterpret_cast<uintptr_t>(row) % 16 / sizeof(real));
        head = min(past == 0 ? 0 : kSize - past, V);
        whole = (V - head) / kSize;
        tail = V - head - whole * kSize;
    }
    // The logits outside of whole pieces, at most 14, belong to the first threads: which one, or -1.
    __device__ int single(int thread, int V) const {
        if (thread < head) return thread;
        return thread < head + tail ? V - tail + thread - head : -1;
    }
};

template <int kVecs>
__global__ void __launch_bounds__(kMaxThreads)
    cross_entropy_in_registers_kernel(float* __restrict__ losses, real* logits,
                                      const int* __restrict__ targets, int V, float scale) {
    const int64_t i = blockIdx.x;
    const int target = targets[i];
    KERNEL_DCHECK(target == kIgnore || (target >= 0 && target < V),
                  "[cross_entropy] target %d is outside [0,%d)", target, V);
    real* row = logits + i * V;
    const bool counts = target != kIgnore;  // the same for all threads of the block
    const float target_logit =
        counts ? float(row[target]) : 0;  // read before anyone overwrites it: barriers follow

    const Pieces pieces(row, V);
    RawVec<real>* const whole = reinterpret_cast<RawVec<real>*>(row + pieces.head);
    const int single = pieces.single(int(threadIdx.x), V);

    RawVec<real> x[kVecs];
    const float alone = single >= 0 ? float(row[single]) : cross_entropy_row::kLowest;
    float maximum = alone;
#pragma unroll
    for (int v = 0; v < kVecs; v++) {
        const int piece = v * blockDim.x + threadIdx.x;
        if (piece >= pieces.whole) continue;
        x[v] = whole[piece];
        for (int k = 0; k < kSize; k++) maximum = fmaxf(maximum, float(x[v].x[k]));
    }
    Sums s;
    s.maximum = block_max(maximum);

    float sum = single >= 0 ? expf(alone - s.maximum) : 0;
#pragma unroll
    for (int v = 0; v < kVecs; v++) {
        if (int(v * blockDim.x + threadIdx.x) >= pieces.whole) continue;
        for (int k = 0; k < kSize; k++) sum += expf(float(x[v].x[k]) - s.maximum);  // a NaN gets into the sum
    }
    s.sum = block_sum(sum);
    if (threadIdx.x == 0) losses[i] = counts ? cross_entropy_row::loss(s, target_logit) : 0;

    const auto gradient = [&](float logit, int v) {
        return real(counts ? cross_entropy_row::gradient(s, logit, v == target, scale) : 0.0f);
    };
    if (single >= 0) row[single] = gradient(alone, single);
#pragma unroll
    for (int v = 0; v < kVecs; v++) {
        const int piece = v * blockDim.x + threadIdx.x;
        if (piece >= pieces.whole) continue;
        for (int k = 0; k < kSize; k++)
            x[v].x[k] = gradient(float(x[v].x[k]), pieces.head + piece * kSize + k);
        whole[piece] = x[v];
    }
}

template <int kVecs>
void launch_with(float* losses, real* logits, const int* targets, int64_t N, int64_t V, float scale,
                 Stream s) {
    const unsigned threads = threads_for_row(blocks_for(V, kVecs * kSize), kMaxThreads);
    launch(cross_entropy_in_registers_kernel<kVecs>, unsigned(N), threads, 0, cuda_stream(s), losses, logits,
           targets, int(V), scale);
}

}  // namespace

bool cross_entropy_registers::takes(int64_t V) {
    return V >= 1024 && V <= int64_t(kMaxVecs) * kMaxThreads * kSize;
}

void cross_entropy_registers::forward_backward(float* losses, real* logits, const int* targets, int64_t N,
                                               int64_t V, float scale, Stream s) {
    if (N == 0) return;
    // Few registers and many threads where that is enough.
    if (V <= int64_t(2) * kMaxThreads * kSize)
        launch_with<2>(losses, logits, targets, N, V, scale, s);
    else if (V <= int64_t(4) * kMaxThreads * kSize)
        launch_with<4>(losses, logits, targets, N, V, scale, s);
    else
        launch_with<kMaxVecs>(losses, logits, targets, N, V, scale, s);
}
