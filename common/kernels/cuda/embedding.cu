// embedding.cu - rows looked up and added, forward; rows added back, backward, in a fixed order.
// Not here: float atomics, with which the backward would be a single line and different on every run.
#include "kernels/cuda/launcher.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/vec.cuh"
#include "kernels/kernels.h"

namespace {

using gpu::real;

constexpr unsigned kMaxRowThreads = 256;  // a row of GPT-2 (C = 768) is 192 threads of 16 bytes

// Sorting compares every row with every other: a tile of this many ids lies in shared memory at a time.
constexpr int kSortThreads = 256;

// Adding the rows of one id: each of the block's warps takes every fourth row, 32 Vecs of columns wide. Few
// ids occur more than some times in a batch, so that more warps would mostly find nothing to do.
constexpr int kWarps = 4;
constexpr int kColumns = kWarpSize * Vec<real>::kSize;

// out[b,t,:] = wte[ids[b,t],:] + wpe[t,:], one block per row.
__global__ void embedding_forward_kernel(real* __restrict__ out, const int* __restrict__ ids,
                                         const real* __restrict__ wte, const real* __restrict__ wpe, int T,
                                         int C, [[maybe_unused]] int V) {
    const int64_t row = blockIdx.x, t = row % T;
    const int64_t id = ids[row];
    KERNEL_DCHECK(id >= 0 && id < V, "[embedding] id %d of row %u is outside [0,%d)", int(id), blockIdx.x, V);
    for (int c = threadIdx.x * Vec<real>::kSize; c < C; c += blockDim.x * Vec<real>::kSize) {
        Vec<real> x = load_vec(wte + id * C + c, C - c);
        const Vec<real> position = load_vec(wpe + t * C + c, C - c);
        for (int k = 0; k < x.kSize; k++) x[k] += position[k];
        store_vec(out + row * C + c, x, C - c);
    }
}

// sorted (N): the rows in the order of their ids, and rows of one id in their own order. The place of a row is
// the number of rows in front of it, which its thread simply counts: N^2 comparisons, and no two threads write the same place.
__global__ void sort_rows_kernel(int* __restrict__ sorted, const int* __restrict__ ids, int N) {
    __shared__ int tile[kSortThreads];
    const int row = blockIdx.x * kSortThreads + threadIdx.x;
    const int id = row < N ? ids[row] : 0;
    int place = 0;
    for (int first = 0; first < N; first += kSortThreads) {
        const int count = min(N - first, kSortThreads);
        __syncthreads();  // all have read the tile before
        if (int(threadIdx.x) < count) tile[threadIdx.x] = ids[first + threadIdx.x];
        __syncthreads();
        for (int t = 0; t < count; t++) place += tile[t] < id || (tile[t] == id && first + t < row);
    }
    if (row < N) sorted[place] = row;
}

// dwte[id,:] += the rows of dout whose id it is. A block begins at each place of the sorted rows; only the one
// at the first row of an id goes on, so that no two blocks write to the same row of dwte.
__global__ void embedding_backward_tokens_kernel(float* __restrict__ dwte, const real* __restrict__ dout,
                                                 const int* __restrict__ ids, const int* __restrict__ sorted,
                                                 int N, int C) {
    __shared__ float sum_of_warp[kWarps][kColumns];
    const int first = blockIdx.x;
    const int64_t id = ids[sorted[first]];
    if (first > 0 && ids[sorted[first - 1]] == id) return;  // the whole block: none waits at the barrier

    const int warp = threadIdx.x / kWarpSize, lane = threadIdx.x % kWarpSize;
    const int own = lane * Vec<real>::kSize, c = blockIdx.y * kColumns + own;
    Vec<real> sum = {};
    // Each lane looks up one of the next 32 rows of its warp, so that all are known before the first is read: a loop
    // of place -> row -> id -> numbers would wait for memory three times for every row, and the most frequent tokens
    // have hundreds of rows in a batch.
    for (int begin = first;; begin += kWarps * kWarpSize) {
        const int place = begin + lane * kWarps + warp;
        const int row_of_lane = place < N ? sorted[place] : 0;
        const bool has_id = place < N && ids[row_of_lane] == id;
        const int count = __popc(__ballot_sync(kAllLanes, has_id));  // sorted: these lanes come first
        for (int i = 0; i < count; i++) {
            const int64_t row = __shfl_sync(kAllLanes, row_of_lane, i);
            if (c >= C) continue;
            const Vec<real> d = load_vec(dout + row * C + c, C - c);
            for (int k = 0; k < sum.kSize; k++) sum[k] += d[k];
        }
        if (count < kWarpSize) break;
    }
    for (int k = 0; k < sum.kSize; k++) sum_of_warp[warp][own + k] = sum[k];
    __syncthreads();

    // Now a thread per column, warps' sums in order.
    for (int i = threadIdx.x; i < kColumns; i += blockDim.x) {
        const int column = blockIdx.y * kColumns + i;
        if (column >= C) break;
        float total = 0;
        for (int w = 0; w < kWarps; w++) total += sum_of_warp[w][i];
        dwte[id * C + column] += total;
    }
}

// dwpe[t,:] += sum over b of dout[b,t,:], b in order. One block per position.
__global__ void embedding_backward_positions_kernel(float* __restrict__ dwpe, const real* __restrict__ dout,
                                                    int B, int T, int C) {
    const int64_t t = blockIdx.x;
    for (int c = threadIdx.x; c < C; c += blockDim.x) {
        float sum = 0;
        for (int b = 0; b < B; b++) sum += float(dout[(b * int64_t(T) + t) * C + c]);
        dwpe[t * C + c] += sum;
    }
}

}  // namespace

void gpu::embedding_forward(real* out, const int* ids, const real* wte, const real* wpe, int64_t B, int64_t T,
                            int64_t C, int64_t V, Stream s) {
    if (B * T == 0) return;
    const unsigned threads = threads_for_row(blocks_for(C, Vec<real>::kSize), kMaxRowThreads);
    launch(embedding_forward_kernel, unsigned(B * T), threads, 0, cuda_stream(s), out, ids, wte, wpe, int(T),
           int(C), int(V));
}

void gpu::embedding_backward(float* dwte, float* dwpe, const real* dout, const int* ids, int64_t B, int64_t T,
                             int64_t C, int64_t, Stream s) {
    const int64_t N = B * T;
    if (N == 0) return;
    const Scratch<int> sorted(N, s);
    launch(sort_rows_kernel, blocks_for(N, kSortThreads), kSortThreads, 0, cuda_stream(s), sorted.get(), ids,
           int(N));
    launch(embedding_backward_tokens_kernel, dim3(unsigned(N), blocks_for(C, kColumns)), kWarps * kWarpSize,
           0, cuda_stream(s), dwte, dout, ids, sorted.get(), int(N), int(C));
    launch(embedding_backward_positions_kernel, unsigned(T), threads_for_row(C, kMaxRowThreads), 0,
           cuda_stream(s), dwpe, dout, int(B), int(T), int(C));
}
