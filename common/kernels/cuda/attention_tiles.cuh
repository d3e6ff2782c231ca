// attention_tiles.cuh - what attention on tensor cores is made of: tiles of rows in shared memory, and the two
// products that it needs. In one, a tile's rows are what is multiplied with (scores: queries times keys), in the
// other its columns are (outputs: probabilities times values). mma.cuh says which lane holds which element.
// Not here: softmax, masks, which tile comes when (attention_mma.cuh).
// Source: the division of work is FlashAttention-2's (Dao 2023, section 3.3): a warp has its own rows and meets
// all rows of the other side, so that no warp waits for another's sums.
#pragma once
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/mma.cuh"

namespace attention_mma {

using bf16 = __nv_bfloat16;

constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;

// What is switched on; tests/bench/ladder/attention.cu climbs through these.
//   kWidth    channels that a row has room for: 16, 32, 64 or 128; behind a narrower head's last they are zeros
//   kSwizzle  rows' chunks are permuted, so that no two lanes of an ldmatrix meet on a bank
//   kStages   tiles in shared memory at a time: with 2, one is copied while the other is multiplied
//   kSkip     tiles in which every query comes before every key are not multiplied at all
template <int width, bool swizzle, int stages, bool skip>
struct Form {
    static constexpr int kWidth = width, kStages = stages;
    static constexpr bool kSwizzle = swizzle, kSkip = skip;
    // Rows of a warp, in steps of the 16 that mma has. With 32, each operand read from shared memory serves twice,
    // which matters: at 16, a tile is read as fast as it is multiplied. But in the backward, where keys have two
    // gradients, 32 rows of 128 channels would need 256 registers for these alone.
    static constexpr int kRowTiles = 2, kRowTilesBackward = kWidth <= 64 ? 2 : 1;
    // Rows of the other side in a tile.
    static constexpr int kColumns = kWidth <= 64 ? 64 : 32, kColumnsBackward = 32;
};

// ---- tiles ------------------------------------------------------------------------------------------------

// Rows of kWidth channels in shared memory, in chunks of 8 channels, which are 16 bytes.
//
// An ldmatrix reads 8 rows at a time, the same chunk c of each. Shared memory delivers 128 bytes at once, one
// chunk from each of 8 columns of banks; rows of 64 channels are 128 bytes long, so that all 8 chunks would come
// from one column, one after the other. Hence row r keeps chunk c at place c ^ (r % 8), and the 8 rows have it in
// 8 columns (wide: chunks; high: rows; where chunk 0 lies):
//     0 . . . . . . .
//     . 0 . . . . . .
//     . . 0 . . . . .
// Where a line of 128 bytes holds several rows, they are in different columns already, and it is the line's number
// that is added (exclusive or) to the chunk's.
template <class F>
struct Tile {
    bf16* x;
    static constexpr int kChunks = F::kWidth / 8;
    static constexpr int kRowsOfLine = kChunks < 8 ? 8 / kChunks : 1;

