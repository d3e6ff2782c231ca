// gemm.h - matrix multiply on the CPU: multiply cuts a large product into pieces that the caches hold, and packs them
// so that the micro-kernel reads memory from front to back.
// Not here: the micro-kernel (micro_kernel.h); products of inputs that are rounded to bf16 (gemm_bf16.h); the kernels
// themselves (gemm.cpp), which say what is multiplied and what happens to a finished tile.
// Source: Goto and van de Geijn 2008, "Anatomy of high-performance matrix multiplication"; the names a, b, c and
// "panel" are theirs.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "core/parallel.h"
#include "kernels/cpu/gemm_narrow.h"
#include "kernels/cpu/micro_kernel.h"
#include "kernels/cpu/pack_memory.h"
#include "kernels/cpu/product.h"
#include "kernels/cpu/read_ahead.h"
#include "kernels/cpu/simd.h"

namespace cpu {

// ---- packing ----------------------------------------------------------------------------------------------

// b is packed in panels of up to kTileVecs vectors of columns, row after row, so that the micro-kernel reads
// a panel from front to back. Missing columns are zeros.

// What is packed next is asked for while this is packed: a weight that no cache holds comes from memory in pieces as short
// as a panel is wide, and the processor does not see the next one coming. (To ask for what lies behind the matrix does no harm.)

constexpr int kStripRows = 8;  // rows of b that are packed before the same rows of the next panel

// Rows of b that are contiguous in memory, element b[k,j] at b[k*ldb + j], into a panel of `vecs` vectors.
inline void pack_b_rows(float* panel, const float* b, int64_t ldb, int rows, int columns, int vecs) {
    using simd::kWidth;
    for (int k = 0; k < rows; k++, b += ldb)
        for (int j = 0; j < vecs * kWidth; j += kWidth, panel += kWidth) {
            __builtin_prefetch(b + kStripRows * ldb + j);
            simd::store(panel,
                        columns - j >= kWidth ? simd::load(b + j) : simd::load_first(b + j, columns - j));
        }
}

// The same from columns of b that are contiguous in memory, element b[k,j] at b[j*ldb + k].
inline void pack_b_columns(float* panel, const float* b, int64_t ldb, int rows, int columns, int vecs) {
    using simd::kWidth;
    for (int v = 0; v < vecs; v++)
        for (int k = 0; k < rows; k += kWidth) {
            const int width = std::min(kWidth, columns - v * kWidth), depth = std::min(kWidth, rows - k);
            const float* from = b + v * kWidth * ldb + k;
            simd::Vec square[kWidth] = {};
            if (width == kWidth && depth == kWidth) {
                GPT_UNROLL
                for (int j = 0; j < kWidth; j++) {
                    __builtin_prefetch(from + (kWidth + j) * ldb);
                    square[j] = simd::load(from + j * ldb);
                }
            } else {
                for (int j = 0; j < width; j++) square[j] = simd::load_first(from + j * ldb, depth);
            }
            simd::transpose(square);
            for (int r = 0; r < depth; r++) simd::store(panel + ((k + r) * vecs + v) * kWidth, square[r]);
        }
}

// Rows [0, rows) of a, given as columns (element a[i,k] at a[k*lda + i]), in panels of kTileRows:
// panel[k*kTileRows + i]. Adds every row's sum over k to row_sums unless that is nullptr.
inline void pack_a_panels(float* panels, const float* a, int64_t lda, int K, int rows, float* row_sums) {
    constexpr int kStrip = 8;  // rows of memory that are read side by side
    for (int k = 0; k < K; k += kStrip, a += kStrip * lda) {
        const int strip = std::min(kStrip, K - k);
        for (int r = 0; r < std::min(kStrip, K - k - kStrip); r++)
            for (int i = 0; i < rows; i += 16) __builtin_prefetch(a + (kStrip + r) * lda + i);
        float* panel = panels + int64_t(k) * kTileRows;
        for (int i = 0; i < rows; i += kTileRows, panel += int64_t(K) * kTileRows) {
            if (i + kTileRows <= rows)
                for (int r = 0; r < strip; r++)
                    std::memcpy(panel + r * kTileRows, a + r * lda + i, kTileRows * sizeof(float));
            else
                for (int r = 0; r < strip; r++)
                    for (int j = 0; j < rows - i; j++) panel[r * kTileRows + j] = a[r * lda + i + j];
        }
        if (row_sums) add_rows(row_sums, a, lda, strip, rows);
    }
}

// ---- the loops around the micro-kernel --------------------------------------------------------------------

// An epilogue is called on each tile of c when its sums are complete, while the tile is in the cache; its
// prefetch is called shortly before, to ask for the tile's other operands.
struct NoEpilogue {
    void prefetch(int64_t, int64_t, int, int) const {}
    void operator()(float*, int64_t, int64_t, int, int) const {}
};

// One tile of c, R rows x V vectors. The only function that does arithmetic; all the others decide where.
template <bool a_by_rows, int R, int V>
__attribute__((noinline)) void tile_kernel(int K, const float* a, int64_t lda, const float* b_panel, float* c,
                                           const float* start, const float* bias, int64_t ldc, int columns) {
    simd::Vec sums[R][V] = {};
    // note: of a packed a lda is kTileRows; as a constant it costs no arithmetic in the loop
    multiply_tile<a_by_rows>(sums, K, a, a_by_rows ? lda : kTileRows, b_panel, V * simd::kWidth);
    store_tile(sums, c, ldc, start, ldc, bias, columns);
}

using TileKernel = decltype(&tile_kernel<true, 1, 1>);

template <bool a_by_rows>
TileKernel tile_kernel_for(int rows, int vecs) {
    TileKernel kernel = nullptr;
    with_constant<kTileRows>(rows, [&](auto R) {
        with_constant<kTileVecs>(vecs, [&](auto V) { kernel = tile_kernel<a_by_rows, R(), V()>; });
    });
    return kernel;
}

// The sum of an element is taken in blocks of k, whose length depends on K alone. A panel of AVX2's 16 columns stays in the L1
// cache (24 KiB). One of AVX-512's 48 does so only where c is read and written too often; it comes from the L2 cache as fast.
constexpr int kBlockK = kTileVecs * simd::kWidth <= 16 ? 384 : 768;
// Rows of a that stay in the L2 cache while the panels of b pass by.
constexpr int kBlockRows = 192;
// Floats of b up to which each thread packs for itself (256 KiB).
constexpr int64_t kSmallFloats = 1 << 16;
// Panels of b that a thread packs for itself where threads share columns: with fewer, a product with a long k reads all of a
// from memory more often; with more, the packed block no longer fits the L2 cache.
constexpr int64_t kOwnPanels = 8;
// Rows of a up to which it is read again for every few columns (with AVX2, measured: it pays at 256, and costs at 4096).
constexpr int64_t kRereadRows = 1024;

// How c is cut into tasks: `rows` x `columns` of them, each of at most `tiles` tiles of rows and `panels`
// panels. It may depend on the number of threads, since it changes no sum.
struct Grid {
    int64_t rows = 1, columns = 1, tiles, panels;

