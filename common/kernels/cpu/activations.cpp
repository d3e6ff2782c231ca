// activations.cpp - GELU (tanh form) and ReLU as kernels of their own. Training uses them fused into a gemm
// (linear_activation_forward); these are the versions that the fused ones are held against.
#include "core/parallel.h"
#include "kernels/cpu/simd.h"
#include "kernels/kernels.h"

namespace {

using simd::kWidth;
using simd::Vec;

constexpr int64_t kGrain = 1 << 14;  // elements per task: 64 KiB, several microseconds of work

// out[i] (+)= f(a[i], b[i]); pass the same pointer twice where there is one input.
template <class F>
void map2(float* out, const float* a, const float* b, int64_t n, bool accumulate, F f) {
    parallel_ranges(n, kGrain, [&](int64_t begin, int64_t end) {
        int64_t i = begin;
        for (; i + kWidth <= end; i += kWidth) {
            Vec y = f(simd::load(a + i), simd::load(b + i));
            if (accumulate) y += simd::load(out + i);
            simd::store(out + i, y);
        }
        if (const int rest = int(end - i)) {
            Vec y = f(simd::load_first(a + i, rest), simd::load_first(b + i, rest));
            if (accumulate) y += simd::load_first(out + i, rest);
            simd::store_first(out + i, y, rest);
        }
    });
}

}  // namespace

void cpu::gelu_forward(float* out, const float* inp, int64_t n, Stream) {
    map2(out, inp, inp, n, false, [](Vec x, Vec) { return simd::gelu(x); });
}

void cpu::gelu_backward(float* dinp, const float* dout, const float* inp, int64_t n, bool accumulate,
                        Stream) {
    map2(dinp, dout, inp, n, accumulate, [](Vec dy, Vec x) { return dy * simd::gelu_derivative(x); });
}

void cpu::relu_forward(float* out, const float* inp, int64_t n, Stream) {
    map2(out, inp, inp, n, false, [](Vec x, Vec) { return simd::max(Vec{}, x); });  // 0 first: NaN stays
}

void cpu::relu_backward(float* dinp, const float* dout, const float* inp, int64_t n, bool accumulate,
                        Stream) {
    map2(dinp, dout, inp, n, accumulate, [](Vec dy, Vec x) { return x > 0.0f ? dy : Vec{}; });
}
