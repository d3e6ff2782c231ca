// elementwise.cu - the residual add, a gradient that arrives twice, dropout: four or eight elements per
// thread.
#include "kernels/cuda/launcher.cuh"
#include "kernels/cuda/vec.cuh"
#include "kernels/kernels.h"

namespace {

using gpu::real;

constexpr int kThreads = 256;  // memory is the limit; the reason is in activations.cu
constexpr int kPerBlock = kThreads * Vec<real>::kSize;

// No __restrict__ in this file: out may be an input.
__global__ void add_forward_kernel(real* out, const real* a, const real* b, int64_t n) {
    const int64_t i = first_element<real>();
    if (i >= n) return;
    Vec<real> x = load_vec(a + i, n - i);
    const Vec<real> y = load_vec(b + i, n - i);
    for (int k = 0; k < x.kSize; k++) x[k] += y[k];
    store_vec(out + i, x, n - i);
}

__global__ void accumulate_kernel(real* out, const real* inp, int64_t n) {
    const int64_t i = first_element<real>();
    if (i >= n) return;
    Vec<real> x = load_vec(out + i, n - i);
    const Vec<real> y = load_vec(inp + i, n - i);
    for (int k = 0; k < x.kSize; k++) x[k] += y[k];
    store_vec(out + i, x, n - i);
}

// A call of Philox gives four random numbers: one for each of four neighbours.
__global__ void dropout_kernel(real* out, const real* inp, int64_t n, DropoutMask mask, bool add) {
    const int64_t i = first_element<real>();  // a multiple of 4
    if (i >= n) return;
    Vec<real> y = load_vec(inp + i, n - i);
    if (mask.p > 0) {
        for (int k = 0; k < y.kSize; k += 4) {
            float scale[4];
            mask.scale4(uint64_t(i + k), scale);
            for (int r = 0; r < 4; r++) y[k + r] *= scale[r];
        }
    }
    if (add) {
        const Vec<real> before = load_vec(out + i, n - i);
        for (int k = 0; k < y.kSize; k++) y[k] += before[k];
    }
    store_vec(out + i, y, n - i);
}

}  // namespace

void gpu::add_forward(real* out, const real* a, const real* b, int64_t n, Stream s) {
    if (n == 0) return;
    launch(add_forward_kernel, blocks_for(n, kPerBlock), kThreads, 0, cuda_stream(s), out, a, b, n);
}

void gpu::accumulate(real* out, const real* inp, int64_t n, Stream s) {
    if (n == 0) return;
    launch(accumulate_kernel, blocks_for(n, kPerBlock), kThreads, 0, cuda_stream(s), out, inp, n);
}

void gpu::dropout(real* out, const real* inp, int64_t n, DropoutMask mask, bool add, Stream s) {
    if (n == 0) return;
    launch(dropout_kernel, blocks_for(n, kPerBlock), kThreads, 0, cuda_stream(s), out, inp, n, mask, add);
}
