// attention_mma.cuh - causal multi-head self-attention on tensor cores, forward and backward: the kernels, and
// their launchers for one Form. A block has 4 warps with 16 or 32 rows each (queries, or in dk and dv keys), whose
// sums stay in registers, while tiles of the other side's rows pass through shared memory. Scores and probabilities
// never leave the registers: the lanes that hold a product of queries and keys hold it as the next product's operand.
// Not here: products and tiles (attention_tiles.cuh); head sizes (attention_mma.cu).
// Source: Dao 2023, "FlashAttention-2", algorithms 1 and 2, except that dq has a kernel of its own. What lies where
// is told in chapters/00_char_gpt/README.md, "Attention on tensor cores".
#pragma once
#include <cmath>

#include "kernels/cuda/attention_tiles.cuh"
#include "kernels/cuda/launcher.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/vec.cuh"

namespace attention_mma {

constexpr float kLog2E = 1.44269504f;  // exp(x) = exp2(x * kLog2E), and exp2 is one instruction

// Over the four lanes that share a row of a product.
__device__ inline float row_sum(float x) {
    x += __shfl_xor_sync(kAllLanes, x, 1);
    return x + __shfl_xor_sync(kAllLanes, x, 2);
}
__device__ inline float row_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, 1));
    return fmaxf(x, __shfl_xor_sync(kAllLanes, x, 2));
}

// Which of this lane's elements of a product of queries and keys (is_transposed: of keys and queries) the dropout
// keeps: bit (t * kColumnTiles + n) * 4 + e is that of element e in fragment [t][n]. A loop of its own, which is not
// unrolled: a generator of random numbers for each of 64 elements would crowd out the kernel's own instructions and
// registers, also where nothing is dropped.
template <int kRowTiles, int kColumnTiles>
__device__ uint64_t kept_elements(const DropoutMask& mask, uint64_t first_index, int first_row,
                                  int first_column, int T, bool is_transposed) {
    static_assert(kRowTiles * kColumnTiles * 4 <= 64, "a bit for each element");
    const LanePlace at = lane_place();
    uint64_t kept = 0;
#pragma unroll 1
    for (int bit = 0; bit < kRowTiles * kColumnTiles * 4; bit++) {
        const int t = bit / (4 * kColumnTiles), n = bit / 4 % kColumnTiles, e = bit % 4;
        const int row = first_row + 16 * t + at.g + 8 * (e / 2), column = first_column + 8 * n + at.p + e % 2;
        const int i = is_transposed ? column : row, j = is_transposed ? row : column;
        kept |= uint64_t(keep_factor(mask, first_index, i, j, T) > 0) << bit;
    }
    return kept;
}

