// layernorm.cu - LayerNorm forward and backward, from one thread a row up to the kernels that training uses. Like
// softmax it moves numbers more than it computes: a row read once and written once is the goal.
// Source: Ba, Kiros, Hinton 2016, eq. 3; backward: chapters/00_char_gpt/README.md, "LayerNorm, backwards".
#include "kernels/cuda/layernorm.cuh"

#include "kernels/cuda/launcher.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/vec.cuh"
#include "tests/bench/ladder/ladder.h"

using ladder::real;

namespace {

constexpr int kThreads = 256;
constexpr int kSize = Vec<real>::kSize;

__device__ inline float rstd_of(float sum_of_squares, int C) {
    return 1.0f / sqrtf(sum_of_squares / float(C) + kLayerNormEpsilon);
}

// ---- forward: one thread a row ----------------------------------------------------------------------------

// Three passes, and neighbouring threads read addresses that are a row apart.
__global__ void one_thread_a_row_kernel(real* out, float* mean, float* rstd, const real* __restrict__ inp,
                                        const real* __restrict__ weight, const real* __restrict__ bias,
                                        int64_t N, int C) {
    const int64_t n = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (n >= N) return;
    const real* x = inp + n * C;
    float sum = 0, squares = 0;
    for (int c = 0; c < C; c++) sum += float(x[c]);
    const float m = sum / float(C);
    for (int c = 0; c < C; c++) squares += (float(x[c]) - m) * (float(x[c]) - m);
    const float r = rstd_of(squares, C);
    for (int c = 0; c < C; c++)
        out[n * C + c] = real((float(x[c]) - m) * r * float(weight[c]) + float(bias[c]));
    mean[n] = m;
    rstd[n] = r;
}

void one_thread_a_row(real* out, float* mean, float* rstd, const real* inp, const real* weight,
                      const real* bias, int64_t N, int64_t C, Stream s) {
    launch(one_thread_a_row_kernel, blocks_for(N, kThreads), kThreads, 0, cuda_stream(s), out, mean, rstd,
           inp, weight, bias, N, int(C));
}

// ---- forward: one warp a row ------------------------------------------------------------------------------

// Against the block a row (layernorm_plain) no warp waits for another: no barrier. Still three passes.
constexpr int kWarps = 4;

__global__ void __launch_bounds__(kWarps* kWarpSize)
    one_warp_a_row_kernel(real* out, float* mean, float* rstd, const real* __restrict__ inp,
                          const real* __restrict__ weight, const real* __restrict__ bias, int64_t N, int C) {
    const int64_t n = int64_t(blockIdx.x) * kWarps + threadIdx.x / kWarpSize;
    if (n >= N) return;  // a whole warp
    const int lane = threadIdx.x % kWarpSize;
    const real* x = inp + n * C;
    float sum = 0, squares = 0;
    for (int c = lane; c < C; c += kWarpSize) sum += float(x[c]);
    const float m = warp_sum(sum) / float(C);
    for (int c = lane; c < C; c += kWarpSize) squares += (float(x[c]) - m) * (float(x[c]) - m);
    const float r = rstd_of(warp_sum(squares), C);
    for (int c = lane; c < C; c += kWarpSize)
        out[n * C + c] = real((float(x[c]) - m) * r * float(weight[c]) + float(bias[c]));
    if (lane == 0) mean[n] = m, rstd[n] = r;
}

void one_warp_a_row(real* out, float* mean, float* rstd, const real* inp, const real* weight,
                    const real* bias, int64_t N, int64_t C, Stream s) {
    launch(one_warp_a_row_kernel, blocks_for(N, kWarps), kWarps * kWarpSize, 0, cuda_stream(s), out, mean,
           rstd, inp, weight, bias, N, int(C));
}

// ---- forward: 16 bytes at a time --------------------------------------------------------------------------

// A quarter or an eighth of the loads. What is left: the second and third pass over a row, out of a cache.
__global__ void __launch_bounds__(kWarps* kWarpSize)
    wide_kernel(real* out, float* mean, float* rstd, const real* __restrict__ inp,
                const real* __restrict__ weight, const real* __restrict__ bias, int64_t N, int C) {
    const int64_t n = int64_t(blockIdx.x) * kWarps + threadIdx.x / kWarpSize;
    if (n >= N) return;
    const int first = int(threadIdx.x) % kWarpSize * kSize, step = kWarpSize * kSize;
    const real* x = inp + n * C;
    float sum = 0, squares = 0;
    for (int c = first; c < C; c += step) {
        const Vec<real> v = load_vec(x + c, C - c);  // zeros behind the end
        for (int k = 0; k < kSize; k++) sum += v[k];
    }
    const float m = warp_sum(sum) / float(C);
    for (int c = first; c < C; c += step) {
        const Vec<real> v = load_vec(x + c, C - c);
        for (int k = 0; k < kSize && c + k < C; k++) squares += (v[k] - m) * (v[k] - m);
    }
    const float r = rstd_of(warp_sum(squares), C);
    for (int c = first; c < C; c += step) {
        Vec<real> v = load_vec(x + c, C - c);
        const Vec<real> w = load_vec(weight + c, C - c), b = load_vec(bias + c, C - c);
        for (int k = 0; k < kSize; k++) v[k] = (v[k] - m) * r * w[k] + b[k];
        store_vec(out + n * C + c, v, C - c);
    }
    if (first == 0) mean[n] = m, rstd[n] = r;
}

void wide(real* out, float* mean, float* rstd, const real* inp, const real* weight, const real* bias,
          int64_t N, int64_t C, Stream s) {
    launch(wide_kernel, blocks_for(N, kWarps), kWarps * kWarpSize, 0, cuda_stream(s), out, mean, rstd, inp,
           weight, bias, N, int(C));
}

bool fits_into_a_warp(const ladder::RowSizes& s) {
    return layernorm_warp::takes(s.C);
}

// ---- backward ---------------------------------------------------------------------------------------------

// One thread a row for dinp, one thread a column for the parameters: each sum has one owner, so no atomics, and the
// order is fixed. Neighbouring threads read a row apart in the first kernel; in the second only C threads run, each
// along all N rows.
__global__ void one_owner_input_kernel(real* dinp, const real* __restrict__ dout,
                                       const real* __restrict__ inp, const real* __restrict__ weight,
                                       const float* __restrict__ mean, const float* __restrict__ rstd,
                                       int64_t N, int C, bool accumulate) {
    const int64_t n = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (n >= N) return;
    const real *x = inp + n * C, *dy = dout + n * C;
    float mean_dxhat = 0, mean_dxhat_xhat = 0;
    for (int c = 0; c < C; c++) {
        const float dxhat = float(dy[c]) * float(weight[c]);
        mean_dxhat += dxhat / float(C);
        mean_dxhat_xhat += dxhat * (float(x[c]) - mean[n]) * rstd[n] / float(C);
    }
    for (int c = 0; c < C; c++) {
        const float dxhat = float(dy[c]) * float(weight[c]), xhat = (float(x[c]) - mean[n]) * rstd[n];
        const float dx = rstd[n] * (dxhat - mean_dxhat - xhat * mean_dxhat_xhat);
        dinp[n * C + c] = real(accumulate ? float(dinp[n * C + c]) + dx : dx);
    }
}

__global__ void one_owner_params_kernel(float* dweight, float* dbias, const real* __restrict__ dout,
                                        const real* __restrict__ inp, const float* __restrict__ mean,
                                        const float* __restrict__ rstd, int64_t N, int C) {
    const int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= C) return;
    float weight_sum = 0, bias_sum = 0;
    for (int64_t n = 0; n < N; n++) {
        const float dy = float(dout[n * C + c]);
        weight_sum += dy * (float(inp[n * C + c]) - mean[n]) * rstd[n];
        bias_sum += dy;
    }
    dweight[c] += weight_sum;
    dbias[c] += bias_sum;
}

