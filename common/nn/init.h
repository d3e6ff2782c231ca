// init.h - what the weights are before the first step: GPT-2's choice, and the defaults of PyTorch's modules.
// Each parameter has a random stream of its own, named after it: adding one does not change the others. The numbers are
// drawn on the host, the same for every device, and copied.
#pragma once
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "core/rng.h"
#include "core/tensor.h"
#include "nn/parameters.h"

// FNV-1a: a parameter's stream is a function of its name.
inline uint64_t stream_of_name(const std::string& name) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (unsigned char c : name) hash = (hash ^ c) * 0x100000001b3u;
    return hash;
}

// Calls draw() for each element in order.
template <class F>
void fill_with(Parameters& params, const Tensor& t, F draw) {
    std::vector<float> weights(static_cast<size_t>(t.numel()));
    std::generate(weights.begin(), weights.end(), draw);
    params.set(t, weights);
}

inline void fill(Parameters& params, const Tensor& t, float value) {
    fill_with(params, t, [&] { return value; });
}

// Normal with mean 0. Radford et al. 2019, section 2.3, and GPT-2's source: standard deviation 0.02.
inline void fill_normal(Parameters& params, const Tensor& t, float std, uint64_t seed) {
    RandomStream random{seed, stream_of_name(t.name)};
    fill_with(params, t, [&] { return std * random.next_normal(); });
}

// Uniform in [-bound, bound).
inline void fill_uniform(Parameters& params, const Tensor& t, float bound, uint64_t seed) {
    RandomStream random{seed, stream_of_name(t.name)};
    fill_with(params, t, [&] { return bound * (2.0f * random.next_uniform() - 1.0f); });
}