// x *= m, the factors of the dropout.
template <int kRowTiles, int kColumnTiles>
__device__ void drop(FragmentD (&x)[kRowTiles][kColumnTiles], uint64_t kept, const DropoutMask& mask) {
    const float factor = 1.0f / (1.0f - mask.p);
#pragma unroll
    for (int t = 0; t < kRowTiles; t++)
#pragma unroll
        for (int n = 0; n < kColumnTiles; n++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                x[t][n].x[e] *= kept >> ((t * kColumnTiles + n) * 4 + e) & 1 ? factor : 0.0f;
}

// The tiles of a block in shared memory: first its own rows, then kStages times a tile of each of the other side's
// two kinds.
template <class F, int kOwnRows, int kOtherRows>
struct SharedTiles {
    bf16* x;
    __device__ Tile<F> own(int kind) const { return {x + kind * kOwnRows * F::kWidth}; }
    __device__ Tile<F> other(int stage, int kind, int own_kinds) const {
        return {x + (own_kinds * kOwnRows + (2 * stage + kind) * kOtherRows) * F::kWidth};
    }
    static constexpr size_t bytes(int own_kinds) {
        return size_t(own_kinds * kOwnRows + 2 * F::kStages * kOtherRows) * F::kWidth * sizeof(bf16);
    }
};

// Calls load(n) for each tile n in [begin, end), and multiply(n) when it is there. With kStages places for tiles,
// kStages - 1 are on their way while one is multiplied.
template <class F, class Load, class Multiply>
__device__ void for_each_tile(int begin, int end, Load load, Multiply multiply) {
    constexpr int kAhead = F::kStages - 1;
    // A group for each tile, an empty one behind the last: so that counting groups is counting tiles.
    const auto begin_tile = [&](int n) {
        if (n < end) load(n);
        cp_async_commit();
    };
    for (int n = begin; n < begin + kAhead; n++) begin_tile(n);
    for (int n = begin; n < end; n++) {
        if (kAhead == 0) {
            __syncthreads();  // all are done with tile n - 1, in whose place tile n comes
            begin_tile(n);
        }
        cp_async_wait<(kAhead > 1 ? kAhead - 1 : 0)>();
        // Tile n is there, also what other threads copied of it; and all are done with tile n - 1, whose place is free.
        __syncthreads();
        if (kAhead > 0) begin_tile(n + kAhead);
        multiply(n);
    }
}

// ---- forward ----------------------------------------------------------------------------------------------

// s = q k^T / sqrt(HS);  out = (exp(s - max) m) v / sum exp(s - max);  lse = max + log sum
// with m the factors of the dropout. Blocks: (sequences times tiles of queries, heads).
template <class F>
__global__ void __launch_bounds__(kThreads)
    attention_mma_forward_kernel(bf16* __restrict__ out, float* __restrict__ lse,
                                 const bf16* __restrict__ qkv, int T, int HS, float scale, DropoutMask mask) {
    constexpr int kRowTiles = F::kRowTiles, kKeys = F::kColumns, kWarpRows = 16 * kRowTiles;
    constexpr int kQueries = kWarps * kWarpRows;
    const SharedTiles<F, kQueries, kKeys> shared{dynamic_shared<bf16>()};
    const BlockPlace block = block_place(T, kQueries);
    const int64_t NH = gridDim.y, h = blockIdx.y, C = NH * HS;
    const HeadRows<const bf16> head = qkv_of_head(qkv, block.b, T, C, h * HS);
    const uint64_t first_index = uint64_t(block.b * NH + h) * T * T;

    // The last queries have the most keys: they go first, so that none of them is alone at the end.
    const int first_query = (block.tiles - 1 - block.tile) * kQueries;
    const int warp_row = int(threadIdx.x) / 32 * kWarpRows, first_row = first_query + warp_row;
    const LanePlace at = lane_place();
    const Tile<F> q_tile = shared.own(0);
    begin_load<kQueries>(q_tile, head.q, first_query, T, HS);  // in the first tile's group

    FragmentD o[kRowTiles][F::kWidth / 8] = {};
    // Of rows g and g + 8: the largest q k, and the sum over the keys of this lane's columns.
    float max[kRowTiles][2], sum[kRowTiles][2] = {};
    for (auto& both : max) both[0] = both[1] = kLowest;
    const float scale2 = scale * kLog2E;

    const int keys = F::kSkip ? min(first_query + kQueries, T) : T;
    const auto load = [&](int n) {
        begin_load<kKeys>(shared.other(n % F::kStages, 0, 1), head.k, n * kKeys, T, HS);
        begin_load<kKeys>(shared.other(n % F::kStages, 1, 1), head.v, n * kKeys, T, HS);
    };
    const auto multiply = [&](int n) {
        const int first_key = n * kKeys;
        if (F::kSkip && (first_key >= first_row + kWarpRows || first_row >= T)) return;
        FragmentD s[kRowTiles][kKeys / 8];
        multiply_rows(s, q_tile, warp_row, shared.other(n % F::kStages, 0, 1));
        const bool has_later_keys = first_key + kKeys - 1 > first_row;
#pragma unroll
        for (int t = 0; t < kRowTiles; t++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const int i = first_row + 16 * t + at.g + 8 * half;
                float top = max[t][half];
#pragma unroll
                for (int n8 = 0; n8 < kKeys / 8; n8++)
#pragma unroll
                    for (int k = 0; k < 2; k++) {
                        float& x = s[t][n8].x[2 * half + k];
                        if (has_later_keys && first_key + 8 * n8 + at.p + k > i) x = kLowest;
                        top = fmaxf(top, x);
                    }
                top = row_max(top);
                // What was added up under the old maximum shrinks.
                const float shrink = exp2f((max[t][half] - top) * scale2);
                max[t][half] = top;
                sum[t][half] *= shrink;
#pragma unroll
                for (int c = 0; c < F::kWidth / 8; c++) {
                    o[t][c].x[2 * half] *= shrink;
                    o[t][c].x[2 * half + 1] *= shrink;
                }
#pragma unroll
                for (int n8 = 0; n8 < kKeys / 8; n8++)
#pragma unroll
                    for (int k = 0; k < 2; k++) {
                        float& x = s[t][n8].x[2 * half + k];
                        x = exp2f(x * scale2 - top * scale2);
                        sum[t][half] += x;
                    }
            }
        if (mask.p > 0)  // behind the sum: dropped probabilities count, too
            drop(s, kept_elements<kRowTiles, kKeys / 8>(mask, first_index, first_row, first_key, T, false),
                 mask);
        add_product(o, s, shared.other(n % F::kStages, 1, 1));
    };
    for_each_tile<F>(0, (keys + kKeys - 1) / kKeys, load, multiply);

    float factor[kRowTiles][2];
    for (int t = 0; t < kRowTiles; t++)
        for (int half = 0; half < 2; half++) {
            const int i = first_row + 16 * t + at.g + 8 * half;
            const float total = row_sum(sum[t][half]);
            factor[t][half] = 1.0f / total;
            if (at.p == 0 && i < T) lse[(block.b * NH + h) * T + i] = max[t][half] * scale + logf(total);
        }
    store_rows(rows_of_head(out, block.b, T, C, h * HS), first_row, T, HS, o, factor);
}

// ---- the backward -----------------------------------------------------------------------------------------

// With m the factors of the dropout:
//   p  = exp(s - lse)           D  = rows of dout . out
//   dp = dout v^T               ds = p (dp m - D)
//   dq = ds k / sqrt(HS)        dk = ds^T q / sqrt(HS)        dv = (p m)^T dout
// FlashAttention-2 makes all three in one kernel, over blocks of keys: five products, but blocks add to the same dq
// in whatever order they come. Here dq has a kernel of its own, over blocks of queries, which computes s and dp
// again: seven products, so up to 1.4 times the time, for the same bits on every run and no memory for partial sums.

// D (B,NH,T). A row is a head of a token; each of its lanes has 8 channels.
template <int kLanesOfRow>
__global__ void __launch_bounds__(kThreads)
    attention_mma_row_dots_kernel(float* __restrict__ D, const bf16* __restrict__ dout,
                                  const bf16* __restrict__ out, int64_t rows, int T, int NH, int HS) {
    const int64_t row = (int64_t(blockIdx.x) * kThreads + threadIdx.x) / kLanesOfRow;  // ((b,t),h)
    const int first = int(threadIdx.x) % kLanesOfRow * 8;
    float dot = 0;
    if (row < rows && first < HS) {
        const Vec<bf16> x = load_vec(dout + row * HS + first, 8), y = load_vec(out + row * HS + first, 8);
        for (int k = 0; k < 8; k++) dot += x[k] * y[k];
    }
    for (int step = kLanesOfRow / 2; step > 0; step /= 2) dot += __shfl_xor_sync(kAllLanes, dot, step);
    const int64_t b = row / NH / T, t = row / NH % T, h = row % NH;
    if (row < rows && first == 0) D[(b * NH + h) * T + t] = dot;
}

// dq. Blocks as in the forward.
template <class F>
__global__ void __launch_bounds__(kThreads)
    attention_mma_backward_queries_kernel(bf16* __restrict__ dqkv, const float* __restrict__ D,
                                          const bf16* __restrict__ dout, const bf16* __restrict__ qkv,
                                          const float* __restrict__ lse, int T, int HS, float scale,
                                          DropoutMask mask) {
    constexpr int kRowTiles = F::kRowTilesBackward, kKeys = F::kColumnsBackward, kWarpRows = 16 * kRowTiles;
    constexpr int kQueries = kWarps * kWarpRows;
    const SharedTiles<F, kQueries, kKeys> shared{dynamic_shared<bf16>()};
    const BlockPlace block = block_place(T, kQueries);
    const int64_t NH = gridDim.y, h = blockIdx.y, C = NH * HS;
    const HeadRows<const bf16> head = qkv_of_head(qkv, block.b, T, C, h * HS);
    const uint64_t first_index = uint64_t(block.b * NH + h) * T * T;

    const int first_query = (block.tiles - 1 - block.tile) * kQueries;
    const int warp_row = int(threadIdx.x) / 32 * kWarpRows, first_row = first_query + warp_row;
    const LanePlace at = lane_place();
    const Tile<F> q_tile = shared.own(0), dout_tile = shared.own(1);
    begin_load<kQueries>(q_tile, head.q, first_query, T, HS);
    begin_load<kQueries>(dout_tile, rows_of_head(dout, block.b, T, C, h * HS), first_query, T, HS);

    FragmentD dq[kRowTiles][F::kWidth / 8] = {};
    float lse_i[kRowTiles][2], D_i[kRowTiles][2];
    for (int t = 0; t < kRowTiles; t++)
        for (int half = 0; half < 2; half++) {
            const int i = first_row + 16 * t + at.g + 8 * half;
            const int64_t row = (block.b * NH + h) * T + i;
            lse_i[t][half] = i < T ? lse[row] * kLog2E : 0.0f;
            D_i[t][half] = i < T ? D[row] : 0.0f;
        }

    const int keys = F::kSkip ? min(first_query + kQueries, T) : T;
    const auto load = [&](int n) {
        begin_load<kKeys>(shared.other(n % F::kStages, 0, 2), head.k, n * kKeys, T, HS);
        begin_load<kKeys>(shared.other(n % F::kStages, 1, 2), head.v, n * kKeys, T, HS);
    };
    const auto multiply = [&](int n) {
        const int first_key = n * kKeys;
        if (F::kSkip && (first_key >= first_row + kWarpRows || first_row >= T)) return;
        const Tile<F> k_tile = shared.other(n % F::kStages, 0, 2),
                      v_tile = shared.other(n % F::kStages, 1, 2);
        FragmentD s[kRowTiles][kKeys / 8], dp[kRowTiles][kKeys / 8];
        multiply_rows(s, q_tile, warp_row, k_tile);
        multiply_rows(dp, dout_tile, warp_row, v_tile);
        if (mask.p > 0)
            drop(dp, kept_elements<kRowTiles, kKeys / 8>(mask, first_index, first_row, first_key, T, false),
                 mask);
#pragma unroll
        for (int t = 0; t < kRowTiles; t++)
#pragma unroll
            for (int n8 = 0; n8 < kKeys / 8; n8++)
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    const int half = e / 2, i = first_row + 16 * t + at.g + 8 * half;
                    const int j = first_key + 8 * n8 + at.p + e % 2;
                    float& x = s[t][n8].x[e];  // a score, from here on its gradient
                    const float p = j > i ? 0.0f : exp2f(x * (scale * kLog2E) - lse_i[t][half]);
                    x = p * (dp[t][n8].x[e] - D_i[t][half]);
                }
        add_product(dq, s, k_tile);
    };
    for_each_tile<F>(0, (keys + kKeys - 1) / kKeys, load, multiply);

    float factor[kRowTiles][2];
    for (auto& both : factor) both[0] = both[1] = scale;
    store_rows(rows_of_head(dqkv, block.b, T, 3 * C, h * HS), first_row, T, HS, dq, factor);
}

