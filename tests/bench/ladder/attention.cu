// attention.cu - causal attention forward and backward, from scores that are stored to the tensor cores that
// training uses. The upper rungs are one kernel, common/kernels/cuda/attention_mma.cuh, with one thing more switched
// on each time.
// Not here: dropout (the ladder asks for none).
// Source: Dao et al. 2022, "FlashAttention"; Dao 2023, "FlashAttention-2". What each rung is about is told in
// chapters/00_char_gpt/README.md, "Attention on tensor cores".
#include <cmath>
#include <type_traits>

#include "kernels/cuda/attention_forms.h"
#include "kernels/cuda/attention_mma.cuh"
#include "tests/bench/ladder/ladder.h"

using attention_mma::bf16;
using attention_mma::Form;
using attention_mma::Sizes;
using ladder::real;

namespace {

constexpr int kThreads = 128;  // not fewer than a head has channels

// Row i of head h of sequence b, of B*NH*T rows.
struct RowPlace {
    int64_t b, h;
    int i;
};
__device__ RowPlace row_place(int64_t row, int T, int NH) {
    return {row / T / NH, row / T % NH, int(row % T)};
}

// ---- scores in memory: three kernels, as one reads the formula --------------------------------------------

// scores (B,NH,T,T) = q k^T / sqrt(HS), up to the diagonal. A block for each query.
__global__ void scores_kernel(float* scores, const real* __restrict__ qkv, int T, int NH, int HS,
                              float scale) {
    const RowPlace at = row_place(blockIdx.x, T, NH);
    const HeadRows<const real> head = qkv_of_head(qkv, at.b, T, NH * HS, at.h * HS);
    const real* q_i = head.q.x + at.i * head.q.stride;
    for (int j = threadIdx.x; j <= at.i; j += kThreads) {
        float s = 0;
        for (int d = 0; d < HS; d++) s += float(q_i[d]) * float(head.k.x[j * head.k.stride + d]);
        scores[int64_t(blockIdx.x) * T + j] = s * scale;
    }
}

// In place, a thread for each query.
__global__ void probabilities_kernel(float* scores, float* lse, int64_t rows, int T) {
    const int64_t row = int64_t(blockIdx.x) * kThreads + threadIdx.x;
    if (row >= rows) return;
    float* p = scores + row * T;
    const int keys = int(row % T) + 1;
    float max = kLowest, sum = 0;
    for (int j = 0; j < keys; j++) max = fmaxf(max, p[j]);
    for (int j = 0; j < keys; j++) sum += expf(p[j] - max);
    for (int j = 0; j < keys; j++) p[j] = expf(p[j] - max) / sum;
    lse[row] = max + logf(sum);
}

// out = p v. A block for each query, a thread for each channel.
__global__ void values_kernel(real* out, const float* __restrict__ p, const real* __restrict__ qkv, int T,
                              int NH, int HS) {
    const RowPlace at = row_place(blockIdx.x, T, NH);
    const Rows<const real> v = qkv_of_head(qkv, at.b, T, NH * HS, at.h * HS).v;
    const int d = threadIdx.x;
    if (d >= HS) return;
    float sum = 0;
    for (int j = 0; j <= at.i; j++) sum += p[int64_t(blockIdx.x) * T + j] * float(v.x[j * v.stride + d]);
    out[((at.b * T + at.i) * NH + at.h) * HS + d] = real(sum);
}

void scores_in_memory(real* out, float* lse, const real* qkv, int64_t B, int64_t T, int64_t NH, int64_t HS,
                      DropoutMask, Stream s) {
    const int64_t rows = B * NH * T;
    const Scratch<float> scores(rows * T, s);
    launch(scores_kernel, unsigned(rows), kThreads, 0, cuda_stream(s), scores.get(), qkv, int(T), int(NH),
           int(HS), 1.0f / std::sqrt(float(HS)));
    launch(probabilities_kernel, blocks_for(rows, kThreads), kThreads, 0, cuda_stream(s), scores.get(), lse,
           rows, int(T));
    launch(values_kernel, unsigned(rows), kThreads, 0, cuda_stream(s), out, scores.get(), qkv, int(T),
           int(NH), int(HS));
}

// ---- online softmax: a thread for each query, which stores no score ---------------------------------------

// A row of a head in a thread's registers; where HS is no constant, in its local memory, which is no faster than any
// other: the compiler must know all indices to use registers.
constexpr int kMostChannels = 128;

__device__ void load_row(float* x, Rows<const real> rows, int t, int HS) {
    for (int d = 0; d < HS; d++) x[d] = float(rows.x[t * rows.stride + d]);
}
__device__ void store_row(Rows<real> rows, int t, const float* x, int HS, float factor) {
    for (int d = 0; d < HS; d++) rows.x[t * rows.stride + d] = real(factor * x[d]);
}
__device__ float dot(const float* x, Rows<const real> rows, int t, int HS) {
    float sum = 0;
    for (int d = 0; d < HS; d++) sum += x[d] * float(rows.x[t * rows.stride + d]);
    return sum;
}
__device__ void add_scaled(float* sum, float factor, Rows<const real> rows, int t, int HS) {
    for (int d = 0; d < HS; d++) sum[d] += factor * float(rows.x[t * rows.stride + d]);
}

__global__ void online_softmax_kernel(real* out, float* lse, const real* __restrict__ qkv, int64_t rows,
                                      int T, int NH, int HS, float scale) {
    const int64_t row = int64_t(blockIdx.x) * kThreads + threadIdx.x;
    if (row >= rows) return;
    const RowPlace at = row_place(row, T, NH);
    const HeadRows<const real> head = qkv_of_head(qkv, at.b, T, NH * HS, at.h * HS);
    float q_i[kMostChannels], o[kMostChannels] = {}, max = kLowest, sum = 0;
    load_row(q_i, head.q, at.i, HS);
    for (int j = 0; j <= at.i; j++) {
        const float s = scale * dot(q_i, head.k, j, HS);
        if (s > max) {  // what was added up under the old maximum shrinks
            const float shrink = expf(max - s);
            sum *= shrink;
            for (int d = 0; d < HS; d++) o[d] *= shrink;
            max = s;
        }
        const float p = expf(s - max);
        sum += p;
        add_scaled(o, p, head.v, j, HS);
    }
    store_row(rows_of_head(out, at.b, T, NH * HS, at.h * HS), at.i, o, HS, 1.0f / sum);
    lse[row] = max + logf(sum);
}

void online_softmax(real* out, float* lse, const real* qkv, int64_t B, int64_t T, int64_t NH, int64_t HS,
                    DropoutMask, Stream s) {
    const int64_t rows = B * NH * T;
    launch(online_softmax_kernel, blocks_for(rows, kThreads), kThreads, 0, cuda_stream(s), out, lse, qkv,
           rows, int(T), int(NH), int(HS), 1.0f / std::sqrt(float(HS)));
}

// ---- backwards: a thread for each row, scores again from lse ----------------------------------------------

// dq of a query, and D, which the other kernel wants.
__global__ void queries_kernel(real* dqkv, float* D, const real* __restrict__ dout,
                               const real* __restrict__ qkv, const real* __restrict__ out,
                               const float* __restrict__ lse, int64_t rows, int T, int NH, int HS,
                               float scale) {
    const int64_t row = int64_t(blockIdx.x) * kThreads + threadIdx.x;
    if (row >= rows) return;
    const RowPlace at = row_place(row, T, NH);
    const HeadRows<const real> head = qkv_of_head(qkv, at.b, T, NH * HS, at.h * HS);
    float q_i[kMostChannels], dout_i[kMostChannels], dq_i[kMostChannels] = {};
    load_row(q_i, head.q, at.i, HS);
    load_row(dout_i, rows_of_head(dout, at.b, T, NH * HS, at.h * HS), at.i, HS);
    const float D_i = D[row] = dot(dout_i, rows_of_head(out, at.b, T, NH * HS, at.h * HS), at.i, HS);
    for (int j = 0; j <= at.i; j++) {
        const float p = expf(scale * dot(q_i, head.k, j, HS) - lse[row]);
        const float ds = p * (dot(dout_i, head.v, j, HS) - D_i);
        add_scaled(dq_i, ds, head.k, j, HS);
    }
    store_row(qkv_of_head(dqkv, at.b, T, NH * HS, at.h * HS).q, at.i, dq_i, HS, scale);
}

// dk and dv of a key.
__global__ void keys_kernel(real* dqkv, const float* __restrict__ D, const real* __restrict__ dout,
                            const real* __restrict__ qkv, const float* __restrict__ lse, int64_t rows, int T,
                            int NH, int HS, float scale) {
    const int64_t row = int64_t(blockIdx.x) * kThreads + threadIdx.x;
    if (row >= rows) return;
    const RowPlace at = row_place(row, T, NH);
    const int j = at.i;  // the row is a key's
    const int64_t first_row = row - j;
    const HeadRows<const real> head = qkv_of_head(qkv, at.b, T, NH * HS, at.h * HS);
    const Rows<const real> dout_rows = rows_of_head(dout, at.b, T, NH * HS, at.h * HS);
    float k_j[kMostChannels], v_j[kMostChannels], dk_j[kMostChannels] = {}, dv_j[kMostChannels] = {};
    load_row(k_j, head.k, j, HS);
    load_row(v_j, head.v, j, HS);
    for (int i = j; i < T; i++) {
        const float p = expf(scale * dot(k_j, head.q, i, HS) - lse[first_row + i]);
        const float ds = p * (dot(v_j, dout_rows, i, HS) - D[first_row + i]);
        add_scaled(dv_j, p, dout_rows, i, HS);
        add_scaled(dk_j, ds, head.q, i, HS);
    }
    const HeadRows<real> gradients = qkv_of_head(dqkv, at.b, T, NH * HS, at.h * HS);
    store_row(gradients.k, j, dk_j, HS, scale);
    store_row(gradients.v, j, dv_j, HS, 1.0f);
}

void scores_from_lse(real* dqkv, const real* dout, const real* qkv, const real* out, const float* lse,
                     int64_t B, int64_t T, int64_t NH, int64_t HS, DropoutMask, Stream s) {
    const int64_t rows = B * NH * T;
    const float scale = 1.0f / std::sqrt(float(HS));
    const Scratch<float> D(rows, s);
    launch(queries_kernel, blocks_for(rows, kThreads), kThreads, 0, cuda_stream(s), dqkv, D.get(), dout, qkv,
           out, lse, rows, int(T), int(NH), int(HS), scale);
    launch(keys_kernel, blocks_for(rows, kThreads), kThreads, 0, cuda_stream(s), dqkv, D.get(), dout, qkv,
           lse, rows, int(T), int(NH), int(HS), scale);
}

// ---- tensor cores: attention_mma.cuh, with one switch after the other -------------------------------------

// In fp32 builds the ladder's numbers are converted on their way in and out, so that these rungs are checked there,
// too. (They are timed in bf16 builds, where nothing is converted.)
template <class To, class From>
__global__ void convert_kernel(To* to, const From* from, int64_t n) {
    const int64_t x = int64_t(blockIdx.x) * kThreads + threadIdx.x;
    if (x < n) to[x] = To(float(from[x]));
}

// An input of n elements as bf16: itself, or a copy.
template <class T, bool kIsBf16 = std::is_same<T, bf16>::value>
class AsBf16 {
  public:
    AsBf16(const T* x, int64_t n, Stream s) : copy_(n, s) {
        launch(convert_kernel<bf16, T>, blocks_for(n, kThreads), kThreads, 0, cuda_stream(s), copy_.get(), x,
               n);
    }
    const bf16* get() const { return copy_.get(); }

