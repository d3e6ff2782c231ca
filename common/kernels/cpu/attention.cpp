// attention.cpp - causal multi-head self-attention, forward and backward, by tiles: a task is one head of one sequence.
// Tiles of scores lie transposed, keys in rows and queries in columns: a vector then holds the same key of kWidth
// queries, and the maximum and the sum of a softmax need no arithmetic across a vector.
// Not here: the linear layers around it (gemm); a cache of keys and values for sampling.
// Source: Dao et al. 2022, "FlashAttention", algorithms 1 and 4; the running maximum and sum are those of Milakov and
// Gimelshein 2018. The backward is derived in chapters/00_char_gpt/README.md, "Attention, backwards".
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/parallel.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/simd.h"
#include "kernels/kernels.h"

namespace {

using simd::IntVec;
using simd::kWidth;
using simd::Vec;

// Queries are taken in blocks of 16: one cache line, whole vectors on every machine. A block attends to no key behind
// its own last query, so that 16 is also the step of the staircase that stands for the causal triangle.
constexpr int kBlock = 16;

// Keys of a tile in the forward, whose tile is one block of queries wide: 16 KB, half of an L1 cache.
constexpr int kForwardKeys = 256;

// The backward keeps two tiles, p and ds. Rows are a line longer than their queries, as a power of two would put all
// rows into few sets of the cache.
constexpr int kQueries = 64;
constexpr int kKeys = 64;
constexpr int kTileStride = kQueries + kBlock;

static_assert(kBlock % kWidth == 0 && kQueries % kBlock == 0 && kKeys % kBlock == 0 && kForwardKeys % kBlock == 0,
              "tiles are made of blocks, and blocks of vectors");

constexpr float kLowest = -1e30f;  // below every score; not -infinity, because infinity - infinity is not a number

int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

// ---- scratch --------------------------------------------------------------------------------------------------------

// Memory of one thread, kept from call to call: take() hands out pieces, aligned to cache lines and not initialised.
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
    static constexpr int kLine = 16, kMaxPieces = 16;
    struct alignas(64) Line {
        float x[kLine];
    };
    static std::vector<Line>& memory() {
        static thread_local std::vector<Line> lines;
        return lines;
    }
    float* next_;
};

// ---- moving a head in and out ---------------------------------------------------------------------------------------

// Rows of one head (every `stride` floats), times scale, to rows of HSP floats: HS rounded up to whole vectors, zeros
// behind. The products below then run over whole vectors only.
void copy_rows(float* to, int64_t HSP, const float* from, int64_t stride, int64_t rows, int HS, float scale) {
    const int whole = HS / kWidth * kWidth;
    for (int64_t t = 0; t < rows; t++, to += HSP, from += stride) {
        for (int d = 0; d < whole; d += kWidth) simd::store(to + d, simd::load(from + d) * scale);
        if (whole < HS) simd::store(to + whole, simd::load_first(from + whole, HS - whole) * scale);
    }
}

// The way back, into a gradient or an output.
void copy_back(float* to, int64_t stride, const float* from, int64_t HSP, int64_t rows, int HS, float scale) {
    const int whole = HS / kWidth * kWidth;
    for (int64_t t = 0; t < rows; t++, to += stride, from += HSP) {
        for (int d = 0; d < whole; d += kWidth) simd::store(to + d, simd::load(from + d) * scale);
        if (whole < HS) simd::store_first(to + whole, simd::load(from + whole) * scale, HS - whole);
    }
}

// One stage of transposing: exchanges the off-diagonal D x D corners of each 2D x 2D square in rows r[i] and r[i+D].
template <int D, int... lane>
GPT_INLINE void exchange_corners(Vec (&r)[kWidth], std::integer_sequence<int, lane...>) {
    GPT_UNROLL
    for (int i = 0; i < kWidth; i++) {
        if (i & D) continue;
        const Vec a = r[i], b = r[i + D];
        r[i] = __builtin_shufflevector(a, b, (lane & D ? kWidth + lane - D : lane)...);
        r[i + D] = __builtin_shufflevector(a, b, (lane & D ? kWidth + lane : lane + D)...);
    }
}

