// layernorm.cu - LayerNorm over the last dimension, forward and backward: one block per row, whose sums go
// through a warp's shuffles and then through shared memory.
// Not here: RMSNorm; one warp per row with the row kept in registers, which needs neither barriers nor the second
// and third reading of the row, and the residual addition in the same kernel: layernorm_warp.cu.
// Source: Ba, Kiros, Hinton 2016, eq. 3; backward: chapters/00_char_gpt/README.md, "LayerNorm, backwards".
#include "kernels/cuda/layernorm.cuh"

#include <string>
#include <vector>

#include "kernels/cuda/compared_array.cuh"
#include "kernels/cuda/launcher.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/kernels.h"

namespace {

using gpu::real;

// A row of GPT-2 (C = 768) is three columns for each thread; with more threads than that, most of a block's time would
// be its barriers.
constexpr unsigned kMaxThreads = 256;

// Sums over rows: a block adds kRows rows of 32 columns, a line of 128 bytes from each, with 8 rows at once.
constexpr int kColumns = 32;
constexpr int kRowThreads = 8;
constexpr int kRows = 128;  // few enough that C = 768 and N = 4096 still make 768 blocks

// And over the sums of ranges: 16 at once, 512 threads a block.
constexpr int kRangeThreads = 16;

__global__ void layernorm_forward_kernel(real* __restrict__ out, float* __restrict__ mean,
                                         float* __restrict__ rstd, const real* __restrict__ inp,
                                         const real* __restrict__ weight, const real* __restrict__ bias,
                                         int C) {
    const int64_t row = blockIdx.x;
    const real* x = inp + row * C;

    float sum = 0;
    for (int c = threadIdx.x; c < C; c += blockDim.x) sum += float(x[c]);
    const float m = block_sum(sum) / float(C);

    float squares = 0;
    for (int c = threadIdx.x; c < C; c += blockDim.x) {
        const float centred = float(x[c]) - m;
        squares += centred * centred;
    }
    const float r = 1.0f / sqrtf(block_sum(squares) / float(C) + kLayerNormEpsilon);

    for (int c = threadIdx.x; c < C; c += blockDim.x)
        out[row * C + c] = real((float(x[c]) - m) * r * float(weight[c]) + float(bias[c]));
    if (threadIdx.x == 0) {
        mean[row] = m;
        rstd[row] = r;
    }
}

// ---- LayerNorm, backwards ---------------------------------------------------------------------------------

// With xhat = (x - mean) rstd and dxhat = dout weight:
//   dx = rstd (dxhat - mean_c(dxhat) - xhat mean_c(dxhat xhat))
__global__ void layernorm_backward_input_kernel(real* __restrict__ dinp, const real* __restrict__ dout,
                                                const real* __restrict__ inp, const real* __restrict__ weight,
                                                const float* __restrict__ mean,
                                                const float* __restrict__ rstd, int C, bool accumulate) {
    const int64_t row = blockIdx.x;
    const real *x = inp + row * C, *dy = dout + row * C;
    real* dx = dinp + row * C;
    const float m = mean[row], r = rstd[row];

    float sum_dxhat = 0, sum_dxhat_xhat = 0;
    for (int c = threadIdx.x; c < C; c += blockDim.x) {
        const float dxhat = float(dy[c]) * float(weight[c]);
        sum_dxhat += dxhat;
        sum_dxhat_xhat += dxhat * (float(x[c]) - m) * r;
    }
    const float mean_dxhat = block_sum(sum_dxhat) / float(C);
    const float mean_dxhat_xhat = block_sum(sum_dxhat_xhat) / float(C);

    for (int c = threadIdx.x; c < C; c += blockDim.x) {
        const float dxhat = float(dy[c]) * float(weight[c]), xhat = (float(x[c]) - m) * r;
        const float gradient = r * (dxhat - mean_dxhat - xhat * mean_dxhat_xhat);
        dx[c] = real(accumulate ? float(dx[c]) + gradient : gradient);
    }
}

// dweight = sum over rows of dout xhat, dbias = sum over rows of dout. Float atomics would add in an order
// that differs from run to run. Instead: every range of kRows rows has partial sums of its own,
//   partial  (ranges,2,C)  out
// and the next kernel adds these in order. A thread adds one column of every eighth row.
__global__ void layernorm_backward_params_kernel(float* __restrict__ partial, const real* __restrict__ dout,
                                                 const real* __restrict__ inp, const float* __restrict__ mean,
                                                 const float* __restrict__ rstd, int64_t N, int C) {
    __shared__ float dweight_of[kRowThreads][kColumns], dbias_of[kRowThreads][kColumns];
    const int c = blockIdx.y * kColumns + threadIdx.x;
    const int64_t begin = int64_t(blockIdx.x) * kRows, end = min(begin + kRows, N);

    float dweight = 0, dbias = 0;
    if (c < C) {
        for (int64_t row = begin + threadIdx.y; row < end; row += kRowThreads) {
            const float dy = float(dout[row * C + c]);
            dweight += dy * (float(inp[row * C + c]) - mean[row]) * rstd[row];
            dbias += dy;
        }
    }
    dweight_of[threadIdx.y][threadIdx.x] = dweight;
    dbias_of[threadIdx.y][threadIdx.x] = dbias;
    __syncthreads();

    if (threadIdx.y == 0 && c < C) {
        for (int y = 1; y < kRowThreads; y++) {
            dweight += dweight_of[y][threadIdx.x];
            dbias += dbias_of[y][threadIdx.x];
        }
        float* to = partial + int64_t(blockIdx.x) * 2 * C;
        to[c] = dweight;
        to[C + c] = dbias;
    }
}

// Thread (x,y) adds column x of every 16th range; then the 16 sums in order. A thread per column alone would wait
// for one range after another: 256 of them at N = 16384.
__global__ void add_partial_sums_kernel(float* __restrict__ dweight, float* __restrict__ dbias,
                                        const float* __restrict__ partial, int ranges, int C) {
    __shared__ float dweight_of[kRangeThreads][kColumns], dbias_of[kRangeThreads][kColumns];
    const int c = blockIdx.x * kColumns + threadIdx.x;
    float weight_sum = 0, bias_sum = 0;
    for (int range = threadIdx.y; range < ranges && c < C; range += kRangeThreads) {
        const float* from = partial + int64_t(range) * 2 * C;
        weight_sum += from[c];
        bias_sum += from[C + c];
    }
    dweight_of[threadIdx.y][threadIdx.x] = weight_sum;
    dbias_of[threadIdx.y][threadIdx.x] = bias_sum;
    __syncthreads();

    if (threadIdx.y == 0 && c < C) {
        for (int y = 1; y < kRangeThreads; y++) {
            weight_sum += dweight_of[y][threadIdx.x];
            bias_sum += dbias_of[y][threadIdx.x];
        }
        dweight[c] += weight_sum;
        dbias[c] += bias_sum;
    }
}

}  // namespace

