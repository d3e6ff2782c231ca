// gemm_wmma.cu - the matrix product on tensor cores: bfloat16 operands, float sums. A warp's instruction multiplies
// two matrices of 16 x 16 (wmma); a block of eight warps makes a tile of 128 x 128 elements of out.
//     global memory --16 bytes a thread--> registers --> shared memory --wmma--> fragments --> out
// Loads for the next 32 steps of k are under way, into registers, while the last ones are multiplied; two buffers
// in shared memory, so that one barrier per step is enough.
// Not here: mma.sync and ldmatrix, which know which lane holds what, and cp.async, which needs no registers (the
// attention kernels use them: mma.cuh); wgmma and TMA, without which Hopper's tensor cores stay below half of
// their speed; several blocks for one tile where K is long and out small.
// Source: CUDA C++ Programming Guide, "Warp matrix functions".
#include "kernels/cuda/gemm.cuh"
#include "kernels/cuda/launcher.cuh"
#include "kernels/cuda/vec.cuh"

using namespace gemm_forms;
namespace wmma = nvcuda::wmma;

namespace {

constexpr int kTile =
    128;  // rows and columns of out that a block makes: each operand is read 128 times less often
constexpr int kDepth = 32;  // of the inner dimension at a time: two fragments deep
constexpr int kFragment = 16;
// Eight warps as 2 x 4: each makes 64 x 32, as 4 x 2 fragments. 64 sums a lane leave registers for the loads.
constexpr int kWarpRows = 2, kWarpColumns = 4;
constexpr int kThreads = 32 * kWarpRows * kWarpColumns;  // 256
constexpr int kRowFragments = kTile / kWarpRows / kFragment,
              kColumnFragments = kTile / kWarpColumns / kFragment;

constexpr int kChunk = 8;                                             // elements of 16 bytes
constexpr int kChunksPerThread = kTile * kDepth / kChunk / kThreads;  // 2

// An operand's tile lies in shared memory as in global memory: k contiguous, or i. Rows are 16 bytes longer than
// needed: with a length of 64 or 256 bytes the rows of a fragment would all begin in the same few banks. (wmma wants
// fragments to begin at multiples of 32 bytes, and rows to be multiples of 16 apart.)
template <bool kAlongK>
struct TileShape {
    static constexpr int kColumns = kAlongK ? kDepth : kTile;
    static constexpr int kStride = kColumns + kChunk;
    using Layout = std::conditional_t<kAlongK, wmma::row_major, wmma::col_major>;  // of an (i,k) matrix
};
constexpr int kTileElements = kTile * (kDepth + kChunk);  // of the larger of both shapes
static_assert(kTileElements >= kDepth * (kTile + kChunk), "both shapes fit");

// At the end a warp's fragment passes through shared memory, where its elements have known places.
constexpr int kStageStride = kFragment + 4;
constexpr int kStageFloats = kFragment * kStageStride;

struct alignas(16) Chunk {
    __nv_bfloat16 x[kChunk];
};

// from[0 .. 8), and 0 from `rest` on.
__device__ Chunk load_chunk(const real* from, int64_t rest) {
    if constexpr (sizeof(real) == sizeof(__nv_bfloat16))
        if (rest >= kChunk && is_aligned(from)) return *reinterpret_cast<const Chunk*>(from);
    Chunk chunk;
    for (int e = 0; e < kChunk; e++) chunk.x[e] = __nv_bfloat16(e < rest ? float(from[e]) : 0.0f);
    return chunk;
}

// This thread's share of the tile of x at (first_row, first_k); zeros outside of x, which add nothing to a product.
template <bool kAlongK>
__device__ void load_share(Chunk (&share)[kChunksPerThread], const real* x, int64_t rows, int64_t K,
                           int64_t stride, int64_t first_row, int64_t first_k) {
    constexpr int kChunksPerRow = TileShape<kAlongK>::kColumns / kChunk;
    for (int c = 0; c < kChunksPerThread; c++) {
        const int index = int(threadIdx.x) + c * kThreads;  // neighbouring threads: neighbouring chunks
        const int row = index / kChunksPerRow, column = index % kChunksPerRow * kChunk;
        const int64_t outer = (kAlongK ? first_row : first_k) + row,
                      inner = (kAlongK ? first_k : first_row) + column;
        const bool is_inside = outer < (kAlongK ? rows : K);
        const int64_t rest = is_inside ? (kAlongK ? K : rows) - inner : 0;
        // note: the address of what is not there is not computed either
        share[c] = load_chunk(rest > 0 ? x + outer * stride + inner : x, rest);
    }
}

template <bool kAlongK>
__device__ void store_share(__nv_bfloat16* tile, const Chunk (&share)[kChunksPerThread]) {
    constexpr int kChunksPerRow = TileShape<kAlongK>::kColumns / kChunk;
    for (int c = 0; c < kChunksPerThread; c++) {
        const int index = int(threadIdx.x) + c * kThreads;
        const int row = index / kChunksPerRow, column = index % kChunksPerRow * kChunk;
        *reinterpret_cast<Chunk*>(tile + row * TileShape<kAlongK>::kStride + column) = share[c];
    }
}

// Element (i, k) of a tile.
template <bool kAlongK>
__device__ const __nv_bfloat16* at(const __nv_bfloat16* tile, int i, int k) {
    return tile + (kAlongK ? i * TileShape<kAlongK>::kStride + k : k * TileShape<kAlongK>::kStride + i);
}

// kA, kB: whether k is the contiguous dimension of a, of b.
template <class Out, bool kA, bool kB>
__global__ void __launch_bounds__(kThreads)
    gemm_wmma_kernel(Out* out, const real* __restrict__ a, const real* __restrict__ b, Product p,
                     Finish<Out> finish) {
    // note: plain words, because g++ puts a flag beside a static array whose type has constructors, and threads that test
    // it look like a race to ThreadSanitizer.
    __shared__ __align__(32) uint16_t tiles[2][2][kTileElements];  // buffer, operand: 40 KB
    const int64_t first_i = int64_t(blockIdx.x) * kTile, first_j = int64_t(blockIdx.y) * kTile;
    const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32;
    const int warp_i = warp / kWarpColumns * kRowFragments * kFragment;
    const int warp_j = warp % kWarpColumns * kColumnFragments * kFragment;
    const int64_t a_stride = kA ? p.a_i : p.a_k, b_stride = kB ? p.b_j : p.b_k;
    const bool sums_rows = finish.row_sums && blockIdx.y == 0 && threadIdx.x < kTile;

    wmma::fragment<wmma::accumulator, kFragment, kFragment, kFragment, float> sum[kRowFragments]
                                                                                 [kColumnFragments];
    for (int r = 0; r < kRowFragments; r++)
        for (int c = 0; c < kColumnFragments; c++) wmma::fill_fragment(sum[r][c], 0.0f);
    float row_sum = 0;

    Chunk a_share[kChunksPerThread], b_share[kChunksPerThread];
    load_share<kA>(a_share, a, p.M, p.K, a_stride, first_i, 0);
    load_share<kB>(b_share, b, p.N, p.K, b_stride, first_j, 0);
    int buffer = 0;
    for (int64_t k0 = 0; k0 < p.K; k0 += kDepth, buffer ^= 1) {
        auto* a_tile = reinterpret_cast<__nv_bfloat16*>(tiles[buffer][0]);
        auto* b_tile = reinterpret_cast<__nv_bfloat16*>(tiles[buffer][1]);
        store_share<kA>(a_tile, a_share);
        store_share<kB>(b_tile, b_share);
        // subtle: one barrier is enough. Who is past it may write the other buffer, which was last read before it.
        __syncthreads();
        if (k0 + kDepth < p.K) {
            load_share<kA>(a_share, a, p.M, p.K, a_stride, first_i, k0 + kDepth);
            load_share<kB>(b_share, b, p.N, p.K, b_stride, first_j, k0 + kDepth);
        }
        for (int k = 0; k < kDepth; k += kFragment) {
            // note: b(k,j) with k contiguous is, as a (k,j) matrix, stored by columns.
            using ALayout = typename TileShape<kA>::Layout;
            using BLayout = std::conditional_t<kB, wmma::col_major, wmma::row_major>;
            wmma::fragment<wmma::matrix_b, kFragment, kFragment, kFragment, __nv_bfloat16, BLayout>
                b_part[kColumnFragments];
            for (int c = 0; c < kColumnFragments; c++)
                wmma::load_matrix_sync(b_part[c], at<kB>(b_tile, warp_j + c * kFragment, k),
                                       TileShape<kB>::kStride);
            for (int r = 0; r < kRowFragments; r++) {
                wmma::fragment<wmma::matrix_a, kFragment, kFragment, kFragment, __nv_bfloat16, ALayout>
                    a_part;
                wmma::load_matrix_sync(a_part, at<kA>(a_tile, warp_i + r * kFragment, k),
                                       TileShape<kA>::kStride);
                for (int c = 0; c < kColumnFragments; c++)
                    wmma::mma_sync(sum[r][c], a_part, b_part[c], sum[r][c]);
            }
        }
        if (sums_rows)
            for (int k = 0; k < kDepth; k++) row_sum += float(*at<kA>(a_tile, int(threadIdx.x), k));
    }
    __syncthreads();  // the tiles become the warps' stages

    float* stage = reinterpret_cast<float*>(tiles) + warp * kStageFloats;
    // Unrolled, or the sums would have to lie where a number can name them: in memory.
#pragma unroll
    for (int r = 0; r < kRowFragments; r++) {
#pragma unroll
        for (int c = 0; c < kColumnFragments; c++) {
            wmma::store_matrix_sync(stage, sum[r][c], kStageStride, wmma::mem_row_major);
            __syncwarp();
            for (int e = lane; e < kFragment * kFragment; e += 32) {
                const int i = e / kFragment, j = e % kFragment;
                finish_element(out, stage[i * kStageStride + j], first_i + warp_i + r * kFragment + i,
                               first_j + warp_j + c * kFragment + j, p, finish);
            }
            __syncwarp();
        }
    }
    if (sums_rows && first_i + threadIdx.x < p.M) finish.row_sums[first_i + threadIdx.x] += row_sum;
}

}  // namespace

template <class Out>
void gemm_forms::multiply_on_tensor_cores(Out* out, const real* a, const real* b, const Product& p,
                                          const Finish<Out>& finish, Stream s) {
    const bool a_along_k = p.a_k == 1, b_along_k = p.b_k == 1;
    auto* const kernel =
        a_along_k ? (b_along_k ? gemm_wmma_kernel<Out, true, true> : gemm_wmma_kernel<Out, true, false>)
                  : (b_along_k ? gemm_wmma_kernel<Out, false, true> : gemm_wmma_kernel<Out, false, false>);
    launch(kernel, dim3(blocks_for(p.M, kTile), blocks_for(p.N, kTile)), kThreads, 0, cuda_stream(s), out, a,
           b, p, finish);
}

template void gemm_forms::multiply_on_tensor_cores(real*, const real*, const real*, const Product&,
                                                   const Finish<real>&, Stream);
#if defined(GPT_PRECISION_BF16)  // else float is real
template void gemm_forms::multiply_on_tensor_cores(float*, const real*, const real*, const Product&,
                                                   const Finish<float>&, Stream);
#endif