// dk and dv. Scores come transposed, keys in rows: then what is multiplied with dout and q is again in the lanes
// that computed it. Blocks: (sequences times tiles of keys, heads); the first keys have the most queries, and go
// first.
template <class F>
__global__ void __launch_bounds__(kThreads)
    attention_mma_backward_keys_kernel(bf16* __restrict__ dqkv, const float* __restrict__ D,
                                       const bf16* __restrict__ dout, const bf16* __restrict__ qkv,
                                       const float* __restrict__ lse, int T, int HS, float scale,
                                       DropoutMask mask) {
    constexpr int kRowTiles = F::kRowTilesBackward, kWarpRows = 16 * kRowTiles;
    constexpr int kKeys = kWarps * kWarpRows, kQueries = F::kColumnsBackward;
    __shared__ float lse_tile[F::kStages][kQueries], D_tile[F::kStages][kQueries];
    const SharedTiles<F, kKeys, kQueries> shared{dynamic_shared<bf16>()};
    const BlockPlace block = block_place(T, kKeys);
    const int64_t NH = gridDim.y, h = blockIdx.y, C = NH * HS;
    const HeadRows<const bf16> head = qkv_of_head(qkv, block.b, T, C, h * HS);
    const Rows<const bf16> dout_rows = rows_of_head(dout, block.b, T, C, h * HS);
    const uint64_t first_index = uint64_t(block.b * NH + h) * T * T;
    const int64_t first_of_head = (block.b * NH + h) * T;  // of lse and D

    const int first_key = block.tile * kKeys;
    const int warp_row = int(threadIdx.x) / 32 * kWarpRows, first_row = first_key + warp_row;
    const LanePlace at = lane_place();
    const Tile<F> k_tile = shared.own(0), v_tile = shared.own(1);
    begin_load<kKeys>(k_tile, head.k, first_key, T, HS);
    begin_load<kKeys>(v_tile, head.v, first_key, T, HS);

    FragmentD dk[kRowTiles][F::kWidth / 8] = {}, dv[kRowTiles][F::kWidth / 8] = {};
    const auto load = [&](int n) {
        const int stage = n % F::kStages, first_query = n * kQueries;
        begin_load<kQueries>(shared.other(stage, 0, 2), head.q, first_query, T, HS);
        begin_load<kQueries>(shared.other(stage, 1, 2), dout_rows, first_query, T, HS);
        if (threadIdx.x < kQueries) {
            const int i = first_query + int(threadIdx.x);
            const int64_t row = first_of_head + (i < T ? i : 0);
            cp_async<4>(&lse_tile[stage][threadIdx.x], lse + row, i < T);
            cp_async<4>(&D_tile[stage][threadIdx.x], D + row, i < T);
        }
    };
    const auto multiply = [&](int n) {
        const int stage = n % F::kStages, first_query = n * kQueries;
        if (F::kSkip && (first_query + kQueries <= first_row || first_row >= T)) return;
        const Tile<F> q_tile = shared.other(stage, 0, 2), dout_tile = shared.other(stage, 1, 2);
        FragmentD s[kRowTiles][kQueries / 8], dp[kRowTiles][kQueries / 8];
        multiply_rows(s, k_tile, warp_row, q_tile);
        multiply_rows(dp, v_tile, warp_row, dout_tile);
        uint64_t kept = 0;
        if (mask.p > 0) {
            kept = kept_elements<kRowTiles, kQueries / 8>(mask, first_index, first_row, first_query, T, true);
            drop(dp, kept, mask);
        }
#pragma unroll
        for (int n8 = 0; n8 < kQueries / 8; n8++)
#pragma unroll
            for (int k = 0; k < 2; k++) {
                const int column = 8 * n8 + at.p + k, i = first_query + column;
                const float lse_i = lse_tile[stage][column] * kLog2E, D_i = D_tile[stage][column];
#pragma unroll
                for (int t = 0; t < kRowTiles; t++)
#pragma unroll
                    for (int half = 0; half < 2; half++) {
                        const int j = first_row + 16 * t + at.g + 8 * half;
                        float& p = s[t][n8].x[2 * half + k];       // a score, from here on its probability
                        float& dp_ij = dp[t][n8].x[2 * half + k];  // dp m, from here on ds
                        const bool is_seen = i >= j && i < T;
                        p = is_seen ? exp2f(p * (scale * kLog2E) - lse_i) : 0.0f;
                        dp_ij = p * (dp_ij - D_i);
                    }
            }
        if (mask.p > 0) drop(s, kept, mask);
        add_product(dv, s, dout_tile);
        add_product(dk, dp, q_tile);
    };
    for_each_tile<F>(F::kSkip ? first_key / kQueries : 0, (T + kQueries - 1) / kQueries, load, multiply);

    float scales[kRowTiles][2], ones[kRowTiles][2];
    for (int t = 0; t < kRowTiles; t++) {
        scales[t][0] = scales[t][1] = scale;
        ones[t][0] = ones[t][1] = 1;
    }
    const HeadRows<bf16> gradients = qkv_of_head(dqkv, block.b, T, C, h * HS);
    store_rows(gradients.k, first_row, T, HS, dk, scales);
    store_rows(gradients.v, first_row, T, HS, dv, ones);
}

