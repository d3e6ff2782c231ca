// adamw.cpp - the optimiser's step over a flat block, and the squared norm that clipping needs.
// Source: Loshchilov and Hutter 2019, algorithm 2; Kingma and Ba 2015, section 2 (bias correction).
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/parallel.h"
#include "kernels/kernels.h"

namespace {

constexpr int64_t kGrain = 1 << 14;

// What one step does to every parameter; the bias corrections are taken out of the loop.
struct Update {
    float grad_scale, beta1, beta2, eps;
    float step_size;  // lr / (1 - beta1^step)
    float v_scale;    // 1 / sqrt(1 - beta2^step)
    float keep;       // 1 - lr weight_decay
};

// subtle: arguments by value and pointers that share nothing, or the compiler takes one parameter at a time.
void update_range(float* __restrict params, float* __restrict m, float* __restrict v,
                  const float* __restrict grads, int64_t n, const Update u) {
    for (int64_t i = 0; i < n; i++) {
        const float g = grads[i] * u.grad_scale;
        m[i] = u.beta1 * m[i] + (1.0f - u.beta1) * g;
        v[i] = u.beta2 * v[i] + (1.0f - u.beta2) * g * g;
        params[i] = params[i] * u.keep - u.step_size * m[i] / (std::sqrt(v[i]) * u.v_scale + u.eps);
    }
}

}  // namespace

// Sums of squares of fixed ranges, in double, added in order.
void cpu::squared_norm(double* sum, const float* x, int64_t n, Stream) {
    static thread_local std::vector<double> range_sums;
    range_sums.assign(size_t((n + kGrain - 1) / kGrain), 0.0);
    double* const sums = range_sums.data();
    parallel_ranges(n, kGrain, [&](int64_t begin, int64_t end) {
        // Several vectors of sums side by side: one alone would wait for each addition before the next.
        constexpr int kSums = 32;
        double lane[kSums] = {};
        int64_t i = begin;
        for (; i + kSums <= end; i += kSums)
            for (int k = 0; k < kSums; k++) lane[k] += double(x[i + k]) * double(x[i + k]);
        for (; i < end; i++) lane[0] += double(x[i]) * double(x[i]);
        double total = 0;
        for (double part : lane) total += part;
        sums[begin / kGrain] = total;
    });
    for (double part : range_sums) *sum += part;
}

void cpu::clip_scale(float* norm_and_scale, const double* squares, float clip, Stream) {
    const float norm = float(std::sqrt(*squares));
    norm_and_scale[0] = norm;
    norm_and_scale[1] = !std::isfinite(norm) ? 0.0f : clip > 0 && norm > clip ? clip / norm : 1.0f;
}

void cpu::adamw(float* params, real* weights, float* m, float* v, const float* grads, int64_t n, float lr,
                float beta1, float beta2, float eps, float weight_decay, const float* grad_scale,
                int64_t step, WeightRounding, Stream) {
    const float scale = grad_scale ? *grad_scale : 1.0f;
    if (scale == 0) return;
    const double correction1 = 1.0 - std::pow(double(beta1), double(step));
    const double correction2 = 1.0 - std::pow(double(beta2), double(step));
    const Update update = {scale,
                           beta1,
                           beta2,
                           eps,
                           lr / float(correction1),
                           1.0f / std::sqrt(float(correction2)),
                           1.0f - lr * weight_decay};
    parallel_ranges(n, kGrain, [=](int64_t begin, int64_t end) {
        update_range(params + begin, m + begin, v + begin, grads + begin, end - begin, update);
        if (weights) std::copy(params + begin, params + end, weights + begin);  // float: nothing to round
    });
}
