// bfloat16.h - bfloat16 as what it is, the upper 16 bits of a float: widened, which is exact, rounded to the nearest, and
// rounded stochastically. Plain integers, so that the host and a CUDA kernel make the same bits of the same number.
// Not here: arithmetic. Whatever memory holds, kernels compute in float (kernels/cuda/vec.cuh).
// Source: Gupta, Agrawal, Gopalakrishnan, Narayanan 2015, "Deep learning with limited numerical precision", section 3.
#pragma once
#include <cstdint>
#include <cstring>

#include "core/rng.h"

GPT_HOST_DEVICE inline float bfloat16_to_float(uint16_t half) {
    const uint32_t bits = uint32_t(half) << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

GPT_HOST_DEVICE inline uint32_t bits_of_float(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

constexpr uint16_t kBFloat16NaN = 0x7fff;  // the one that CUDA rounds all of them to

// To the nearest; halfway to the one whose last bit is 0.
GPT_HOST_DEVICE inline uint16_t bfloat16_nearest(float x) {
    const uint32_t bits = bits_of_float(x);
    if (x != x) return kBFloat16NaN;  // an addition to its bits could make it an infinity
    return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// To one of the two neighbours, to the nearer one more often: a number that lies three eighths of the way from one bfloat16 to
// the next is rounded up in three of eight cases, so that the mean over random words is the number itself. An addition
// does it: of the 16 bits that will be cut off, as many random ones reach over as that part is large.
//   word  random; its lower 16 bits are used
GPT_HOST_DEVICE inline uint16_t bfloat16_stochastic(float x, uint32_t word) {
    if (x != x) return kBFloat16NaN;
    return uint16_t((bits_of_float(x) + (word & 0xffff)) >> 16);
}

// Which random words round the weights of a model after an optimiser's step: a function of the run's seed, the step and the
// weight's place, so that a run that is resumed finds the weights that it left.
//
// Why stochastically: a step changes a weight by about lr, say 0.0003, while bfloat16 numbers near 1 are 0.0078 apart. A weight
// near 1 that is kept as bfloat16 alone and rounded to the nearest stays where it is for ever; rounded stochastically it
// moves rarely, but right on average (Gupta et al.). Here float32 masters move in every step, so training does not
// depend on it. What it buys: the weights that kernels read have no error that lasts. Rounded to the nearest, a weight is
// off by the same amount, up to 2^-8 of itself, for as many steps as its master needs to the next boundary; rounded anew in
// every step it is off by up to twice as much, but differently each time, and its mean is the master.
struct WeightRounding {
    uint64_t seed = 0;
    uint64_t step = 0;
    uint64_t first = 0;  // place in the model's block of a kernel's element 0; a multiple of 4

    // For elements i .. i + 3; i must be a multiple of 4.
    GPT_HOST_DEVICE Philox4 words(uint64_t i) const {
        // far from the streams of dropout, order and samples
        return philox(seed, (first + i) / 4, uint64_t(1) << 63 | step);
    }
};
