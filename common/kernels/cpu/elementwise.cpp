// elementwise.cpp - the residual add, a gradient that arrives twice, dropout.
#include "core/parallel.h"
#include "kernels/kernels.h"

namespace {
constexpr int64_t kGrain = 1 << 14;
}

void cpu::add_forward(float* out, const float* a, const float* b, int64_t n, Stream) {
    parallel_ranges(n, kGrain, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) out[i] = a[i] + b[i];
    });
}

void cpu::accumulate(float* out, const float* inp, int64_t n, Stream) {
    parallel_ranges(n, kGrain, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) out[i] += inp[i];
    });
}

void cpu::dropout(float* out, const float* inp, int64_t n, DropoutMask mask, bool add, Stream) {
    parallel_ranges(n, kGrain, [&](int64_t begin, int64_t end) {  // note: kGrain is a multiple of Philox's 4
        for (int64_t i = begin; i < end; i += 4) {
            float scale[4] = {1, 1, 1, 1};
            if (mask.p > 0) mask.scale4(uint64_t(i), scale);
            for (int64_t k = i; k < i + 4 && k < end; k++) {
                const float y = inp[k] * scale[k - i];
                out[k] = add ? out[k] + y : y;
            }
        }
    });
}
