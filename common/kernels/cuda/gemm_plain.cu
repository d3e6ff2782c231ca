// gemm_plain.cu - one tiled product through shared memory. Every block makes a tile of 64 x 64 elements of out,
// every thread 4 x 4 of these in registers: a number read from global memory is used 64 times, one read from
// shared memory 4 times.
// Not here: tensor cores (gemm_wmma.cu); loads that are under way while the tile before is multiplied; 16-byte
// loads (both on the ladder, tests/bench/ladder/matmul.cu); several blocks for one tile where K is long and out
// small.
// Source: Volkov and Demmel 2008, "Benchmarking GPUs to tune dense linear algebra".
#include "kernels/cuda/gemm.cuh"
#include "kernels/cuda/launcher.cuh"

using namespace gemm_forms;

namespace {

constexpr int kTile = 64;      // rows and columns of out that a block makes
constexpr int kDepth = 16;     // of the inner dimension at a time: two tiles of 4 KB in shared memory
constexpr int kPerThread = 4;  // rows and columns of out that a thread makes
constexpr int kThreadsPerSide = kTile / kPerThread;
constexpr int kThreads = kThreadsPerSide * kThreadsPerSide;  // 256
// Where an operand lies with k contiguous, neighbouring threads write a tile's column. Rows that are four
// floats longer than a power of two spread it over the banks (two threads on each), and stay 16-byte aligned.
constexpr int kTileStride = kTile + 4;

// tile[k][i] = x(first_i + i, first_k + k), and 0 outside of x: zeros add nothing to a product.
__device__ void load_tile(float (*tile)[kTileStride], const real* x, int64_t rows, int64_t K,
                          int64_t row_stride, int64_t k_stride, int64_t first_row, int64_t first_k) {
    const bool is_along_k = k_stride == 1;  // neighbouring threads read neighbouring elements
    for (int e = threadIdx.x; e < kTile * kDepth; e += kThreads) {
        const int i = is_along_k ? e / kDepth : e % kTile, k = is_along_k ? e % kDepth : e / kTile;
        const int64_t row = first_row + i, depth = first_k + k;
        tile[k][i] = row < rows && depth < K ? float(x[row * row_stride + depth * k_stride]) : 0.0f;
    }
}

template <class Out>
__global__ void __launch_bounds__(kThreads)
    gemm_kernel(Out* out, const real* __restrict__ a, const real* __restrict__ b, Product p,
                Finish<Out> finish) {
    __shared__ __align__(16) float a_tile[kDepth][kTileStride], b_tile[kDepth][kTileStride];
    const int64_t first_i = int64_t(blockIdx.x) * kTile, first_j = int64_t(blockIdx.y) * kTile;
    const int own_i = threadIdx.x / kThreadsPerSide * kPerThread;  // this thread's 4 x 4, in the tile
    const int own_j = threadIdx.x % kThreadsPerSide * kPerThread;
    const bool sums_rows = finish.row_sums && blockIdx.y == 0 && threadIdx.x < kTile;

    float sum[kPerThread][kPerThread] = {};
    float row_sum = 0;
    for (int64_t k0 = 0; k0 < p.K; k0 += kDepth) {
        load_tile(a_tile, a, p.M, p.K, p.a_i, p.a_k, first_i, k0);
        load_tile(b_tile, b, p.N, p.K, p.b_j, p.b_k, first_j, k0);
        __syncthreads();
        for (int k = 0; k < kDepth; k++) {
            float a_k[kPerThread], b_k[kPerThread];
            for (int i = 0; i < kPerThread; i++) a_k[i] = a_tile[k][own_i + i];
            for (int j = 0; j < kPerThread; j++) b_k[j] = b_tile[k][own_j + j];
            for (int i = 0; i < kPerThread; i++)
                for (int j = 0; j < kPerThread; j++) sum[i][j] += a_k[i] * b_k[j];
        }
        if (sums_rows)
            for (int k = 0; k < kDepth; k++) row_sum += a_tile[k][threadIdx.x];
        __syncthreads();
    }

    for (int i = 0; i < kPerThread; i++)
        for (int j = 0; j < kPerThread; j++)
            finish_element(out, sum[i][j], first_i + own_i + i, first_j + own_j + j, p, finish);
    if (sums_rows && first_i + threadIdx.x < p.M) finish.row_sums[first_i + threadIdx.x] += row_sum;
}

}  // namespace

template <class Out>
void gemm_forms::multiply_plain(Out* out, const real* a, const real* b, const Product& p,
                                const Finish<Out>& finish, Stream s) {
    // Rows along x, which may be long: y ends at 65,535 tiles.
    launch(gemm_kernel<Out>, dim3(blocks_for(p.M, kTile), blocks_for(p.N, kTile)), kThreads, 0,
           cuda_stream(s), out, a, b, p, finish);
}

template void gemm_forms::multiply_plain(real*, const real*, const real*, const Product&, const Finish<real>&,
                                         Stream);
#if defined(GPT_PRECISION_BF16)  // else float is real
template void gemm_forms::multiply_plain(float*, const real*, const real*, const Product&,
                                         const Finish<float>&, Stream);
#endif
