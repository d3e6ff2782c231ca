// attention.cu - causal multi-head self-attention, forward and backward, on CUDA cores. A thread keeps one row
// (a query, or in dk and dv a key) in registers, while tiles of the other side's rows pass through shared
// memory, where all threads read the same row at the same time. No score is ever stored.
//
// Heads wider than 32 do not fit into one thread's registers: kLanes neighbouring threads then share a row,
// each with kDims = 32 of its channels, and add up their dot products by shuffles.
//
// Not here: tensor cores (attention_mma.cu), and the choice between the two (attention_forms.cu); the linear layers
// around it (gemm.cu); a cache of keys and values for sampling.
//
// Source: Dao et al. 2022, "FlashAttention", algorithms 1 and 4; running maximum and sum: Milakov and
// Gimelshein 2018. The backward is derived in chapters/00_char_gpt/README.md, "Attention, backwards".
#include <cmath>

#include "core/check.h"
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/attention_forms.h"
#include "kernels/cuda/launcher.cuh"
#include "kernels/cuda/reduce.cuh"

namespace {

using gpu::real;

// Rows of a result that a block makes. 64 rows share each tile that they load; with more, a short context
// would fill too few of the card's processors.
constexpr int kRows = 64;
template <int kLanes>
constexpr int kThreads = (kRows * kLanes);

// Rows of the other side that pass through shared memory at a time. Two tiles of 32 rows with 128 channels
// are 36 KB of the 48 KB that a block may have without asking.
constexpr int kTile = 32;

// ---- rows in shared memory and in registers ---------------------------------------------------------------

// A tile's row: kLanes pieces of kDims channels. A gap between pieces puts the lanes, which read theirs at the
// same time, on different banks.
template <int kDims, int kLanes>
struct TileRow {
    __align__(16) float piece[kLanes][kDims + (kLanes > 1 ? 4 : 0)];
};

// tile[r] = scale * row first + r; zeros behind the last row T and the last channel HS. Neighbouring threads
// read neighbouring channels.
template <int kDims, int kLanes>
__device__ void load_tile(TileRow<kDims, kLanes>* tile, Rows<const real> rows, int first, int T, int HS,
                          float scale) {
    constexpr int kChannels = kDims * kLanes;
    for (int e = threadIdx.x; e < kTile * kChannels; e += blockDim.x) {
        const int r = e / kChannels, d = e % kChannels;
        const bool is_inside = first + r < T && d < HS;
        tile[r].piece[d / kDims][d % kDims] =
            is_inside ? scale * float(rows.x[(first + r) * rows.stride + d]) : 0.0f;
    }
}

// This thread's piece of row t: channels [lane * kDims, (lane + 1) * kDims), times scale; zeros behind the
// last.
template <int kDims>
__device__ void load_piece(float (&piece)[kDims], Rows<const real> rows, int t, int T, int lane, int HS,
                           float scale) {
    for (int d = 0; d < kDims; d++) {
        const int channel = lane * kDims + d;
        piece[d] = t < T && channel < HS ? scale * float(rows.x[t * rows.stride + channel]) : 0.0f;
    }
}

template <int kDims>
__device__ void store_piece(Rows<real> rows, int t, int T, int lane, int HS, const float (&piece)[kDims],
                            float scale) {
    for (int d = 0; d < kDims; d++) {
        const int channel = lane * kDims + d;
        if (t < T && channel < HS) rows.x[t * rows.stride + channel] = real(scale * piece[d]);
    }
}

// x . y over all channels. All lanes of the warp must call it together.
template <int kLanes, int kDims>
__device__ float dot(const float (&x)[kDims], const float* y) {
    float sum = 0;
    for (int d = 0; d < kDims; d++) sum += x[d] * y[d];
    for (int step = 1; step < kLanes; step *= 2) sum += __shfl_xor_sync(kAllLanes, sum, step);
    return sum;
}

// sum += factor * y
template <int kDims>
__device__ void add_scaled(float (&sum)[kDims], float factor, const float* y) {
    for (int d = 0; d < kDims; d++) sum[d] += factor * y[d];
}

// ---- forward ----------------------------------------------------------------------------------------------

// s = q k^T / sqrt(HS);  out = (exp(s - max) m) v / sum exp(s - max);  lse = max + log sum
// with m the factors of the dropout. Blocks: (sequences times tiles of queries, heads).
template <int kDims, int kLanes>
__global__ void __launch_bounds__(kThreads<kLanes>)
    attention_forward_kernel(real* __restrict__ out, float* __restrict__ lse, const real* __restrict__ qkv,
                             int T, int HS, float scale, DropoutMask mask) {
    __shared__ TileRow<kDims, kLanes> k_tile[kTile], v_tile[kTile];
    const BlockPlace at = block_place(T, kRows);
    const int64_t NH = gridDim.y, h = blockIdx.y, b = at.b, C = NH * HS;
    const auto [q, k, v] = qkv_of_head(qkv, b, T, C, h * HS);
    const uint64_t first_index = uint64_t(b * NH + h) * T * T;

    // The last queries have the most keys: they go first, so that none of them is alone at the end.
    const int first_query = (at.tiles - 1 - at.tile) * kRows;
    const int i = first_query + int(threadIdx.x) / kLanes, lane = threadIdx.x % kLanes;
    float q_i[kDims], o[kDims] = {};
    load_piece(q_i, q, i, T, lane, HS, scale);

    float max = kLowest, sum = 0;
    const int keys = min(first_query + kRows, T);  // that any query of the block sees
    for (int first_key = 0; first_key < keys; first_key += kTile) {
        __syncthreads();  // all are done with the tiles before
        load_tile(k_tile, k, first_key, T, HS, 1.0f);
        load_tile(v_tile, v, first_key, T, HS, 1.0f);
        __syncthreads();
        for (int j = 0; j < kTile; j++) {
            const float s = dot<kLanes>(q_i, k_tile[j].piece[lane]);
            if (first_key + j > i) continue;  // a later token
            if (s > max) {                    // what was added up under the old maximum shrinks
                const float shrink = expf(max - s);
                sum *= shrink;
                for (int d = 0; d < kDims; d++) o[d] *= shrink;
                max = s;
            }
            const float p = expf(s - max);
            sum += p;  // dropped probabilities count, too
            add_scaled(o, p * keep_factor(mask, first_index, i, first_key + j, T), v_tile[j].piece[lane]);
        }
    }
    store_piece(rows_of_head(out, b, T, C, h * HS), i, T, lane, HS, o, 1.0f / sum);
    if (lane == 0 && i < T) lse[(b * NH + h) * T + i] = max + logf(sum);
}

// ---- Attention, backwards ---------------------------------------------------------------------------------

// With m the factors of the dropout:
//   p  = exp(s - lse)           D  = rows of dout . out
//   dp = dout v^T               ds = p (dp m - D)
//   dq = ds k / sqrt(HS)        dk = ds^T q / sqrt(HS)        dv = (p m)^T dout
// dq is a sum over keys, dk and dv are sums over queries. In one kernel, blocks would have to add to each
// other's results in whatever order they come. So there are two, and each computes p again.

// dq, and D (B,NH,T) for the kernel behind it. Blocks as in the forward.
template <int kDims, int kLanes>
__global__ void __launch_bounds__(kThreads<kLanes>)
    attention_backward_queries_kernel(real* __restrict__ dqkv, float* __restrict__ D,
                                      const real* __restrict__ dout, const real* __restrict__ qkv,
                                      const real* __restrict__ out, const float* __restrict__ lse, int T,
                                      int HS, float scale, DropoutMask mask) {
    __shared__ TileRow<kDims, kLanes> k_tile[kTile], v_tile[kTile];
    const BlockPlace at = block_place(T, kRows);
    const int64_t NH = gridDim.y, h = blockIdx.y, b = at.b, C = NH * HS;
    const auto [q, k, v] = qkv_of_head(qkv, b, T, C, h * HS);
    const uint64_t first_index = uint64_t(b * NH + h) * T * T;
    const int64_t first_row = (b * NH + h) * T;  // of lse and D

    const int first_query = (at.tiles - 1 - at.tile) * kRows;
    const int i = first_query + int(threadIdx.x) / kLanes, lane = threadIdx.x % kLanes;
    float q_i[kDims], dout_i[kDims], dq_i[kDims];
    load_piece(q_i, q, i, T, lane, HS, scale);
    load_piece(dout_i, rows_of_head(dout, b, T, C, h * HS), i, T, lane, HS, 1.0f);
    load_piece(dq_i, rows_of_head(out, b, T, C, h * HS), i, T, lane, HS, 1.0f);  // out, for the moment
    const float D_i = dot<kLanes>(dout_i, dq_i), lse_i = i < T ? lse[first_row + i] : 0.0f;
    if (lane == 0 && i < T) D[first_row + i] = D_i;
    for (int d = 0; d < kDims; d++) dq_i[d] = 0;

    const int keys = min(first_query + kRows, T);
    for (int first_key = 0; first_key < keys; first_key += kTile) {
        __syncthreads();
        load_tile(k_tile, k, first_key, T, HS, 1.0f);
        load_tile(v_tile, v, first_key, T, HS, 1.0f);
        __syncthreads();
        for (int j = 0; j < kTile; j++) {
            const float s = dot<kLanes>(q_i, k_tile[j].piece[lane]);
            const float dp = dot<kLanes>(dout_i, v_tile[j].piece[lane]);
            if (first_key + j > i) continue;
            const float m = keep_factor(mask, first_index, i, first_key + j, T);
            const float ds = expf(s - lse_i) * (dp * m - D_i);
            add_scaled(dq_i, ds, k_tile[j].piece[lane]);
        }
    }
    store_piece(rows_of_head(dqkv, b, T, 3 * C, h * HS), i, T, lane, HS, dq_i, scale);
}

// dk and dv. Blocks: (sequences times tiles of keys, heads); the first keys have the most queries, and go first.
// note: left alone, ptxas squeezes rows of 4 channels into 40 registers and spills; with 8 blocks asked for it takes
// what it needs.
template <int kDims, int kLanes>
__global__ void __launch_bounds__(kThreads<kLanes>, kDims <= 4 ? 8 : 1)
    attention_backward_keys_kernel(real* __restrict__ dqkv, const float* __restrict__ D,
                                   const real* __restrict__ dout, const real* __restrict__ qkv,
                                   const float* __restrict__ lse, int T, int HS, float scale,
                                   DropoutMask mask) {
    __shared__ TileRow<kDims, kLanes> q_tile[kTile], dout_tile[kTile];
    __shared__ float lse_tile[kTile], D_tile[kTile];
    const BlockPlace at = block_place(T, kRows);
    const int64_t NH = gridDim.y, h = blockIdx.y, b = at.b, C = NH * HS;
    const auto [q, k, v] = qkv_of_head(qkv, b, T, C, h * HS);
    const Rows<const real> dout_rows = rows_of_head(dout, b, T, C, h * HS);
    const Rows<real> dq = rows_of_head(dqkv, b, T, 3 * C, h * HS);
    const uint64_t first_index = uint64_t(b * NH + h) * T * T;
    const int64_t first_row = (b * NH + h) * T;

    const int first_key = at.tile * kRows;
    const int j = first_key + int(threadIdx.x) / kLanes, lane = threadIdx.x % kLanes;
    float k_j[kDims], v_j[kDims], dk_j[kDims] = {}, dv_j[kDims] = {};
    load_piece(k_j, k, j, T, lane, HS, 1.0f);
    load_piece(v_j, v, j, T, lane, HS, 1.0f);

    for (int first_query = first_key; first_query < T; first_query += kTile) {
        __syncthreads();
        load_tile(q_tile, q, first_query, T, HS, scale);
        load_tile(dout_tile, dout_rows, first_query, T, HS, 1.0f);
        if (threadIdx.x < kTile && first_query + int(threadIdx.x) < T) {
            lse_tile[threadIdx.x] = lse[first_row + first_query + threadIdx.x];
            D_tile[threadIdx.x] = D[first_row + first_query + threadIdx.x];
        }
        __syncthreads();
        for (int r = 0; r < kTile; r++) {
            const int i = first_query + r;
            const float s = dot<kLanes>(k_j, q_tile[r].piece[lane]);
            const float dp = dot<kLanes>(v_j, dout_tile[r].piece[lane]);
            if (i < j || i >= T) continue;
            const float m = keep_factor(mask, first_index, i, j, T);
            const float p = expf(s - lse_tile[r]), ds = p * (dp * m - D_tile[r]);
            add_scaled(dv_j, p * m, dout_tile[r].piece[lane]);
            add_scaled(dk_j, ds, q_tile[r].piece[lane]);
        }
    }
    store_piece({dq.x + C, dq.stride}, j, T, lane, HS, dk_j, 1.0f);
    store_piece({dq.x + 2 * C, dq.stride}, j, T, lane, HS, dv_j, 1.0f);
}

// ---- launchers --------------------------------------------------------------------------------------------

struct Sizes {
    int64_t B, T, NH, HS;
    dim3 blocks() const { return {unsigned(B) * blocks_for(T, kRows), unsigned(NH)}; }
    float scale() const { return 1.0f / std::sqrt(float(HS)); }
};

template <int kDims, int kLanes>
void launch_forward(real* out, float* lse, const real* qkv, Sizes n, DropoutMask mask, Stream s) {
    launch(attention_forward_kernel<kDims, kLanes>, n.blocks(), kThreads<kLanes>, 0, cuda_stream(s), out, lse,
           qkv, int(n.T), int(n.HS), n.scale(), mask);
}

template <int kDims, int kLanes>
void launch_backward(real* dqkv, const real* dout, const real* qkv, const real* out, const float* lse,
                     Sizes n, DropoutMask mask, Stream s) {
    const Scratch<float> D(n.B * n.NH * n.T, s);
    launch(attention_backward_queries_kernel<kDims, kLanes>, n.blocks(), kThreads<kLanes>, 0, cuda_stream(s),
           dqkv, D.get(), dout, qkv, out, lse, int(n.T), int(n.HS), n.scale(), mask);
    launch(attention_backward_keys_kernel<kDims, kLanes>, n.blocks(), kThreads<kLanes>, 0, cuda_stream(s),
           dqkv, D.get(), dout, qkv, lse, int(n.T), int(n.HS), n.scale(), mask);
}

// How many channels a thread keeps, and how many threads share a row, as types.
template <int kDims, int kLanes>
struct Width {
    static constexpr int dims = kDims, lanes = kLanes;
};

// Calls launch_with(Width), the narrowest that holds a head of HS channels.
template <class F>
void with_width(int64_t HS, F launch_with) {
    CHECK(HS >= 1 && HS <= 128, "[attention] head size %lld: the CUDA kernels have 1 to 128",
          static_cast<long long>(HS));
    if (HS <= 4) return launch_with(Width<4, 1>());
    if (HS <= 8) return launch_with(Width<8, 1>());
    if (HS <= 16) return launch_with(Width<16, 1>());
    if (HS <= 32) return launch_with(Width<32, 1>());
    if (HS <= 64) return launch_with(Width<32, 2>());
    launch_with(Width<32, 4>());
}

}  // namespace

void attention_plain::forward(real* out, float* lse, const real* qkv, int64_t B, int64_t T, int64_t NH,
                              int64_t HS, DropoutMask mask, Stream s) {
    with_width(HS, [&](auto width) {
        if (B * T * NH > 0) launch_forward<width.dims, width.lanes>(out, lse, qkv, {B, T, NH, HS}, mask, s);
    });
}

void attention_plain::backward(real* dqkv, const real* dout, const real* qkv, const real* out,
                               const float* lse, int64_t B, int64_t T, int64_t NH, int64_t HS,
                               DropoutMask mask, Stream s) {
    with_width(HS, [&](auto width) {
        if (B * T * NH > 0)
            launch_backward<width.dims, width.lanes>(dqkv, dout, qkv, out, lse, {B, T, NH, HS}, mask, s);
    });
}
