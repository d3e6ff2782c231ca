// gemm_bf16.h - matrix multiply whose inputs are rounded to bfloat16 on their way into the packed copies, while sums stay
// float32. Memory holds float32 before and after: what is gained is the arithmetic of the instructions that take bf16.
// Cut as gemm.h cuts it; here a is always packed, too, since it has to be rounded.
// Not here: the micro-kernels and the layout that they read (micro_kernel_bf16.h).
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "core/parallel.h"
#include "kernels/cpu/micro_kernel_bf16.h"
#include "kernels/cpu/pack_memory.h"
#include "kernels/cpu/product.h"
#include "kernels/cpu/simd.h"

namespace cpu {

// ---- floats to words --------------------------------------------------------------------------------------

// Lane by lane: the word of two floats, each rounded to the nearest bf16, halfway to even. core/bfloat16.h does it for one.
GPT_INLINE Words words_of(simd::Vec even, simd::Vec odd) {
    const auto rounded = [](simd::Vec x) {
        Words bits;
        std::memcpy(&bits, &x, sizeof bits);
        const Words nearest = bits + 0x7fff + (bits >> 16 & 1);
        return x == x ? nearest : Words{} + 0x7fff0000u;  // an addition could make a NaN an infinity
    };
    return rounded(even) >> 16 | (rounded(odd) & 0xffff0000u);
}

// The floats at p of which `left` exist, zeros behind.
GPT_INLINE simd::Vec load_existing(const float* p, int64_t left) {
    return left >= simd::kWidth ? simd::load(p) : left > 0 ? simd::load_first(p, int(left)) : simd::Vec{};
}

// kWidth words of 2 kWidth floats that lie side by side in k.
GPT_INLINE Words words_along(const float* p, int64_t left) {
    const simd::Vec first = load_existing(p, left),
                    second = load_existing(p + simd::kWidth, left - simd::kWidth);
    simd::Vec even, odd;
    simd::split_even_odd(first, second, &even, &odd);
    return words_of(even, odd);
}

// kWidth words of two rows of memory: the one at p and the next in k, ld floats behind it. `depth` rows and `left` columns
// exist.
GPT_INLINE Words words_across(const float* p, int64_t ld, int64_t depth, int64_t left) {
    return words_of(depth > 0 ? load_existing(p, left) : simd::Vec{},
                    depth > 1 ? load_existing(p + ld, left) : simd::Vec{});
}

GPT_INLINE void store_words(uint32_t* to, Words words) {
    std::memcpy(to, &words, sizeof words);
}

// A square of kWidth x kWidth words, turned over: a transposition moves bits and does not ask what they mean.
GPT_INLINE void transpose_words(Words (&square)[simd::kWidth]) {
    simd::Vec as_floats[simd::kWidth];
    std::memcpy(as_floats, square, sizeof square);
    simd::transpose(as_floats);
    std::memcpy(square, as_floats, sizeof square);
}

// ---- packing ----------------------------------------------------------------------------------------------

// What is packed next is asked for while this is packed, as in gemm.h: the floats of words_along, those of words_across.
GPT_INLINE void prefetch_words(const float* p) {
    __builtin_prefetch(p), __builtin_prefetch(p + simd::kWidth);
}
GPT_INLINE void prefetch_rows(const float* p, int64_t ld) {
    __builtin_prefetch(p), __builtin_prefetch(p + ld);
}

// `rows` rows of a from (row0, k0) on, `depth` numbers deep, as `words` words each. Rows up to the next multiple of Kernel::kRows
// are zeros.
template <class Kernel>
void pack_a_words(uint32_t* packed, const Product& p, int64_t row0, int rows, int64_t k0, int depth,
                  int words) {
    using simd::kWidth;
    const auto place = [&](int i, int word) {  // of row i's words from `word` on, a multiple of kWidth
        return packed + int64_t(i / Kernel::kRows) * Kernel::kRows * words +
               (word / kSquare * Kernel::kRows + i % Kernel::kRows) * kSquare + word % kSquare;
    };
    const int all_rows = int(ceil_div(rows, Kernel::kRows)) * Kernel::kRows;
    if (p.a_by_rows) {
        for (int i = 0; i < all_rows; i++)
            for (int word = 0; word < words; word += kWidth) {
                const float* from = p.a + (row0 + i) * p.lda + k0 + 2 * word;
                prefetch_words(from + p.lda);
                store_words(place(i, word), words_along(from, i < rows ? depth - 2 * word : 0));
            }
        return;
    }
    for (int word = 0; word < words; word += kWidth)
        for (int i = 0; i < all_rows; i += kWidth) {
            Words square[kWidth];
            for (int r = 0; r < kWidth; r++) {
                const int k = 2 * (word + r);
                const float* from = p.a + (k0 + k) * p.lda + row0 + i;
                prefetch_rows(from + 2 * kWidth * p.lda, p.lda);
                square[r] = words_across(from, p.lda, depth - k, rows - i);
            }
            transpose_words(square);
            for (int r = 0; r < std::min(kWidth, all_rows - i); r++)
                store_words(place(i + r, word), square[r]);
        }
}

// Words [word0, word1) of a panel, the columns of b from `column` on; the panel's first word is of row k0, and `depth` rows exist.
template <class Kernel>
void pack_b_words(uint32_t* packed, const Product& p, int64_t k0, int depth, int word0, int word1,
                  int64_t column) {
    using simd::kWidth;
    if (p.b_by_rows) {
        for (int word = word0; word < word1; word++)
            for (int j = 0; j < Kernel::kColumns; j += kWidth) {
                const float* from = p.b + (k0 + 2 * word) * p.ldb + column + j;
                prefetch_rows(from + 2 * (word1 - word0) * p.ldb, p.ldb);
                store_words(packed + word * Kernel::kColumns + j,
                            words_across(from, p.ldb, depth - 2 * word, p.N - column - j));
            }
        return;
    }
    for (int j = 0; j < Kernel::kColumns; j += kWidth)
        for (int word = word0; word < word1; word += kWidth) {
            Words square[kWidth];
            for (int r = 0; r < kWidth; r++) {
                const float* from = p.b + (column + j + r) * p.ldb + k0 + 2 * word;
                prefetch_words(from + kWidth * p.ldb);
                square[r] = words_along(from, r < p.N - column - j ? depth - 2 * word : 0);
            }
            transpose_words(square);
            for (int r = 0; r < kWidth; r++)
                store_words(packed + (word + r) * Kernel::kColumns + j, square[r]);
        }
}

// ---- the loops around the micro-kernel --------------------------------------------------------------------

// The sum of an element is taken in blocks of k of so many words: their panel of b and their tile of a stay in the caches.
constexpr int kBlockWords = 384;
// Rows of a that are packed at once.
constexpr int64_t kBf16Rows = 512;
// Words of b's rows that are packed before the same words of the next panel; a block has a multiple of them.
constexpr int kStripWords = 4;

// One tile of c, of which `rows` and `columns` exist. The only function that does arithmetic.
template <class Kernel>
__attribute__((noinline)) void bf16_tile(int words, const uint32_t* a, const uint32_t* b_panel, float* c,
                                         const float* start, const float* bias, int64_t ldc, int rows,
                                         int columns) {
    if (rows == Kernel::kRows) {
        simd::Vec sums[Kernel::kRows][Kernel::kVecs];
        Kernel::multiply(sums, words, a, b_panel);
        store_tile(sums, c, ldc, start, ldc, bias, columns);
        return;
    }
    // subtle: an array of its own. Rows are counted at run time here, so it must lie in memory; the one above stays in registers.
    simd::Vec sums[Kernel::kRows][Kernel::kVecs];
    Kernel::multiply(sums, words, a, b_panel);
    for (int i = 0; i < rows; i++, c += ldc) {
        simd::Vec row[1][Kernel::kVecs];
        std::copy(sums[i], sums[i] + Kernel::kVecs, row[0]);
        store_tile(row, c, ldc, start ? start + i * ldc : nullptr, ldc, bias, columns);
    }
}

template <class Kernel, class Epilogue>
struct Bf16Product {
    static constexpr int64_t kColumns = Kernel::kColumns;
    const Product& p;
    const Epilogue& epilogue;
    int64_t words = 0;                     // of the whole K
    int64_t chunk_words = 0, chunk_n = 0;  // of b, packed at once