// ---- launchers --------------------------------------------------------------------------------------------

struct Sizes {
    int64_t B, T, NH, HS;
    dim3 blocks(int rows) const { return {unsigned(B) * blocks_for(T, rows), unsigned(NH)}; }
    float scale() const { return 1.0f / std::sqrt(float(HS)); }
};

// A block that wants more than 48 KB of shared memory, its arrays of fixed size included, has to ask.
template <class Kernel>
void allow_shared_bytes(Kernel* kernel, size_t bytes) {
    CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(bytes)));
}

template <class F>
void forward_in_form(bf16* out, float* lse, const bf16* qkv, Sizes n, DropoutMask mask, Stream s) {
    constexpr int kQueries = kWarps * 16 * F::kRowTiles;
    constexpr size_t kBytes = SharedTiles<F, kQueries, F::kColumns>::bytes(1);
    allow_shared_bytes(attention_mma_forward_kernel<F>, kBytes);
    launch(attention_mma_forward_kernel<F>, n.blocks(kQueries), kThreads, kBytes, cuda_stream(s), out, lse,
           qkv, int(n.T), int(n.HS), n.scale(), mask);
}

template <class F>
void backward_in_form(bf16* dqkv, const bf16* dout, const bf16* qkv, const bf16* out, const float* lse,
                      Sizes n, DropoutMask mask, Stream s) {
    const Scratch<float> D(n.B * n.NH * n.T, s);
    const int64_t rows = n.B * n.T * n.NH;
    constexpr int kLanesOfRow = 16;  // for up to 128 channels
    launch(attention_mma_row_dots_kernel<kLanesOfRow>, blocks_for(rows, kThreads / kLanesOfRow), kThreads, 0,
           cuda_stream(s), D.get(), dout, out, rows, int(n.T), int(n.NH), int(n.HS));

    constexpr int kRows = kWarps * 16 * F::kRowTilesBackward;  // queries of a block, or keys
    constexpr size_t kBytes = SharedTiles<F, kRows, F::kColumnsBackward>::bytes(2);
    allow_shared_bytes(attention_mma_backward_queries_kernel<F>, kBytes);
    launch(attention_mma_backward_queries_kernel<F>, n.blocks(kRows), kThreads, kBytes, cuda_stream(s), dqkv,
           D.get(), dout, qkv, lse, int(n.T), int(n.HS), n.scale(), mask);

    allow_shared_bytes(attention_mma_backward_keys_kernel<F>, kBytes);
    launch(attention_mma_backward_keys_kernel<F>, n.blocks(kRows), kThreads, kBytes, cuda_stream(s), dqkv,
           D.get(), dout, qkv, lse, int(n.T), int(n.HS), n.scale(), mask);
}

}  // namespace attention_mma