// r[i][j] becomes r[j][i].
template <int D = kWidth / 2>
GPT_INLINE void transpose(Vec (&r)[kWidth]) {
    exchange_corners<D>(r, std::make_integer_sequence<int, kWidth>{});
    if constexpr (D > 1) transpose<D / 2>(r);
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
                transpose(square);
                GPT_UNROLL
                for (int u = 0; u < kWidth; u++) simd::store(to + (d + u) * kBlock + r, square[u]);
            }
    for (; d < HS; d++)
        for (int r = 0; r < kBlock; r++) to[d * kBlock + r] = r < rows ? from[r * stride + d] * scale : 0.0f;
}

// ---- dropout --------------------------------------------------------------------------------------------------------

// keep[j,r] = mask.scale(index of query i + r and key j0 + j), where row_index is the index of query i and key j0.
void fill_keep(float* keep, const DropoutMask& mask, uint64_t row_index, int64_t T, int keys) {
    if (T % 4 != 0) {  // rows start anywhere in Philox's groups of four numbers
        for (int j = 0; j < keys; j++)
            for (int r = 0; r < kBlock; r++) keep[j * kBlock + r] = mask.scale(row_index + uint64_t(r * T + j));
        return;
    }
    // One call of Philox gives four keys of a query. The loop over queries vectorises.
    const float kept = 1.0f / (1.0f - mask.p);
    for (int j = 0; j < keys; j += 4) {
        float* to = keep + j * kBlock;
        for (int r = 0; r < kBlock; r++) {
            const Philox4 random = philox(mask.seed, (row_index + uint64_t(r * T + j)) / 4, mask.site);
            to[0 * kBlock + r] = uniform_from_word(random.word[0]) >= mask.p ? kept : 0.0f;
            to[1 * kBlock + r] = uniform_from_word(random.word[1]) >= mask.p ? kept : 0.0f;
            to[2 * kBlock + r] = uniform_from_word(random.word[2]) >= mask.p ? kept : 0.0f;
            to[3 * kBlock + r] = uniform_from_word(random.word[3]) >= mask.p ? kept : 0.0f;
        }
    }
}

// ---- forward --------------------------------------------------------------------------------------------------------

// The softmax of a block of queries over the keys seen so far: exp(score - max) has been summed up.
struct RunningSoftmax {
    float max[kBlock], sum[kBlock];
};

// One more tile of keys. In: p[j,r] = score of key j and query r, where query r sees keys j <= diagonal + r.
// Out: p = exp(score - max), 0 where not seen. What was summed before with the old maximum must be multiplied by
// rescale[r] = exp(old max - max).
void softmax_tile(float* p, float* rescale, RunningSoftmax& softmax, int keys, int64_t diagonal) {
    const int seen_by_all = int(std::clamp<int64_t>(diagonal + 1, 0, keys));
    for (int r = 0; r < kBlock; r += kWidth) {
        const IntVec last_key = simd::lane_index() + int(std::min<int64_t>(diagonal, keys) + r);
        const Vec old_max = simd::load(softmax.max + r);
        Vec max = old_max, sum{};
        int j = 0;
        for (; j < seen_by_all; j++) max = simd::max(max, simd::load(p + j * kBlock + r));
        for (; j < keys; j++) {
            const Vec score = simd::load(p + j * kBlock + r);
            max = simd::max(max, j <= last_key ? score : simd::broadcast(kLowest));
        }
        for (j = 0; j < seen_by_all; j++) {
            const Vec e = simd::exp(simd::load(p + j * kBlock + r) - max);
            simd::store(p + j * kBlock + r, e);
            sum += e;
        }
        for (; j < keys; j++) {
            const Vec e = simd::exp(simd::load(p + j * kBlock + r) - max);
            const Vec seen = j <= last_key ? e : Vec{};
            simd::store(p + j * kBlock + r, seen);
            sum += seen;
        }
        const Vec factor = simd::exp(old_max - max);
        simd::store(rescale + r, factor);
        simd::store(softmax.max + r, max);
        simd::store(softmax.sum + r, simd::load(softmax.sum + r) * factor + sum);
    }
}

