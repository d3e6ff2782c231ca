// linear_int8.cpp - a few rows times a weight of 8-bit integers. Memory gives the codes, a quarter of the floats' bytes; what
// is done with them must not take longer than that.
// Not here: many rows, which compute as long as they read and are better off with floats (gemm.cpp); how a weight comes by
// its codes (ops/int8_weight.cpp).
#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/parallel.h"
#include "kernels/cpu/micro_kernel.h"
#include "kernels/cpu/pack_memory.h"
#include "kernels/cpu/product.h"
#include "kernels/cpu/simd.h"
#include "kernels/kernels.h"

namespace {

using simd::IntVec;
using simd::kWidth;
using simd::Vec;

// A vector of 32-bit words holds four vectors of codes, a part in each byte. A code at the top of its word, with zeros below,
// is a number 2^24 times as large, sign and all.
constexpr int kParts = 4;
constexpr int64_t kStep = kParts * kWidth;
constexpr float kTopOfWord = 1 << 24;

GPT_INLINE Vec part_of(IntVec words, int part) {
    const IntVec top_byte = IntVec{} - (1 << 24);  // a mask: the bits above the lower 24
    return __builtin_convertvector(words << (24 - 8 * part) & top_byte, Vec);
}

// A row of floats in whole steps, with zeros behind its end, laid out as the parts are: part p is every fourth float, from
// p on.
void lay_out_by_parts(float* to, const float* row, int64_t IC) {
    for (int64_t k = 0; k < IC; k += kStep)
        for (int part = 0; part < kParts; part++)
            for (int lane = 0; lane < kWidth; lane++) {
                const int64_t from = k + lane * kParts + part;
                *to++ = from < IC ? row[from] : 0.0f;
            }
}

// sums[r] = x[r,:] codes, for R rows of x that are laid out by parts, ldx apart.
template <int R>
GPT_INLINE void multiply_codes(float (&sums)[R], const float* x, int64_t ldx, const int8_t* codes,
                               int64_t IC) {
    // What is read later is asked for now: a core looks ahead as many instructions as it has room for, and here most of them
    // compute. (Rows of codes follow each other; to ask for what lies behind the last one does no harm.)
    constexpr int64_t kLine = 64, kAhead = 4096;  // bytes
    Vec parts[R][kParts] = {};
    const auto add_step = [&](int64_t k, int64_t bytes) __attribute__((always_inline)) {
        IntVec words{};
        std::memcpy(&words, codes + k, size_t(bytes));
        GPT_UNROLL
        for (int part = 0; part < kParts; part++) {
            const Vec w = part_of(words, part);
            GPT_UNROLL
            for (int r = 0; r < R; r++) parts[r][part] += w * simd::load(x + r * ldx + k + part * kWidth);
        }
    };
    int64_t k = 0;
    for (; k + kStep <= IC; k += kStep) {
        if (k % kLine == 0) __builtin_prefetch(codes + k + kAhead);
        add_step(k, kStep);
    }
    if (k < IC) add_step(k, IC - k);
    GPT_UNROLL
    for (int r = 0; r < R; r++)
        sums[r] = simd::sum((parts[r][0] + parts[r][1]) + (parts[r][2] + parts[r][3])) / kTopOfWord;
}

}  // namespace

void cpu::linear_int8_forward(float* out, const float* inp, const int8_t* codes, const float* scale,
                              const float* bias, const float* residual, int64_t N, int64_t IC, int64_t OC,
                              Stream) {
    const int64_t ldx = ceil_div(IC, kStep) * kStep;
    float* x = packed_a_memory(N * ldx);
    for (int64_t n = 0; n < N; n++) lay_out_by_parts(x + n * ldx, inp + n * IC, IC);

    constexpr int kRows = 4;  // that share what is read of the codes
    constexpr int64_t kCodesPerTask = 1 << 17;
    const int64_t grain = std::max<int64_t>(1, kCodesPerTask / std::max<int64_t>(IC, 1));
    parallel_ranges(OC, grain, [&](int64_t begin, int64_t end) {
        for (int64_t n = 0; n < N; n += kRows)
            with_constant<kRows>(int(std::min<int64_t>(kRows, N - n)), [&](auto R) {
                for (int64_t o = begin; o < end; o++) {
                    float sums[R()];
                    multiply_codes(sums, x + n * ldx, ldx, codes + o * IC, IC);
                    for (int r = 0; r < R(); r++) {
                        const int64_t at = (n + r) * OC + o;
                        // Fused by name: left to the compiler, one of the R copies of this would be and another not.
                        const float y = std::fma(scale[o], sums[r], bias ? bias[o] : 0.0f);
                        out[at] = residual ? residual[at] + y : y;
                    }
                }
            });
    });
}
