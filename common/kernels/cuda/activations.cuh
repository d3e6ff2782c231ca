// activations.cuh - GELU (tanh form) and ReLU of one number, for the kernels of their own (activations.cu)
// and for the end of a matrix product (gemm.cu).
#pragma once
#include "kernels/kernels.h"

// gelu(x) = x sigmoid(2 sqrt(2/pi) (x + 0.044715 x^3)): the tanh form, since (1 + tanh(u)) / 2 = sigmoid(2u).
constexpr float kGeluSlope = 1.5957691216f;  // 2 sqrt(2/pi)
constexpr float kGeluCubic = 0.044715f;

__device__ inline float gelu_sigmoid(float x) {
    return 1.0f / (1.0f + expf(-kGeluSlope * x * (1.0f + kGeluCubic * x * x)));
}

__device__ inline float gelu(float x) {
    return x * gelu_sigmoid(x);
}

// d gelu / dx = s + x s (1 - s) u', with s the sigmoid of u and u' = slope (1 + 3 cubic x^2).
__device__ inline float gelu_derivative(float x) {
    const float s = gelu_sigmoid(x);
    return s + x * s * (1.0f - s) * (kGeluSlope * (1.0f + 3.0f * kGeluCubic * x * x));
}

// subtle: fmaxf(x, 0) would turn a NaN into 0.
__device__ inline float relu(float x) {
    return x < 0.0f ? 0.0f : x;
}

__device__ inline float activate(float x, Activation kind) {
    return kind == Activation::kGelu ? gelu(x) : relu(x);
}

// dout * activation'(x)
__device__ inline float activate_backward(float dout, float x, Activation kind) {
    if (kind == Activation::kGelu) return dout * gelu_derivative(x);
    return x > 0.0f ? dout : 0.0f;
}