    Bf16Product(const Product& p, const Epilogue& epilogue) : p(p), epilogue(epilogue) {
        words = std::max<int64_t>(1, ceil_div(p.K, 2 * kSquare)) * kSquare;
        chunk_words = words, chunk_n = p.N;
        if (words * p.N > kChunkFloats) {
            chunk_n = std::min(p.N, std::max(kChunkColumns, kChunkFloats / words) / kColumns * kColumns);
            chunk_words =
                std::min(words, std::max<int64_t>(1, kChunkFloats / chunk_n / kBlockWords) * kBlockWords);
        }
    }

    // All words of a block that begins at `word`, in the chunk that ends at `end`.
    static int block(int64_t word, int64_t end) { return int(std::min<int64_t>(kBlockWords, end - word)); }
    int depth(int64_t word, int words_of_block) const {  // numbers of k in them
        return int(std::min<int64_t>(2 * words_of_block, p.K - 2 * word));
    }

    void run() const {
        for (int64_t column0 = 0; column0 < p.N; column0 += chunk_n) {
            const int64_t columns = std::min(chunk_n, p.N - column0), panels = ceil_div(columns, kColumns);
            for (int64_t word0 = 0; word0 < words; word0 += chunk_words) {
                const int64_t end = std::min(words, word0 + chunk_words);
                uint32_t* packed_b = packed_words(packed_b_memory(panels * kColumns * chunk_words));
                pack_chunk(packed_b, column0, panels, word0, end);
                multiply_chunk(packed_b, column0, panels, word0, end);
            }
        }
    }