    Grid(int64_t all_tiles, int64_t all_panels, bool a_by_rows) : tiles(all_tiles), panels(all_panels) {
        const int64_t threads = parallel::num_threads(),
                      fewest_rows = ceil_div(all_tiles * kTileRows, kBlockRows);
        // note: in units of one tile times one panel. To bring a panel into the L1 cache costs about 0.7 of
        // that, to pack a tile of a about 2.
        const double load = 0.7, pack = a_by_rows ? 0 : 2;
        double best = 1e300;
        for (int64_t c = 1; c <= std::min(threads, all_panels); c *= 2)
            for (int64_t r = fewest_rows; r <= std::min(fewest_rows + 2 * threads, all_tiles); r++) {
                const int64_t t = ceil_div(all_tiles, r), p = ceil_div(all_panels, c);
                const int64_t tasks_of_a_thread =
                    ceil_div(ceil_div(all_tiles, t) * ceil_div(all_panels, p), threads);
                const double time =
                    double(tasks_of_a_thread) * ((double(t) + load) * double(p) + pack * double(t));
                if (time >= best) continue;
                best = time, tiles = t, panels = p;
            }
        rows = ceil_div(all_tiles, tiles), columns = ceil_div(all_panels, panels);
    }
};

// At most so many rows are multiplied without packing.
constexpr int kFewRows = 4;

inline bool is_few_rows(const Product& p) {
    return p.M <= kFewRows && p.a_by_rows && !p.b_by_rows;
}

// A product cut into chunks of b that are packed at once, blocks of k, and blocks of rows.
template <class Epilogue>
struct BlockedProduct {
    const Product& p;
    const Epilogue& epilogue;
    int64_t block_k = 0, chunk_k = 0, chunk_n = 0;

