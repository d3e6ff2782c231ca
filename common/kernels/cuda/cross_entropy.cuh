// cross_entropy.cuh - the two forms of the classifier, loss and gradient in place: the plain one (cross_entropy.cu)
// reads a row twice, the fast one (cross_entropy_registers.cu) keeps it in a block's registers. gpu:: chooses; tests
// call each by its name.
#pragma once
#include "core/device.h"
#include "kernels/cuda/rungs.h"
#include "kernels/kernels.h"

FastForm& cross_entropy_in_registers();

using CrossEntropyInPlace = decltype(gpu::cross_entropy_forward_backward);

namespace cross_entropy_plain {
CrossEntropyInPlace forward_backward;
}

namespace cross_entropy_registers {
// Whether rows of V logits fit: up to 55,296 in bfloat16, half of it in float; not worth it below 1024.
bool takes(int64_t V);
CrossEntropyInPlace forward_backward;
}  // namespace cross_entropy_registers

// What both forms say of a row's sums.
namespace cross_entropy_row {

constexpr float kLowest = -3.0e38f;  // finite: inf - inf would be NaN in a row of equal infinities

struct Sums {
    float maximum, sum;  // of the logits; of exp(logit - maximum)
};

// -log softmax(row)[target] = log(sum) + (maximum - row[target]).
// subtle: without the brackets large logits would round log(sum)
__device__ inline float loss(const Sums& s, float target_logit) {
    return logf(s.sum) + (s.maximum - target_logit);
}

__device__ inline float gradient(const Sums& s, float logit, bool is_target, float scale) {
    return (expf(logit - s.maximum) / s.sum - (is_target ? 1.0f : 0.0f)) * scale;
}

}  // namespace cross_entropy_row
