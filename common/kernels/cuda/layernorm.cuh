// layernorm.cuh - the forms of LayerNorm's kernels, and what they share: the plain ones (layernorm.cu), a block per
// row; the fast ones (layernorm_warp.cu), a warp per row that keeps it in registers, alone and with the residual
// addition in front. gpu::layernorm_forward and the others choose; tests and ladders call each by its name.
#pragma once
#include "core/device.h"
#include "core/rng.h"
#include "kernels/kernels.h"

namespace layernorm_plain {

using gpu::real;

void forward(real* out, float* mean, float* rstd, const real* inp, const real* weight, const real* bias,
             int64_t N, int64_t C, Stream s);
void backward(real* dinp, float* dweight, float* dbias, const real* dout, const real* inp, const real* weight,
              const float* mean, const float* rstd, int64_t N, int64_t C, bool accumulate, Stream s);

// The second stage of the gradients of weight and bias: dweight += the sum of ranges' sums, in order; dbias too.
//   partial  (ranges,2,C)  in
void add_partial_sums(float* dweight, float* dbias, const float* partial, int64_t ranges, int64_t C,
                      Stream s);

}  // namespace layernorm_plain

namespace layernorm_warp {

using gpu::real;

// Whether rows of C columns fit: whole 16-byte pieces, at most 1024 columns.
bool takes(int64_t C);

// inp + branch * mask is the row where branch is not nullptr, and is written to sum; else inp itself is the row.
void forward(real* out, real* sum, float* mean, float* rstd, const real* inp, const real* branch,
             const real* weight, const real* bias, int64_t N, int64_t C, DropoutMask mask, Stream s);
// dbranch: nullptr, or dinp through the mask.
void backward(real* dinp, real* dbranch, float* dweight, float* dbias, const real* dout, const real* inp,
              const real* weight, const float* mean, const float* rstd, int64_t N, int64_t C,
              DropoutMask mask, bool accumulate, bool accumulate_branch, Stream s);

}  // namespace layernorm_warp