    BlockedProduct(const Product& p, const Epilogue& epilogue) : p(p), epilogue(epilogue) {
        const int64_t K = std::max<int64_t>(p.K, 1);
        block_k = ceil_div(ceil_div(K, ceil_div(K, kBlockK)), 8) * 8;
        chunk_k = K, chunk_n = p.N;
        if (K * p.N > kChunkFloats) {
            chunk_n = std::min(p.N, std::max(kChunkColumns, kChunkFloats / K / 48 * 48));  // 48: whole panels
            chunk_k = std::min(K, std::max<int64_t>(1, kChunkFloats / chunk_n / block_k) * block_k);
        }
    }

    void run() const {
        if (const int64_t own = own_panels()) return run_by_columns(own);
        for (int64_t column0 = 0; column0 < p.N; column0 += chunk_n) {
            const Panels panels(std::min(chunk_n, p.N - column0));
            float* packed_b = packed_b_memory(panels.vecs * simd::kWidth * chunk_k);
            for (int64_t k0 = 0; k0 == 0 || k0 < p.K; k0 += chunk_k) {
                const int64_t k1 = std::min(p.K, k0 + chunk_k);
                // note: a small b is packed by each thread for itself. It takes no longer than to wait for one
                // that does, and no other core's cache has to be asked for it.
                const bool is_small = (k1 - k0) * panels.columns <= kSmallFloats;
                std::vector<char> has_packed(is_small ? size_t(parallel::num_threads()) : 0);
                if (!is_small) pack_chunk(packed_b, panels, column0, k0, k1);
                const Grid grid(ceil_div(p.M, kTileRows), panels.count, p.a_by_rows);
                parallel_for(grid.rows * grid.columns, [&](int64_t task) {
                    float* b = packed_b;
                    if (is_small) {
                        b = packed_b_memory(panels.vecs * simd::kWidth * chunk_k);
                        char& is_packed = has_packed[size_t(parallel::this_thread())];
                        if (!is_packed) pack_chunk(b, panels, column0, k0, k1);
                        is_packed = true;
                    }
                    const int64_t row = task / grid.columns, column = task % grid.columns;
                    const int64_t row0 = row * grid.tiles * kTileRows, panel0 = column * grid.panels;
                    ReadAhead nothing;
                    multiply_task(b, panels, column0, k0, k1, row0,
                                  int(std::min(grid.tiles * kTileRows, p.M - row0)), panel0,
                                  std::min(panel0 + grid.panels, panels.count), nothing);
                });
            }
        }
    }

    // Panels that a thread packs and multiplies at a time where threads share the columns of b and nothing else; 0 where
    // they do better to pack b together and share the rows: a has to be packed, too, or b is small, or there are too few
    // columns to give all threads the same, or a is long and kOwnPanels are few columns (128 with AVX2, 384 with AVX-512).
    // note: to share the columns reads a once for each task's columns, to share the rows reads b once for every kBlockRows.
    int64_t own_panels() const {
        if (!p.a_by_rows || p.K * p.N <= kSmallFloats) return 0;
        const int64_t threads = parallel::num_threads(), count = ceil_div(p.N, kTileVecs * simd::kWidth);
        const int64_t tasks = ceil_div(count, threads * kOwnPanels), own = ceil_div(count, threads * tasks);
        const bool can_reread_a = p.M <= kRereadRows || own * kTileVecs * simd::kWidth >= kBlockRows;
        return can_reread_a && own > 1 && threads * tasks * own <= count + count / 16 ? own : 0;
    }