  private:
    Scratch<bf16> copy_;
};
template <class T>
class AsBf16<T, true> {
  public:
    AsBf16(const bf16* x, int64_t, Stream) : x_(x) {}
    const bf16* get() const { return x_; }

  private:
    const bf16* x_;
};

// Calls compute(bf16* result) for an output of n elements.
template <class F>
void into_bf16(bf16* out, int64_t, Stream, F compute) {
    compute(out);
}
template <class F>
[[maybe_unused]] void into_bf16(float* out, int64_t n, Stream s, F compute) {
    const Scratch<bf16> copy(n, s);
    compute(copy.get());
    launch(convert_kernel<float, bf16>, blocks_for(n, kThreads), kThreads, 0, cuda_stream(s), out,
           static_cast<const bf16*>(copy.get()), n);
}

// Steps on the way are compiled for one width: heads of up to 64 channels.
template <bool kSwizzle, int kStages>
using Step = Form<64, kSwizzle, kStages, false>;

template <class F>
void step_forward(real* out, float* lse, const real* qkv, int64_t B, int64_t T, int64_t NH, int64_t HS,
                  DropoutMask mask, Stream s) {
    const AsBf16<real> inp(qkv, B * T * 3 * NH * HS, s);
    into_bf16(out, B * T * NH * HS, s, [&](bf16* result) {
        attention_mma::forward_in_form<F>(result, lse, inp.get(), Sizes{B, T, NH, HS}, mask, s);
    });
}

void fast_forward(real* out, float* lse, const real* qkv, int64_t B, int64_t T, int64_t NH, int64_t HS,
                  DropoutMask mask, Stream s) {
    const AsBf16<real> inp(qkv, B * T * 3 * NH * HS, s);
    into_bf16(out, B * T * NH * HS, s,
              [&](bf16* result) { attention_mma::forward(result, lse, inp.get(), B, T, NH, HS, mask, s); });
}

template <class F>
void step_backward(real* dqkv, const real* dout, const real* qkv, const real* out, const float* lse,
                   int64_t B, int64_t T, int64_t NH, int64_t HS, DropoutMask mask, Stream s) {
    const int64_t n = B * T * NH * HS;
    const AsBf16<real> inp(qkv, 3 * n, s), gradient(dout, n, s), result(out, n, s);
    into_bf16(dqkv, 3 * n, s, [&](bf16* to) {
        attention_mma::backward_in_form<F>(to, gradient.get(), inp.get(), result.get(), lse,
                                           Sizes{B, T, NH, HS}, mask, s);
    });
}

void fast_backward(real* dqkv, const real* dout, const real* qkv, const real* out, const float* lse,
                   int64_t B, int64_t T, int64_t NH, int64_t HS, DropoutMask mask, Stream s) {
    const int64_t n = B * T * NH * HS;
    const AsBf16<real> inp(qkv, 3 * n, s), gradient(dout, n, s), result(out, n, s);
    into_bf16(dqkv, 3 * n, s, [&](bf16* to) {
        attention_mma::backward(to, gradient.get(), inp.get(), result.get(), lse, B, T, NH, HS, mask, s);
    });
}

bool fits_tensor_cores(const ladder::AttentionSizes& n) {
    return attention_mma::has_head_size(n.HS);
}
bool fits_a_step(const ladder::AttentionSizes& n) {
    return fits_tensor_cores(n) && n.HS <= 64;
}

}  // namespace

