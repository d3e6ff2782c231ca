// gemm.cu - the kernels that multiply matrices: one tiled product through shared memory, and what happens to
// a finished sum. Every block makes a tile of 64 x 64 elements of out, every thread 4 x 4 of these in
// registers: a number read from global memory is used 64 times, one read from shared memory 4 times.
// Not here: tensor cores; loads that are under way while the tile before is multiplied; 16-byte loads; several
// blocks for one tile where K is long and out small.
// Source: Volkov and Demmel 2008, "Benchmarking GPUs to tune dense linear algebra".
#include "core/check.h"
#include "kernels/cuda/activations.cuh"
#include "kernels/cuda/launcher.cuh"
#include "kernels/kernels.h"

namespace {

using gpu::real;

constexpr int kTile = 64;      // rows and columns of out that a block makes
constexpr int kDepth = 16;     // of the inner dimension at a time: two tiles of 4 KB in shared memory
constexpr int kPerThread = 4;  // rows and columns of out that a thread makes
constexpr int kThreadsPerSide = kTile / kPerThread;
constexpr int kThreads = kThreadsPerSide * kThreadsPerSide;  // 256
// Where an operand lies with k contiguous, neighbouring threads write a tile's column. Rows that are four
// floats longer than a power of two spread it over the banks (two threads on each), and stay 16-byte aligned.
constexpr int kTileStride = kTile + 4;

// What is multiplied: out[i,j] = sum_k a(i,k) b(k,j). Strides say how the operands lie; of each pair one is 1.
struct Product {
    int64_t M, N, K;
    int64_t a_i, a_k;  // a(i,k) is a[i * a_i + k * a_k]
    int64_t b_j, b_k;  // b(k,j) is b[j * b_j + k * b_k]
};

// What a finished sum becomes. Null pointers: that does not happen.
//   y = sum + bias + start;  dpre = y activation'(pre);  out = y or dpre;  activated = activation(y)
template <class Out>
struct Finish {
    const real* bias = nullptr;  // (N)
    const Out* start = nullptr;  // (M,N)  may be out
    const real* pre = nullptr;   // (M,N)
    real* activated = nullptr;   // (M,N)
    float* row_sums = nullptr;   // (M)    += sum_k a(i,k)
    Activation activation = Activation::kGelu;
};

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

    for (int i = 0; i < kPerThread; i++) {
        for (int j = 0; j < kPerThread; j++) {
            const int64_t row = first_i + own_i + i, column = first_j + own_j + j, at = row * p.N + column;
            if (row >= p.M || column >= p.N) continue;
            float y = sum[i][j];
            if (finish.bias) y += float(finish.bias[column]);
            if (finish.start) y += float(finish.start[at]);
            if (finish.pre) y = activate_backward(y, float(finish.pre[at]), finish.activation);
            const Out stored = Out(y);
            out[at] = stored;
            // of the rounded number: it is what the backward will find
            if (finish.activated) finish.activated[at] = real(activate(float(stored), finish.activation));
        }
    }
    if (sums_rows && first_i + threadIdx.x < p.M) finish.row_sums[first_i + threadIdx.x] += row_sum;
}

template <class Out>
void multiply(Out* out, const real* a, const real* b, const Product& p, const Finish<Out>& finish, Stream s) {
    if (p.M == 0 || p.N == 0) return;
    // Rows along x, which may be long: y ends at 65,535 tiles.
    launch(gemm_kernel<Out>, dim3(blocks_for(p.M, kTile), blocks_for(p.N, kTile)), kThreads, 0,
           cuda_stream(s), out, a, b, p, finish);
}

// out (N,OC) = inp (N,IC) weight^T (IC,OC).
Product linear_product(int64_t N, int64_t IC, int64_t OC) {
    return {N, OC, IC, IC, 1, IC, 1};
}

}  // namespace

void gpu::gemm(real* out, const real* a, const real* b, const real* bias, int64_t M, int64_t N, int64_t K,
               bool trans_a, bool trans_b, bool accumulate, Stream s) {
    CHECK(!(bias && accumulate), "[gemm] a bias would be added again with each accumulation");
    const Product p{M, N, K, trans_a ? 1 : K, trans_a ? M : 1, trans_b ? K : 1, trans_b ? 1 : N};
    Finish<real> finish;
    finish.bias = bias;
    finish.start = accumulate ? out : nullptr;
    multiply(out, a, b, p, finish, s);
}

void gpu::linear_residual_forward(real* out, const real* inp, const real* weight, const real* bias,
                                  const real* residual, int64_t N, int64_t IC, int64_t OC, Stream s) {
    Finish<real> finish;
    finish.bias = bias;
    finish.start = residual;
    multiply(out, inp, weight, linear_product(N, IC, OC), finish, s);
}

void gpu::linear_activation_forward(real* out, real* pre, const real* inp, const real* weight,
                                    const real* bias, int64_t N, int64_t IC, int64_t OC,
                                    Activation activation, Stream s) {
    Finish<real> finish;
    finish.bias = bias;
    finish.activated = out;
    finish.activation = activation;
    multiply(pre, inp, weight, linear_product(N, IC, OC), finish, s);
}

void gpu::linear_activation_backward(real* dpre, const real* dout, const real* weight, const real* pre,
                                     int64_t N, int64_t IC, int64_t OC, Activation activation, Stream s) {
    Finish<real> finish;
    finish.pre = pre;
    finish.activation = activation;
    multiply(dpre, dout, weight, Product{N, IC, OC, OC, 1, 1, IC}, finish, s);
}

void gpu::linear_backward_params(float* dweight, float* dbias, const real* dout, const real* inp, int64_t N,
                                 int64_t IC, int64_t OC, Stream s) {
    Finish<float> finish;
    finish.start = dweight;
    finish.row_sums = dbias;
    multiply(dweight, dout, inp, Product{OC, IC, N, 1, OC, 1, IC}, finish, s);
}
