// softmax.cu - the softmax of each row, from one thread a row upwards. The task is to read N*C numbers and to write
// as many, so what counts is how often a number is moved, and how many bytes an access has.
// Not here: softmax inside of attention (attention.cu) and of the loss (kernels/cuda/cross_entropy.cu), which
// never store it.
// Source: Milakov and Gimelshein 2018, "Online normalizer calculation for softmax".
#include "kernels/cuda/launcher.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/vec.cuh"
#include "tests/bench/ladder/ladder.h"

using ladder::real;

namespace {

constexpr int kThreads = 256;
constexpr int kSize = Vec<real>::kSize;
constexpr float kLowest = -3.0e38f;  // finite: the difference of two infinities would be NaN

// ---- one thread a row -------------------------------------------------------------------------------------

// Three passes: the maximum, the sum, the result. Neighbouring threads read addresses that are a row apart, so each
// load of a warp touches 32 lines of memory for 32 numbers, and uses an eighth of them at best.
__global__ void one_thread_a_row_kernel(real* out, const real* __restrict__ inp, int64_t N, int64_t C) {
    const int64_t n = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (n >= N) return;
    const real* x = inp + n * C;
    float most = -INFINITY, sum = 0;
    for (int64_t c = 0; c < C; c++) most = fmaxf(most, float(x[c]));
    for (int64_t c = 0; c < C; c++) sum += expf(float(x[c]) - most);
    for (int64_t c = 0; c < C; c++) out[n * C + c] = real(expf(float(x[c]) - most) / sum);
}

void one_thread_a_row(real* out, const real* inp, int64_t N, int64_t C, Stream s) {
    launch(one_thread_a_row_kernel, blocks_for(N, kThreads), kThreads, 0, cuda_stream(s), out, inp, N, C);
}

// ---- one block a row --------------------------------------------------------------------------------------

// Halves the number of values in shared memory until one is left: log2(256) rounds with a barrier each.
template <class Combine>
__device__ float reduce_in_shared(float x, Combine combine) {
    __shared__ float values[kThreads];
    values[threadIdx.x] = x;
    __syncthreads();
    for (int half = kThreads / 2; half > 0; half /= 2) {
        if (int(threadIdx.x) < half)
            values[threadIdx.x] = combine(values[threadIdx.x], values[threadIdx.x + half]);
        __syncthreads();
    }
    const float result = values[0];
    __syncthreads();  // the next call writes values again
    return result;
}

// Faster because neighbouring threads read neighbouring addresses: every line is used whole. What is left: twenty
// barriers a row, during which nothing is loaded.
__global__ void one_block_a_row_kernel(real* out, const real* __restrict__ inp, int C) {
    const real* x = inp + int64_t(blockIdx.x) * C;
    real* y = out + int64_t(blockIdx.x) * C;
    float most = kLowest, sum = 0;
    for (int c = threadIdx.x; c < C; c += kThreads) most = fmaxf(most, float(x[c]));
    most = reduce_in_shared(most, [](float a, float b) { return fmaxf(a, b); });
    for (int c = threadIdx.x; c < C; c += kThreads) sum += expf(float(x[c]) - most);
    sum = reduce_in_shared(sum, [](float a, float b) { return a + b; });
    for (int c = threadIdx.x; c < C; c += kThreads) y[c] = real(expf(float(x[c]) - most) / sum);
}

void one_block_a_row(real* out, const real* inp, int64_t N, int64_t C, Stream s) {
    launch(one_block_a_row_kernel, unsigned(N), kThreads, 0, cuda_stream(s), out, inp, int(C));
}

// ---- shuffles ---------------------------------------------------------------------------------------------

// Faster because lanes of a warp pass values on through registers: two barriers a reduction, and a block only as
// large as its row. What is left: the row is read three times, the second and third out of a cache if it is there.
__global__ void shuffles_kernel(real* out, const real* __restrict__ inp, int C) {
    const real* x = inp + int64_t(blockIdx.x) * C;
    real* y = out + int64_t(blockIdx.x) * C;
    float most = kLowest, sum = 0;
    for (int c = threadIdx.x; c < C; c += blockDim.x) most = fmaxf(most, float(x[c]));
    most = block_max(most);
    for (int c = threadIdx.x; c < C; c += blockDim.x) sum += expf(float(x[c]) - most);
    sum = block_sum(sum);
    for (int c = threadIdx.x; c < C; c += blockDim.x) y[c] = real(expf(float(x[c]) - most) / sum);
}

void shuffles(real* out, const real* inp, int64_t N, int64_t C, Stream s) {
    launch(shuffles_kernel, unsigned(N), threads_for_row(C, kThreads), 0, cuda_stream(s), out, inp, int(C));
}

// ---- online -----------------------------------------------------------------------------------------------

// Maximum and sum in one pass: where a larger number turns up, what was added so far is scaled down to it. One pass
// fewer; the price is a second exponential per number, which memory hides.
struct Online {
    float most = kLowest, sum = 0;

