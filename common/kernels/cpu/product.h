// product.h - what a matrix multiply is asked for, and how its columns are cut into panels as wide as the micro-kernel's
// tile.
// Not here: how it is done (gemm.h, gemm_narrow.h).
#pragma once
#include <algorithm>
#include <cstdint>

#include "kernels/cpu/micro_kernel.h"

namespace cpu {

// What to multiply: c = start + bias + a b.
struct Product {
    int64_t M, N, K;
    const float* a;  // element (i,k) is a[i*lda + k] when a_by_rows, else a[k*lda + i]
    int64_t lda;
    bool a_by_rows;
    const float* b;  // element (k,j) is b[k*ldb + j] when b_by_rows, else b[j*ldb + k]
    int64_t ldb;
    bool b_by_rows;
    float* c;                      // (M,N)
    const float* start = nullptr;  // (M,N); may be c: then the product is added to what is there
    const float* bias = nullptr;   // (N)
    float* row_sums = nullptr;     // (M), += the sums of a's rows over k; only where a is given by columns
};

inline int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

// Columns cut into panels of kTileVecs vectors. The rest makes one narrower panel, except that two panels of
// two vectors are better than three and one: a single vector has too few sums to hide the latency of a
// multiply-add.
struct Panels {
    int64_t columns, vecs, full, count;

    explicit Panels(int64_t columns)
        : columns(columns), vecs(ceil_div(columns, simd::kWidth)), full(vecs / kTileVecs) {
        if (kTileVecs == 3 && vecs % 3 == 1 && full > 0) full--;
        count = full + ceil_div(vecs - full * kTileVecs, 2);
    }
    int64_t first_vec(int64_t panel) const {
        return std::min(vecs, panel <= full ? panel * kTileVecs : full * kTileVecs + (panel - full) * 2);
    }
    int vecs_of(int64_t panel) const { return int(first_vec(panel + 1) - first_vec(panel)); }
    int64_t first_column(int64_t panel) const { return first_vec(panel) * simd::kWidth; }
    int columns_of(int64_t panel) const {
        return int(std::min(columns, first_column(panel + 1)) - first_column(panel));
    }
};

// row_sums[i] += the sum of a[k,i] over `rows` rows k, for `columns` columns i.
inline void add_rows(float* row_sums, const float* a, int64_t lda, int rows, int64_t columns) {
    using simd::kWidth;
    int64_t i = 0;
    for (; i + kWidth <= columns; i += kWidth) {
        simd::Vec sum = simd::load(row_sums + i);
        for (int k = 0; k < rows; k++) sum += simd::load(a + k * lda + i);
        simd::store(row_sums + i, sum);
    }
    for (; i < columns; i++)
        for (int k = 0; k < rows; k++) row_sums[i] += a[k * lda + i];
}

}  // namespace cpu
