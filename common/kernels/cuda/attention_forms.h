// attention_forms.h - the forms of gpu::attention_forward and _backward, each by its own name: for whoever chooses
// between them, compares them, or climbs from one to the other (tests/bench/ladder/attention.cu). Arguments and
// results as in signatures.h.
#pragma once
#include <cstdint>
#include <string>

#include "kernels/cuda/rungs.h"
#include "kernels/kernels.h"

// Which of the two gpu::attention_forward and _backward call, in builds that store bf16 and for head sizes that both
// have.
FastForm& attention_on_tensor_cores();

// What decides on a card without a record: "" when both agree on small problems, or how they differ. In builds that
// store float there is nothing to compare.
std::string compare_attention_forms();

// On CUDA cores, for head sizes 1 to 128 (attention.cu). A head of 4 channels is one thread's, without a shuffle.
namespace attention_plain {

void forward(gpu::real* out, float* lse, const gpu::real* qkv, int64_t B, int64_t T, int64_t NH, int64_t HS,
             DropoutMask mask, Stream s);
void backward(gpu::real* dqkv, const gpu::real* dout, const gpu::real* qkv, const gpu::real* out,
              const float* lse, int64_t B, int64_t T, int64_t NH, int64_t HS, DropoutMask mask, Stream s);

}  // namespace attention_plain

// On tensor cores, for activations in bf16 (attention_mma.cu). Probabilities, and in the backward their gradients,
// are rounded to bf16 before they are multiplied.
namespace attention_mma {

// Multiples of 8, 8 to 128, because a row's pieces are copied 16 bytes at a time. Rows in shared memory have 16, 32,
// 64 or 128 channels; multiplying the zeros behind a narrower head's last one costs what channels cost.
bool has_head_size(int64_t HS);

// Errors: CHECK fails on another head size, and on pointers that are no multiples of 16 bytes.
void forward(__nv_bfloat16* out, float* lse, const __nv_bfloat16* qkv, int64_t B, int64_t T, int64_t NH,
             int64_t HS, DropoutMask mask, Stream s);
void backward(__nv_bfloat16* dqkv, const __nv_bfloat16* dout, const __nv_bfloat16* qkv,
              const __nv_bfloat16* out, const float* lse, int64_t B, int64_t T, int64_t NH, int64_t HS,
              DropoutMask mask, Stream s);

}  // namespace attention_mma
