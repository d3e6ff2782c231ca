// adamw.cu - the optimiser's step over a flat block, and the squared norm that clipping needs.
// Source: Loshchilov and Hutter 2019, algorithm 2; Kingma and Ba 2015, section 2 (bias correction).
#include <cfloat>
#include <cmath>

#include "core/check.h"
#include "kernels/cuda/launcher.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/vec.cuh"
#include "kernels/kernels.h"

namespace {

using gpu::real;

constexpr int kThreads = 256;  // memory is the limit; the reason is in activations.cu
constexpr int kPerBlock = kThreads * Vec<float>::kSize;

// A block of squared_norm adds this many elements, whatever the card: the order of the sum is part of the
// result. 124 million parameters make 7,600 blocks.
constexpr int64_t kRange = 1 << 14;

// partial[range] = sum of the squares of one range.
__global__ void squared_norm_kernel(double* __restrict__ partial, const float* __restrict__ x, int64_t n) {
    const int64_t begin = int64_t(blockIdx.x) * kRange, end = min(begin + kRange, n);
    double sum = 0;
    for (int64_t i = begin + threadIdx.x * Vec<float>::kSize; i < end; i += kPerBlock) {
        const Vec<float> v = load_vec(x + i, end - i);  // zeros behind the end
        for (int k = 0; k < v.kSize; k++) sum += double(v[k]) * double(v[k]);
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// sum += the partial sums. One block: there are few.
__global__ void add_ranges_kernel(double* __restrict__ sum, const double* __restrict__ partial, int ranges) {
    double part = 0;
    for (int i = threadIdx.x; i < ranges; i += blockDim.x) part += partial[i];
    part = block_sum(part);
    if (threadIdx.x == 0) *sum += part;
}

// What does not change from element to element, computed once and in double on the host.
struct AdamWConstants {
    float beta1, beta2, eps;
    float step_size;  // lr / (1 - beta1^step)
    float v_scale;    // 1 / sqrt(1 - beta2^step)
    float keep;       // 1 - lr * weight_decay
};

__device__ inline real round_stochastically(float x, uint32_t word) {
    if constexpr (sizeof(real) == sizeof(float))
        return x;
    else
        return __ushort_as_bfloat16(bfloat16_stochastic(x, word));
}

// weights[i ..] = p, rounded. A thread has four elements, as many as a call of Philox gives random words; as bfloat16 they are
// one access of 8 bytes.
__device__ void store_rounded(real* weights, int64_t i, const Vec<float>& p, int64_t rest,
                              const WeightRounding& rounding) {
    struct alignas(4 * sizeof(real)) Four {
        real x[4];
    } rounded;
    const Philox4 random = rounding.words(uint64_t(i));
    for (int k = 0; k < 4; k++) rounded.x[k] = round_stochastically(p[k], random.word[k]);
    if (rest >= 4 && reinterpret_cast<uintptr_t>(weights + i) % sizeof rounded == 0) {
        *reinterpret_cast<Four*>(weights + i) = rounded;
    } else {
        for (int k = 0; k < 4; k++)
            if (k < rest) weights[i + k] = rounded.x[k];
    }
}

// One thread: two numbers.
__global__ void clip_scale_kernel(float* norm_and_scale, const double* squares, float clip) {
    const float norm = float(sqrt(*squares));
    norm_and_scale[0] = norm;
    const bool is_finite = norm <= FLT_MAX;  // not so for NaN either
    norm_and_scale[1] = !is_finite ? 0.0f : clip > 0 && norm > clip ? clip / norm : 1.0f;
}

__global__ void adamw_kernel(float* __restrict__ params, real* __restrict__ weights, float* __restrict__ m,
                             float* __restrict__ v, const float* __restrict__ grads,
                             const float* __restrict__ grad_scale, int64_t n, AdamWConstants a,
                             WeightRounding rounding) {
    const int64_t i = first_element<float>();
    const float scale = grad_scale ? *grad_scale : 1.0f;
    if (i >= n || scale == 0) return;
    Vec<float> p = load_vec(params + i, n - i), m_i = load_vec(m + i, n - i), v_i = load_vec(v + i, n - i);
    const Vec<float> dp = load_vec(grads + i, n - i);
    for (int k = 0; k < p.kSize; k++) {
        const float g = dp[k] * scale;
        m_i[k] = a.beta1 * m_i[k] + (1.0f - a.beta1) * g;
        v_i[k] = a.beta2 * v_i[k] + (1.0f - a.beta2) * g * g;
        p[k] = p[k] * a.keep - a.step_size * m_i[k] / (sqrtf(v_i[k]) * a.v_scale + a.eps);
    }
    store_vec(params + i, p, n - i);
    store_vec(m + i, m_i, n - i);
    store_vec(v + i, v_i, n - i);
    if (weights) store_rounded(weights, i, p, n - i, rounding);
}

}  // namespace

void gpu::squared_norm(double* sum, const float* x, int64_t n, Stream s) {
    if (n == 0) return;
    const unsigned ranges = blocks_for(n, kRange);
    const Scratch<double> partial(ranges, s);
    launch(squared_norm_kernel, ranges, kThreads, 0, cuda_stream(s), partial.get(), x, n);
    launch(add_ranges_kernel, 1, kThreads, 0, cuda_stream(s), sum, partial.get(), int(ranges));
}

void gpu::clip_scale(float* norm_and_scale, const double* squares, float clip, Stream s) {
    launch(clip_scale_kernel, 1, 1, 0, cuda_stream(s), norm_and_scale, squares, clip);
}

void gpu::adamw(float* params, real* weights, float* m, float* v, const float* grads, int64_t n, float lr,
                float beta1, float beta2, float eps, float weight_decay, const float* grad_scale,
                int64_t step, WeightRounding rounding, Stream s) {
    if (n == 0) return;
    CHECK(rounding.first % 4 == 0, "[adamw] elements of one random draw in two calls: first is %llu",
          static_cast<unsigned long long>(rounding.first));
    const float correction1 = float(1.0 - std::pow(double(beta1), double(step)));
    const float correction2 = float(1.0 - std::pow(double(beta2), double(step)));
    const AdamWConstants constants{
        beta1, beta2, eps, lr / correction1, 1.0f / std::sqrt(correction2), 1.0f - lr * weight_decay};
    launch(adamw_kernel, blocks_for(n, kPerBlock), kThreads, 0, cuda_stream(s), params, weights, m, v, grads,
           grad_scale, n, constants, rounding);
}