    // A task packs its columns of b, a block of k at a time, and multiplies them with all rows: nobody waits for anybody, and
    // no packed number travels from one core's cache to another's. Memory brings the next block meanwhile.
    void run_by_columns(int64_t own) const {
        const int64_t columns = own * kTileVecs * simd::kWidth;
        const int64_t rows = ceil_div(ceil_div(p.M, ceil_div(p.M, kBlockRows)), kTileRows) * kTileRows;
        parallel_for(ceil_div(p.N, columns), [&](int64_t task) {
            const int64_t column0 = task * columns;
            const Panels panels(std::min(columns, p.N - column0));
            float* packed_b = packed_b_memory(columns * block_k);
            for (int64_t k = 0; k == 0 || k < p.K; k += block_k) {
                const int64_t k1 = std::min(p.K, k + block_k);
                pack_chunk(packed_b, panels, column0, k, k1);
                ReadAhead next =
                    k1 < p.K ? block_of_b(column0, columns, k1) : block_of_b(column0 + columns, columns, 0);
                for (int64_t row0 = 0; row0 < p.M; row0 += rows)
                    multiply_task(packed_b, panels, column0, k, k1, row0, int(std::min(rows, p.M - row0)), 0,
                                  panels.count, next);
            }
        });
    }

    // The block of k that begins there, of so many columns of b, to be asked for while the one before is multiplied. (The last
    // task of a thread's share asks for another thread's columns, in vain.)
    ReadAhead block_of_b(int64_t column0, int64_t columns, int64_t k) const {
        const int64_t rows = depth(k, p.K);
        columns = std::min(columns, p.N - column0);
        if (columns <= 0) return {};
        const int64_t tiles = ceil_div(p.M, kTileRows) * Panels(columns).count;
        return p.b_by_rows ? ReadAhead(p.b + k * p.ldb + column0, p.ldb, rows, columns, tiles)
                           : ReadAhead(p.b + column0 * p.ldb + k, p.ldb, columns, rows, tiles);
    }

    int depth(int64_t k, int64_t k1) const { return int(std::min(block_k, k1 - k)); }

    // Where a panel of the block that begins at k is, in the packed chunk of b that holds [k0, k1).
    float* panel_of(float* packed_b, const Panels& panels, int64_t k0, int64_t k1, int64_t k,
                    int64_t panel) const {
        return packed_b + (k - k0) * panels.vecs * simd::kWidth + panels.first_column(panel) * depth(k, k1);
    }

    void pack_chunk(float* packed_b, const Panels& panels, int64_t column0, int64_t k0, int64_t k1) const {
        const auto pack = [&](int64_t panel, int64_t k, int rows) {
            const int64_t block = k - (k - k0) % block_k, column = column0 + panels.first_column(panel);
            float* to = panel_of(packed_b, panels, k0, k1, block, panel) +
                        (k - block) * panels.vecs_of(panel) * simd::kWidth;
            const int columns = panels.columns_of(panel), vecs = panels.vecs_of(panel);
            if (p.b_by_rows)
                pack_b_rows(to, p.b + k * p.ldb + column, p.ldb, rows, columns, vecs);
            else
                pack_b_columns(to, p.b + column * p.ldb + k, p.ldb, rows, columns, vecs);
        };
        // note: a task reads memory in its order: some rows through all panels, or the columns of one panel
        const int64_t tasks = p.b_by_rows ? ceil_div(k1 - k0, kStripRows) : panels.count;
        const auto task = [&](int64_t t) {
            if (p.b_by_rows) {
                const int64_t k = k0 + t * kStripRows;
                for (int64_t panel = 0; panel < panels.count; panel++)
                    pack(panel, k, int(std::min<int64_t>(kStripRows, k1 - k)));
            } else {
                for (int64_t k = k0; k < k1; k += block_k) pack(t, k, depth(k, k1));
            }
        };
        parallel_for(tasks, task);  // within a task of another loop: all of them on this thread
    }

    // Rows [row0, row0 + rows) of c x the panels [panel0, panel1).
    void multiply_task(float* packed_b, const Panels& panels, int64_t column0, int64_t k0, int64_t k1,
                       int64_t row0, int rows, int64_t panel0, int64_t panel1, ReadAhead& next) const {
        for (int64_t k = k0; k == k0 || k < k1; k += block_k) {
            const int K = depth(k, k1);
            const float* a = p.a + (p.a_by_rows ? row0 * p.lda + k : k * p.lda + row0);
            int64_t lda = p.lda, tile_step = kTileRows * p.lda;
            if (!p.a_by_rows) {
                float* packed_a = packed_a_memory(ceil_div(rows, kTileRows) * int64_t(K) * kTileRows);
                const bool sums_are_mine = p.row_sums && column0 == 0 && panel0 == 0;
                pack_a_panels(packed_a, a, p.lda, K, rows, sums_are_mine ? p.row_sums + row0 : nullptr);
                a = packed_a, lda = kTileRows, tile_step = int64_t(K) * kTileRows;
            }
            for (int64_t panel = panel0; panel < panel1; panel++)
                multiply_panel(a, lda, tile_step, panel_of(packed_b, panels, k0, k1, k, panel), k, K, row0,
                               rows, column0 + panels.first_column(panel), panels.columns_of(panel),
                               panels.vecs_of(panel), next);
        }
    }

