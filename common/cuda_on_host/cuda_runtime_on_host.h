// cuda_runtime_on_host.h - the part of CUDA's runtime that this project calls: memory, copies, streams,
// events and launches. Device memory is the host's, kept apart by a list of what cudaMalloc gave out; a
// kernel or a copy that gets a pointer of the wrong kind is stopped with a message, where a GPU would crash
// or read garbage.
// Not here: concurrency. A launch returns when the kernel has run, so streams are always finished and errors
// come at once.
// Source for names and meanings: CUDA Runtime API reference.
#pragma once
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

#include "cuda_on_host/cuda_machine.h"

// ---- errors -----------------------------------------------------------------------------------------------

enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidValue = 1, cudaErrorMemoryAllocation = 2 };
const char* cudaGetErrorName(cudaError_t error);
const char* cudaGetErrorString(cudaError_t error);
// Of the last call that failed; the first of the two also forgets it.
cudaError_t cudaGetLastError();
cudaError_t cudaPeekAtLastError();

// ---- the device -------------------------------------------------------------------------------------------

struct cudaDeviceProp {
    char name[256];
    size_t totalGlobalMem, sharedMemPerBlock, sharedMemPerBlockOptin;
    int major, minor, multiProcessorCount, warpSize, maxThreadsPerBlock;
};
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes);
cudaError_t cudaDeviceSynchronize();

// ---- memory -----------------------------------------------------------------------------------------------

enum cudaMemcpyKind {
    cudaMemcpyHostToHost = 0,
    cudaMemcpyHostToDevice = 1,
    cudaMemcpyDeviceToHost = 2,
    cudaMemcpyDeviceToDevice = 3,
    cudaMemcpyDefault = 4,
};

struct CudaStream;
using cudaStream_t = CudaStream*;  // always nullptr or a token: nothing is ever queued

// 256-byte aligned and full of NaN. AddressSanitizer fences it on both sides, and stops host code that reads
// it.
cudaError_t cudaMalloc(void** memory, size_t bytes);
template <class T>
cudaError_t cudaMalloc(T** memory, size_t bytes) {
    return cudaMalloc(reinterpret_cast<void**>(memory), bytes);
}
cudaError_t cudaFree(void* memory);
cudaError_t cudaMallocAsync(void** memory, size_t bytes, cudaStream_t stream);
template <class T>
cudaError_t cudaMallocAsync(T** memory, size_t bytes, cudaStream_t stream) {
    return cudaMallocAsync(reinterpret_cast<void**>(memory), bytes, stream);
}
cudaError_t cudaFreeAsync(void* memory, cudaStream_t stream);
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, CUDA_ON_HOST_WHERE);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream = nullptr, CUDA_ON_HOST_WHERE);
cudaError_t cudaMemset(void* memory, int byte, size_t bytes, CUDA_ON_HOST_WHERE);
cudaError_t cudaMemsetAsync(void* memory, int byte, size_t bytes, cudaStream_t stream = nullptr,
                            CUDA_ON_HOST_WHERE);
cudaError_t cudaMallocHost(void** memory, size_t bytes);  // page-locked on a GPU machine, plain here
template <class T>
cudaError_t cudaMallocHost(T** memory, size_t bytes) {
    return cudaMallocHost(reinterpret_cast<void**>(memory), bytes);
}
cudaError_t cudaFreeHost(void* memory);

// ---- streams and events -----------------------------------------------------------------------------------

struct CudaEvent;
using cudaEvent_t = CudaEvent*;
enum { cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2 };
cudaError_t cudaStreamCreate(cudaStream_t* stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);
cudaError_t cudaEventCreate(cudaEvent_t* event);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream = nullptr);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t start, cudaEvent_t end);

// ---- launching --------------------------------------------------------------------------------------------

enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel*, cudaFuncAttribute, int) {
    return cudaSuccess;  // run_grid knows one limit, the largest
}

namespace cuda_on_host {

// While one of these lives, all device memory may be touched: in kernels. Only AddressSanitizer minds.
class DeviceMemoryAccess {
  public:
    DeviceMemoryAccess();
    ~DeviceMemoryAccess();
    DeviceMemoryAccess(const DeviceMemoryAccess&) = delete;
    DeviceMemoryAccess& operator=(const DeviceMemoryAccess&) = delete;
};

bool is_device_memory(const void* memory);
void check_pointer_argument(const Grid& grid, int number, const void* pointer);

template <class T>
void check_argument(const Grid& grid, int number, const T& argument) {
    if constexpr (std::is_pointer<T>::value && !std::is_function<std::remove_pointer_t<T>>::value)
        check_pointer_argument(grid, number, argument);
}

// The stream of a launch, and the line that launches.
struct LaunchSite {
    Where where;
    template <class S>
    LaunchSite(const S& stream, const char* file = __builtin_FILE(), unsigned line = __builtin_LINE())
        : where{file, line} {
        [[maybe_unused]] const cudaStream_t cuda_stream = stream;  // no stream: a compile error, as with nvcc
    }
};

// A kernel with its arguments.
template <class... P>
struct Call {
    void (*kernel)(P...);
    std::tuple<P...> arguments;

    template <size_t... I>
    static void one_thread(const void* call) {
        const Call& c = *static_cast<const Call*>(call);
        c.kernel(std::get<I>(c.arguments)...);
    }
    template <size_t... I>
    void run(Grid grid, std::index_sequence<I...>) const {
        (check_argument(grid, int(I) + 1, std::get<I>(arguments)), ...);
        grid.one_thread = one_thread<I...>;
        grid.arguments = this;
        const DeviceMemoryAccess access;
        run_grid(grid);
    }
};

}  // namespace cuda_on_host

// kernel<<<grid, block, shared_bytes, stream>>>(args...), in words that every C++ compiler can read.
template <class... P, class... A>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, cuda_on_host::LaunchSite site,
            A... args) {
    static_assert(sizeof...(P) == sizeof...(A), "launch: as many arguments as the kernel has parameters");
    const cuda_on_host::Call<P...> call{kernel, std::tuple<P...>(args...)};
    call.run({grid, block, shared_bytes, reinterpret_cast<const void*>(kernel), site.where, nullptr, nullptr},
             std::index_sequence_for<P...>{});
}