// ---- the plain form ---------------------------------------------------------------------------------------

void layernorm_plain::forward(real* out, float* mean, float* rstd, const real* inp, const real* weight,
                              const real* bias, int64_t N, int64_t C, Stream s) {
    if (N == 0) return;
    launch(layernorm_forward_kernel, unsigned(N), threads_for_row(C, kMaxThreads), 0, cuda_stream(s), out,
           mean, rstd, inp, weight, bias, int(C));
}

void layernorm_plain::backward(real* dinp, float* dweight, float* dbias, const real* dout, const real* inp,
                               const real* weight, const float* mean, const float* rstd, int64_t N, int64_t C,
                               bool accumulate, Stream s) {
    if (N == 0) return;
    launch(layernorm_backward_input_kernel, unsigned(N), threads_for_row(C, kMaxThreads), 0, cuda_stream(s),
           dinp, dout, inp, weight, mean, rstd, int(C), accumulate);

    const unsigned ranges = blocks_for(N, kRows);
    const Scratch<float> partial(int64_t(ranges) * 2 * C, s);
    launch(layernorm_backward_params_kernel, dim3(ranges, blocks_for(C, kColumns)),
           dim3(kColumns, kRowThreads), 0, cuda_stream(s), partial.get(), dout, inp, mean, rstd, N, int(C));
    add_partial_sums(dweight, dbias, partial.get(), ranges, C, s);
}

// The plain form of the fused kernels is what they are equal to: one kernel after another.
void layernorm_plain::forward_of_sum(real* out, real* sum, float* mean, float* rstd, const real* residual,
                                     const real* branch, const real* weight, const real* bias, int64_t N,
                                     int64_t C, DropoutMask mask, Stream s) {
    if (mask.p > 0) gpu::dropout(sum, branch, N * C, mask, false, s);
    gpu::add_forward(sum, residual, mask.p > 0 ? sum : branch, N * C, s);
    forward(out, mean, rstd, sum, weight, bias, N, C, s);
}

void layernorm_plain::backward_of_sum(real* dsum, real* dbranch, float* dweight, float* dbias,
                                      const real* dout, const real* sum, const real* weight,
                                      const float* mean, const float* rstd, int64_t N, int64_t C,
                                      DropoutMask mask, bool accumulate, bool accumulate_branch, Stream s) {
    backward(dsum, dweight, dbias, dout, sum, weight, mean, rstd, N, C, accumulate, s);
    gpu::dropout(dbranch, dsum, N * C, mask, accumulate_branch, s);
}