// One head: out (T,HS) in rows of out_stride; q, k, v (T,HS) in rows of stride; first_index is the mask's index of
// query 0 and key 0.
void forward_head(float* out, int64_t out_stride, float* lse, const float* q, const float* k, const float* v,
                  int64_t stride, int64_t T, int HS, const DropoutMask& mask, uint64_t first_index) {
    const int HSP = int(round_up(HS, kWidth));
    const float scale = 1.0f / std::sqrt(float(HS));
    Scratch scratch(2 * T * HSP + 2 * kBlock * HSP + 2 * kForwardKeys * kBlock);
    float* keys_rows = scratch.take(T * HSP);           // (T,HSP)
    float* values = scratch.take(T * HSP);              // (T,HSP)
    float* qt = scratch.take(HSP * kBlock);             // (HS,kBlock)    the block's queries, scaled and transposed
    float* o = scratch.take(kBlock * HSP);              // (kBlock,HSP)   sum of p v so far
    float* p = scratch.take(kForwardKeys * kBlock);     // (keys,kBlock)
    float* keep = scratch.take(kForwardKeys * kBlock);  // (keys,kBlock)
    copy_rows(keys_rows, HSP, k, stride, T, HS, 1.0f);
    copy_rows(values, HSP, v, stride, T, HS, 1.0f);

    for (int64_t i = 0; i < T; i += kBlock) {
        const int rows = int(std::min<int64_t>(kBlock, T - i));
        transpose_block(qt, q + i * stride, stride, rows, HS, scale);
        RunningSoftmax softmax{};
        std::fill(softmax.max, softmax.max + kBlock, kLowest);
        for (int64_t j = 0; j < i + rows; j += kForwardKeys) {
            const int keys = int(std::min<int64_t>(kForwardKeys, i + rows - j));
            float rescale[kBlock];
            cpu::small_gemm<true>(keys, kBlock, HS, keys_rows + j * HSP, HSP, qt, kBlock, p, kBlock, false);
            softmax_tile(p, rescale, softmax, keys, i - j);
            if (mask.p > 0) {  // the sum in the softmax is over all keys, dropped or not
                fill_keep(keep, mask, first_index + uint64_t(i * T + j), T, keys);
                for (int x = 0; x < keys * kBlock; x++) p[x] *= keep[x];
            }
            if (j > 0)
                for (int r = 0; r < rows; r++)
                    for (int d = 0; d < HSP; d++) o[r * HSP + d] *= rescale[r];
            cpu::small_gemm<false>(rows, HSP, keys, p, kBlock, values + j * HSP, HSP, o, HSP, j > 0);
        }
        for (int r = 0; r < rows; r++) {
            copy_back(out + (i + r) * out_stride, out_stride, o + r * HSP, HSP, 1, HS, 1.0f / softmax.sum[r]);
            lse[i + r] = softmax.max[r] + std::log(softmax.sum[r]);
        }
    }
}

// ---- Attention, backwards -------------------------------------------------------------------------------------------

