// gemm.cu - the kernels that multiply matrices, and who computes them: cuBLASLt where there is a GPU, else a kernel
// of ours, on tensor cores or plain (gemm.cuh lists them; rungs.h has the rule).
// Not here: the products themselves.
#include "kernels/cuda/gemm.h"

#include "core/check.h"
#include "kernels/cuda/gemm.cuh"
#include "kernels/cuda/gemm_compare.cuh"

using namespace gemm_forms;

namespace {

// A float's product must not be rounded to bfloat16 behind the user's back: in fp32 builds tensor cores are for
// tests alone.
constexpr bool kHasTensorCores = sizeof(real) == sizeof(__nv_bfloat16) || is_cuda_emulated();

template <class Out>
void multiply(Out* out, const real* a, const real* b, const Product& p, const Finish<Out>& finish, Stream s) {
    if (p.M == 0 || p.N == 0) return;
    if constexpr (!is_cuda_emulated())
        if (p.K > 0 && gemm_by_library().is_chosen() && multiply_by_library(out, a, b, p, finish, s)) return;
    if (kHasTensorCores && gemm_on_tensor_cores().is_chosen())
        multiply_on_tensor_cores(out, a, b, p, finish, s);
    else
        multiply_plain(out, a, b, p, finish, s);
}

// out (N,OC) = inp (N,IC) weight^T (IC,OC).
Product linear_product(int64_t N, int64_t IC, int64_t OC) {
    return {N, OC, IC, IC, 1, IC, 1};
}

}  // namespace

FastForm& gemm_on_tensor_cores() {
    static FastForm form("the matrix product on tensor cores", compare_tensor_cores_with_plain);
    return form;
}

FastForm& gemm_by_library() {
    static FastForm form("cuBLASLt's matrix product as it is called here", compare_library_with_plain);
    return form;
}

void gpu::gemm(real* out, const real* a, const real* b, const real* bias, int64_t M, int64_t N, int64_t K,
               bool trans_a, bool trans_b, bool accumulate, Stream s) {
    CHECK(!(bias && accumulate), "[gemm] a bias would be added again with each accumulation");
    const Product p{M, N, K, trans_a ? 1 : K, trans_a ? M : 1, trans_b ? K : 1, trans_b ? 1 : N};
    Finish<real> finish;
    finish.bias = bias;
    finish.start = accumulate ? out : nullptr;
    multiply(out, a, b, p, finish, s);
}

void gpu::linear_residual_forward(real* out, const real* inp, const real* weight, const real* bias,
                                  const real* residual, int64_t N, int64_t IC, int64_t OC, Stream s) {
    Finish<real> finish;
    finish.bias = bias;
    finish.start = residual;
    multiply(out, inp, weight, linear_product(N, IC, OC), finish, s);
}

void gpu::linear_activation_forward(real* out, real* pre, const real* inp, const real* weight,
                                    const real* bias, int64_t N, int64_t IC, int64_t OC,
                                    Activation activation, Stream s) {
    Finish<real> finish;
    finish.bias = bias;
    finish.activated = out;
    finish.activation = activation;
    multiply(pre, inp, weight, linear_product(N, IC, OC), finish, s);
}

void gpu::linear_activation_backward(real* dpre, const real* dout, const real* weight, const real* pre,
                                     int64_t N, int64_t IC, int64_t OC, Activation activation, Stream s) {
    Finish<real> finish;
    finish.pre = pre;
    finish.activation = activation;
    multiply(dpre, dout, weight, Product{N, IC, OC, OC, 1, 1, IC}, finish, s);
}

void gpu::linear_backward_params(float* dweight, float* dbias, const real* dout, const real* inp, int64_t N,
                                 int64_t IC, int64_t OC, bool accumulate, Stream s) {
    Finish<float> finish;
    finish.start = accumulate ? dweight : nullptr;
    finish.row_sums = dbias;
    multiply(dweight, dout, inp, Product{OC, IC, N, 1, OC, 1, IC}, finish, s);
}
