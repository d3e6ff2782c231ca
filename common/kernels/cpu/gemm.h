// gemm.h - matrix multiply on the CPU: the micro-kernel, small_gemm for matrices that are already in the cache, and
// multiply, which cuts a large product into pieces that are.
// Not here: the kernels themselves (gemm.cpp), which say what is multiplied and what happens to a finished tile.
// Source: Goto and van de Geijn 2008, "Anatomy of high-performance matrix multiplication"; the names a, b, c, "panel"
// and "micro-kernel" are theirs.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <type_traits>

#include "core/check.h"
#include "core/parallel.h"
#include "kernels/cpu/simd.h"

namespace cpu {

// ---- the micro-kernel -----------------------------------------------------------------------------------------------

// A tile of c is kTileRows x kTileVecs vectors: all its sums stay in registers while k runs. Each step of k reads
// kTileVecs vectors of b and kTileRows single numbers of a, and multiplies all with all.
#if defined(__AVX512F__) || defined(__aarch64__)  // 32 registers: 24 sums, 3 of b, the rest for a
constexpr int kTileRows = 8, kTileVecs = 3;
#else  // 16 registers: 12 sums, 2 of b, one or two for a
constexpr int kTileRows = 6, kTileVecs = 2;
#endif

// sums[i][j] += a[i,k] b[k,j] over k. Element a[i,k] is a[i*lda + k] when a_by_rows, else a[k*lda + i].
template <bool a_by_rows, int R, int V>
GPT_INLINE void multiply_tile(simd::Vec (&sums)[R][V], int K, const float* a, int64_t lda, const float* b,
                              int64_t ldb) {
    for (int k = 0; k < K; k++) {
        simd::Vec b_row[V];
        GPT_UNROLL
        for (int j = 0; j < V; j++) b_row[j] = simd::load(b + j * simd::kWidth);
        GPT_UNROLL
        for (int i = 0; i < R; i++) {
            const float x = a_by_rows ? a[i * lda] : a[i];
            GPT_UNROLL
            for (int j = 0; j < V; j++) sums[i][j] += x * b_row[j];
        }
        a += a_by_rows ? 1 : lda;
        b += ldb;
    }
}

// c = start + bias + sums, where start and bias may be nullptr and start may be c. Only the first `columns` of the
// tile's V * kWidth exist.
template <int R, int V>
GPT_INLINE void store_tile(simd::Vec (&sums)[R][V], float* c, int64_t ldc, const float* start, int64_t ld_start,
                           const float* bias, int columns) {
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

// Calls f with the compile-time constant that equals n, for n in [1, Max].
template <int Max, class F>
GPT_INLINE void with_constant(int n, F&& f) {
    if constexpr (Max > 1)
        if (n < Max) return with_constant<Max - 1>(n, f);
    f(std::integral_constant<int, Max>{});
}

// ---- small products -------------------------------------------------------------------------------------------------

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
void small_gemm(int M, int N, int K, const float* a, int64_t lda, const float* b, int64_t ldb, float* c, int64_t ldc,
                bool accumulate) {
    using simd::kWidth;
    int j = 0;
    for (; j + kTileVecs * kWidth <= N; j += kTileVecs * kWidth)
        small_gemm_columns<a_by_rows, kTileVecs>(M, kTileVecs * kWidth, K, a, lda, b + j, ldb, c + j, ldc, accumulate);
    if (N - j >= kWidth) {
        const int vecs = (N - j) / kWidth;
        with_constant<kTileVecs - 1>(vecs, [&](auto V) {
            small_gemm_columns<a_by_rows, V()>(M, V() * kWidth, K, a, lda, b + j, ldb, c + j, ldc, accumulate);
        });
        j += vecs * kWidth;
    }
    if (j == N) return;
    // note: the last columns do not fill a vector. They are copied next to zeros, some rows of b at a time.
    constexpr int kRows = 128;
    float padded[kRows * kWidth];
    for (int k = 0; k == 0 || k < K; k += kRows) {
        const int rows = std::min(kRows, K - k);
        for (int p = 0; p < rows; p++)
            simd::store(padded + p * kWidth, simd::load_first(b + (k + p) * ldb + j, N - j));
        small_gemm_columns<a_by_rows, 1>(M, N - j, rows, a_by_rows ? a + k : a + k * lda, lda, padded, kWidth, c + j,
                                         ldc, accumulate || k > 0);
    }
}

// ---- packing --------------------------------------------------------------------------------------------------------

// A panel of b: up to kTileVecs vectors of columns, stored row after row, so that the micro-kernel reads it from front
// to back. Missing columns are zeros. Element b[k,j] is b[k*ldb + j] when b_by_rows, else b[j*ldb + k].
inline void pack_b_panel(float* panel, const float* b, int64_t ldb, bool b_by_rows, int K, int columns, int vecs) {
    using simd::kWidth;
    const int width = vecs * kWidth;
    if (b_by_rows) {
        for (int k = 0; k < K; k++, panel += width, b += ldb)
            for (int j = 0; j < width; j += kWidth)
                simd::store(panel + j, columns - j >= kWidth ? simd::load(b + j)
                                                             : simd::load_first(b + j, std::max(columns - j, 0)));
        return;
    }
    for (int j = 0; j < width; j += kWidth) {
        const int rows = std::clamp(columns - j, 0, kWidth);
        for (int k = 0; k < K; k += kWidth) {
            const int depth = std::min(kWidth, K - k);
            simd::Vec square[kWidth] = {};
            if (rows == kWidth && depth == kWidth) {
                GPT_UNROLL
                for (int r = 0; r < kWidth; r++) square[r] = simd::load(b + (j + r) * ldb + k);
            } else {
                for (int r = 0; r < rows; r++) square[r] = simd::load_first(b + (j + r) * ldb + k, depth);
            }
            simd::transpose(square);
            for (int r = 0; r < depth; r++) simd::store(panel + (k + r) * width + j, square[r]);
        }
    }
}

// Floats between two packed panels of a: one vector more than they hold, since copies write whole vectors.
inline int64_t a_panel_stride(int K) { return int64_t(K) * kTileRows + simd::kWidth; }

// Rows [0, rows) of a, given as columns (element a[i,k] is a[k*lda + i]), in panels of kTileRows: panel[k*kTileRows + i].
// Adds every row's sum over k to row_sums unless that is nullptr.
inline void pack_a_panels(float* panels, const float* a, int64_t lda, int K, int rows, float* row_sums) {
    using simd::kWidth;
    constexpr int kVecs = (kTileRows + kWidth - 1) / kWidth;
    for (int k = 0; k < K; k++, a += lda) {
        float* to = panels + int64_t(k) * kTileRows;
        int i = 0;
        // subtle: whole vectors are copied, so a copy may write over the first numbers of the next k of its panel; they
        // are written again right after, for k + 1.
        for (; i + kVecs * kWidth <= rows; i += kTileRows, to += a_panel_stride(K))
            for (int j = 0; j < kVecs; j++) simd::store(to + j * kWidth, simd::load(a + i + j * kWidth));
        for (; i < rows; i += kTileRows, to += a_panel_stride(K))
            std::memcpy(to, a + i, size_t(std::min(kTileRows, rows - i)) * sizeof(float));
        if (!row_sums) continue;
        for (i = 0; i + kWidth <= rows; i += kWidth)
            simd::store(row_sums + i, simd::load(row_sums + i) + simd::load(a + i));
        for (; i < rows; i++) row_sums[i] += a[i];
    }
}

// Memory that is kept between calls, per thread, and grows to the largest that was asked for.
class Scratch {
  public:
    Scratch() = default;
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    ~Scratch() { std::free(memory_); }

    float* get(int64_t floats) {
        if (floats > capacity_) {
            std::free(memory_);
            capacity_ = (floats + 15) / 16 * 16;
            memory_ = static_cast<float*>(std::aligned_alloc(64, size_t(capacity_) * sizeof(float)));
            CHECK(memory_, "[gemm] no memory for %lld packed floats", static_cast<long long>(capacity_));
        }
        return memory_;
    }

  private:
    float* memory_ = nullptr;
    int64_t capacity_ = 0;
};

// ---- the loops around the micro-kernel ------------------------------------------------------------------------------

// What to multiply: c = start + bias + a b.
struct Product {
    int64_t M, N, K;
    const float* a;  // element (i,k) is a[i*lda + k] when a_by_rows, else a[k*lda + i]
    int64_t lda;
    bool a_by_rows;
    const float* b;  // element (k,j) is b[k*ldb + j] when b_by_rows, else b[j*ldb + k]
    int64_t ldb;
    bool b_by_rows;
    float* c;  // (M,N) in rows of N
    const float* start = nullptr;  // (M,N); may be c: then the product is added to what is there
    const float* bias = nullptr;   // (N)
    float* row_sums = nullptr;     // (M), += the sums of a's rows; only where a is given by columns
};

// The multiply leaves each tile of c to an epilogue when its sums are complete, while the tile is in the cache.
struct NoEpilogue {
    void prefetch(int64_t, int64_t, int, int) const {}
    void operator()(float*, int64_t, int64_t, int, int) const {}
};

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The columns [0, columns) in panels: as many full ones as possible, except that two panels of two vectors are better
// than one of three and one of one, which could not hide the latency of its few sums.
struct Panels {
    int64_t columns, vecs, full, count;

    explicit Panels(int64_t columns) : columns(columns), vecs(ceil_div(columns, simd::kWidth)), full(vecs / kTileVecs) {
        const int64_t rest = vecs % kTileVecs;
        if (kTileVecs == 3 && rest == 1 && full > 0) full--;
        count = full + ceil_div(vecs - full * kTileVecs, kTileVecs == 3 ? 2 : kTileVecs);
    }
    int64_t first_vec(int64_t panel) const {
        return panel <= full ? panel * kTileVecs : full * kTileVecs + (panel - full) * 2;
    }
    int vecs_of(int64_t panel) const { return int(std::min<int64_t>(first_vec(panel + 1), vecs) - first_vec(panel)); }
    int64_t first_column(int64_t panel) const { return first_vec(panel) * simd::kWidth; }
    int columns_of(int64_t panel) const {
        return int(std::min(columns - first_column(panel), int64_t(vecs_of(panel)) * simd::kWidth));
    }
};

// Sizes of the pieces. A panel of b, kBlockK deep, stays in the L1 cache while a block of a's rows passes by; the block
// stays in the L2 cache while the panels pass by; all panels of a chunk are packed before they are used.
constexpr int kBlockK = 384;
constexpr int kBlockRows = 96;
constexpr int64_t kChunkFloats = int64_t(5) << 19;  // 10 MiB of packed b

inline void prefetch_tile(const float* tile, int64_t ld, int rows, int columns) {
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j += 16) __builtin_prefetch(tile + i * ld + j, 1);
}

// One block of c: rows [0, rows) x the panels [first_panel, last_panel), for the k of one block.
template <bool a_by_rows, class Epilogue>
void multiply_block(const Product& p, const Epilogue& epilogue, const float* a, int64_t lda, int64_t a_tile_step,
                    const float* b, int K, int64_t row0, int rows, int64_t column0, const Panels& panels,
                    int64_t first_panel, int64_t last_panel, const float* start, const float* bias, bool is_last) {
    for (int64_t panel = first_panel; panel < last_panel; panel++) {
        const int64_t column = column0 + panels.first_column(panel);
        const int columns = panels.columns_of(panel);
        const float* b_panel = b + panels.first_column(panel) * K;
        with_constant<kTileVecs>(panels.vecs_of(panel), [&](auto V) {
            const auto one_tile = [&](auto R, int i) {
                float* c = p.c + (row0 + i) * p.N + column;
                const float* tile_start = start ? start + (row0 + i) * p.N + column : nullptr;
                prefetch_tile(start ? tile_start : c, p.N, R(), columns);
                if (is_last) epilogue.prefetch(row0 + i, column, R(), columns);
                simd::Vec sums[R()][V()] = {};
                multiply_tile<a_by_rows>(sums, K, a + i / kTileRows * a_tile_step, lda, b_panel, V() * simd::kWidth);
                store_tile(sums, c, p.N, tile_start, p.N, bias ? bias + column : nullptr, columns);
                if (is_last) epilogue(c, row0 + i, column, R(), columns);
            };
            int i = 0;
            for (; i + kTileRows <= rows; i += kTileRows) one_tile(std::integral_constant<int, kTileRows>{}, i);
            if (i < rows) with_constant<kTileRows - 1>(rows - i, [&](auto R) { one_tile(R, i); });
        });
    }
}

// c = start + bias + a b on all threads. Every element is one sum over k in increasing order, in blocks whose size
// depends on K alone, so neither threads nor the place in the matrix change it.
template <class Epilogue = NoEpilogue>
void multiply(const Product& p, const Epilogue& epilogue = {}) {
    static thread_local Scratch packed_b_scratch;
    if (p.M == 0 || p.N == 0) return;
    const int64_t block_count = std::max<int64_t>(1, ceil_div(p.K, kBlockK));
    const int64_t block_k = std::max<int64_t>(8, ceil_div(ceil_div(p.K, block_count), 8) * 8);
    const int threads = parallel::num_threads();

    // chunks of b that are packed at once
    int64_t chunk_k = p.K, chunk_n = p.N;
    if (p.K * p.N > kChunkFloats) {
        chunk_n = std::min<int64_t>(p.N, std::max<int64_t>(3072, kChunkFloats / p.K / 48 * 48));
        chunk_k = std::min(p.K, std::max<int64_t>(1, kChunkFloats / chunk_n / block_k) * block_k);
    }

    for (int64_t column0 = 0; column0 < p.N; column0 += chunk_n) {
        const Panels panels(std::min(chunk_n, p.N - column0));
        const int64_t padded_columns = panels.vecs * simd::kWidth;
        float* packed_b = packed_b_scratch.get(padded_columns * chunk_k);

        for (int64_t k0 = 0; k0 == 0 || k0 < p.K; k0 += chunk_k) {
            const int64_t k1 = std::min(p.K, k0 + chunk_k);
            const int64_t blocks = ceil_div(k1 - k0, block_k);
            parallel_for(blocks * panels.count, [&](int64_t task) {
                const int64_t panel = task % panels.count, k = k0 + task / panels.count * block_k;
                const int K = int(std::min(block_k, k1 - k));
                const int64_t column = column0 + panels.first_column(panel);
                pack_b_panel(packed_b + (k - k0) * padded_columns + panels.first_column(panel) * K,
                             p.b + (p.b_by_rows ? k * p.ldb + column : column * p.ldb + k), p.ldb, p.b_by_rows, K,
                             panels.columns_of(panel), panels.vecs_of(panel));
            });

            // the blocks of c: a multiple of the number of threads, of nearly equal size
            const int64_t tile_rows = ceil_div(p.M, kTileRows);
            int64_t row_blocks = ceil_div(ceil_div(p.M, kBlockRows), threads) * threads;
            row_blocks = std::min(row_blocks, tile_rows);
            const int64_t rows_per_block = ceil_div(tile_rows, std::max<int64_t>(1, row_blocks)) * kTileRows;
            row_blocks = ceil_div(p.M, rows_per_block);
            const int64_t groups = 1;
            parallel_for(row_blocks * groups, [&](int64_t task) {
                static thread_local Scratch packed_a_scratch;
                const int64_t row0 = task % row_blocks * rows_per_block, group = task / row_blocks;
                const int rows = int(std::min(rows_per_block, p.M - row0));
                const int64_t first_panel = panels.count * group / groups, last_panel = panels.count * (group + 1) / groups;
                for (int64_t k = k0; k == k0 || k < k1; k += block_k) {
                    const int K = int(std::min(block_k, k1 - k));
                    const float* start = k == 0 ? p.start : p.c;
                    const float* bias = k == 0 ? p.bias : nullptr;
                    const bool is_last = k + K >= p.K;
                    const float* b = packed_b + (k - k0) * padded_columns;
                    if (p.a_by_rows) {
                        multiply_block<true>(p, epilogue, p.a + row0 * p.lda + k, p.lda, kTileRows * p.lda, b, K, row0,
                                             rows, column0, panels, first_panel, last_panel, start, bias, is_last);
                        continue;
                    }
                    float* packed_a = packed_a_scratch.get(ceil_div(rows, kTileRows) * a_panel_stride(K));
                    const bool wants_sums = p.row_sums && column0 == 0 && group == 0;
                    pack_a_panels(packed_a, p.a + k * p.lda + row0, p.lda, K, rows,
                                  wants_sums ? p.row_sums + row0 : nullptr);
                    multiply_block<false>(p, epilogue, packed_a, kTileRows, a_panel_stride(K), b, K, row0, rows,
                                          column0, panels, first_panel, last_panel, start, bias, is_last);
                }
            });
        }
    }
}

}  // namespace cpu
