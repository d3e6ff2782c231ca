// cuda_runtime_on_host.h - the part of CUDA's runtime that this project calls: memory, copies, streams,
// events and launches. Device memory is the host's, kept apart by a list of what cudaMalloc gave out; a
// kernel or a copy that gets a pointer of the wrong kind is stopped with a message, where a GPU would crash
// or read garbage.
// Not here: concurrency. A launch returns when the kernel has run, so streams are always finished and errors
// come at once (but for those that a test asks for: Imitation).
// Source for names and meanings: CUDA Runtime API reference.
#pragma once
#include <cstddef>
#include <functional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "cuda_on_host/cuda_machine.h"

// ---- errors -----------------------------------------------------------------------------------------------

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInsufficientDriver = 35,
    cudaErrorNoDevice = 100,
    cudaErrorNoKernelImageForDevice = 209,
    cudaErrorIllegalAddress = 700,
    cudaErrorLaunchFailure = 719,
    cudaErrorStreamCaptureUnsupported = 900,
    cudaErrorStreamCaptureInvalidated = 901,
    cudaErrorStreamCaptureImplicit = 906,
};
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
// 13000 is CUDA 13.0; a driver's is 0 where there is none.
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);

namespace cuda_on_host {
// The machine that is imitated. Tests take something away from it, to see what a program says then. For a whole program:
// CUDA_ON_HOST_GPU="cards=0", "driver=0", "driver=12020", "arch=75", "memory_mib=10", "fails=gelu_forward_kernel".
struct Imitation {
    int cards = 1;
    int driver = 13000;
    int major = 8, minor = 0;  // compute capability: bf16, warp reductions
    size_t memory = 0;         // largest sum of cudaMalloc in bytes; 0: what the host has
    std::string fails;         // this kernel touches an illegal address; as on a GPU, a later call notices
};
Imitation& imitation();
void forget_fault();  // of `fails`; on a GPU only a new process does
}  // namespace cuda_on_host

// ---- memory -----------------------------------------------------------------------------------------------

enum cudaMemcpyKind {
    cudaMemcpyHostToHost = 0,
    cudaMemcpyHostToDevice = 1,
    cudaMemcpyDeviceToHost = 2,
    cudaMemcpyDeviceToDevice = 3,
    cudaMemcpyDefault = 4,
};

struct CudaStream;
using cudaStream_t = CudaStream*;  // nothing is ever queued; a stream's work may be recorded (graphs, below)

// 256-byte aligned and full of NaN. AddressSanitizer fences it on both sides, and stops host code that reads
// it.
cudaError_t cudaMalloc(void** memory, size_t bytes);
template <class T>
cudaError_t cudaMalloc(T** memory, size_t bytes) {
    return cudaMalloc(reinterpret_cast<void**>(memory), bytes);
}
cudaError_t cudaFree(void* memory);
cudaError_t cudaMallocAsync(void** memory, size_t bytes, cudaStream_t stream);
// The pool that cudaMallocAsync takes from keeps up to `threshold` bytes when the program waits. Here there is none.
struct CudaMemPool;
using cudaMemPool_t = CudaMemPool*;
enum cudaMemPoolAttr { cudaMemPoolAttrReleaseThreshold = 4 };
cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int device);
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value);
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

// ---- graphs: what a stream is given between Begin and End is kept instead of run, to be run as often as wanted --

// As on a GPU: arguments are kept as they were, so what changes from run to run must lie in memory; whatever waits for the
// device, allocates or uses another stream meanwhile is refused, and spoils the recording.
struct CudaGraph;
using cudaGraph_t = CudaGraph*;
using cudaGraphExec_t = CudaGraph*;
enum cudaStreamCaptureMode { cudaStreamCaptureModeGlobal = 0, cudaStreamCaptureModeThreadLocal = 1 };
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long flags = 0);
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);

// ---- launching --------------------------------------------------------------------------------------------

cudaError_t cudaFuncGetName(const char** name, const void* kernel);

// Of core/device.h, after every launch.
void cuda_check_launch(const void* kernel, const char* file, int line);

enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
cudaError_t set_shared_memory_limit(const void* kernel, int bytes);
template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute, int bytes) {
    return set_shared_memory_limit(reinterpret_cast<const void*>(kernel), bytes);
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
void notice_launch(const void* kernel);  // Imitation::fails

// Whether work for this stream is to be recorded, not run.
bool is_recording(cudaStream_t stream);
void record(cudaStream_t stream, std::function<void()> work);
void forget_recording();  // that a failure has left behind

// member: the name of the pointer in a struct, or nullptr when the argument itself is the pointer.
void check_pointer_argument(const Grid& grid, int number, const char* member, const void* pointer);

// Whether T names its pointers:
//     struct Finish {
//         const float* bias = nullptr;
//         template <class See>
//         void pointers(See see) const { see("bias", bias); }
//     };
// note: a struct that does not is passed on unseen. To look for addresses among its bytes would accuse clean
// kernels: a seed, or two ints side by side, may look like one, and padding holds what the stack held before.
template <class T, class = void>
struct NamesItsPointers : std::false_type {};
template <class T>
struct NamesItsPointers<T, std::void_t<decltype(std::declval<const T&>().pointers(
                               std::declval<void (*)(const char*, const void*)>()))>> : std::true_type {};

template <class T>
void check_argument(const Grid& grid, int number, const T& argument) {
    if constexpr (std::is_pointer<T>::value && !std::is_function<std::remove_pointer_t<T>>::value)
        check_pointer_argument(grid, number, nullptr, argument);
    else if constexpr (NamesItsPointers<T>::value)
        argument.pointers([&](const char* member, const void* pointer) {
            check_pointer_argument(grid, number, member, pointer);
        });
}

// The stream of a launch, and the line that launches.
struct LaunchSite {
    cudaStream_t stream;
    Where where;
    template <class S>
    LaunchSite(const S& stream, const char* file = __builtin_FILE(), unsigned line = __builtin_LINE())
        : stream(stream), where{file, line} {}
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
    const void* const address = reinterpret_cast<const void*>(kernel);
    const auto run = [=] {
        call.run({grid, block, shared_bytes, address, site.where, nullptr, nullptr},
                 std::index_sequence_for<P...>{});
        cuda_on_host::notice_launch(address);
    };
    if (cuda_on_host::is_recording(site.stream))
        cuda_on_host::record(site.stream, run);
    else
        run();
    cuda_check_launch(address, site.where.file, int(site.where.line));
}
