// attention.cpp - causal multi-head self-attention, forward and backward; a task is one head of one sequence.
//
// Scores exist only as tiles, and these lie transposed, keys in rows and queries in columns: a vector holds
// one key for kWidth queries, so that a softmax's maximum and sum need no arithmetic across a vector.
//
// Not here: the linear layers around it (gemm.cpp); a cache of keys and values for sampling.
//
// Source: Dao et al. 2022, "FlashAttention", algorithms 1 and 4; running maximum and sum: Milakov and
// Gimelshein 2018. The backward is derived in chapters/00_char_gpt/README.md, "Attention, backwards".
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/parallel.h"
#include "kernels/cpu/micro_kernel.h"
#include "kernels/cpu/simd.h"
#include "kernels/kernels.h"

namespace {

using simd::IntVec;
using simd::kWidth;
using simd::Vec;

// Queries are taken in blocks of at least a cache line and of two vectors: with one, a product of keys and queries would read
// more numbers than it multiplies. A block attends to no key behind its own last query: its length is also the step of the
// staircase that stands for the causal triangle.
constexpr int kLine = 16;  // floats
constexpr int kBlock = 2 * kWidth < kLine ? kLine : 2 * kWidth;

// Keys of a tile in the forward, whose tile is one block of queries wide: 16 KB, half of an L1 cache.
constexpr int kForwardKeys = 4096 / kBlock;

// The backward keeps two tiles, p and ds. Rows are a line longer than their queries: with a power of two, all
// rows would share a few sets of the cache.
constexpr int kQueries = 64;
constexpr int kKeys = 64;
constexpr int kTileStride = kQueries + kLine;

static_assert(kBlock % kWidth == 0 && kForwardKeys % kBlock == 0 && kQueries % kBlock == 0 &&
                  kKeys % kBlock == 0,
              "tiles are made of blocks, and blocks of vectors");

// Below every score. Not -infinity: the difference of two infinities is not a number.
constexpr float kLowest = -1e30f;

int64_t round_up(int64_t n, int64_t multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

// ---- scratch ----------------------------------------------------------------------------------------------

// Memory of one thread, kept from call to call. take() hands out pieces, on cache lines and not initialised.
class Scratch {
  public:
    explicit Scratch(int64_t floats) {
        const size_t lines = size_t(floats + kMaxPieces * kLine) / kLine;
        if (memory().size() < lines) memory().resize(lines);
        next_ = memory().data()->x;
    }

    float* take(int64_t floats) {
        float* piece = next_;
        next_ += round_up(floats, kLine);
        return piece;
    }

  private:
    static constexpr int kMaxPieces = 16;
    struct alignas(64) Line {
        float x[kLine];
    };
    static std::vector<Line>& memory() {
        static thread_local std::vector<Line> lines;
        return lines;
    }
    float* next_;
};

// ---- moving a head in and out -----------------------------------------------------------------------------

// A head's rows lie far apart, each too short for the processor to see the next ones coming: they are asked for, so many
// rows ahead. (To ask for what lies behind the last one does no harm.)
constexpr int kRowsAhead = 16;

template <int for_writing>
GPT_INLINE void prefetch_row(const float* row, int HS) {
    for (int d = 0; d < HS; d += kLine) __builtin_prefetch(row + d, for_writing);
}

// Rows of one head (every `stride` floats), times scale, to rows of HSP floats: HS rounded up to whole
// vectors, zeros behind. The products below then run over whole vectors only.
void copy_rows(float* to, int64_t HSP, const float* from, int64_t stride, int64_t rows, int HS, float scale) {
    const int whole = HS / kWidth * kWidth;
    for (int64_t t = 0; t < rows; t++, to += HSP, from += stride) {
        prefetch_row<0>(from + kRowsAhead * stride, HS);
        for (int d = 0; d < whole; d += kWidth) simd::store(to + d, simd::load(from + d) * scale);
        if (whole < HS) simd::store(to + whole, simd::load_first(from + whole, HS - whole) * scale);
    }
}

// The way back, into a gradient or an output.
void copy_back(float* to, int64_t stride, const float* from, int64_t HSP, int64_t rows, int HS, float scale) {
    const int whole = HS / kWidth * kWidth;
    for (int64_t t = 0; t < rows; t++, to += stride, from += HSP) {
        prefetch_row<1>(to + kRowsAhead * stride, HS);
        for (int d = 0; d < whole; d += kWidth) simd::store(to + d, simd::load(from + d) * scale);
        if (whole < HS) simd::store_first(to + whole, simd::load(from + whole) * scale, HS - whole);
    }
}

// to[d,r] = from[r,d] * scale for the rows of one block; zeros where a block has fewer than kBlock rows.
void transpose_block(float* to, const float* from, int64_t stride, int rows, int HS, float scale) {
    int d = 0;
    if (rows == kBlock)
        for (; d + kWidth <= HS; d += kWidth)
            for (int r = 0; r < kBlock; r += kWidth) {
                Vec square[kWidth];
                GPT_UNROLL
                for (int u = 0; u < kWidth; u++) square[u] = simd::load(from + (r + u) * stride + d) * scale;
                simd::transpose(square);
                GPT_UNROLL
                for (int u = 0; u < kWidth; u++) simd::store(to + (d + u) * kBlock + r, square[u]);
            }
    for (; d < HS; d++)
        for (int r = 0; r < kBlock; r++) to[d * kBlock + r] = r < rows ? from[r * stride + d] * scale : 0.0f;
}

// ---- dropout ----------------------------------------------------------------------------------------------

// keep[j,r] = mask.scale(first_index + r*T + j), the factor of key j and query r of a block; first_index is
// the mask's index of the block's first query and the tile's first key.
void fill_keep(float* keep, DropoutMask mask, uint64_t first_index, int64_t T, int keys) {
    if (T % 4 != 0) {  // rows begin anywhere in Philox's groups of four numbers
        for (int j = 0; j < keys; j++)
            for (int r = 0; r < kBlock; r++)
                keep[j * kBlock + r] = mask.scale(first_index + uint64_t(r * T + j));
        return;
    }
    // One call of Philox is four keys of a query. The loop over queries vectorises.
    const float dropped_below = mask.p, kept = 1.0f / (1.0f - mask.p);
    for (int j = 0; j < keys; j += 4) {
        float* to = keep + j * kBlock;
        for (int r = 0; r < kBlock; r++) {
            const Philox4 random =
                philox(mask.seed, (mask.first + first_index + uint64_t(r * T + j)) / 4, mask.site);
            to[0 * kBlock + r] = uniform_from_word(random.word[0]) >= dropped_below ? kept : 0.0f;
            to[1 * kBlock + r] = uniform_from_word(random.word[1]) >= dropped_below ? kept : 0.0f;
            to[2 * kBlock + r] = uniform_from_word(random.word[2]) >= dropped_below ? kept : 0.0f;
            to[3 * kBlock + r] = uniform_from_word(random.word[3]) >= dropped_below ? kept : 0.0f;
        }
    }
}

// ---- both directions --------------------------------------------------------------------------------------

// A block of queries meets a tile of keys: query r sees key j when j <= diagonal + r, both counted from the
// first of the block and the tile. For the vector of queries that starts at r, calls body(j, seen) for every
// key, where seen(x, otherwise) is x in the lanes of queries that see the key.
template <class F>
GPT_INLINE void for_each_key(int keys, int64_t diagonal, int r, F&& body) {
    const int first_sees = int(std::min<int64_t>(diagonal + r, keys));  // the last key that lane 0 sees
    const int seen_by_all = std::min(first_sees + 1, keys), seen_by_any = std::min(first_sees + kWidth, keys);
    const IntVec last_seen = simd::lane_index() + first_sees;
    int j = 0;
    for (; j < seen_by_all; j++) body(j, [](Vec x, Vec) { return x; });
    for (; j < seen_by_any; j++)
        body(j, [&](Vec x, Vec otherwise) { return j <= last_seen ? x : otherwise; });
    for (; j < keys; j++) body(j, [](Vec, Vec otherwise) { return otherwise; });
}

// out[r,:] (+)= sum_j p[j,r] rows_of_keys[j,:] for the queries r of a block. Where the diagonal passes, p is
// 0 behind it: each tile of the product stops at the last key that one of its queries sees.
void add_over_keys(float* out, int HSP, const float* p, int64_t p_stride, const float* rows_of_keys, int rows,
                   int keys, int64_t diagonal, bool accumulate) {
    const int step = diagonal + 1 >= keys ? rows : cpu::kTileRows;
    for (int r = 0; r < rows; r += step) {
        const int r_end = std::min(r + step, rows);
        const int seen = int(std::min<int64_t>(keys, diagonal + r_end));
        cpu::small_gemm<false>(r_end - r, HSP, seen, p + r, p_stride, rows_of_keys, HSP, out + r * HSP, HSP,
                               accumulate);
    }
}

// ---- forward ----------------------------------------------------------------------------------------------

// The softmax of a block's queries over the keys met so far: sum is that of exp(score - max).
struct RunningSoftmax {
    float max[kBlock], sum[kBlock];
};

// One more tile of keys. In: p[j,r] = score of key j and query r. Out: p = exp(score - max), 0 where not
// seen. What was added up under the old maximum must be multiplied by rescale[r] = exp(old max - max).
void softmax_tile(float* p, float* rescale, RunningSoftmax& softmax, int keys, int64_t diagonal) {
    for (int r = 0; r < kBlock; r += kWidth) {
        float* p_r = p + r;
        const Vec old_max = simd::load(softmax.max + r);
        Vec max = old_max, sum{};
        for_each_key(keys, diagonal, r, [&](int j, auto seen) {
            max = simd::max(max, seen(simd::load(p_r + j * kBlock), simd::broadcast(kLowest)));
        });
        for_each_key(keys, diagonal, r, [&](int j, auto seen) {
            const Vec e = seen(simd::exp(simd::load(p_r + j * kBlock) - max), Vec{});
            simd::store(p_r + j * kBlock, e);
            sum += e;
        });
        const Vec factor = simd::exp(old_max - max);
        simd::store(rescale + r, factor);
        simd::store(softmax.max + r, max);
        simd::store(softmax.sum + r, simd::load(softmax.sum + r) * factor + sum);
    }
}

// One head: out in rows of out_stride; q, k, v in rows of stride; lse (T); first_index is the mask's index of
// the head's first query and key. With m the factors of the dropout:
//   s   = q k^T / sqrt(HS)       p   = exp(s - max)
//   out = (p m) v / sum p        lse = max + log sum p
void forward_head(float* out, int64_t out_stride, float* lse, const float* q, const float* k, const float* v,
                  int64_t stride, int64_t T, int HS, const DropoutMask& mask, uint64_t first_index) {
    const int HSP = int(round_up(HS, kWidth));
    const float scale = 1.0f / std::sqrt(float(HS));
    Scratch scratch(2 * T * HSP + 2 * kBlock * HSP + 2 * kForwardKeys * kBlock);
    float* k_rows = scratch.take(T * HSP);              // (T,HSP)
    float* v_rows = scratch.take(T * HSP);              // (T,HSP)
    float* q_t = scratch.take(HSP * kBlock);            // (HS,kBlock)   a block of q / sqrt(HS), transposed
    float* o = scratch.take(kBlock * HSP);              // (kBlock,HSP)  sum of p v so far
    float* p = scratch.take(kForwardKeys * kBlock);     // (keys,kBlock)
    float* keep = scratch.take(kForwardKeys * kBlock);  // (keys,kBlock)
    copy_rows(k_rows, HSP, k, stride, T, HS, 1.0f);
    copy_rows(v_rows, HSP, v, stride, T, HS, 1.0f);

    for (int64_t i = 0; i < T; i += kBlock) {  // a block of queries
        const int rows = int(std::min<int64_t>(kBlock, T - i));
        transpose_block(q_t, q + i * stride, stride, rows, HS, scale);
        RunningSoftmax softmax{};
        std::fill(softmax.max, softmax.max + kBlock, kLowest);
        for (int64_t j = 0; j < i + rows; j += kForwardKeys) {  // a tile of keys
            const int keys = int(std::min<int64_t>(kForwardKeys, i + rows - j));
            float rescale[kBlock];
            cpu::small_gemm<true>(keys, kBlock, HS, k_rows + j * HSP, HSP, q_t, kBlock, p, kBlock, false);
            softmax_tile(p, rescale, softmax, keys, i - j);
            if (mask.p > 0) {  // after the sum: dropped probabilities count in it
                fill_keep(keep, mask, first_index + uint64_t(i * T + j), T, keys);
                for (int x = 0; x < keys * kBlock; x++) p[x] *= keep[x];
            }
            if (j > 0)
                for (int r = 0; r < rows; r++)
                    for (int d = 0; d < HSP; d++) o[r * HSP + d] *= rescale[r];
            add_over_keys(o, HSP, p, kBlock, v_rows + j * HSP, rows, keys, i - j, j > 0);
        }
        for (int r = 0; r < rows; r++) {
            copy_back(out + (i + r) * out_stride, out_stride, o + r * HSP, HSP, 1, HS, 1.0f / softmax.sum[r]);
            lse[i + r] = softmax.max[r] + std::log(softmax.sum[r]);
        }
    }
}

// ---- Attention, backwards ---------------------------------------------------------------------------------

// A block of queries against a tile of keys. In: p = score s, ds = dp. Out, with m the factor of the dropout:
//   p = exp(s - lse) m,  ds = exp(s - lse) (dp m - D);  both 0 where not seen
template <bool has_dropout>
void softmax_backward_tile(float* p, float* ds, const float* lse, const float* D, const float* keep, int keys,
                           int64_t diagonal) {
    for (int r = 0; r < kBlock; r += kWidth) {
        const Vec lse_r = simd::load(lse + r), D_r = simd::load(D + r);
        for_each_key(keys, diagonal, r, [&](int j, auto seen) {
            float *p_j = p + j * kTileStride + r, *ds_j = ds + j * kTileStride + r;
            const Vec prob = seen(simd::exp(simd::load(p_j) - lse_r), Vec{});
            if constexpr (has_dropout) {
                const Vec m = simd::load(keep + j * kBlock + r);
                simd::store(ds_j, seen(prob * (simd::load(ds_j) * m - D_r), Vec{}));
                simd::store(p_j, prob * m);
            } else {
                simd::store(ds_j, seen(prob * (simd::load(ds_j) - D_r), Vec{}));
                simd::store(p_j, prob);
            }
        });
    }
}

// D_i = sum_j p_ij dp_ij, the mean gradient of a query's probabilities: dout_i . out_i, which needs no keys.
float dot(const float* dout_i, const float* out_i, int HS) {
    Vec sum{};
    int d = 0;
    for (; d + kWidth <= HS; d += kWidth) sum += simd::load(dout_i + d) * simd::load(out_i + d);
    if (d < HS) sum += simd::load_first(dout_i + d, HS - d) * simd::load_first(out_i + d, HS - d);
    return simd::sum(sum);
}

// One head: dq, dk, dv and q, k, v in rows of stride, dout and out in rows of out_stride. With m as above:
//   s  = q k^T / sqrt(HS)       p  = exp(s - lse)
//   dv = (p m)^T dout           dp = dout v^T
//   ds = p (dp m - D)           D  = rows of dout . out
//   dq = ds k / sqrt(HS)        dk = ds^T q / sqrt(HS)
void backward_head(float* dq, float* dk, float* dv, const float* dout, const float* out, int64_t out_stride,
                   const float* lse, const float* q, const float* k, const float* v, int64_t stride,
                   int64_t T, int HS, const DropoutMask& mask, uint64_t first_index) {
    const int HSP = int(round_up(HS, kWidth));
    const float scale = 1.0f / std::sqrt(float(HS));
    Scratch scratch(4 * T * HSP + kQueries * (5 * HSP + 2) + kKeys * (2 * kTileStride + kBlock));
    float* k_rows = scratch.take(T * HSP);            // (T,HSP)
    float* v_rows = scratch.take(T * HSP);            // (T,HSP)
    float* dk_rows = scratch.take(T * HSP);           // (T,HSP)
    float* dv_rows = scratch.take(T * HSP);           // (T,HSP)
    float* q_rows = scratch.take(kQueries * HSP);     // (kQueries,HSP)      q / sqrt(HS)
    float* dout_rows = scratch.take(kQueries * HSP);  // (kQueries,HSP)
    float* dq_rows = scratch.take(kQueries * HSP);    // (kQueries,HSP)
    float* q_t = scratch.take(kQueries * HSP);        // (blocks,HS,kBlock)  q_rows, each block transposed
    float* dout_t = scratch.take(kQueries * HSP);     // (blocks,HS,kBlock)
    float* p = scratch.take(kKeys * kTileStride);     // (kKeys,kTileStride)
    float* ds = scratch.take(kKeys * kTileStride);    // (kKeys,kTileStride)
    float* keep = scratch.take(kKeys * kBlock);       // (kKeys,kBlock)      of one block of queries
    float* lse_tile = scratch.take(kQueries);         // (kQueries)
    float* D = scratch.take(kQueries);                // (kQueries)
    copy_rows(k_rows, HSP, k, stride, T, HS, 1.0f);
    copy_rows(v_rows, HSP, v, stride, T, HS, 1.0f);

    for (int64_t i0 = 0; i0 < T; i0 += kQueries) {  // a tile of queries
        const int64_t i1 = std::min(i0 + kQueries, T);
        copy_rows(q_rows, HSP, q + i0 * stride, stride, i1 - i0, HS, scale);
        copy_rows(dout_rows, HSP, dout + i0 * out_stride, out_stride, i1 - i0, HS, 1.0f);
        std::fill(lse_tile, lse_tile + kQueries, 0.0f);  // note: lanes without a query compute, too
        std::fill(D, D + kQueries, 0.0f);
        for (int64_t i = i0; i < i1; i++) {
            prefetch_row<0>(out + (i + kRowsAhead) * out_stride, HS);
            lse_tile[i - i0] = lse[i];
            D[i - i0] = dot(dout_rows + (i - i0) * HSP, out + i * out_stride, HS);
        }
        for (int64_t at = 0; at < i1 - i0; at += kBlock) {
            const int rows = int(std::min(i1 - i0 - at, int64_t(kBlock)));
            transpose_block(q_t + at * HSP, q_rows + at * HSP, HSP, rows, HS, 1.0f);
            transpose_block(dout_t + at * HSP, dout_rows + at * HSP, HSP, rows, HS, 1.0f);
        }

        for (int64_t j0 = 0; j0 < i1; j0 += kKeys) {  // a tile of keys
            for (int64_t i = std::max(i0, j0); i < i1; i += kBlock) {
                const int64_t at = i - i0;  // where the block is in its tile
                const int rows = int(std::min<int64_t>(kBlock, i1 - i));
                const int keys = int(std::min<int64_t>(kKeys, i + rows - j0));
                cpu::small_gemm<true>(keys, kBlock, HS, k_rows + j0 * HSP, HSP, q_t + at * HSP, kBlock,
                                      p + at, kTileStride, false);
                cpu::small_gemm<true>(keys, kBlock, HS, v_rows + j0 * HSP, HSP, dout_t + at * HSP, kBlock,
                                      ds + at, kTileStride, false);
                if (mask.p > 0) {
                    fill_keep(keep, mask, first_index + uint64_t(i * T + j0), T, keys);
                    softmax_backward_tile<true>(p + at, ds + at, lse_tile + at, D + at, keep, keys, i - j0);
                } else {
                    softmax_backward_tile<false>(p + at, ds + at, lse_tile + at, D + at, keep, keys, i - j0);
                }
                add_over_keys(dq_rows + at * HSP, HSP, ds + at, kTileStride, k_rows + j0 * HSP, rows, keys,
                              i - j0, j0 > 0);
            }
            // dv += p^T dout and dk += ds^T q. Keys before the tile of queries are seen by all of it. On the
            // diagonal a key is seen from its own query on, and this tile is the first to write dk and dv.
            const int64_t j1 = std::min(j0 + kKeys, i1);
            for (int64_t j = j0, j_end; j < j1; j = j_end) {
                const bool is_diagonal = j >= i0;
                // subtle: not across blocks, as the queries of one block never computed the keys of the next
                j_end = is_diagonal ? std::min({j + cpu::kTileRows, round_up(j + 1, kBlock), j1})
                                    : std::min(i0, j1);
                const int64_t i = is_diagonal ? j : i0;
                const int64_t first = (j - j0) * kTileStride + (i - i0);
                cpu::small_gemm<true>(int(j_end - j), HSP, int(i1 - i), p + first, kTileStride,
                                      dout_rows + (i - i0) * HSP, HSP, dv_rows + j * HSP, HSP, !is_diagonal);
                cpu::small_gemm<true>(int(j_end - j), HSP, int(i1 - i), ds + first, kTileStride,
                                      q_rows + (i - i0) * HSP, HSP, dk_rows + j * HSP, HSP, !is_diagonal);
            }
        }
        copy_back(dq + i0 * stride, stride, dq_rows, HSP, i1 - i0, HS, scale);
    }
    copy_back(dk, stride, dk_rows, HSP, T, HS, 1.0f);
    copy_back(dv, stride, dv_rows, HSP, T, HS, 1.0f);
}

}  // namespace

// ---- kernels ----------------------------------------------------------------------------------------------

void cpu::attention_forward(real* out, float* lse, const real* qkv, int64_t B, int64_t T, int64_t NH,
                            int64_t HS, DropoutMask mask, Stream) {
    const int64_t C = NH * HS;
    parallel_for(B * NH, [&](int64_t bh) {
        const int64_t b = bh / NH, h = bh % NH;
        const float* q = qkv + b * T * 3 * C + h * HS;
        forward_head(out + b * T * C + h * HS, C, lse + bh * T, q, q + C, q + 2 * C, 3 * C, T, int(HS), mask,
                     uint64_t(bh * T * T));
    });
}

void cpu::attention_backward(real* dqkv, const real* dout, const real* qkv, const real* out, const float* lse,
                             int64_t B, int64_t T, int64_t NH, int64_t HS, DropoutMask mask, Stream) {
    const int64_t C = NH * HS;
    parallel_for(B * NH, [&](int64_t bh) {
        const int64_t b = bh / NH, h = bh % NH;
        const int64_t at_qkv = b * T * 3 * C + h * HS, at_out = b * T * C + h * HS;
        float* dq = dqkv + at_qkv;
        const float* q = qkv + at_qkv;
        backward_head(dq, dq + C, dq + 2 * C, dout + at_out, out + at_out, C, lse + bh * T, q, q + C,
                      q + 2 * C, 3 * C, T, int(HS), mask, uint64_t(bh * T * T));
    });
}
