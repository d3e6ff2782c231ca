// cost.h - what a model of this shape takes: weights, bytes of memory, floating-point operations. Counted from the shape,
// before anything is allocated; in double, because absurd sizes overflow integers.
// Not here: how fast a machine does it (that is measured).
#pragma once
#include <string>

#include "chapters/00_char_gpt/gpt.h"
#include "io/machine.h"

// Weights of the model, biases and norms included.
inline double parameter_count(const GptConfig& config) {
    const double V = double(config.V), C = double(config.C), T = double(config.T), L = double(config.L);
    const double D = double(config.NH) * double(config.HS);
    const double head = config.tied ? 0 : V * C + (config.head_bias ? V : 0);
    const double block = 4 * D * C + 8 * C * C + (config.qkv_bias ? 3 * D : 0) + C + 4 * C + C + 4 * C;
    return V * C + T * C + L * block + 2 * C + head;
}

// Bytes that training needs: weights, gradients and moments, one micro-batch's activations, a step's ids.
//   batch       windows per micro-batch
//   accumulate  micro-batches per step
//   stored      what the device stores activations in
inline double training_bytes(const GptConfig& config, int64_t batch, int64_t accumulate,
                             DType stored = DType::kFloat32) {
    const double C = double(config.C), D = double(config.NH) * double(config.HS), V = double(config.V);
    const double T = double(config.T), N = double(batch) * T, L = double(config.L);
    const double per_row =
        L * (4 * C + 4 * D + 8 * C) + 4 * D + 8 * C + V + 2 * C;  // kept, and gradients on the way
    const double dropped = config.dropout > 0 ? L * 6 * C : 0;    // the branches before and after dropout
    const double ids = 2 * N * double(accumulate);                // inputs and targets of a whole step
    // weights, gradients and two moments in float32, and what kernels read where that is something else
    const double per_weight = 4 * 4 + (stored == DType::kFloat32 ? 0 : double(dtype_size(stored)));
    return per_weight * parameter_count(config) + double(dtype_size(stored)) * N * (per_row + dropped) +
           4 * ids;
}

// Bytes that this machine, or its GPU, has.
inline double present_bytes(Device device) {
    return device == Device::kCuda ? double(device_memory(device).total) : memory_bytes();
}

// Stops with arithmetic when the machine, or the GPU, has less. advice: what would need less.
inline void check_training_memory(const GptConfig& config, int64_t batch, int64_t accumulate,
                                  const std::string& advice, Device device = Device::kCpu) {
    const double gib = 1 << 30;
    const double needed = training_bytes(config, batch, accumulate, storage_dtype(device)) / gib;
    const bool is_gpu = device == Device::kCuda;
    const double present = present_bytes(device) / gib;
    if (needed > present)
        user_error("this model and batch need %.3g GiB (%.4g bytes), the %s has %.3g GiB\n%s", needed,
                   needed * gib, is_gpu ? "GPU" : "machine", present, advice.c_str());
}

// Floating-point operations of one token in training, a multiplication and an addition counted as two: matrix products
// and attention, forward and twice that backward; the output layer over all V tokens included. An embedding is looked up
// (C additions). Norms, GELU, softmax and the optimiser are left out: a percent or two.
//   3 (L (8 C D + 16 C^2 + 2 D (T + 1)) + 2 V C + C)
// Attention: scores and the weighted sum, 2 D each per key, and a token sees (T + 1) / 2 of them on average.
inline double training_flop_per_token(const GptConfig& config) {
    const double L = double(config.L), C = double(config.C), T = double(config.T), V = double(config.V);
    const double D = double(config.NH) * double(config.HS);
    return 3 * (L * (8 * C * D + 16 * C * C + 2 * D * (T + 1)) + 2 * V * C + C);
}