// A block of queries against a tile of keys. In: p[j,r] = score, ds[j,r] = dp = dout_r . v_j.
// Out, for j <= diagonal + r, else 0, with m the dropout's factor (1 without dropout):
//   p  = exp(score - lse) m          what v was multiplied by
//   ds = exp(score - lse) (dp m - D) the gradient of the score; D_r = sum_j p_rj dp_rj = dout_r . out_r
template <bool has_dropout>
void softmax_backward_tile(float* p, float* ds, const float* lse, const float* D, const float* keep, int keys,
                           int64_t diagonal) {
    const int seen_by_all = int(std::clamp<int64_t>(diagonal + 1, 0, keys));
    for (int r = 0; r < kBlock; r += kWidth) {
        const IntVec last_key = simd::lane_index() + int(std::min<int64_t>(diagonal, keys) + r);
        const Vec lse_r = simd::load(lse + r), D_r = simd::load(D + r);
        const auto one_key = [&](int j, auto&& hide) {
            float *p_j = p + j * kTileStride + r, *ds_j = ds + j * kTileStride + r;
            const Vec prob = hide(simd::exp(simd::load(p_j) - lse_r));
            if constexpr (has_dropout) {
                const Vec m = simd::load(keep + j * kBlock + r);
                simd::store(ds_j, prob * (simd::load(ds_j) * m - D_r));
                simd::store(p_j, prob * m);
            } else {
                simd::store(ds_j, prob * (simd::load(ds_j) - D_r));
                simd::store(p_j, prob);
            }
        };
        int j = 0;
        for (; j < seen_by_all; j++) one_key(j, [](Vec x) { return x; });
        for (; j < keys; j++) one_key(j, [&](Vec x) { return j <= last_key ? x : Vec{}; });
    }
}