void layernorm_plain::add_partial_sums(float* dweight, float* dbias, const float* partial, int64_t ranges,
                                       int64_t C, Stream s) {
    launch(add_partial_sums_kernel, blocks_for(C, kColumns), dim3(kColumns, kRangeThreads), 0, cuda_stream(s),
           dweight, dbias, partial, int(ranges), int(C));
}

// ---- which form -------------------------------------------------------------------------------------------

namespace {

using Results = std::vector<std::vector<float>>;

Results add_and_normalise(decltype(gpu::add_layernorm_forward)* forward,
                          decltype(gpu::add_layernorm_backward)* backward) {
    constexpr int64_t N = 67, C = 520;  // ragged: a last block of three rows, a last piece of one lane
    const DropoutMask mask{0.2f, 7, 1};
    const ComparedArray<real> residual(N * C, 1), branch(N * C, 2), weight(C, 3), bias(C, 4), dout(N * C, 5);
    const ComparedArray<real> out(N * C, 6), sum(N * C, 6), dsum(N * C, 7), dbranch(N * C, 8);
    const ComparedArray<float> mean(N, 9), rstd(N, 9), dweight(C, 10), dbias(C, 11);
    forward(out, sum, mean, rstd, residual, branch, weight, bias, N, C, mask, {});
    backward(dsum, dbranch, dweight, dbias, dout, sum, weight, mean, rstd, N, C, mask, true, false, {});
    return {out.host(),  sum.host(),     mean.host(),    rstd.host(),
            dsum.host(), dbranch.host(), dweight.host(), dbias.host()};
}

std::string compare_warps_with_plain() {
    const char* const names[] = {"out", "sum", "mean", "rstd", "dsum", "dbranch", "dweight", "dbias"};
    const Results got = add_and_normalise(layernorm_warp::forward_of_sum, layernorm_warp::backward_of_sum),
                  want = add_and_normalise(layernorm_plain::forward_of_sum, layernorm_plain::backward_of_sum);
    for (size_t i = 0; i < want.size(); i++) {
        const double tolerance =
            sizeof(real) == 2 ? 1e-2 : 1e-5;  // bf16: where a result is rounded the other way
        const std::string difference = difference_of(names[i], got[i], want[i], tolerance);
        if (!difference.empty()) return difference;
    }
    return "";
}

template <class... P>
bool uses_warps(int64_t C, const P*... pointers) {
    return layernorm_warp::takes(C) && are_aligned(pointers...) && layernorm_by_warps().is_chosen();
}

}  // namespace

FastForm& layernorm_by_warps() {
    static FastForm form("LayerNorm with a warp per row", compare_warps_with_plain);
    return form;
}

void gpu::layernorm_forward(real* out, float* mean, float* rstd, const real* inp, const real* weight,
                            const real* bias, int64_t N, int64_t C, Stream s) {
    (uses_warps(C, out, inp, weight, bias) ? layernorm_warp::forward : layernorm_plain::forward)(
        out, mean, rstd, inp, weight, bias, N, C, s);
}

void gpu::layernorm_backward(real* dinp, float* dweight, float* dbias, const real* dout, const real* inp,
                             const real* weight, const float* mean, const float* rstd, int64_t N, int64_t C,
                             bool accumulate, Stream s) {
    (uses_warps(C, dinp, dout, inp, weight) ? layernorm_warp::backward : layernorm_plain::backward)(
        dinp, dweight, dbias, dout, inp, weight, mean, rstd, N, C, accumulate, s);
}

void gpu::add_layernorm_forward(real* out, real* sum, float* mean, float* rstd, const real* residual,
                                const real* branch, const real* weight, const real* bias, int64_t N,
                                int64_t C, DropoutMask mask, Stream s) {
    (uses_warps(C, out, sum, residual, branch, weight, bias) ? layernorm_warp::forward_of_sum
                                                             : layernorm_plain::forward_of_sum)(
        out, sum, mean, rstd, residual, branch, weight, bias, N, C, mask, s);
}

void gpu::add_layernorm_backward(real* dsum, real* dbranch, float* dweight, float* dbias, const real* dout,
                                 const real* sum, const real* weight, const float* mean, const float* rstd,
                                 int64_t N, int64_t C, DropoutMask mask, bool accumulate,
                                 bool accumulate_branch, Stream s) {
    (uses_warps(C, dsum, dbranch, dout, sum, weight)
         ? layernorm_warp::backward_of_sum
         : layernorm_plain::backward_of_sum)(dsum, dbranch, dweight, dbias, dout, sum, weight, mean, rstd, N,
                                             C, mask, accumulate, accumulate_branch, s);
}
