// dtype.h - what a tensor's elements are.
#pragma once
#include <cstddef>
#include <cstdint>

enum class DType { kFloat32, kBFloat16, kInt32 };

constexpr size_t dtype_size(DType dtype) {
    return dtype == DType::kBFloat16 ? 2 : 4;
}

constexpr const char* dtype_name(DType dtype) {
    return dtype == DType::kFloat32 ? "float32" : dtype == DType::kBFloat16 ? "bfloat16" : "int32";
}

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