void one_owner(real* dinp, float* dweight, float* dbias, const real* dout, const real* inp,
               const real* weight, const float* mean, const float* rstd, int64_t N, int64_t C,
               bool accumulate, Stream s) {
    launch(one_owner_input_kernel, blocks_for(N, kThreads), kThreads, 0, cuda_stream(s), dinp, dout, inp,
           weight, mean, rstd, N, int(C), accumulate);
    launch(one_owner_params_kernel, blocks_for(C, kThreads), kThreads, 0, cuda_stream(s), dweight, dbias,
           dout, inp, mean, rstd, N, int(C));
}

}  // namespace

const std::vector<ladder::Rung<ladder::LayerNorm>> ladder::kLayerNorm = {
    {"one thread a row", "the loop that everybody would write first", one_thread_a_row},
    {"one block a row", "neighbouring threads, neighbouring addresses (common/, plain)",
     layernorm_plain::forward},
    {"one warp a row", "no barrier: nobody waits for another warp", one_warp_a_row},
    {"16 bytes at a time", "four or eight numbers a load", wide},
    {"row in registers", "one reading instead of three (common/, fast)", layernorm_warp::forward,
     fits_into_a_warp},
};

const std::vector<ladder::Rung<ladder::LayerNormBackward>> ladder::kLayerNormBackward = {
    {"one owner a sum", "a thread for each row, then one for each column", one_owner},
    {"two stages", "sums of ranges of rows, then their sum: many blocks for each column (common/, plain)",
     layernorm_plain::backward},
    {"fused", "dout and inp are read once for all three results (common/, fast)", layernorm_warp::backward,
     fits_into_a_warp},
};
