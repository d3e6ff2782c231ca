// cross_entropy.cu - softmax and negative log-likelihood of each row, and the gradient of the logits: one
// block per row. The probabilities exist in registers only.
// Not here: a row that stays in registers between its two readings (cross_entropy_registers.cu).
// Source: running maximum and sum: Milakov and Gimelshein 2018, algorithm 3. Derivation:
// chapters/00_char_gpt/README.md, "Cross-entropy, backwards".
#include "kernels/cuda/cross_entropy.cuh"

#include <string>
#include <vector>

#include "kernels/cuda/compared_array.cuh"
#include "kernels/cuda/launcher.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/kernels.h"

namespace {

using cross_entropy_row::gradient;
using cross_entropy_row::kLowest;
using cross_entropy_row::loss;
using cross_entropy_row::Sums;
using gpu::real;

// The row is read twice: once for its sum, once for the gradient. With as many threads as a block can have,
// few rows are under way at once: with GPT-2's vocabulary in bfloat16 (100 KB a row) two on each of 132 processors
// are 27 MB, about half of such a card's L2 cache, where the second reading can find them.
constexpr unsigned kMaxThreads = 1024;

// Every thread gets the sums of the whole row. It is read once: where a larger logit turns up, what was added
// under the old maximum is scaled down to the new one.
__device__ Sums softmax_sums(const real* row, int V) {
    float maximum = kLowest, sum = 0;
    for (int v = threadIdx.x; v < V; v += blockDim.x) {
        const float x = float(row[v]), larger = fmaxf(maximum, x);
        sum = sum * expf(maximum - larger) + expf(x - larger);  // a NaN gets into the sum
        maximum = larger;
    }
    const float of_row = block_max(maximum);
    return {of_row, block_sum(sum * expf(maximum - of_row))};
}

__global__ void __launch_bounds__(kMaxThreads)
    cross_entropy_forward_kernel(float* __restrict__ losses, const real* __restrict__ logits,
                                 const int* __restrict__ targets, int V) {
    const int64_t i = blockIdx.x;
    const int target = targets[i];
    KERNEL_DCHECK(target == kIgnore || (target >= 0 && target < V),
                  "[cross_entropy] target %d is outside [0,%d)", target, V);
    if (target == kIgnore) {  // all threads of the block leave: none waits at a barrier
        if (threadIdx.x == 0) losses[i] = 0.0f;
        return;
    }
    const real* row = logits + i * V;
    const Sums s = softmax_sums(row, V);
    if (threadIdx.x == 0) losses[i] = loss(s, float(row[target]));
}

__global__ void __launch_bounds__(kMaxThreads)
    cross_entropy_backward_kernel(real* __restrict__ dlogits, const real* __restrict__ logits,
                                  const int* __restrict__ targets, int V, float scale, bool accumulate) {
    const int64_t i = blockIdx.x;
    const int target = targets[i];
    const real* row = logits + i * V;
    real* d = dlogits + i * V;
    if (target == kIgnore) {
        if (accumulate) return;
        for (int v = threadIdx.x; v < V; v += blockDim.x) d[v] = real(0.0f);
        return;
    }
    const Sums s = softmax_sums(row, V);
    for (int v = threadIdx.x; v < V; v += blockDim.x) {
        const float d_v = gradient(s, float(row[v]), v == target, scale);
        d[v] = real(accumulate ? float(d[v]) + d_v : d_v);
    }
}

// subtle: logits without __restrict__. The target's is read by all threads and overwritten by one; the promise that
// nobody else writes it would let the compiler read it behind the barriers.
__global__ void __launch_bounds__(kMaxThreads)
    cross_entropy_forward_backward_kernel(float* __restrict__ losses, real* logits,
                                          const int* __restrict__ targets, int V, float scale) {
    const int64_t i = blockIdx.x;
    const int target = targets[i];
    KERNEL_DCHECK(target == kIgnore || (target >= 0 && target < V),
                  "[cross_entropy] target %d is outside [0,%d)", target, V);
    real* row = logits + i * V;
    if (target == kIgnore) {
        if (threadIdx.x == 0) losses[i] = 0.0f;
        for (int v = threadIdx.x; v < V; v += blockDim.x) row[v] = real(0.0f);
        return;
    }
    const float target_logit = float(row[target]);  // before anyone overwrites it: a barrier follows
    const Sums s = softmax_sums(row, V);
    if (threadIdx.x == 0) losses[i] = loss(s, target_logit);
    for (int v = threadIdx.x; v < V; v += blockDim.x)
        row[v] = real(gradient(s, float(row[v]), v == target, scale));
}

// One block. In double the order of the additions shows in no bit of the float result but in the rarest case;
// it is fixed all the same.
__global__ void __launch_bounds__(kMaxThreads)
    mean_loss_kernel(float* __restrict__ mean, const float* __restrict__ losses, int64_t N, int64_t counted) {
    double sum = 0;
    for (int64_t i = threadIdx.x; i < N; i += blockDim.x) sum += double(losses[i]);
    sum = block_sum(sum);
    if (threadIdx.x == 0) *mean = float(sum / double(counted));
}

}  // namespace

