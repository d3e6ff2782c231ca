// linear_int8.cu - a few rows times a weight of 8-bit integers: a warp per element of out, whose lanes read a row of codes
// side by side, four codes each.
// Not here: how a weight comes by its codes (ops/int8_weight.cpp); many rows, which are better off with floats (gemm.cu).
#include "kernels/cuda/launcher.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/kernels.h"

namespace {

using gpu::real;

constexpr int kWarps = 8;  // of a block: as many elements of out
constexpr int kCodes = 4;  // that a lane reads at once, as a 32-bit word

__global__ void __launch_bounds__(kWarps* kWarpSize)
    linear_int8_forward_kernel(real* out, const real* __restrict__ inp, const int8_t* __restrict__ codes,
                               const float* __restrict__ scale, const real* __restrict__ bias,
                               const real* residual, int64_t N, int64_t IC, int64_t OC) {
    const int64_t i = int64_t(blockIdx.x) * kWarps + threadIdx.x / kWarpSize;
    if (i >= N * OC) return;             // a whole warp
    const int64_t n = i % N, o = i / N;  // the warps that share a row of codes are neighbours
    const int lane = threadIdx.x % kWarpSize;
    const real* x = inp + n * IC;
    const int8_t* row = codes + o * IC;
    // Rows begin at a multiple of four bytes only where IC is one.
    const int64_t by_words = IC % kCodes == 0 ? IC : 0;
    float sum = 0;
    for (int64_t k = lane * kCodes; k < by_words; k += kWarpSize * kCodes) {
        const int32_t word = *reinterpret_cast<const int32_t*>(row + k);
        // A code is shifted to the top of the word, where its sign is the word's, and back.
        for (int c = 0; c < kCodes; c++)
            sum += float(x[k + c]) * float(int32_t(uint32_t(word) << (24 - 8 * c)) >> 24);
    }
    for (int64_t k = by_words + lane; k < IC; k += kWarpSize) sum += float(x[k]) * float(row[k]);
    sum = warp_sum(sum);
    if (lane != 0) return;
    float y = scale[o] * sum;
    if (bias) y += float(bias[o]);
    if (residual) y += float(residual[n * OC + o]);
    out[n * OC + o] = real(y);
}

}  // namespace

void gpu::linear_int8_forward(real* out, const real* inp, const int8_t* codes, const float* scale,
                              const real* bias, const real* residual, int64_t N, int64_t IC, int64_t OC,
                              Stream s) {
    if (N * OC == 0) return;
    launch(linear_int8_forward_kernel, blocks_for(N * OC, kWarps), kWarps * kWarpSize, 0, cuda_stream(s), out,
           inp, codes, scale, bias, residual, N, IC, OC);
}