// One head; dq, dk, dv and q, k, v in rows of stride, dout and out in rows of out_stride.
//   s = q k^T scale,  p = exp(s - lse),  dv = p^T dout,  dp = dout v^T,  ds = p (dp - D),
//   dq = ds k scale,  dk = ds^T q scale
void backward_head(float* dq, float* dk, float* dv, const float* dout, const float* out, int64_t out_stride,
                   const float* lse, const float* q, const float* k, const float* v, int64_t stride, int64_t T,
                   int HS, const DropoutMask& mask, uint64_t first_index) {
    const int HSP = int(round_up(HS, kWidth));
    const float scale = 1.0f / std::sqrt(float(HS));
    Scratch scratch(4 * T * HSP + 5 * kQueries * HSP + 2 * kKeys * kTileStride + kKeys * kBlock + 2 * kQueries);
    float* k_rows = scratch.take(T * HSP);                // (T,HSP)
    float* v_rows = scratch.take(T * HSP);                // (T,HSP)
    float* dk_rows = scratch.take(T * HSP);               // (T,HSP)
    float* dv_rows = scratch.take(T * HSP);               // (T,HSP)
    float* q_rows = scratch.take(kQueries * HSP);         // (kQueries,HSP)      scaled
    float* dout_rows = scratch.take(kQueries * HSP);      // (kQueries,HSP)
    float* dq_rows = scratch.take(kQueries * HSP);        // (kQueries,HSP)
    float* qt = scratch.take(kQueries * HSP);             // (blocks,HS,kBlock)  scaled
    float* dout_t = scratch.take(kQueries * HSP);         // (blocks,HS,kBlock)
    float* p = scratch.take(kKeys * kTileStride);         // (keys,kTileStride)
    float* ds = scratch.take(kKeys * kTileStride);        // (keys,kTileStride)
    float* keep = scratch.take(kKeys * kBlock);           // (keys,kBlock)
    float* lse_rows = scratch.take(kQueries);             // (kQueries)
    float* D_rows = scratch.take(kQueries);               // (kQueries)
    copy_rows(k_rows, HSP, k, stride, T, HS, 1.0f);
    copy_rows(v_rows, HSP, v, stride, T, HS, 1.0f);

    for (int64_t i0 = 0; i0 < T; i0 += kQueries) {  // a tile of queries
        const int64_t i1 = std::min(i0 + kQueries, T);
        copy_rows(q_rows, HSP, q + i0 * stride, stride, i1 - i0, HS, scale);
        copy_rows(dout_rows, HSP, dout + i0 * out_stride, out_stride, i1 - i0, HS, 1.0f);
        for (int64_t i = i0; i < i1; i += kBlock) {
            const int rows = int(std::min<int64_t>(kBlock, i1 - i));
            transpose_block(qt + (i - i0) * HSP, q + i * stride, stride, rows, HS, scale);
            transpose_block(dout_t + (i - i0) * HSP, dout + i * out_stride, out_stride, rows, HS, 1.0f);
        }
        std::fill(lse_rows, lse_rows + kQueries, 0.0f);
        std::fill(D_rows, D_rows + kQueries, 0.0f);
        for (int64_t i = i0; i < i1; i++) {
            const float *dout_i = dout_rows + (i - i0) * HSP, *out_i = out + i * out_stride;
            Vec dot{};
            int d = 0;
            for (; d + kWidth <= HS; d += kWidth) dot += simd::load(dout_i + d) * simd::load(out_i + d);
            if (d < HS) dot += simd::load(dout_i + d) * simd::load_first(out_i + d, HS - d);
            D_rows[i - i0] = simd::sum(dot);
            lse_rows[i - i0] = lse[i];
        }

        for (int64_t j0 = 0; j0 < i1; j0 += kKeys) {  // a tile of keys
            for (int64_t i = i0; i < i1; i += kBlock) {
                const int rows = int(std::min<int64_t>(kBlock, i1 - i));
                const int keys = int(std::min<int64_t>(kKeys, i + rows - j0));
                if (keys <= 0) continue;
                float *p_i = p + (i - i0), *ds_i = ds + (i - i0);
                cpu::small_gemm<true>(keys, kBlock, HS, k_rows + j0 * HSP, HSP, qt + (i - i0) * HSP, kBlock, p_i,
                                      kTileStride, false);
                cpu::small_gemm<true>(keys, kBlock, HS, v_rows + j0 * HSP, HSP, dout_t + (i - i0) * HSP, kBlock, ds_i,
                                      kTileStride, false);
                if (mask.p > 0) {
                    fill_keep(keep, mask, first_index + uint64_t(i * T + j0), T, keys);
                    softmax_backward_tile<true>(p_i, ds_i, lse_rows + (i - i0), D_rows + (i - i0), keep, keys, i - j0);
                } else {
                    softmax_backward_tile<false>(p_i, ds_i, lse_rows + (i - i0), D_rows + (i - i0), keep, keys, i - j0);
                }
                // dq += ds k
                cpu::small_gemm<false>(rows, HSP, keys, ds_i, kTileStride, k_rows + j0 * HSP, HSP,
                                       dq_rows + (i - i0) * HSP, HSP, j0 > 0);
            }
            // Blocks of keys on the diagonal are seen from their own queries on. Tiles of queries come in order: the
            // first one that a key meets is the one on its diagonal.
            for (int64_t j = j0; j < std::min(j0 + kKeys, i1); j += kBlock) {
                const int rows = int(std::min<int64_t>(kBlock, i1 - j));
                const int64_t i = std::max(i0, j);
                const float *p_j = p + (j - j0) * kTileStride + (i - i0), *ds_j = ds + (j - j0) * kTileStride + (i - i0);
                // dv += p^T dout, dk += ds^T q
                cpu::small_gemm<true>(rows, HSP, int(i1 - i), p_j, kTileStride, dout_rows + (i - i0) * HSP, HSP,
                                      dv_rows + j * HSP, HSP, j < i0);
                cpu::small_gemm<true>(rows, HSP, int(i1 - i), ds_j, kTileStride, q_rows + (i - i0) * HSP, HSP,
                                      dk_rows + j * HSP, HSP, j < i0);
            }
        }
        copy_back(dq + i0 * stride, stride, dq_rows, HSP, i1 - i0, HS, scale);
    }
    copy_back(dk, stride, dk_rows, HSP, T, HS, 1.0f);
    copy_back(dv, stride, dv_rows, HSP, T, HS, 1.0f);
}

}  // namespace

// ---- kernels --------------------------------------------------------------------------------------------------------

void cpu::attention_forward(real* out, float* lse, const real* qkv, int64_t B, int64_t T, int64_t NH, int64_t HS,
                            DropoutMask mask, Stream) {
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
        backward_head(dq, dq + C, dq + 2 * C, dout + at_out, out + at_out, C, lse + bh * T, q, q + C, q + 2 * C, 3 * C,
                      T, int(HS), mask, uint64_t(bh * T * T));
    });
}