const std::vector<ladder::Rung<ladder::AttentionForward>> ladder::kAttentionForward = {
    {"scores in memory",
     "three kernels, as one reads the formula; T x T scores are written once and read four times",
     scores_in_memory},
    {"online softmax", "one kernel, a thread for each query: a running maximum and sum, no score is stored",
     online_softmax},
    {"tiles", "64 queries share each key and value that they load, through shared memory; rows in registers",
     attention_plain::forward},
    {"tensor cores", "mma.sync: scores stay in the lanes that computed them, as the next product's operand",
     step_forward<Step<false, 1>>, fits_a_step, true},
    {"+ swizzle", "rows' chunks permuted: an ldmatrix reads its eight rows in one pass, not in eight",
     step_forward<Step<true, 1>>, fits_a_step, true},
    {"+ double buffer", "the next tile is copied (cp.async) while this one is multiplied",
     step_forward<Step<true, 2>>, fits_a_step, true},
    {"+ causal skip", "tiles in which every query comes before every key are left out: half of them",
     fast_forward, fits_tensor_cores, true},
};

const std::vector<ladder::Rung<ladder::AttentionBackward>> ladder::kAttentionBackward = {
    {"scores from lse", "a thread for each query, then for each key; probabilities again from scores and lse",
     scores_from_lse},
    {"tiles", "64 rows share what they load, through shared memory; rows in registers",
     attention_plain::backward},
    {"tensor cores",
     "mma.sync; for dk and dv with scores transposed, so that they are operands where they are",
     step_backward<Step<false, 1>>, fits_a_step, true},
    {"+ swizzle", "no two lanes of a load on one bank", step_backward<Step<true, 1>>, fits_a_step, true},
    {"+ double buffer", "the next tile is copied (cp.async) while this one is multiplied",
     step_backward<Step<true, 2>>, fits_a_step, true},
    {"+ causal skip", "tiles in which every query comes before every key are left out: half of them",
     fast_backward, fits_tensor_cores, true},
};