    __device__ bf16* chunk(int row, int c) const {
        if (F::kSwizzle) c ^= row / kRowsOfLine % (kChunks < 8 ? kChunks : 8);
        return x + (row * kChunks + c) * 8;
    }
};

// Begins to copy kRows rows of a head, from row `first` on; zeros behind row T and channel HS (a multiple of 8).
// Neighbouring threads copy neighbouring chunks; each has the same chunk of several rows.
template <int kRows, class F>
__device__ void begin_load(Tile<F> tile, Rows<const bf16> from, int first, int T, int HS) {
    constexpr int kChunks = Tile<F>::kChunks;
    const int c = threadIdx.x % kChunks;
    for (int row = threadIdx.x / kChunks; row < kRows; row += kThreads / kChunks) {
        const bool is_inside = first + row < T && c * 8 < HS;
        const bf16* at = is_inside ? from.x + (first + row) * from.stride + c * 8 : from.x;
        cp_async<16>(tile.chunk(row, c), at, is_inside);
    }
}

// ---- operands ---------------------------------------------------------------------------------------------

// Which rows of a result's 16, and which columns of its 8, a lane has: rows g and g + 8, columns p and p + 1.
struct LanePlace {
    int g, p;
};
__device__ inline LanePlace lane_place() {
    const int lane = threadIdx.x % 32;
    return {lane / 4, 2 * (lane % 4)};
}

// A: 16 rows from `row` on, 16 channels from chunk c on. Quarters in the order of A's registers: rows 0 to 7 and
// 8 to 15 of the first chunk, then of the second.
template <class F>
__device__ FragmentA load_a(Tile<F> tile, int row, int c) {
    const int lane = threadIdx.x % 32;
    FragmentA a;
    ldmatrix_x4(a.x, tile.chunk(row + lane % 16, c + lane / 16));
    return a;
}

// Two B that lie side by side: (16,8) each.
struct FragmentsB {
    FragmentB left, right;
};

// B[k][n] = channel k of row n: the tile's rows are B's columns. Rows 0 to 7 are one B, 8 to 15 the other, each in
// two chunks. Two neighbouring channels of a row are two neighbours in k, as a register of B wants it.
template <class F>
__device__ FragmentsB load_rows_as_columns(Tile<F> tile, int row, int c) {
    const int lane = threadIdx.x % 32;
    uint32_t x[4];
    ldmatrix_x4(x, tile.chunk(row + lane % 8 + lane / 16 * 8, c + lane / 8 % 2));
    return {{{x[0], x[1]}}, {{x[2], x[3]}}};
}

// B[k][n] = channel n of row k. Here the neighbours in k lie in two rows: ldmatrix transposes.
template <class F>
__device__ FragmentsB load_rows_as_rows(Tile<F> tile, int row, int c) {
    const int lane = threadIdx.x % 32;
    uint32_t x[4];
    ldmatrix_x4_trans(x, tile.chunk(row + lane % 16, c + lane / 16));
    return {{{x[0], x[1]}}, {{x[2], x[3]}}};
}

// ---- products ---------------------------------------------------------------------------------------------

// sums = a b^T: 16 * kRowTiles rows of a, from `row` on, times all 8 * kColumnTiles rows of b.
template <class F, int kRowTiles, int kColumnTiles>
__device__ void multiply_rows(FragmentD (&sums)[kRowTiles][kColumnTiles], Tile<F> a, int row, Tile<F> b) {
#pragma unroll
    for (int t = 0; t < kRowTiles; t++)
#pragma unroll
        for (int n = 0; n < kColumnTiles; n++) sums[t][n] = {};
#pragma unroll
    for (int c = 0; c < Tile<F>::kChunks; c += 2) {
        FragmentA left[kRowTiles];
#pragma unroll
        for (int t = 0; t < kRowTiles; t++) left[t] = load_a(a, row + 16 * t, c);
#pragma unroll
        for (int n = 0; n < kColumnTiles; n += 2) {
            const FragmentsB pair = load_rows_as_columns(b, 8 * n, c);
#pragma unroll
            for (int t = 0; t < kRowTiles; t++) {
                mma_m16n8k16(sums[t][n], left[t], pair.left);
                mma_m16n8k16(sums[t][n + 1], left[t], pair.right);
            }
        }
    }
}

// sums += p b, where p (16 * kRowTiles, 8 * kColumnTiles) is a result of multiply_rows, or was made of one: it is
// rounded to bf16 and, register by register, an operand.
template <class F, int kRowTiles, int kColumnTiles>
__device__ void add_product(FragmentD (&sums)[kRowTiles][F::kWidth / 8],
                            const FragmentD (&p)[kRowTiles][kColumnTiles], Tile<F> b) {
#pragma unroll
    for (int n = 0; n < kColumnTiles; n += 2) {
        FragmentA left[kRowTiles];
#pragma unroll
        for (int t = 0; t < kRowTiles; t++) left[t] = as_a(p[t][n], p[t][n + 1]);
#pragma unroll
        for (int c = 0; c < Tile<F>::kChunks; c += 2) {
            const FragmentsB pair = load_rows_as_rows(b, 8 * n, c);
#pragma unroll
            for (int t = 0; t < kRowTiles; t++) {
                mma_m16n8k16(sums[t][c], left[t], pair.left);
                mma_m16n8k16(sums[t][c + 1], left[t], pair.right);
            }
        }
    }
}

// Rows [first, first + 16 * kRowTiles) of a result = factor * sums, rounded; none behind row T or channel HS.
// note: the four lanes of a row write 16 neighbouring bytes. Through shared memory it could be whole rows, but this
// happens once in the life of a block.
template <int kRowTiles, int kColumnTiles>
__device__ void store_rows(Rows<bf16> to, int first, int T, int HS,
                           const FragmentD (&sums)[kRowTiles][kColumnTiles],
                           const float (&factor)[kRowTiles][2]) {
    const LanePlace at = lane_place();
#pragma unroll
    for (int t = 0; t < kRowTiles; t++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int row = first + 16 * t + at.g + 8 * half;
#pragma unroll
            for (int n = 0; n < kColumnTiles; n++) {
                if (row >= T || 8 * n >= HS) continue;
                const float* x = sums[t][n].x + 2 * half;
                *reinterpret_cast<__nv_bfloat162*>(to.x + row * to.stride + 8 * n + at.p) =
                    __floats2bfloat162_rn(factor[t][half] * x[0], factor[t][half] * x[1]);
            }
        }
}

}  // namespace attention_mma
