// activations.cu - GELU (tanh form) and ReLU as kernels of their own, four or eight elements per thread.
// Training uses them fused into a gemm (linear_activation_forward); these are the versions that the fused
// ones are held against.
// Source: Hendrycks and Gimpel 2016.
#include "kernels/cuda/activations.cuh"

#include "kernels/cuda/launcher.cuh"
#include "kernels/cuda/vec.cuh"
#include "kernels/kernels.h"

namespace {

using gpu::real;

// note: eight warps. Memory is the limit, so all that counts is that enough loads are under way; smaller
// blocks only cost more of them, larger ones leave more threads idle in the last.
constexpr int kThreads = 256;
constexpr int kPerBlock = kThreads * Vec<real>::kSize;

// No __restrict__ here: out may be inp. A thread reads its elements before it writes them.
__global__ void gelu_forward_kernel(real* out, const real* inp, int64_t n) {
    const int64_t i = first_element<real>();
    if (i >= n) return;
    Vec<real> x = load_vec(inp + i, n - i);
    for (int k = 0; k < x.kSize; k++) x[k] = gelu(x[k]);
    store_vec(out + i, x, n - i);
}

__global__ void relu_forward_kernel(real* out, const real* inp, int64_t n) {
    const int64_t i = first_element<real>();
    if (i >= n) return;
    Vec<real> x = load_vec(inp + i, n - i);
    for (int k = 0; k < x.kSize; k++) x[k] = relu(x[k]);
    store_vec(out + i, x, n - i);
}

// dinp = dout * activation'(inp), or dinp += ...
template <Activation kind>
__device__ void activation_backward(real* dinp, const real* dout, const real* inp, int64_t n,
                                    bool accumulate) {
    const int64_t i = first_element<real>();
    if (i >= n) return;
    const Vec<real> dy = load_vec(dout + i, n - i), x = load_vec(inp + i, n - i);
    Vec<real> dx;
    for (int k = 0; k < dx.kSize; k++) dx[k] = activate_backward(dy[k], x[k], kind);
    if (accumulate) {
        const Vec<real> before = load_vec(dinp + i, n - i);
        for (int k = 0; k < dx.kSize; k++) dx[k] += before[k];
    }
    store_vec(dinp + i, dx, n - i);
}

__global__ void gelu_backward_kernel(real* dinp, const real* dout, const real* inp, int64_t n,
                                     bool accumulate) {
    activation_backward<Activation::kGelu>(dinp, dout, inp, n, accumulate);
}

__global__ void relu_backward_kernel(real* dinp, const real* dout, const real* inp, int64_t n,
                                     bool accumulate) {
    activation_backward<Activation::kRelu>(dinp, dout, inp, n, accumulate);
}

}  // namespace

void gpu::gelu_forward(real* out, const real* inp, int64_t n, Stream s) {
    if (n == 0) return;
    launch(gelu_forward_kernel, blocks_for(n, kPerBlock), kThreads, 0, cuda_stream(s), out, inp, n);
}

void gpu::gelu_backward(real* dinp, const real* dout, const real* inp, int64_t n, bool accumulate, Stream s) {
    if (n == 0) return;
    launch(gelu_backward_kernel, blocks_for(n, kPerBlock), kThreads, 0, cuda_stream(s), dinp, dout, inp, n,
           accumulate);
}

void gpu::relu_forward(real* out, const real* inp, int64_t n, Stream s) {
    if (n == 0) return;
    launch(relu_forward_kernel, blocks_for(n, kPerBlock), kThreads, 0, cuda_stream(s), out, inp, n);
}

void gpu::relu_backward(real* dinp, const real* dout, const real* inp, int64_t n, bool accumulate, Stream s) {
    if (n == 0) return;
    launch(relu_backward_kernel, blocks_for(n, kPerBlock), kThreads, 0, cuda_stream(s), dinp, dout, inp, n,
           accumulate);
}