void gpu::cross_entropy_forward(float* losses, const real* logits, const int* targets, int64_t N, int64_t V,
                                Stream s) {
    if (N == 0) return;
    launch(cross_entropy_forward_kernel, unsigned(N), threads_for_row(V, kMaxThreads), 0, cuda_stream(s),
           losses, logits, targets, int(V));
}

void gpu::cross_entropy_backward(real* dlogits, const real* logits, const int* targets, int64_t N, int64_t V,
                                 float scale, bool accumulate, Stream s) {
    if (N == 0) return;
    launch(cross_entropy_backward_kernel, unsigned(N), threads_for_row(V, kMaxThreads), 0, cuda_stream(s),
           dlogits, logits, targets, int(V), scale, accumulate);
}

void cross_entropy_plain::forward_backward(float* losses, real* logits, const int* targets, int64_t N,
                                           int64_t V, float scale, Stream s) {
    if (N == 0) return;
    launch(cross_entropy_forward_backward_kernel, unsigned(N), threads_for_row(V, kMaxThreads), 0,
           cuda_stream(s), losses, logits, targets, int(V), scale);
}

namespace {

std::vector<std::vector<float>> loss_and_gradient(CrossEntropyInPlace* forward_backward) {
    constexpr int64_t N = 5, V = 1031;  // rows that begin anywhere
    const ComparedArray<real> logits(N * V, 1);
    const ComparedArray<int> targets(std::vector<int>{0, 1030, kIgnore, 517, 7});
    const ComparedArray<float> losses(N, 2);
    forward_backward(losses, logits, targets, N, V, 0.25f, {});
    return {losses.host(), logits.host()};
}

std::string compare_registers_with_plain() {
    const auto got = loss_and_gradient(cross_entropy_registers::forward_backward),
               want = loss_and_gradient(cross_entropy_plain::forward_backward);
    const std::string difference = difference_of("the loss", got[0], want[0], 1e-5);
    return difference.empty()
               ? difference_of("the gradient", got[1], want[1], sizeof(real) == 2 ? 1e-2 : 1e-5)
               : difference;
}

}  // namespace

FastForm& cross_entropy_in_registers() {
    static FastForm form("the classifier with rows in registers", compare_registers_with_plain);
    return form;
}

void gpu::cross_entropy_forward_backward(float* losses, real* logits, const int* targets, int64_t N,
                                         int64_t V, float scale, Stream s) {
    const bool is_fast = cross_entropy_registers::takes(V) && cross_entropy_in_registers().is_chosen();
    (is_fast ? cross_entropy_registers::forward_backward : cross_entropy_plain::forward_backward)(
        losses, logits, targets, N, V, scale, s);
}

void gpu::mean_loss(float* mean, const float* losses, int64_t N, int64_t counted, Stream s) {
    launch(mean_loss_kernel, 1, threads_for_row(N, kMaxThreads), 0, cuda_stream(s), mean, losses, N, counted);
}
