// cuda_toolkit.h - the real CUDA, where nvcc and a GPU are the machine: NVIDIA's headers, and the two
// functions that this project writes instead of syntax that only nvcc reads. cuda_on_host.h is the same for
// every other compiler.
#pragma once
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "cuda_on_host/readable_name.h"

// Of core/device.h, which includes this file: after every launch.
void cuda_check_launch(const void* kernel, const char* file, int line);

#if defined(__CUDACC__)
#include <mma.h>

// The stream of a launch, and the line that launches.
struct LaunchSite {
    cudaStream_t stream;
    const char* file;
    int line;
    template <class S>
    LaunchSite(const S& stream, const char* file = __builtin_FILE(), int line = __builtin_LINE())
        : stream(stream), file(file), line(line) {}
};

// kernel<<<grid, block, shared_bytes, stream>>>(args...), in words that every C++ compiler can read.
template <class... P, class... A>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, LaunchSite site, A... args) {
    static_assert(sizeof...(P) == sizeof...(A), "launch: as many arguments as the kernel has parameters");
    kernel<<<grid, block, shared_bytes, site.stream>>>(args...);
    cuda_check_launch(reinterpret_cast<const void*>(kernel), site.file, site.line);
}

// The block's dynamic shared memory, 16-byte aligned. An extern array of another type in each kernel would be
// one symbol with many types, which templates cannot have.
template <class T>
__device__ T* dynamic_shared() {
    extern __shared__ __align__(16) unsigned char dynamic_shared_bytes[];
    return reinterpret_cast<T*>(dynamic_shared_bytes);
}
#endif