    // note: a task reads memory in its order: some rows through all panels, or the columns of one panel
    void pack_chunk(uint32_t* packed_b, int64_t column0, int64_t panels, int64_t word0, int64_t end) const {
        const auto pack = [&](int64_t panel, int64_t word, int from, int to) {
            const int n = block(word, end);
            pack_b_words<Kernel>(panel_of(packed_b, panels, word0, word, n, panel), p, 2 * word,
                                 depth(word, n), from, std::min(to, n), column0 + panel * kColumns);
        };
        if (p.b_by_rows)
            parallel_for((end - word0) / kStripWords, [&](int64_t strip) {
                const int64_t word =
                    strip * kStripWords / kBlockWords * kBlockWords;  // of its block, in the chunk
                const int from = int(strip * kStripWords - word);
                for (int64_t panel = 0; panel < panels; panel++)
                    pack(panel, word0 + word, from, from + kStripWords);
            });
        else
            parallel_for(panels, [&](int64_t panel) {
                for (int64_t word = word0; word < end; word += kBlockWords) pack(panel, word, 0, kBlockWords);
            });
    }

    // Where a panel's block of n words is, in the packed chunk of b.
    static uint32_t* panel_of(uint32_t* packed_b, int64_t panels, int64_t word0, int64_t word, int n,
                              int64_t panel) {
        return packed_b + ((word - word0) * panels + panel * n) * kColumns;
    }

    // Tasks are rows of c, and groups of panels where there are too few rows for all threads: it changes no sum.
    void multiply_chunk(uint32_t* packed_b, int64_t column0, int64_t panels, int64_t word0,
                        int64_t end) const {
        const int64_t threads = parallel::num_threads(), tiles = ceil_div(p.M, Kernel::kRows);
        const int64_t wanted = ceil_div(ceil_div(p.M, kBf16Rows), threads) * threads;
        const int64_t tiles_of_task = ceil_div(tiles, std::min(tiles, wanted));
        const int64_t row_tasks = ceil_div(tiles, tiles_of_task);
        const int64_t panels_of_task = ceil_div(panels, std::min(panels, ceil_div(threads, row_tasks)));
        const int64_t panel_tasks = ceil_div(panels, panels_of_task);
        parallel_for(row_tasks * panel_tasks, [&](int64_t task) {
            const int64_t row0 = task / panel_tasks * tiles_of_task * Kernel::kRows;
            const int64_t panel0 = task % panel_tasks * panels_of_task;
            const int rows = int(std::min(tiles_of_task * Kernel::kRows, p.M - row0));
            Kernel::begin();
            for (int64_t word = word0; word < end; word += kBlockWords) {
                const int n = block(word, end);
                uint32_t* packed_a =
                    packed_words(packed_a_memory(ceil_div(rows, Kernel::kRows) * Kernel::kRows * int64_t(n)));
                pack_a_words<Kernel>(packed_a, p, row0, rows, 2 * word, depth(word, n), n);
                if (p.row_sums && column0 == 0 && panel0 == 0)  // of a as it is, not rounded
                    add_rows(p.row_sums + row0, p.a + 2 * word * p.lda + row0, p.lda, depth(word, n), rows);
                for (int64_t panel = panel0; panel < std::min(panels, panel0 + panels_of_task); panel++)
                    multiply_panel(packed_a, panel_of(packed_b, panels, word0, word, n, panel), word, n, row0,
                                   rows, column0 + panel * kColumns);
            }
            Kernel::end();
        });
    }

    void multiply_panel(const uint32_t* packed_a, const uint32_t* b_panel, int64_t word, int n, int64_t row0,
                        int rows, int64_t column) const {
        const bool is_first = word == 0, is_last = word + n >= words;
        const int columns = int(std::min(kColumns, p.N - column));
        for (int i = 0; i < rows; i += Kernel::kRows, packed_a += Kernel::kRows * n) {
            const int tile_rows = std::min(Kernel::kRows, rows - i);
            const int64_t at = (row0 + i) * p.N + column;
            const float* start = is_first ? p.start : p.c;
            prefetch_tile(start ? start + at : p.c + at, p.N, tile_rows, columns);
            if (is_last) epilogue.prefetch(row0 + i, column, tile_rows, columns);
            bf16_tile<Kernel>(n, packed_a, b_panel, p.c + at, start ? start + at : nullptr,
                              is_first && p.bias ? p.bias + column : nullptr, p.N, tile_rows, columns);
            if (is_last) epilogue(p.c + at, row0 + i, column, tile_rows, columns);
        }
    }

    static uint32_t* packed_words(float* memory) { return reinterpret_cast<uint32_t*>(memory); }
};

// c = start + bias + a b, a and b rounded to bf16. Every element is one sum over k in blocks that depend on K alone; the order
// within a block is the micro-kernel's.
template <class Kernel, class Epilogue>
void multiply_bf16(const Product& p, const Epilogue& epilogue) {
    Bf16Product<Kernel, Epilogue>(p, epilogue).run();
}

}  // namespace cpu
