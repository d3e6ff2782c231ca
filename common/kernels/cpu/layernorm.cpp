// layernorm.cpp - LayerNorm over the last dimension, forward and backward, a row at a time in vectors; alone, and
// with the residual addition in front of it.
// Not here: RMSNorm.
// Source: Ba, Kiros, Hinton 2016, eq. 3; backward: chapters/00_char_gpt/README.md, "LayerNorm, backwards".
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/parallel.h"
#include "kernels/cpu/simd.h"
#include "kernels/kernels.h"

namespace {

using simd::kWidth;
using simd::Vec;

constexpr int64_t kRowsPerTask = 64;

// Calls body(j, count) for whole vectors of a row, then once for the ragged end with count < kWidth.
template <class F>
GPT_INLINE void for_each_vector(int64_t C, F body) {
    int64_t j = 0;
    for (; j + kWidth <= C; j += kWidth) body(j, kWidth);
    if (j < C) body(j, int(C - j));
}

GPT_INLINE Vec load_n(const float* p, int n) {
    return n == kWidth ? simd::load(p) : simd::load_first(p, n);
}
GPT_INLINE void store_n(float* p, Vec x, int n) {
    n == kWidth ? simd::store(p, x) : simd::store_first(p, x, n);
}

void forward_row(float* out, float& mean, float& rstd, const float* inp, const float* weight,
                 const float* bias, int64_t C) {
    Vec sum{};
    for_each_vector(C, [&](int64_t j, int n) { sum += load_n(inp + j, n); });
    const float m = simd::sum(sum) / float(C);
    Vec squares{};
    for_each_vector(C, [&](int64_t j, int n) {
        Vec centred = load_n(inp + j, n) - m;
        if (n < kWidth) centred = simd::lane_index() < n ? centred : Vec{};
        squares += centred * centred;
    });
    const float r = 1.0f / std::sqrt(simd::sum(squares) / float(C) + kLayerNormEpsilon);
    for_each_vector(C, [&](int64_t j, int n) {
        store_n(out + j, (load_n(inp + j, n) - m) * r * load_n(weight + j, n) + load_n(bias + j, n), n);
    });
    mean = m;
    rstd = r;
}

// sum = residual + branch * mask, n elements from `first` on, which is a multiple of 4 as Philox wants it.
// subtle: two loops. In one, the compiler could fuse the product into the addition, which rounds once instead of
// twice: other bits than add(residual, dropout(branch)).
void add_branch(float* sum, const float* residual, const float* branch, int64_t first, int64_t n,
                DropoutMask mask) {
    if (mask.p > 0) {
        for (int64_t i = first; i < first + n; i += 4) {
            float scale[4];
            mask.scale4(uint64_t(i), scale);
            for (int64_t k = i; k < i + 4 && k < first + n; k++) sum[k] = branch[k] * scale[k - i];
        }
        branch = sum;
    }
    for (int64_t i = first; i < first + n; i++) sum[i] = residual[i] + branch[i];
}

}  // namespace

void cpu::layernorm_forward(float* out, float* mean, float* rstd, const float* inp, const float* weight,
                            const float* bias, int64_t N, int64_t C, Stream) {
    parallel_ranges(N, kRowsPerTask, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++)
            forward_row(out + i * C, mean[i], rstd[i], inp + i * C, weight, bias, C);
    });
}

// With xhat = (x - mean) rstd and dxhat = dout weight:
//   dx      = rstd (dxhat - mean_j(dxhat) - xhat mean_j(dxhat xhat))
//   dweight = sum_i dout xhat,   dbias = sum_i dout
// The two sums run over rows: each of a fixed number of row ranges has its own partial sums, added up in
// order, so that the result is the same for any number of threads.
void cpu::layernorm_backward(float* dinp, float* dweight, float* dbias, const float* dout, const float* inp,
                             const float* weight, const float* mean, const float* rstd, int64_t N, int64_t C,
                             bool accumulate, Stream) {
    const int64_t ranges = std::min<int64_t>(64, (N + 31) / 32);
    static thread_local std::vector<float> partial_sums;
    partial_sums.assign(size_t(ranges * 2 * C), 0.0f);
    float* const partial = partial_sums.data();

    parallel_for(ranges, [&](int64_t range) {
        float* pweight = partial + range * 2 * C;
        float* pbias = pweight + C;
        for (int64_t i = N * range / ranges; i < N * (range + 1) / ranges; i++) {
            const float* d = dout + i * C;
            const float* x = inp + i * C;
            float* dx = dinp + i * C;
            const float m = mean[i], r = rstd[i];
            Vec sum_dxhat{}, sum_dxhat_xhat{};
            for_each_vector(C, [&](int64_t j, int n) {
                const Vec dy = load_n(d + j, n), xhat = (load_n(x + j, n) - m) * r;
                const Vec dxhat =
                    dy * load_n(weight + j, n);  // 0 behind the ragged end, as weight and dy are
                sum_dxhat += dxhat;
                sum_dxhat_xhat += dxhat * xhat;
                store_n(pweight + j, load_n(pweight + j, n) + dy * xhat, n);
                store_n(pbias + j, load_n(pbias + j, n) + dy, n);
            });
            const float a = simd::sum(sum_dxhat) / float(C), b = simd::sum(sum_dxhat_xhat) / float(C);
            for_each_vector(C, [&](int64_t j, int n) {
                const Vec xhat = (load_n(x + j, n) - m) * r;
                Vec g = (load_n(d + j, n) * load_n(weight + j, n) - a - xhat * b) * r;
                if (accumulate) g += load_n(dx + j, n);
                store_n(dx + j, g, n);
            });
        }
    });
    parallel_ranges(C, 64, [&](int64_t begin, int64_t end) {
        for (int64_t range = 0; range < ranges; range++) {
            const float* pweight = partial + range * 2 * C;
            for (int64_t j = begin; j < end; j++) dweight[j] += pweight[j];
            for (int64_t j = begin; j < end; j++) dbias[j] += pweight[C + j];
        }
    });
}

// Four rows are added, then normalised while they are in the first-level cache.
void cpu::add_layernorm_forward(float* out, float* sum, float* mean, float* rstd, const float* residual,
                                const float* branch, const float* weight, const float* bias, int64_t N,
                                int64_t C, DropoutMask mask, Stream) {
    constexpr int64_t kRows = 4;  // so that a group begins at a multiple of 4 elements, whatever C is
    static_assert(kRowsPerTask % kRows == 0, "a task begins at a group");
    parallel_ranges(N, kRowsPerTask, [&](int64_t begin, int64_t end) {
        for (int64_t first = begin; first < end; first += kRows) {
            const int64_t last = std::min(first + kRows, end);
            add_branch(sum, residual, branch, first * C, (last - first) * C, mask);
            for (int64_t i = first; i < last; i++)
                forward_row(out + i * C, mean[i], rstd[i], sum + i * C, weight, bias, C);
        }
    });
}

// Two kernels: on a CPU the second reading of dsum costs little beside Philox, and mostly comes out of a cache.
void cpu::add_layernorm_backward(float* dsum, float* dbranch, float* dweight, float* dbias, const float* dout,
                                 const float* sum, const float* weight, const float* mean, const float* rstd,
                                 int64_t N, int64_t C, DropoutMask mask, bool accumulate,
                                 bool accumulate_branch, Stream s) {
    cpu::layernorm_backward(dsum, dweight, dbias, dout, sum, weight, mean, rstd, N, C, accumulate, s);
    cpu::dropout(dbranch, dsum, N * C, mask, accumulate_branch, s);
}