    __device__ void add(float x) {
        const float larger = fmaxf(most, x);
        sum = sum * expf(most - larger) + expf(x - larger);
        most = larger;
    }
    // To be called by all threads of the block.
    __device__ Online of_block() const {
        Online all;
        all.most = block_max(most);
        all.sum = block_sum(sum * expf(most - all.most));
        return all;
    }
    __device__ float softmax(float x) const { return expf(x - most) / sum; }
};

__global__ void online_kernel(real* out, const real* __restrict__ inp, int C) {
    const real* x = inp + int64_t(blockIdx.x) * C;
    real* y = out + int64_t(blockIdx.x) * C;
    Online mine;
    for (int c = threadIdx.x; c < C; c += blockDim.x) mine.add(float(x[c]));
    const Online row = mine.of_block();
    for (int c = threadIdx.x; c < C; c += blockDim.x) y[c] = real(row.softmax(float(x[c])));
}

void online(real* out, const real* inp, int64_t N, int64_t C, Stream s) {
    launch(online_kernel, unsigned(N), threads_for_row(C, kThreads), 0, cuda_stream(s), out, inp, int(C));
}

// ---- 16 bytes at a time -----------------------------------------------------------------------------------

// Faster because a load brings four or eight numbers: fewer instructions, and with as many loads under way more bytes
// are. Rows of an odd number of columns begin anywhere; load_vec then falls back to single numbers.
__global__ void wide_kernel(real* out, const real* __restrict__ inp, int C) {
    const real* x = inp + int64_t(blockIdx.x) * C;
    real* y = out + int64_t(blockIdx.x) * C;
    Online mine;
    for (int c = threadIdx.x * kSize; c < C; c += blockDim.x * kSize) {
        const Vec<real> v = load_vec(x + c, C - c);
        for (int k = 0; k < kSize && c + k < C; k++) mine.add(v[k]);
    }
    const Online row = mine.of_block();
    for (int c = threadIdx.x * kSize; c < C; c += blockDim.x * kSize) {
        Vec<real> v = load_vec(x + c, C - c);
        for (int k = 0; k < kSize; k++) v[k] = row.softmax(v[k]);
        store_vec(y + c, v, C - c);
    }
}

void wide(real* out, const real* inp, int64_t N, int64_t C, Stream s) {
    launch(wide_kernel, unsigned(N), threads_for_row(blocks_for(C, kSize), kThreads), 0, cuda_stream(s), out,
           inp, int(C));
}

// ---- the row in registers ---------------------------------------------------------------------------------

constexpr int kWarps = 4;
constexpr int kVecs = 1024 / (kWarpSize * kSize);  // 32 numbers for each lane

// Faster because a warp keeps its row: one read, one write, no barrier at all; and with the row at hand maximum and
// sum are two cheap looks at it, so the online trick goes again. What is left is the memory itself.
__global__ void __launch_bounds__(kWarps* kWarpSize)
    row_in_registers_kernel(real* __restrict__ out, const real* __restrict__ inp, int64_t N, int C) {
    const int64_t n = int64_t(blockIdx.x) * kWarps + threadIdx.x / kWarpSize;
    if (n >= N) return;  // a whole warp
    const int lane = threadIdx.x % kWarpSize;
    Vec<real> x[kVecs];
    float most = kLowest, sum = 0;
#pragma unroll
    for (int v = 0; v < kVecs; v++) {
        const int c = (v * kWarpSize + lane) * kSize;
        x[v] = load_vec(inp + n * C + c, C - c);
        for (int k = 0; k < kSize; k++) most = fmaxf(most, c + k < C ? x[v][k] : kLowest);
    }
    most = warp_max(most);
#pragma unroll
    for (int v = 0; v < kVecs; v++) {
        const int c = (v * kWarpSize + lane) * kSize;
        for (int k = 0; k < kSize; k++) {
            x[v][k] = c + k < C ? expf(x[v][k] - most) : 0.0f;
            sum += x[v][k];
        }
    }
    const float scale = 1.0f / warp_sum(sum);
#pragma unroll
    for (int v = 0; v < kVecs; v++) {
        const int c = (v * kWarpSize + lane) * kSize;
        for (int k = 0; k < kSize; k++) x[v][k] *= scale;
        store_vec(out + n * C + c, x[v], C - c);
    }
}

void row_in_registers(real* out, const real* inp, int64_t N, int64_t C, Stream s) {
    launch(row_in_registers_kernel, blocks_for(N, kWarps), kWarps * kWarpSize, 0, cuda_stream(s), out, inp, N,
           int(C));
}

bool fits_into_a_warp(const ladder::RowSizes& s) {
    return s.C <= kVecs * kWarpSize * kSize;
}

}  // namespace

const std::vector<ladder::Rung<ladder::Softmax>> ladder::kSoftmax = {
    {"one thread a row", "the loop that everybody would write first", one_thread_a_row},
    {"one block a row", "neighbouring threads, neighbouring addresses; sums in shared memory",
     one_block_a_row},
    {"shuffles", "sums in registers, 4 barriers a row instead of 20", shuffles},
    {"online", "maximum and sum in one pass: two readings instead of three", online},
    {"16 bytes at a time", "four or eight numbers a load", wide},
    {"row in registers", "a warp a row: one reading, no barrier", row_in_registers, fits_into_a_warp},
};
