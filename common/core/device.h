// device.h - where memory lives and where kernels run. The only header outside kernels/cuda that may include
// the CUDA toolkit (or its stand-in, cuda_on_host); in a build without gpu:: it knows the CPU alone.
// Not here: moving data implicitly. A tensor lives on its context's device; copies are calls that say so.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
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

// The queue a kernel is put on. On the CPU a kernel runs at once, on parallel.h's pool, and the stream has no handle.
struct Stream {
#if defined(GPT_WITH_GPU)
    cudaStream_t handle = nullptr;
#else
    void* handle = nullptr;
#endif
    // On the CPU: matrix products round their inputs to bf16 while they pack them (kernels/cpu/gemm_bf16.h). CUDA's kernels
    // multiply what memory holds.
    bool rounds_products = false;
};

// A queue of one's own, which the default stream waits for and which waits for it. On the CPU: nothing.
Stream stream_create(Device device);
void stream_destroy(Device device, Stream stream);

// Why this device cannot be used on this machine, in one line; empty where it can. Asks the driver once.
const std::string& device_problem(Device device);
// "2 threads", "CUDA on NVIDIA H100 80GB HBM3, bf16", for people. is_automatic: nobody asked for this device; then it says, too,
// why it is not the GPU.
std::string where_computed(Device device, bool is_automatic, int threads);

// Memory of the host for copies that it does not wait for: HostArray's.
void* host_alloc(Device device, size_t bytes);
void host_free(Device device, void* memory);

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

struct DeviceMemory {
    size_t free, total;  // bytes
};
DeviceMemory device_memory(Device device);

// Copies that the host does not wait for, in the order of the stream; `host` must be a HostArray's, and stay as it is until
// then. On the CPU they are done at once.
void device_upload_later(Device device, void* to, const void* host, size_t bytes, Stream stream);
void device_download_later(Device device, void* host, const void* from, size_t bytes, Stream stream);

// Host memory that a device can copy from and to by itself ("pinned": it never moves). Grows, and forgets what was in it then.
template <class T>
class HostArray {
  public:
    explicit HostArray(Device device) : device_(device) {}
    ~HostArray() { host_free(device_, data_); }
    HostArray(const HostArray&) = delete;
    HostArray& operator=(const HostArray&) = delete;

    // Whether it had to move: what was recorded with its old place is no longer true.
    bool reserve(size_t n) {
        if (n <= size_) return false;
        host_free(device_, data_);
        data_ = static_cast<T*>(host_alloc(device_, n * sizeof(T)));
        size_ = n;
        return true;
    }
    T* get() { return data_; }
    T& operator[](size_t i) { return data_[i]; }

  private:
    Device device_;
    T* data_ = nullptr;
    size_t size_ = 0;
};

// Returns when the device has done all that it was given. The CPU always has.
void device_wait(Device device);

#if defined(GPT_WITH_GPU)
// Memory for the time of one call, not cleared: taken and given back in the stream's order, so that the host waits for
// neither.
void* device_scratch(size_t bytes, Stream stream);
void device_scratch_free(void* memory, Stream stream);

// CUDA_CHECK(cudaMalloc(&p, n)): stops with expression, line and CUDA's own words when a call of the runtime
// fails. A kernel fails later than its launch, so that the call which says so is often another one.
[[noreturn]] void cuda_check_failed(const char* file, int line, const char* expression, cudaError_t error);
#define CUDA_CHECK(expression)                                                                           \
    do {                                                                                                 \
        const cudaError_t cuda_error = (expression);                                                     \
        if (cuda_error != cudaSuccess) ::cuda_check_failed(__FILE__, __LINE__, #expression, cuda_error); \
    } while (0)

// GPT_SYNC=1: every launch waits for its kernel, so that one that fails is named. Slow.
bool& cuda_waits_after_launch();
// The DISPATCH under way, for that message; nullptr for none.
const char*& cuda_dispatched_kernel();
#endif
