// models.h - small models with random weights, for the tests of what is done with a model: writing, evaluating, files.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "chapters/00_char_gpt/gpt.h"
#include "tests/support/golden.h"

// Weights by golden.h's formula, so that a Python program can have the same. Large ones: logits that spread over several
// nats, so that the likeliest token is likeliest by far.
inline std::unique_ptr<Gpt> random_model(const GptConfig& config, Device device = Device::kCpu,
                                         float scale = 0.25f) {
    auto gpt = std::make_unique<Gpt>(device, config);
    for (size_t i = 0; i < gpt->params.size(); i++) {
        const Tensor& parameter = gpt->params[i];
        std::vector<float> values(size_t(parameter.numel()));
        golden::fill_parameter(parameter.name, values.data(), values.size(), scale);
        gpt->params.set(parameter, values);
    }
    return gpt;
}

inline GptConfig small_config(int64_t V, int64_t T, int64_t L, int64_t NH, int64_t HS, int64_t C) {
    GptConfig config;
    config.V = V, config.T = T, config.L = L, config.NH = NH, config.HS = HS, config.C = C;
    return config;
}
