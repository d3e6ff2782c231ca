// micro_kernel.h - the innermost loop of the matrix multiply, and small_gemm for matrices that are already in the
// cache.
// Not here: large products, which are cut and packed until this loop fits them (gemm.h).
// Source: Goto and van de Geijn 2008, "Anatomy of high-performance matrix multiplication"; the names a, b, c
// and "micro-kernel" are theirs.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/cpu/simd.h"

namespace cpu {

// ---- the micro-kernel -------------------------------------------------------------------------------------

// A tile of c is kTileRows x kTileVecs vectors: all its sums stay in registers while k runs. Each step of k
// reads kTileVecs vectors of b and kTileRows single numbers of a, and multiplies all with all.
#if defined(__AVX512F__) || defined(__aarch64__)  // 32 registers: 24 sums, 3 of b, the rest for a
constexpr int kTileRows = 8, kTileVecs = 3;
#else  // 16 registers: 12 sums, 2 of b, one or two for a
constexpr int kTileRows = 6, kTileVecs = 2;
#endif

// sums[i][j] += a[i,k] b[k,j] over k. Element a[i,k] is a[i*lda + k] when a_by_rows, else a[k*lda + i].
template <bool a_by_rows, int R, int V>
GPT_INLINE void multiply_tile(simd::Vec (&sums)[R][V], int K, const float* a, int64_t lda, const float* b,
                              int64_t ldb) {
    const float* row[R];  // of a; of one that is given by columns, the same place in each
    GPT_UNROLL
    for (int i = 0; i < R; i++) row[i] = a_by_rows ? a + i * lda : a + i;
    const auto step = [&](int64_t k) __attribute__((always_inline)) {
        simd::Vec b_row[V];
        GPT_UNROLL
        for (int j = 0; j < V; j++) b_row[j] = simd::load(b + k * ldb + j * simd::kWidth);
        GPT_UNROLL
        for (int i = 0; i < R; i++) {
            const simd::Vec x = simd::broadcast(row[i][a_by_rows ? k : k * lda]);
            GPT_UNROLL
            for (int j = 0; j < V; j++) simd::multiply_add(sums[i][j], x, b_row[j]);
        }
    };
    // Four steps share the loop's own instructions. Where another hardware thread has half of the core, as on most rented
    // machines, its slots for instructions run out before those for multiply-adds do (measured with AVX2).
    constexpr int kSteps = 4;
    int64_t k = 0;
    for (; k + kSteps <= K; k += kSteps) {
        GPT_UNROLL
        for (int s = 0; s < kSteps; s++) step(k + s);
    }
    for (; k < K; k++) step(k);
}

// c = start + bias + sums, where start and bias may be nullptr and start may be c. Only the first `columns`
// of the tile's V * kWidth exist.
template <int R, int V>
GPT_INLINE void store_tile(simd::Vec (&sums)[R][V], float* c, int64_t ldc, const float* start,
                           int64_t ld_start, const float* bias, int columns) {
    using simd::kWidth;
    if (columns == V * kWidth) {
        if (bias) {
            GPT_UNROLL
            for (int j = 0; j < V; j++) {
                const simd::Vec bias_of_columns = simd::load(bias + j * kWidth);
                GPT_UNROLL
                for (int i = 0; i < R; i++) sums[i][j] += bias_of_columns;
            }
        }
        if (start) {
            GPT_UNROLL
            for (int i = 0; i < R; i++) {
                GPT_UNROLL
                for (int j = 0; j < V; j++) sums[i][j] += simd::load(start + i * ld_start + j * kWidth);
            }
        }
        GPT_UNROLL
        for (int i = 0; i < R; i++) {
            GPT_UNROLL
            for (int j = 0; j < V; j++) simd::store(c + i * ldc + j * kWidth, sums[i][j]);
        }
        return;
    }
    float tile[R][V * kWidth];
    std::memcpy(tile, sums, sizeof tile);
    for (int i = 0; i < R; i++)
        for (int j = 0; j < columns; j++) {
            const float with_bias = bias ? tile[i][j] + bias[j] : tile[i][j];
            c[i * ldc + j] = start ? with_bias + start[i * ld_start + j] : with_bias;
        }
}

// Asks for a tile that will be written. A row ends in a line of its own where ld is no multiple of a line's 16 floats.
inline void prefetch_tile(const float* tile, int64_t ld, int rows, int columns) {
    for (int i = 0; i < rows; i++, tile += ld) {
        for (int j = 0; j < columns; j += 16) __builtin_prefetch(tile + j, 1);
        __builtin_prefetch(tile + columns - 1, 1);
    }
}

// Calls f with the compile-time constant that equals n, for n in [1, Max].
template <int Max, class F>
GPT_INLINE void with_constant(int n, F&& f) {
    if constexpr (Max > 1)
        if (n < Max) return with_constant<Max - 1>(n, f);
    f(std::integral_constant<int, Max>{});
}

// ---- small products ---------------------------------------------------------------------------------------

// V vectors of columns of c, of which `columns` exist, for all rows.
template <bool a_by_rows, int V>
GPT_INLINE void small_gemm_columns(int M, int columns, int K, const float* a, int64_t lda, const float* b,
                                   int64_t ldb, float* c, int64_t ldc, bool accumulate) {
    const auto rows_of_tile = [&](auto R, int i) {
        simd::Vec sums[R()][V] = {};
        multiply_tile<a_by_rows>(sums, K, a_by_rows ? a + i * lda : a + i, lda, b, ldb);
        store_tile(sums, c + i * ldc, ldc, accumulate ? c + i * ldc : nullptr, ldc, nullptr, columns);
    };
    int i = 0;
    for (; i + kTileRows <= M; i += kTileRows) rows_of_tile(std::integral_constant<int, kTileRows>{}, i);
    if (i < M) with_constant<kTileRows - 1>(M - i, [&](auto R) { rows_of_tile(R, i); });
}

// c (M,N) = a b, or c += a b, for matrices that fit the L1 or L2 cache: one thread, nothing is packed.
//   c  in rows of ldc;  b (K,N) in rows of ldb
//   a  element (i,k) is a[i*lda + k] when a_by_rows, else a[k*lda + i]
// Fast when N is a multiple of kWidth; any size is right, and nothing outside the matrices is touched.
template <bool a_by_rows>
void small_gemm(int M, int N, int K, const float* a, int64_t lda, const float* b, int64_t ldb, float* c,
                int64_t ldc, bool accumulate) {
    using simd::kWidth;
    int j = 0;
    for (int left = N / kWidth, vecs; left > 0; left -= vecs, j += vecs * kWidth) {
        // Two and two vectors are better than three and one, which has too few sums to hide the latency of a multiply-add.
        vecs = kTileVecs == 3 && left % 3 == 1 && left > 1 ? 2 : std::min(left, kTileVecs);
        with_constant<kTileVecs>(vecs, [&](auto V) {
            small_gemm_columns<a_by_rows, V()>(M, V() * kWidth, K, a, lda, b + j, ldb, c + j, ldc,
                                               accumulate);
        });
    }
    if (j == N) return;
    // note: the last columns do not fill a vector. They are copied next to zeros, some rows of b at a time.
    constexpr int kRows = 128;
    float padded[kRows * kWidth];
    for (int k = 0; k == 0 || k < K; k += kRows) {
        const int rows = std::min(kRows, K - k);
        for (int p = 0; p < rows; p++)
            simd::store(padded + p * kWidth, simd::load_first(b + (k + p) * ldb + j, N - j));
        small_gemm_columns<a_by_rows, 1>(M, N - j, rows, a_by_rows ? a + k : a + k * lda, lda, padded, kWidth,
                                         c + j, ldc, accumulate || k > 0);
    }
}

}  // namespace cpu
