// gemm.cpp - the kernels that multiply matrices: what is multiplied with what, and what happens to a finished
// tile.
// Not here: how it is made fast (gemm.h).
#include "kernels/cpu/gemm.h"

#include "core/check.h"
#include "kernels/cpu/gemm_bf16.h"
#include "kernels/kernels.h"

namespace {

using simd::kWidth;
using simd::Vec;

// Calls f(j, lanes) for the vectors of a row of `columns` floats; the last may have fewer than kWidth lanes.
template <class F>
GPT_INLINE void for_each_vec(int columns, F&& f) {
    int j = 0;
    for (; j + kWidth <= columns; j += kWidth) f(j, kWidth);
    if (j < columns) f(j, columns - j);
}
GPT_INLINE Vec load_lanes(const float* p, int lanes) {
    return lanes == kWidth ? simd::load(p) : simd::load_first(p, lanes);
}
GPT_INLINE void store_lanes(float* p, Vec x, int lanes) {
    lanes == kWidth ? simd::store(p, x) : simd::store_first(p, x, lanes);
}

// The multiply has written pre; out = activation(pre).
template <Activation activation>
struct ApplyActivation {
    float* out;
    int64_t ld;

    void prefetch(int64_t row, int64_t column, int rows, int columns) const {
        cpu::prefetch_tile(out + row * ld + column, ld, rows, columns);
    }
    __attribute__((noinline)) void operator()(float* pre, int64_t row, int64_t column, int rows,
                                              int columns) const {
        for (int i = 0; i < rows; i++)
            for_each_vec(columns, [&](int j, int lanes) {
                const Vec x = load_lanes(pre + i * ld + j, lanes);
                const Vec y = activation == Activation::kGelu ? simd::gelu(x) : simd::max(Vec{}, x);
                store_lanes(out + (row + i) * ld + column + j, y, lanes);
            });
    }
};

// The multiply has written dout weight; times activation'(pre).
template <Activation activation>
struct ApplyActivationGradient {
    const float* pre;
    int64_t ld;

    void prefetch(int64_t row, int64_t column, int rows, int columns) const {
        cpu::prefetch_tile(pre + row * ld + column, ld, rows, columns);
    }
    __attribute__((noinline)) void operator()(float* dpre, int64_t row, int64_t column, int rows,
                                              int columns) const {
        for (int i = 0; i < rows; i++)
            for_each_vec(columns, [&](int j, int lanes) {
                const Vec x = load_lanes(pre + (row + i) * ld + column + j, lanes);
                const Vec dout = load_lanes(dpre + i * ld + j, lanes);
                const Vec dinp = activation == Activation::kGelu ? dout * simd::gelu_derivative(x)
                                                                 : (x > 0.f ? dout : Vec{});
                store_lanes(dpre + i * ld + j, dinp, lanes);
            });
    }
};

// A product in the precision that the kernel was told. A few rows stay as they are, for they wait for memory and not for
// arithmetic.
template <class Epilogue = cpu::NoEpilogue>
void multiply(const cpu::Product& p, Stream s, const Epilogue& epilogue = {}) {
    if (!s.rounds_products || cpu::is_few_rows(p)) return cpu::multiply(p, epilogue);
    if (p.M == 0 || p.N == 0) return;
    cpu::with_bf16_micro_kernel([&](auto kernel) { cpu::multiply_bf16<decltype(kernel)>(p, epilogue); });
}

// out = inp weight^T: rows of inp times rows of weight.
cpu::Product linear_product(float* out, const float* inp, const float* weight, const float* bias, int64_t N,
                            int64_t IC, int64_t OC) {
    cpu::Product p{N, OC, IC, inp, IC, true, weight, IC, false, out};
    p.bias = bias;
    return p;
}

}  // namespace

const char* cpu::bf16_products() {
    return with_bf16_micro_kernel([](auto kernel) { return decltype(kernel)::name(); });
}

void cpu::gemm(float* out, const float* a, const float* b, const float* bias, int64_t M, int64_t N, int64_t K,
               bool trans_a, bool trans_b, bool accumulate, Stream s) {
    CHECK(!(bias && accumulate), "[gemm] a bias would be added again with each accumulation");
    Product p{M, N, K, a, trans_a ? M : K, !trans_a, b, trans_b ? K : N, !trans_b, out};
    p.bias = bias;
    p.start = accumulate ? out : nullptr;
    ::multiply(p, s);
}

void cpu::linear_residual_forward(float* out, const float* inp, const float* weight, const float* bias,
                                  const float* residual, int64_t N, int64_t IC, int64_t OC, Stream s) {
    Product p = linear_product(out, inp, weight, bias, N, IC, OC);
    p.start = residual;
    ::multiply(p, s);
}

void cpu::linear_activation_forward(float* out, float* pre, const float* inp, const float* weight,
                                    const float* bias, int64_t N, int64_t IC, int64_t OC,
                                    Activation activation, Stream s) {
    const Product p = linear_product(pre, inp, weight, bias, N, IC, OC);
    if (activation == Activation::kGelu)
        ::multiply(p, s, ApplyActivation<Activation::kGelu>{out, OC});
    else
        ::multiply(p, s, ApplyActivation<Activation::kRelu>{out, OC});
}

void cpu::linear_activation_backward(float* dpre, const float* dout, const float* weight, const float* pre,
                                     int64_t N, int64_t IC, int64_t OC, Activation activation, Stream s) {
    const Product p{N, IC, OC, dout, OC, true, weight, IC, true, dpre};
    if (activation == Activation::kGelu)
        ::multiply(p, s, ApplyActivationGradient<Activation::kGelu>{pre, IC});
    else
        ::multiply(p, s, ApplyActivationGradient<Activation::kRelu>{pre, IC});
}

void cpu::linear_backward_params(float* dweight, float* dbias, const float* dout, const float* inp, int64_t N,
                                 int64_t IC, int64_t OC, bool accumulate, Stream s) {
    Product p{OC, IC, N, dout, OC, false, inp, IC, true, dweight};
    p.start = accumulate ? dweight : nullptr;
    p.row_sums = dbias;
    ::multiply(p, s);
}
