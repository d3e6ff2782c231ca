// micro_kernel_bf16.h - the innermost loop of a matrix multiply whose inputs are bfloat16 and whose sums are float32, three
// times: for AMX, whose registers are whole tiles of a matrix (what a GPU calls tensor cores), for AVX-512's dot product of
// pairs, and for any machine, so that everybody can step through it.
// Not here: rounding and packing (gemm_bf16.h).
//
// All three read the same words. A word is 32 bits: two bf16 numbers that follow each other in k, the first in the lower
// half. kSquare words of each of kRows rows of a lie together, then the next kSquare words of all rows; of b, each word of
// kColumns columns lies together, then the next word of all columns:
//   a[(p / kSquare * kRows + i) * kSquare + p % kSquare]      row i, word p
//   b[p * kColumns + j]                                       column j, word p
// Source of AMX and AVX512_BF16: Intel, "Architecture Instruction Set Extensions Programming Reference", chapter 3.
#pragma once
#include <cstdint>
#include <cstring>

#include "kernels/cpu/simd.h"

#if defined(__AVX512BF16__) || defined(__AMX_BF16__)
#include <immintrin.h>
#endif
#if defined(__AMX_BF16__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace cpu {

typedef uint32_t Words __attribute__((vector_size(simd::kWidth * 4)));  // a vector of them
constexpr int kSquare = 16;  // words of k, 32 numbers: as many as a row of an AMX tile holds

// Each multiply: sums[i], a row of kColumns numbers, = a's row i times b, over `words` words, a multiple of kSquare.

// Any machine: a word is two floats whose lower halves are missing. As many multiply-adds as for float32.
struct WidenWords {
    static constexpr int kRows = 4, kVecs = 2, kColumns = kVecs * simd::kWidth;
    static const char* name() {
        return "bf16, widened again, as this CPU has no instructions for it: exactness of bf16, no speed";
    }
    static void begin() {}
    static void end() {}

    static GPT_INLINE void multiply(simd::Vec (&sums)[kRows][kVecs], int words, const uint32_t* a,
                                    const uint32_t* b) {
        using simd::kWidth;
        GPT_UNROLL
        for (int i = 0; i < kRows; i++) sums[i][0] = sums[i][1] = simd::Vec{};
        for (int p = 0; p < words; p++, b += kColumns) {
            simd::Vec even[kVecs], odd[kVecs];
            GPT_UNROLL
            for (int j = 0; j < kVecs; j++) {
                Words word;
                std::memcpy(&word, b + j * kWidth, sizeof word);
                const Words low = word << 16, high = word & 0xffff0000u;
                std::memcpy(&even[j], &low, sizeof low), std::memcpy(&odd[j], &high, sizeof high);
            }
            GPT_UNROLL
            for (int i = 0; i < kRows; i++) {
                const uint32_t word = a[(p / kSquare * kRows + i) * kSquare + p % kSquare];
                const uint32_t halves[2] = {word << 16, word & 0xffff0000u};
                float x[2];
                std::memcpy(x, halves, sizeof x);
                GPT_UNROLL
                for (int j = 0; j < kVecs; j++) sums[i][j] += x[0] * even[j] + x[1] * odd[j];
            }
        }
    }
};

#if defined(__AVX512BF16__)
// vdpbf16ps: each lane adds the two products of a word of a and a word of b.
struct DotPairs {
    static constexpr int kRows = 8, kVecs = 3, kColumns = kVecs * simd::kWidth;
    static const char* name() { return "bf16 by AVX-512's dot products"; }
    static void begin() {}
    static void end() {}

    static GPT_INLINE void multiply(simd::Vec (&sums)[kRows][kVecs], int words, const uint32_t* a,
                                    const uint32_t* b) {
        GPT_UNROLL
        for (int i = 0; i < kRows; i++) {
            GPT_UNROLL
            for (int j = 0; j < kVecs; j++) sums[i][j] = simd::Vec{};
        }
        for (int square = 0; square < words; square += kSquare, a += kRows * kSquare)
            for (int p = 0; p < kSquare; p++, b += kColumns) {
                __m512bh row[kVecs];
                GPT_UNROLL
                for (int j = 0; j < kVecs; j++) row[j] = (__m512bh)_mm512_loadu_si512(b + 16 * j);
                GPT_UNROLL
                for (int i = 0; i < kRows; i++) {
                    const __m512bh x = (__m512bh)_mm512_set1_epi32(int(a[i * kSquare + p]));
                    GPT_UNROLL
                    for (int j = 0; j < kVecs; j++)
                        sums[i][j] = (simd::Vec)_mm512_dpbf16_ps((__m512)sums[i][j], x, row[j]);
                }
            }
    }
};
#endif

#if defined(__AMX_BF16__) && defined(__linux__)
// Eight registers of 16 rows x 64 bytes. One instruction multiplies 16 rows x 16 words of a with 16 words x 16 columns of b:
// 8,192 multiply-adds. Four registers hold the sums of 32 x 32 elements; the others are two squares of a and two of b.
struct AmxTiles {
    static constexpr int kRows = 32, kVecs = 2, kColumns = kVecs * simd::kWidth;
    static const char* name() { return "bf16 by AMX tiles"; }

    // A process has to ask Linux for the tiles, which make its saved state 8 KiB larger; asked once.
    static bool is_available() {
        constexpr int kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
        static const bool is_granted = syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
        return is_granted;
    }

    // Tells this thread's registers their shape, and gives them back: Linux saves no tiles that are not in use.
    static void begin() {
        struct {
            uint8_t palette = 1, start_row = 0, reserved[14] = {};
            uint16_t bytes_of_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
            uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
        } shape;
        static_assert(sizeof shape == 64, "the layout that the instruction reads");
        _tile_loadconfig(&shape);
    }
    static void end() { _tile_release(); }

    static void multiply(simd::Vec (&sums)[kRows][kVecs], int words, const uint32_t* a, const uint32_t* b) {
        // subtle: what was packed must be in memory before a tile is loaded, which GCC does not see reading it.
        asm volatile("" ::: "memory");
        // Registers 0 1: sums of the upper 16 rows; 2 3: of the lower; 4 5: rows of a; 6 7: columns of b. (GCC's intrinsics
        // are statements, one a line.)
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        for (int p = 0; p < words; p += kSquare, a += kRows * kSquare, b += kColumns * kSquare) {
            _tile_loadd(4, a, kSquare * 4);
            _tile_loadd(6, b, kColumns * 4);
            _tile_dpbf16ps(0, 4, 6);
            _tile_loadd(7, b + 16, kColumns * 4);
            _tile_dpbf16ps(1, 4, 7);
            _tile_loadd(5, a + 16 * kSquare, kSquare * 4);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        }
        _tile_stored(0, &sums[0][0], kColumns * 4);
        _tile_stored(1, &sums[0][1], kColumns * 4);
        _tile_stored(2, &sums[16][0], kColumns * 4);
        _tile_stored(3, &sums[16][1], kColumns * 4);
        asm volatile("" ::: "memory");  // and the sums must be there before they are read
    }
};
#endif

// Calls f with the fastest of them that the build has and the machine allows.
template <class F>
auto with_bf16_micro_kernel(F&& f) {
#if defined(__AMX_BF16__) && defined(__linux__)
    if (AmxTiles::is_available()) return f(AmxTiles{});
#endif
#if defined(__AVX512BF16__)
    return f(DotPairs{});
#else
    return f(WidenWords{});
#endif
}

}  // namespace cpu