    // The tiles of one panel of b and `rows` rows of a, for K steps from k on.
    void multiply_panel(const float* a, int64_t lda, int64_t tile_step, const float* b_panel, int64_t k,
                        int K, int64_t row0, int rows, int64_t column, int columns, int vecs,
                        ReadAhead& next) const {
        const float* start = k == 0 ? p.start : p.c;
        const float* bias = k == 0 && p.bias ? p.bias + column : nullptr;
        const bool is_last = k + K >= p.K;
        const auto kernel_for = p.a_by_rows ? tile_kernel_for<true> : tile_kernel_for<false>;
        TileKernel kernel = kernel_for(kTileRows, vecs);
        for (int i = 0; i < rows; i += kTileRows, a += tile_step) {
            const int tile_rows = std::min(kTileRows, rows - i);
            if (tile_rows < kTileRows) kernel = kernel_for(tile_rows, vecs);
            const int64_t at = (row0 + i) * p.N + column;
            next.step();
            prefetch_tile(start ? start + at : p.c + at, p.N, tile_rows, columns);
            if (is_last) epilogue.prefetch(row0 + i, column, tile_rows, columns);
            kernel(K, a, lda, b_panel, p.c + at, start ? start + at : nullptr, bias, p.N, columns);
            if (is_last) epilogue(p.c + at, row0 + i, column, tile_rows, columns);
        }
    }
};

// A few rows of a times columns of b that are contiguous: packing b would cost more than the product. Every
// element is one dot product, read from memory once: how fast that is decides how fast a model writes its
// text.
template <class Epilogue>
void multiply_few_rows(const Product& p, const Epilogue& epilogue) {
    using simd::kWidth;
    constexpr int kSums = 4;  // to hide the latency of the additions
    const auto dot = [K = p.K](const float* x, const float* y) {
        simd::Vec sums[kSums] = {};
        int64_t k = 0;
        for (; k + kSums * kWidth <= K; k += kSums * kWidth) {
            GPT_UNROLL
            for (int v = 0; v < kSums; v++)
                sums[v] += simd::load(x + k + v * kWidth) * simd::load(y + k + v * kWidth);
        }
        for (; k + kWidth <= K; k += kWidth) sums[0] += simd::load(x + k) * simd::load(y + k);
        float total = simd::sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
        for (; k < K; k++) total += x[k] * y[k];
        return total;
    };
    constexpr int64_t kFloatsPerTask = 1 << 15;
    const int64_t grain = std::max<int64_t>(kWidth, kFloatsPerTask / std::max<int64_t>(p.K, 1));
    parallel_ranges(p.N, grain, [&](int64_t column0, int64_t column1) {
        for (int64_t j = column0; j < column1; j++)
            for (int64_t i = 0; i < p.M; i++) {
                const float sum = dot(p.a + i * p.lda, p.b + j * p.ldb) + (p.bias ? p.bias[j] : 0.f);
                p.c[i * p.N + j] = p.start ? p.start[i * p.N + j] + sum : sum;
            }
        epilogue(p.c + column0, 0, column0, int(p.M), int(column1 - column0));
    });
}

// c = start + bias + a b on all threads. Every element is one sum over k in increasing order, in blocks that
// depend on K alone, so that neither threads nor the place in the matrix change a bit of it.
template <class Epilogue = NoEpilogue>
void multiply(const Product& p, const Epilogue& epilogue = {}) {
    if (p.M == 0 || p.N == 0) return;
    if (is_few_rows(p))
        multiply_few_rows(p, epilogue);
    else if (std::is_same_v<Epilogue, NoEpilogue> && is_narrow(p))
        multiply_narrow(p);
    else
        BlockedProduct<Epilogue>(p, epilogue).run();
}

}  // namespace cpu
