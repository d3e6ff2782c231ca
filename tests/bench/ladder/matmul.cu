// matmul.cu - out = a b, from one thread an element to tensor cores. What limits a product is not arithmetic but
// getting numbers to it: each rung reads less often, or from nearer, or while something else is computed. The walk
// is in docs/matmul_ladder.md.
// Not here: other layouts, bias, activation (kernels/cuda/gemm.cuh); split sums for long K and a small out; wgmma.
// Source: Volkov and Demmel 2008 (tiles in registers); the order of the first rungs is that of S. Boehm 2022, "How
// to optimize a CUDA matmul kernel".
#include "kernels/cuda/gemm.cuh"
#include "kernels/cuda/launcher.cuh"
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/vec.cuh"
#include "tests/bench/ladder/ladder.h"

using ladder::real;
namespace wmma = nvcuda::wmma;

namespace {

// The grid for tiles of out; rows along x, which may be long.
dim3 tiles(int64_t M, int64_t N, int rows, int columns) {
    return dim3(blocks_for(M, rows), blocks_for(N, columns));
}

// ---- naive: one thread an element, its row from threadIdx.x -----------------------------------------------
// Neighbouring threads of a warp read elements of a that lie K apart and write elements of out that lie N apart:
// 32 transactions where one would do. Every element of a is read N times, and of b M times.

constexpr int kSide = 16;

__global__ void naive_kernel(real* out, const real* __restrict__ a, const real* __restrict__ b, int64_t M,
                             int64_t N, int64_t K) {
    const int64_t i = int64_t(blockIdx.x) * kSide + threadIdx.x,
                  j = int64_t(blockIdx.y) * kSide + threadIdx.y;
    if (i >= M || j >= N) return;
    float sum = 0;
    for (int64_t k = 0; k < K; k++) sum += float(a[i * K + k]) * float(b[k * N + j]);
    out[i * N + j] = real(sum);
}

void naive(real* out, const real* a, const real* b, int64_t M, int64_t N, int64_t K, Stream s) {
    launch(naive_kernel, tiles(M, N, kSide, kSide), dim3(kSide, kSide), 0, cuda_stream(s), out, a, b, M, N,
           K);
}

// ---- coalesced: the same, with x along a row of out -------------------------------------------------------
// A warp reads neighbours of b, and one element of a for all: one transaction each. Still every product costs two
// loads, so that the caches' bandwidth is the limit.

__global__ void coalesced_kernel(real* out, const real* __restrict__ a, const real* __restrict__ b, int64_t M,
                                 int64_t N, int64_t K) {
    const int64_t i = int64_t(blockIdx.x) * kSide + threadIdx.y,
                  j = int64_t(blockIdx.y) * kSide + threadIdx.x;
    if (i >= M || j >= N) return;
    float sum = 0;
    for (int64_t k = 0; k < K; k++) sum += float(a[i * K + k]) * float(b[k * N + j]);
    out[i * N + j] = real(sum);
}

void coalesced(real* out, const real* a, const real* b, int64_t M, int64_t N, int64_t K, Stream s) {
    launch(coalesced_kernel, tiles(M, N, kSide, kSide), dim3(kSide, kSide), 0, cuda_stream(s), out, a, b, M,
           N, K);
}

// ---- shared tiles: a block reads each number once for all its threads -------------------------------------
// Global memory is read 32 times less. Now every product costs two loads from shared memory, which moves at most
// one number a thread and cycle: a multiply-add in two cycles is the best that this can do.

constexpr int kShared = 32;

__global__ void shared_tiles_kernel(real* out, const real* __restrict__ a, const real* __restrict__ b,
                                    int64_t M, int64_t N, int64_t K) {
    __shared__ float a_tile[kShared][kShared], b_tile[kShared][kShared];
    const int x = int(threadIdx.x), y = int(threadIdx.y);
    const int64_t i = int64_t(blockIdx.x) * kShared + y, j = int64_t(blockIdx.y) * kShared + x;
    float sum = 0;
    for (int64_t k0 = 0; k0 < K; k0 += kShared) {
        a_tile[y][x] = i < M && k0 + x < K ? float(a[i * K + k0 + x]) : 0.0f;
        b_tile[y][x] = k0 + y < K && j < N ? float(b[(k0 + y) * N + j]) : 0.0f;
        __syncthreads();
        for (int k = 0; k < kShared; k++) sum += a_tile[y][k] * b_tile[k][x];
        __syncthreads();
    }
    if (i < M && j < N) out[i * N + j] = real(sum);
}

void shared_tiles(real* out, const real* a, const real* b, int64_t M, int64_t N, int64_t K, Stream s) {
    launch(shared_tiles_kernel, tiles(M, N, kShared, kShared), dim3(kShared, kShared), 0, cuda_stream(s), out,
           a, b, M, N, K);
}

// ---- register tiles: a thread makes 4 x 4 elements --------------------------------------------------------
// Eight loads from shared memory for sixteen products. This is the plain form of kernels/cuda/gemm_plain.cu, which
// also knows the other layouts and what comes behind a sum.

void register_tiles(real* out, const real* a, const real* b, int64_t M, int64_t N, int64_t K, Stream s) {
    gemm_forms::multiply_plain(out, a, b, {M, N, K, K, 1, 1, N}, gemm_forms::Finish<real>(), s);
}

// ---- wide loads: 8 x 8 elements a thread, 16 bytes at a time ----------------------------------------------
// A quarter of the load instructions, from global and from shared memory, and sixteen loads for 64 products. Left:
// a block waits for its loads, then for its products, never both at once.

constexpr int kWide = 128, kWideDepth = 16, kOwn = 8;
constexpr int kWideThreads = (kWide / kOwn) * (kWide / kOwn);  // 256
constexpr int kWideStride = kWide + 4;  // of a's tile, which is written column by column

// sum[i][j] += a[i] b[j], of the thread's 8 x 8.
__device__ void multiply_add(float (&sum)[kOwn][kOwn], const float (&a)[kOwn], const float (&b)[kOwn]) {
#pragma unroll
    for (int i = 0; i < kOwn; i++)
#pragma unroll
        for (int j = 0; j < kOwn; j++) sum[i][j] += a[i] * b[j];
}

// p[0 .. 8): the thread's own numbers of a row in shared memory.
__device__ void load_own(float (&own)[kOwn], const float* p) {
#pragma unroll
    for (int e = 0; e < kOwn; e += 4) {
        const float4 four = *reinterpret_cast<const float4*>(p + e);
        own[e] = four.x, own[e + 1] = four.y, own[e + 2] = four.z, own[e + 3] = four.w;
    }
}

// The thread's 8 x 8 at (i, j) of out.
__device__ void store_own(real* out, const float (&sum)[kOwn][kOwn], int64_t i, int64_t j, int64_t M,
                          int64_t N) {
    constexpr int kVec = Vec<real>::kSize;
#pragma unroll
    for (int r = 0; r < kOwn; r++) {
#pragma unroll
        for (int c = 0; c < kOwn; c += kVec) {
            if (i + r >= M || j + c >= N) continue;
            Vec<real> v;
#pragma unroll
            for (int e = 0; e < kVec; e++) v[e] = sum[r][c + e];
            store_vec(out + (i + r) * N + j + c, v, N - j - c);
        }
    }
}

__global__ void __launch_bounds__(kWideThreads)
    wide_loads_kernel(real* out, const real* __restrict__ a, const real* __restrict__ b, int64_t M, int64_t N,
                      int64_t K) {
    constexpr int kVec = Vec<real>::kSize;
    __shared__ __align__(16) float a_tile[kWideDepth][kWideStride], b_tile[kWideDepth][kWide];
    const int64_t first_i = int64_t(blockIdx.x) * kWide, first_j = int64_t(blockIdx.y) * kWide;
    const int thread = int(threadIdx.x);
    const int own_i = thread / (kWide / kOwn) * kOwn, own_j = thread % (kWide / kOwn) * kOwn;
    float sum[kOwn][kOwn] = {};
    for (int64_t k0 = 0; k0 < K; k0 += kWideDepth) {
        for (int v = thread; v < kWide * kWideDepth / kVec; v += kWideThreads) {
            const int i = v / (kWideDepth / kVec), k = v % (kWideDepth / kVec) * kVec;
            const int64_t rest = first_i + i < M ? K - k0 - k : 0;
            const Vec<real> x = load_vec(rest > 0 ? a + (first_i + i) * K + k0 + k : a, rest);
            for (int e = 0; e < kVec; e++) a_tile[k + e][i] = x[e];
        }
        for (int v = thread; v < kWide * kWideDepth / kVec; v += kWideThreads) {
            const int k = v / (kWide / kVec), j = v % (kWide / kVec) * kVec;
            const int64_t rest = k0 + k < K ? N - first_j - j : 0;
            const Vec<real> x = load_vec(rest > 0 ? b + (k0 + k) * N + first_j + j : b, rest);
            for (int e = 0; e < kVec; e++) b_tile[k][j + e] = x[e];
        }
        __syncthreads();
        for (int k = 0; k < kWideDepth; k++) {
            float a_own[kOwn], b_own[kOwn];
            load_own(a_own, &a_tile[k][own_i]);
            load_own(b_own, &b_tile[k][own_j]);
            multiply_add(sum, a_own, b_own);
        }
        __syncthreads();
    }
    store_own(out, sum, first_i + own_i, first_j + own_j, M, N);
}

void wide_loads(real* out, const real* a, const real* b, int64_t M, int64_t N, int64_t K, Stream s) {
    launch(wide_loads_kernel, tiles(M, N, kWide, kWide), kWideThreads, 0, cuda_stream(s), out, a, b, M, N, K);
}

// ---- double buffer: cp.async brings the next tiles while these are multiplied -----------------------------
// Copies go straight to shared memory, through no register. So tiles lie there as in global memory, a by rows: a
// thread's eight rows are read one by one. Limit: multiply-adds of a GPU's ordinary cores, two operations a cycle;
// a product in float ends here.

constexpr int kChunk = 16 / int(sizeof(real));
constexpr int kRowOfA =
    kWideDepth + kChunk;  // 16 bytes longer, so that eight rows begin in eight different banks

__device__ void begin_tiles(real (*a_tile)[kRowOfA], real (*b_tile)[kWide], const real* a, const real* b,
                            int64_t first_i, int64_t first_j, int64_t k0, int64_t M, int64_t N, int64_t K) {
    for (int v = int(threadIdx.x); v < kWide * kWideDepth / kChunk; v += kWideThreads) {
        const int i = v / (kWideDepth / kChunk), k = v % (kWideDepth / kChunk) * kChunk;
        const bool is_inside = first_i + i < M && k0 + k < K;
        cp_async<16>(&a_tile[i][k], is_inside ? a + (first_i + i) * K + k0 + k : a, is_inside);
    }
    for (int v = int(threadIdx.x); v < kWide * kWideDepth / kChunk; v += kWideThreads) {
        const int k = v / (kWide / kChunk), j = v % (kWide / kChunk) * kChunk;
        const bool is_inside = k0 + k < K && first_j + j < N;
        cp_async<16>(&b_tile[k][j], is_inside ? b + (k0 + k) * N + first_j + j : b, is_inside);
    }
    cp_async_commit();
}

__global__ void __launch_bounds__(kWideThreads)
    double_buffer_kernel(real* out, const real* __restrict__ a, const real* __restrict__ b, int64_t M,
                         int64_t N, int64_t K) {
    __shared__ __align__(16) real a_tile[2][kWide][kRowOfA], b_tile[2][kWideDepth][kWide];
    const int64_t first_i = int64_t(blockIdx.x) * kWide, first_j = int64_t(blockIdx.y) * kWide;
    const int own_i = int(threadIdx.x) / (kWide / kOwn) * kOwn,
              own_j = int(threadIdx.x) % (kWide / kOwn) * kOwn;
    float sum[kOwn][kOwn] = {};
    begin_tiles(a_tile[0], b_tile[0], a, b, first_i, first_j, 0, M, N, K);
    int buffer = 0;
    for (int64_t k0 = 0; k0 < K; k0 += kWideDepth, buffer ^= 1) {
        cp_async_wait<0>();
        __syncthreads();  // everybody's copies are there, and the other buffer is read no more
        if (k0 + kWideDepth < K)
            begin_tiles(a_tile[buffer ^ 1], b_tile[buffer ^ 1], a, b, first_i, first_j, k0 + kWideDepth, M, N,
                        K);
        for (int k = 0; k < kWideDepth; k++) {
            float a_own[kOwn], b_own[kOwn];
            for (int e = 0; e < kOwn; e++) a_own[e] = float(a_tile[buffer][own_i + e][k]);
            for (int e = 0; e < kOwn; e++) b_own[e] = float(b_tile[buffer][k][own_j + e]);
            multiply_add(sum, a_own, b_own);
        }
    }
    store_own(out, sum, first_i + own_i, first_j + own_j, M, N);
}

void double_buffer(real* out, const real* a, const real* b, int64_t M, int64_t N, int64_t K, Stream s) {
    launch(double_buffer_kernel, tiles(M, N, kWide, kWide), kWideThreads, 0, cuda_stream(s), out, a, b, M, N,
           K);
}

// cp.async moves 16 bytes that begin at a multiple of 16.
bool has_aligned_rows(const ladder::Matmul::Sizes& s) {
    return s.K % kChunk == 0 && s.N % kChunk == 0;
}

// ---- tensor cores: a warp multiplies 16 x 16 matrices by one instruction ----------------------------------
// The instruction reads each of its 16 numbers of a row once for sixteen products; bfloat16 in, float sums. Per
// multiply-add almost nothing is left to fetch or to decode, so that the loads are the limit again: these tiles are
// small, and nothing overlaps.

constexpr int kCores = 64, kCoresDepth = 32, kFragment = 16, kCoresThreads = 128;
constexpr int kCoresPad = 8;  // 16 bytes more a row: else the rows of a fragment begin in the same banks

__device__ void load_bf16(__nv_bfloat16* tile, int rows, int columns, const real* x, int64_t first_row,
                          int64_t first_column, int64_t all_rows, int64_t all_columns) {
    for (int e = int(threadIdx.x); e < rows * columns; e += kCoresThreads) {
        const int64_t row = first_row + e / columns, column = first_column + e % columns;
        const bool is_inside = row < all_rows && column < all_columns;
        tile[e / columns * (columns + kCoresPad) + e % columns] =
            __nv_bfloat16(is_inside ? float(x[row * all_columns + column]) : 0.0f);
    }
}

__global__ void __launch_bounds__(kCoresThreads)
    tensor_cores_kernel(real* out, const real* __restrict__ a, const real* __restrict__ b, int64_t M,
                        int64_t N, int64_t K) {
    constexpr int kStrideA = kCoresDepth + kCoresPad, kStrideB = kCores + kCoresPad;
    __shared__ __align__(32) __nv_bfloat16 a_tile[kCores * kStrideA], b_tile[kCoresDepth * kStrideB];
    __shared__ __align__(32) float sums[kCores * kCores];
    const int64_t first_i = int64_t(blockIdx.x) * kCores, first_j = int64_t(blockIdx.y) * kCores;
    const int own_i = int(threadIdx.x) / 32 * kFragment;  // each of four warps makes 16 rows of the tile
    wmma::fragment<wmma::accumulator, kFragment, kFragment, kFragment, float> sum[kCores / kFragment];
    for (auto& part : sum) wmma::fill_fragment(part, 0.0f);
    for (int64_t k0 = 0; k0 < K; k0 += kCoresDepth) {
        load_bf16(a_tile, kCores, kCoresDepth, a, first_i, k0, M, K);
        load_bf16(b_tile, kCoresDepth, kCores, b, k0, first_j, K, N);
        __syncthreads();
        for (int k = 0; k < kCoresDepth; k += kFragment) {
            wmma::fragment<wmma::matrix_a, kFragment, kFragment, kFragment, __nv_bfloat16, wmma::row_major>
                a_part;
            wmma::load_matrix_sync(a_part, a_tile + own_i * kStrideA + k, kStrideA);
#pragma unroll
            for (int c = 0; c < kCores / kFragment; c++) {
                wmma::fragment<wmma::matrix_b, kFragment, kFragment, kFragment, __nv_bfloat16,
                               wmma::row_major>
                    b_part;
                wmma::load_matrix_sync(b_part, b_tile + k * kStrideB + c * kFragment, kStrideB);
                wmma::mma_sync(sum[c], a_part, b_part, sum[c]);
            }
        }
        __syncthreads();
    }
#pragma unroll
    for (int c = 0; c < kCores / kFragment; c++)  // which lane holds which sum is the hardware's business
        wmma::store_matrix_sync(sums + own_i * kCores + c * kFragment, sum[c], kCores, wmma::mem_row_major);
    __syncthreads();
    for (int e = int(threadIdx.x); e < kCores * kCores; e += kCoresThreads) {
        const int64_t i = first_i + e / kCores, j = first_j + e % kCores;
        if (i < M && j < N) out[i * N + j] = real(sums[e]);
    }
}

void tensor_cores(real* out, const real* a, const real* b, int64_t M, int64_t N, int64_t K, Stream s) {
    launch(tensor_cores_kernel, tiles(M, N, kCores, kCores), kCoresThreads, 0, cuda_stream(s), out, a, b, M,
           N, K);
}

// ---- the form of kernels/cuda/gemm_wmma.cu, and NVIDIA's --------------------------------------------------

void overlapped_tensor_cores(real* out, const real* a, const real* b, int64_t M, int64_t N, int64_t K,
                             Stream s) {
    gemm_forms::multiply_on_tensor_cores(out, a, b, {M, N, K, K, 1, 1, N}, gemm_forms::Finish<real>(), s);
}

void as_in_training(real* out, const real* a, const real* b, int64_t M, int64_t N, int64_t K, Stream s) {
    gpu::gemm(out, a, b, nullptr, M, N, K, false, false, false, s);
}

}  // namespace

const std::vector<ladder::Rung<ladder::Matmul>> ladder::kMatmul = {
    {"naive", "one thread an element; neighbours read far apart", naive},
    {"coalesced", "neighbouring threads read neighbours", coalesced},
    {"shared tiles", "a block reads each number once, for 32 rows or columns", shared_tiles},
    {"register tiles", "a thread makes 4 x 4: eight loads for 16 products", register_tiles},
    {"wide loads", "16 bytes at a time, 8 x 8 a thread", wide_loads},
    {"double buffer", "cp.async brings the next tiles meanwhile", double_buffer, has_aligned_rows},
    {"tensor cores", "wmma: a warp's instruction multiplies 16 x 16", tensor_cores},
    {"tensor cores, big", "128 x 128 a block, loads overlap: kernels/cuda/gemm_wmma.cu",
     overlapped_tensor_cores},
    {"as in training", "gpu::gemm: cuBLASLt on a GPU, the plain form where CUDA is emulated", as_in_training},
};
