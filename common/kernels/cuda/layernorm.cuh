// layernorm.cuh - the forms of LayerNorm's kernels, and what they share: the plain ones (layernorm.cu), a block per
// row; the fast ones (layernorm_warp.cu), a warp per row that keeps it in registers, alone and with the residual
// addition in front. gpu::layernorm_forward and the others choose; tests and ladders call each by its name.
#pragma once
#include "core/device.h"
#include "kernels/cuda/rungs.h"
#include "kernels/kernels.h"

FastForm& layernorm_by_warps();

// Each form has the four kernels of signatures.h; add_layernorm's are called forward_of_sum and backward_of_sum.
using LayerNormForward = decltype(gpu::layernorm_forward);
using LayerNormBackward = decltype(gpu::layernorm_backward);
using LayerNormForwardOfSum = decltype(gpu::add_layernorm_forward);
using LayerNormBackwardOfSum = decltype(gpu::add_layernorm_backward);

namespace layernorm_plain {
LayerNormForward forward;
LayerNormBackward backward;
LayerNormForwardOfSum forward_of_sum;
LayerNormBackwardOfSum backward_of_sum;

// The second stage of the gradients of weight and bias: dweight += the sum of ranges' sums, in order; dbias too.
//   partial  (ranges,2,C)  in
void add_partial_sums(float* dweight, float* dbias, const float* partial, int64_t ranges, int64_t C,
                      Stream s);
}  // namespace layernorm_plain

namespace layernorm_warp {
// Whether rows of C columns fit: whole 16-byte pieces, at most 1024 columns. All pointers to be aligned to 16 bytes.
bool takes(int64_t C);
LayerNormForward forward;
LayerNormBackward backward;
LayerNormForwardOfSum forward_of_sum;
LayerNormBackwardOfSum backward_of_sum;
}  // namespace layernorm_warp
