// device.h - where memory lives and where kernels run. The only header outside kernels/cuda that may include
// the CUDA toolkit (or its stand-in, cuda_on_host); in a build without gpu:: it knows the CPU alone.
// Not here: moving data implicitly. A tensor lives on its context's device; copies are calls that say so.
#pragma once
#include <cstddef>
#include <cstdint>

enum class Device { kCpu, kCuda };

inline const char* device_name(Device device) {
    return device == Device::kCuda ? "cuda" : "cpu";
}

// Which devices this build has kernels for.
constexpr bool has_device(Device device) {
    return device == Device::kCpu;
}

// The queue a kernel is put on. On the CPU a kernel runs at once, on parallel.h's pool, and the stream is
// empty.
struct Stream {
    void* handle = nullptr;
};

// Zeroed memory on the device, 64-byte aligned; never null. Prints what was asked for and stops when there is
// none.
void* device_alloc(Device device, size_t bytes);
void device_free(Device device, void* memory, size_t bytes);
