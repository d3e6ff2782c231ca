// layernorm_warp.cu - the fast form of LayerNorm: a warp per row, which lies in the registers of its 32 lanes.
// Every number is read once and written once, 16 bytes at a time, and no thread waits for more than its warp. The
// same kernels add the residual and the dropped-out branch on the way in (add_layernorm).
// Not here: rows of more than 1024 columns or of no whole number of 16-byte pieces: layernorm.cu takes those.
// Source: Ba, Kiros, Hinton 2016, eq. 3; backward: chapters/00_char_gpt/README.md, "LayerNorm, backwards".
#include "kernels/cuda/launcher.cuh"
#include "kernels/cuda/layernorm.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/vec.cuh"

namespace {

using gpu::real;

constexpr int kSize = Vec<real>::kSize;

// Four rows to a block forward: warps share nothing, and small blocks end together. Backwards eight, so that fewer
// partial sums of the parameters' gradients go through memory.
constexpr int kForwardWarps = 4;
constexpr int kBackwardWarps = 8;

// Rows to a block of the backward, 8 for each warp, whatever the card: the order of the sums is part of the result.
// At N = 16384 that is 256 blocks, and the partial sums are less than a tenth of what is read anyway.
constexpr int kRowsPerBlock = 64;

constexpr int kMaxColumns = 1024;

// The v-th piece of a lane begins at this column; neighbouring lanes have neighbouring pieces.
__device__ inline int column_of(int v) {
    return (v * kWarpSize + int(threadIdx.x) % kWarpSize) * kSize;
}

// A row lies 16-byte aligned (its launcher has checked): no ragged end, hence none of load_vec's questions.
__device__ inline Vec<real> load_whole(const real* p) {
    const RawVec<real> raw = *reinterpret_cast<const RawVec<real>*>(p);
    Vec<real> x;
    for (int k = 0; k < kSize; k++) x[k] = float(raw.x[k]);
    return x;
}
__device__ inline void store_whole(real* p, const Vec<real>& x) {
    RawVec<real> raw;
    for (int k = 0; k < kSize; k++) raw.x[k] = real(x[k]);
    *reinterpret_cast<RawVec<real>*>(p) = raw;
}

// x * mask, rounded as the kernel dropout would store it. element: x[0]'s, a multiple of 4.
// subtle: __fmul_rn and __fadd_rn, which the compiler does not fuse: a fused sum rounds once, add(dropout) twice.
__device__ inline void apply_mask(Vec<real>& x, const DropoutMask& mask, int64_t element) {
    if (!(mask.p > 0)) return;
    for (int k = 0; k < kSize; k += 4) {
        float scale[4];
        mask.scale4(uint64_t(element + k), scale);
        for (int r = 0; r < 4; r++) x[k + r] = float(real(__fmul_rn(x[k + r], scale[r])));
    }
}

// ---- forward ----------------------------------------------------------------------------------------------

// kVecs: pieces of a row for each lane, so that loops over them unroll and the row stays in registers.
template <int kVecs>
// subtle: without the second bound nvcc 13 keeps to 64 registers, which is too few for 1024 columns.
__global__ void __launch_bounds__(kForwardWarps* kWarpSize, 4)
    layernorm_forward_warp_kernel(real* __restrict__ out, real* __restrict__ sum, float* __restrict__ mean,
                                  float* __restrict__ rstd, const real* __restrict__ inp,
                                  const real* __restrict__ branch, const real* __restrict__ weight,
                                  const real* __restrict__ bias, int64_t N, int C, DropoutMask mask) {
    const int64_t row = int64_t(blockIdx.x) * kForwardWarps + threadIdx.x / kWarpSize;
    if (row >= N) return;  // a whole warp: nobody waits for it

    Vec<real> x[kVecs];
    float total = 0;
#pragma unroll
    for (int v = 0; v < kVecs; v++) {
        const int c = column_of(v);
        if (c >= C) continue;
        x[v] = load_whole(inp + row * C + c);
        if (branch) {
            Vec<real> added = load_whole(branch + row * C + c);
            apply_mask(added, mask, row * C + c);
            for (int k = 0; k < kSize; k++) x[v][k] = float(real(__fadd_rn(x[v][k], added[k])));
            store_whole(sum + row * C + c, x[v]);
        }
        for (int k = 0; k < kSize; k++) total += x[v][k];
    }
    const float m = warp_sum(total) / float(C);

    float squares = 0;
#pragma unroll
    for (int v = 0; v < kVecs; v++) {
        if (column_of(v) >= C) continue;
        for (int k = 0; k < kSize; k++) squares += (x[v][k] - m) * (x[v][k] - m);
    }
    const float r = 1.0f / sqrtf(warp_sum(squares) / float(C) + kLayerNormEpsilon);

#pragma unroll
    for (int v = 0; v < kVecs; v++) {
        const int c = column_of(v);
        if (c >= C) continue;
        const Vec<real> w = load_whole(weight + c),
                        b = load_whole(bias + c);  // the first-level cache has them
        for (int k = 0; k < kSize; k++) x[v][k] = (x[v][k] - m) * r * w[k] + b[k];
        store_whole(out + row * C + c, x[v]);
    }
    if (threadIdx.x % kWarpSize == 0) {
        mean[row] = m;
        rstd[row] = r;
    }
}

// ---- backward ---------------------------------------------------------------------------------------------

// With xhat = (x - mean) rstd and dxhat = dout weight:
//   dx = rstd (dxhat - mean_c(dxhat) - xhat mean_c(dxhat xhat)),  dweight = sum dout xhat,  dbias = sum dout
// A lane has the same columns of every row that its warp takes, so it adds their part of dweight and dbias in
// registers, and dout and inp are read once for all three results.
//   partial  (blocks,2,C)  out   the block's part of dweight and dbias
template <int kVecs>
__global__ void __launch_bounds__(kBackwardWarps* kWarpSize)
    layernorm_backward_warp_kernel(real* dinp, real* dbranch, float* __restrict__ partial,
                                   const real* __restrict__ dout, const real* __restrict__ inp,
                                   const real* __restrict__ weight, const float* __restrict__ mean,
                                   const float* __restrict__ rstd, int64_t N, int C, DropoutMask mask,
                                   bool accumulate, bool accumulate_branch) {
    const int warp = threadIdx.x / kWarpSize, lane = threadIdx.x % kWarpSize;
    Vec<real> dweight[kVecs] = {}, dbias[kVecs] = {};

    for (int i = warp; i < kRowsPerBlock; i += kBackwardWarps) {
        const int64_t row = int64_t(blockIdx.x) * kRowsPerBlock + i;
        if (row >= N) break;
        const float m = mean[row], r = rstd[row];
        Vec<real> xhat[kVecs], dxhat[kVecs];
        float sum_dxhat = 0, sum_dxhat_xhat = 0;
#pragma unroll
        for (int v = 0; v < kVecs; v++) {
            const int c = column_of(v);
            if (c >= C) continue;
            xhat[v] = load_whole(inp + row * C + c);
            const Vec<real> dy = load_whole(dout + row * C + c), w = load_whole(weight + c);
            for (int k = 0; k < kSize; k++) {
                xhat[v][k] = (xhat[v][k] - m) * r;
                dxhat[v][k] = dy[k] * w[k];
                sum_dxhat += dxhat[v][k];
                sum_dxhat_xhat += dxhat[v][k] * xhat[v][k];
                dweight[v][k] += dy[k] * xhat[v][k];
                dbias[v][k] += dy[k];
            }
        }
        const float mean_dxhat = warp_sum(sum_dxhat) / float(C);
        const float mean_dxhat_xhat = warp_sum(sum_dxhat_xhat) / float(C);
#pragma unroll
        for (int v = 0; v < kVecs; v++) {
            const int64_t at = row * C + column_of(v);
            if (column_of(v) >= C) continue;
            Vec<real> dx = {};
            if (accumulate) dx = load_whole(dinp + at);
            for (int k = 0; k < kSize; k++)
                dx[k] += r * (dxhat[v][k] - mean_dxhat - xhat[v][k] * mean_dxhat_xhat);
            store_whole(dinp + at, dx);
            if (!dbranch) continue;
            for (int k = 0; k < kSize; k++) dx[k] = float(real(dx[k]));  // as the next kernel would read it
            apply_mask(dx, mask, at);
            if (accumulate_branch) {
                const Vec<real> before = load_whole(dbranch + at);
                for (int k = 0; k < kSize; k++) dx[k] += before[k];
            }
            store_whole(dbranch + at, dx);
        }
    }

    // The warps' sums, in order: a piece of every lane at a time, so that few bytes of shared memory are enough.
    constexpr int kColumns = kWarpSize * kSize;
    __shared__ float sum_of_warp[2][kBackwardWarps][kColumns];
    float* const to = partial + int64_t(blockIdx.x) * 2 * C;
#pragma unroll
    for (int v = 0; v < kVecs; v++) {
        for (int k = 0; k < kSize; k++) {
            sum_of_warp[0][warp][lane * kSize + k] = dweight[v][k];
            sum_of_warp[1][warp][lane * kSize + k] = dbias[v][k];
        }
        __syncthreads();
        for (int i = threadIdx.x; i < 2 * kColumns; i += blockDim.x) {
            const int which = i / kColumns, column = i % kColumns, c = v * kColumns + column;
            float sum = 0;
            for (int w = 0; w < kBackwardWarps; w++) sum += sum_of_warp[which][w][column];
            if (c < C) to[which * C + c] = sum;
        }
        __syncthreads();
    }
}

// Calls f with the number of pieces of a row per lane as a constant. 24 floats a lane are GPT-2's 768 columns.
template <class F>
void with_vecs(int64_t C, F f) {
    const int64_t floats = (C + kWarpSize - 1) / kWarpSize;
    if (floats <= 8)
        f(std::integral_constant<int, 8 / kSize>());
    else if (floats <= 16)
        f(std::integral_constant<int, 16 / kSize>());
    else if (floats <= 24)
        f(std::integral_constant<int, 24 / kSize>());
    else
        f(std::integral_constant<int, 32 / kSize>());
}

// branch: nullptr, or what is added to inp on the way in; sum is written only then.
void launch_forward(real* out, real* sum, float* mean, float* rstd, const real* inp, const real* branch,
                    const real* weight, const real* bias, int64_t N, int64_t C, DropoutMask mask, Stream s) {
    if (N == 0) return;
    with_vecs(C, [&](auto vecs) {
        launch(layernorm_forward_warp_kernel<vecs()>, blocks_for(N, kForwardWarps), kForwardWarps * kWarpSize,
               0, cuda_stream(s), out, sum, mean, rstd, inp, branch, weight, bias, N, int(C), mask);
    });
}

// dbranch: nullptr, or dinp through the mask.
void launch_backward(real* dinp, real* dbranch, float* dweight, float* dbias, const real* dout,
                     const real* inp, const real* weight, const float* mean, const float* rstd, int64_t N,
                     int64_t C, DropoutMask mask, bool accumulate, bool accumulate_branch, Stream s) {
    if (N == 0) return;
    const unsigned blocks = blocks_for(N, kRowsPerBlock);
    const Scratch<float> partial(int64_t(blocks) * 2 * C, s);
    with_vecs(C, [&](auto vecs) {
        launch(layernorm_backward_warp_kernel<vecs()>, blocks, kBackwardWarps * kWarpSize, 0, cuda_stream(s),
               dinp, dbranch, partial.get(), dout, inp, weight, mean, rstd, N, int(C), mask, accumulate,
               accumulate_branch);
    });
    layernorm_plain::add_partial_sums(dweight, dbias, partial.get(), blocks, C, s);
}

}  // namespace

