// dtype.h - what a tensor's elements are, and what a device stores.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/device.h"

enum class DType { kFloat32, kBFloat16, kInt32 };

constexpr size_t dtype_size(DType dtype) {
    return dtype == DType::kBFloat16 ? 2 : 4;
}

constexpr const char* dtype_name(DType dtype) {
    return dtype == DType::kFloat32 ? "float32" : dtype == DType::kBFloat16 ? "bfloat16" : "int32";
}

// The element type of C++ that is a DType.
template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
    static constexpr DType value = DType::kFloat32;
};
template <>
struct DTypeOf<int> {
    static constexpr DType value = DType::kInt32;
};
#if defined(GPT_WITH_GPU)
template <>
struct DTypeOf<__nv_bfloat16> {
    static constexpr DType value = DType::kBFloat16;
};
#endif

// What activations, their gradients and the weights that kernels read are stored as: `real` of kernels.h. The CPU's are
// always float32, in a build with PRECISION=bf16, too. Everything else (statistics, losses, gradients of parameters,
// master weights, moments) is float32 everywhere.
constexpr DType storage_dtype([[maybe_unused]] Device device) {
#if defined(GPT_PRECISION_BF16)
    return device == Device::kCuda ? DType::kBFloat16 : DType::kFloat32;
#else
    return DType::kFloat32;
#endif
}

// As --precision and make's PRECISION call it.
constexpr const char* precision_name(DType dtype) {
    return dtype == DType::kBFloat16 ? "bf16" : "fp32";
}
