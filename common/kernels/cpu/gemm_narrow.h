// gemm_narrow.h - c += a^T b for two matrices with many rows and few columns: the weight gradients of a small model,
// thousands of rows of activations and some hundred channels. Nothing is packed: a copy of either matrix would be
// used for a few tiles only, and cost a fifth of the product.
// Not here: everything else, which is packed (gemm.h); the micro-kernel (micro_kernel.h).
#pragma once
#include <algorithm>
#include <cstdint>

#include "core/parallel.h"
#include "kernels/cpu/micro_kernel.h"
#include "kernels/cpu/product.h"

namespace cpu {

// Rows of a and b that are multiplied before the next ones are touched: those of one panel of b fit the L1 cache.
constexpr int kNarrowBlockK = 96;
// Widest matrix for which this pays. The micro-kernel steps down the rows of a and of b, and wider rows lie on
// different pages, each of which has to be looked up.
constexpr int64_t kNarrowColumns = 512;

inline bool is_narrow(const Product& p) {
    return !p.a_by_rows && p.b_by_rows && p.M <= kNarrowColumns && p.N <= kNarrowColumns &&
           p.N % simd::kWidth == 0 && !p.bias && p.K > 0;
}

template <int R, int V>
__attribute__((noinline)) void narrow_tile(int K, const float* a, int64_t lda, const float* b, int64_t ldb,
                                           float* c, const float* start, int64_t ldc) {
    simd::Vec sums[R][V] = {};
    multiply_tile<false>(sums, K, a, lda, b, ldb);
    store_tile(sums, c, ldc, start, ldc, nullptr, V * simd::kWidth);
}

// Columns [row0, row0 + rows) of a and the panels [panel0, panel1) of b: a task's own part of c.
inline void multiply_narrow_task(const Product& p, const Panels& panels, int64_t row0, int64_t rows,
                                 int64_t panel0, int64_t panel1) {
    for (int64_t k = 0; k < p.K; k += kNarrowBlockK) {
        const int depth = int(std::min<int64_t>(kNarrowBlockK, p.K - k));
        const float *a = p.a + k * p.lda + row0, *b = p.b + k * p.ldb;
        const float* start = k == 0 ? p.start : p.c;
        if (p.row_sums && panel0 == 0) add_rows(p.row_sums + row0, a, p.lda, depth, rows);
        for (int64_t panel = panel0; panel < panel1; panel++)
            with_constant<kTileVecs>(panels.vecs_of(panel), [&](auto V) {
                for (int64_t i = 0; i < rows; i += kTileRows)
                    with_constant<kTileRows>(int(std::min<int64_t>(kTileRows, rows - i)), [&](auto R) {
                        const int64_t column = panels.first_column(panel), at = (row0 + i) * p.N + column;
                        narrow_tile<R(), V()>(depth, a + i, p.lda, b + column, p.ldb, p.c + at,
                                              start ? start + at : nullptr, p.N);
                    });
            });
    }
}

// c = start + a b, given that is_narrow(p). Tasks are rows of c where there are enough, else panels, too.
inline void multiply_narrow(const Product& p) {
    const Panels panels(p.N);
    const int64_t threads = parallel::num_threads(), tiles = ceil_div(p.M, kTileRows);
    const int64_t tiles_of_a_task = ceil_div(tiles, threads), row_tasks = ceil_div(tiles, tiles_of_a_task);
    const int64_t panels_of_a_task = ceil_div(panels.count, ceil_div(threads, row_tasks));
    const int64_t panel_tasks = ceil_div(panels.count, panels_of_a_task);
    parallel_for(row_tasks * panel_tasks, [&](int64_t task) {
        const int64_t row0 = task % row_tasks * tiles_of_a_task * kTileRows;
        const int64_t panel0 = task / row_tasks * panels_of_a_task;
        multiply_narrow_task(p, panels, row0, std::min(tiles_of_a_task * kTileRows, p.M - row0), panel0,
                             std::min(panel0 + panels_of_a_task, panels.count));
    });
}

}  // namespace cpu
