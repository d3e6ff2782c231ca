// device.h - where memory lives and where kernels run. The only header outside kernels/cuda that may include
// the CUDA toolkit (or its stand-in, cuda_on_host); in a build without gpu:: it knows the CPU alone.
// Not here: moving data implicitly. A tensor lives on its context's device; copies are calls that say so.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#if defined(GPT_CUDA_ON_HOST)
#include "cuda_on_host/cuda_on_host.h"
#elif defined(GPT_WITH_GPU)
#include "cuda_on_host/cuda_toolkit.h"
#endif

enum class Device { kCpu, kCuda };

inline const char* device_name(Device device) {
    return device == Device::kCuda ? "cuda" : "cpu";
}

// Which devices this build has kernels for.
constexpr bool has_device(Device device) {
#if defined(GPT_WITH_GPU)
    return device == Device::kCpu || device == Device::kCuda;
#else
    return device == Device::kCpu;
#endif
}

// Whether CUDA kernels run on the CPU here, thread by thread: for reading and checking, not for speed.
constexpr bool is_cuda_emulated() {
#if defined(GPT_CUDA_ON_HOST)
    return true;
#else
    return false;
#endif
}

// The queue a kernel is put on. On the CPU a kernel runs at once, on parallel.h's pool, and the stream is
// empty.
struct Stream {
#if defined(GPT_WITH_GPU)
    cudaStream_t handle = nullptr;
#else
    void* handle = nullptr;
#endif
};

// Zeroed memory on the device, 64-byte aligned; never null. Prints what was asked for and stops when there is
// none.
void* device_alloc(Device device, size_t bytes);
void device_free(Device device, void* memory, size_t bytes);

// The ways between the host and a device; copies are complete on return, a fill comes before whatever the default
// stream is given next. `host` is the CPU's memory; for Device::kCpu so
// is the other side.
void device_upload(Device device, void* to, const void* host, size_t bytes);
void device_download(Device device, void* host, const void* from, size_t bytes);
void device_fill(Device device, void* memory, int byte, size_t bytes);
inline void device_clear(Device device, void* memory, size_t bytes) {
    device_fill(device, memory, 0, bytes);
}
std::vector<float> floats_on_host(Device device, const float* memory, int64_t n);  // a copy

#if defined(GPT_WITH_GPU)
// CUDA_CHECK(cudaMalloc(&p, n)): stops with expression, line and CUDA's own words when a call of the runtime
// fails.
[[noreturn]] void cuda_check_failed(const char* file, int line, const char* expression, cudaError_t error);
#define CUDA_CHECK(expression)                                                                           \
    do {                                                                                                 \
        const cudaError_t cuda_error = (expression);                                                     \
        if (cuda_error != cudaSuccess) ::cuda_check_failed(__FILE__, __LINE__, #expression, cuda_error); \
    } while (0)
#endif
