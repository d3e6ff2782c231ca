// init.h - what the weights are before the first step: GPT-2's choice, and the defaults of PyTorch's modules.
// Each parameter has a random stream of its own, named after it: adding one does not change the others.
#pragma once
#include <cmath>
#include <string>

#include "core/rng.h"
#include "core/tensor.h"

// FNV-1a: a parameter's stream is a function of its name.
inline uint64_t stream_of_name(const std::string& name) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (unsigned char c : name) hash = (hash ^ c) * 0x100000001b3u;
    return hash;
}

inline void fill(const Tensor& t, float value) {
    float* x = t.ptr();
    for (int64_t i = 0; i < t.numel(); i++) x[i] = value;
}

// Normal with mean 0. Radford et al. 2019, section 2.3, and GPT-2's source: standard deviation 0.02.
inline void fill_normal(const Tensor& t, float std, uint64_t seed) {
    RandomStream random{seed, stream_of_name(t.name)};
    float* x = t.ptr();
    for (int64_t i = 0; i < t.numel(); i++) x[i] = std * random.next_normal();
}

// Uniform in [-bound, bound).
inline void fill_uniform(const Tensor& t, float bound, uint64_t seed) {
    RandomStream random{seed, stream_of_name(t.name)};
    float* x = t.ptr();
    for (int64_t i = 0; i < t.numel(); i++) x[i] = bound * (2.0f * random.next_uniform() - 1.0f);
}
