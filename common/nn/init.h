// init.h - what the weights are before the first step: GPT-2's choice, and the defaults of PyTorch's modules.
// Each parameter has a random stream of its own, named after it: adding one does not change the others.
#pragma once
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "core/device.h"
#include "core/rng.h"
#include "core/tensor.h"

// FNV-1a: a parameter's stream is a function of its name.
inline uint64_t stream_of_name(const std::string& name) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (unsigned char c : name) hash = (hash ^ c) * 0x100000001b3u;
    return hash;
}

// Calls draw() for each element in order, on the host: the numbers are the same for every device.
template <class F>
void fill_with(const Tensor& t, F draw) {
    float* const memory = t.ptr();
    if (t.device == Device::kCpu) {
        std::generate_n(memory, t.numel(), draw);
        return;
    }
    std::vector<float> values(static_cast<size_t>(t.numel()));
    std::generate(values.begin(), values.end(), draw);
    device_upload(t.device, memory, values.data(), t.bytes());
}

inline void fill(const Tensor& t, float value) {
    fill_with(t, [&] { return value; });
}

// Normal with mean 0. Radford et al. 2019, section 2.3, and GPT-2's source: standard deviation 0.02.
inline void fill_normal(const Tensor& t, float std, uint64_t seed) {
    RandomStream random{seed, stream_of_name(t.name)};
    fill_with(t, [&] { return std * random.next_normal(); });
}

// Uniform in [-bound, bound).
inline void fill_uniform(const Tensor& t, float bound, uint64_t seed) {
    RandomStream random{seed, stream_of_name(t.name)};
    fill_with(t, [&] { return bound * (2.0f * random.next_uniform() - 1.0f); });
}
