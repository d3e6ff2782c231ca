// gemm.cuh - what every matrix product of gpu:: is made of, whoever computes it: which numbers are multiplied
// (Product), and what happens to a finished sum (Finish). gemm.cu chooses among three bodies:
//     gemm_plain.cu     tiles in shared memory, 4 x 4 sums a thread: the lesson, and the body on the host
//     gemm_wmma.cu      tensor cores, by hand
//     gemm_cublaslt.cu  NVIDIA's library, on a GPU
#pragma once
#include "core/device.h"
#include "kernels/cuda/activations.cuh"
#include "kernels/kernels.h"

namespace gemm_forms {

using gpu::real;

// out[i,j] = sum_k a(i,k) b(k,j). Strides say how the operands lie; of each pair one is 1.
struct Product {
    int64_t M, N, K;
    int64_t a_i, a_k;  // a(i,k) is a[i * a_i + k * a_k]
    int64_t b_j, b_k;  // b(k,j) is b[j * b_j + k * b_k]
};

// What a finished sum becomes. Null pointers: that does not happen.
//   y = sum + bias + start;  dpre = y activation'(pre);  out = y or dpre;  activated = activation(y)
template <class Out>
struct Finish {
    const real* bias = nullptr;  // (N)
    const Out* start = nullptr;  // (M,N)  may be out
    const real* pre = nullptr;   // (M,N)
    real* activated = nullptr;   // (M,N)
    float* row_sums = nullptr;   // (M)    += sum_k a(i,k)
    Activation activation = Activation::kGelu;

    template <class See>
    void pointers(See see) const {  // for the check of host pointers: cuda_runtime_on_host.h
        see("bias", bias), see("start", start), see("pre", pre), see("activated", activated);
        see("row_sums", row_sums);
    }
};

// The end of element (row, column) of out.
template <class Out>
__device__ void finish_element(Out* out, float sum, int64_t row, int64_t column, const Product& p,
                               const Finish<Out>& finish) {
    if (row >= p.M || column >= p.N) return;
    const int64_t at = row * p.N + column;
    float y = sum;
    if (finish.bias) y += float(finish.bias[column]);
    if (finish.start) y += float(finish.start[at]);
    if (finish.pre) y = activate_backward(y, float(finish.pre[at]), finish.activation);
    const Out stored = Out(y);
    out[at] = stored;
    // of the rounded number: it is what the backward will find
    if (finish.activated) finish.activated[at] = real(activate(float(stored), finish.activation));
}

// Each for Out = real and Out = float (gradients of parameters).
template <class Out>
void multiply_plain(Out* out, const real* a, const real* b, const Product& p, const Finish<Out>& finish,
                    Stream s);

// Operands are rounded to bfloat16, which is no change where they are stored so; sums are float.
template <class Out>
void multiply_on_tensor_cores(Out* out, const real* a, const real* b, const Product& p,
                              const Finish<Out>& finish, Stream s);

// false: cuBLASLt does not do this product, and nothing was written. Only where there is a GPU.
template <class Out>
bool multiply_by_library(Out* out, const real* a, const real* b, const Product& p, const Finish<Out>& finish,
                         Stream s);

}  // namespace gemm_forms