bool layernorm_warp::takes(int64_t C) {
    return C % kSize == 0 && C <= kMaxColumns;
}

void layernorm_warp::forward(real* out, float* mean, float* rstd, const real* inp, const real* weight,
                             const real* bias, int64_t N, int64_t C, Stream s) {
    launch_forward(out, nullptr, mean, rstd, inp, nullptr, weight, bias, N, C, {}, s);
}

void layernorm_warp::backward(real* dinp, float* dweight, float* dbias, const real* dout, const real* inp,
                              const real* weight, const float* mean, const float* rstd, int64_t N, int64_t C,
                              bool accumulate, Stream s) {
    launch_backward(dinp, nullptr, dweight, dbias, dout, inp, weight, mean, rstd, N, C, {}, accumulate, false,
                    s);
}

void layernorm_warp::forward_of_sum(real* out, real* sum, float* mean, float* rstd, const real* residual,
                                    const real* branch, const real* weight, const real* bias, int64_t N,
                                    int64_t C, DropoutMask mask, Stream s) {
    launch_forward(out, sum, mean, rstd, residual, branch, weight, bias, N, C, mask, s);
}

void layernorm_warp::backward_of_sum(real* dsum, real* dbranch, float* dweight, float* dbias,
                                     const real* dout, const real* sum, const real* weight, const float* mean,
                                     const float* rstd, int64_t N, int64_t C, DropoutMask mask,
                                     bool accumulate, bool accumulate_branch, Stream s) {
    launch_backward(dsum, dbranch, dweight, dbias, dout, sum, weight, mean, rstd, N, C, mask, accumulate,
                    accumulate_branch, s);
}
