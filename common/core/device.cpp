// device.cpp - memory on the CPU: zero pages from the kernel, so that nothing is touched before it is used;
// memory on a CUDA device; and the copies between them.
#include "core/device.h"

#include <sys/mman.h>
#include <unistd.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "core/check.h"
#include "core/parallel.h"

namespace {

constexpr double kMiB = 1 << 20;

void* cpu_alloc(size_t bytes) {
    if (bytes == 0) bytes = 1;
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        user_error(
            "cannot get %.1f MiB of memory (%s); a smaller --batch, --context or --channels needs less",
            double(bytes) / kMiB, std::strerror(errno));
#ifdef MADV_HUGEPAGE
    if (bytes >= (size_t(4) << 20)) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
    return memory;
}

// More than a cache holds is written past it, by all cores: memory that is only to be overwritten need not be read first.
void cpu_fill(char* memory, int byte, size_t bytes) {
#if defined(__SSE2__)
    constexpr int64_t kLarge = int64_t(16) << 20, kGrain = int64_t(1) << 20;
    if (int64_t(bytes) >= kLarge && reinterpret_cast<uintptr_t>(memory) % 64 == 0) {
        const __m128i x = _mm_set1_epi8(static_cast<char>(byte));
        const int64_t whole = int64_t(bytes / 64 * 64);
        parallel_ranges(whole, kGrain, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; i += 16)
                _mm_stream_si128(reinterpret_cast<__m128i*>(memory + i), x);
            _mm_sfence();
        });
        memory += whole, bytes -= size_t(whole);
    }
#endif
    std::memset(memory, byte, bytes);
}

#if defined(GPT_WITH_GPU)
[[noreturn]] void device_memory_is_short(size_t asked) {
    cudaGetLastError();  // it is reported here, not by the next call
    const DeviceMemory memory = device_memory(Device::kCuda);
    user_error(
        "cannot get %.1f MiB of device memory: %.1f of %.1f MiB are free; a smaller --batch (a larger "
        "--accumulate makes up for it), --context or --channels needs less",
        double(asked) / kMiB, double(memory.free) / kMiB, double(memory.total) / kMiB);
}

void* cuda_alloc(size_t bytes) {
    if (bytes == 0) bytes = 1;
    void* memory = nullptr;
    const cudaError_t error = cudaMalloc(&memory, bytes);
    if (error == cudaErrorMemoryAllocation) device_memory_is_short(bytes);
    CUDA_CHECK(error);
    CUDA_CHECK(cudaMemset(memory, 0, bytes));
    return memory;
}
#endif

}  // namespace

void* device_alloc(Device device, size_t bytes) {
    CHECK(has_device(device), "[device_alloc] this build has no kernels for %s", device_name(device));
#if defined(GPT_WITH_GPU)
    if (device == Device::kCuda) return cuda_alloc(bytes);
#endif
    return cpu_alloc(bytes);
}

void device_free(Device device, void* memory, size_t bytes) {
    if (!memory) return;
#if defined(GPT_WITH_GPU)
    if (device == Device::kCuda) {
        CUDA_CHECK(cudaFree(memory));
        return;
    }
#endif
    static_cast<void>(device);
    munmap(memory, bytes ? bytes : 1);
}

void device_upload(Device device, void* to, const void* host, size_t bytes) {
#if defined(GPT_WITH_GPU)
    if (device == Device::kCuda) {
        CUDA_CHECK(cudaMemcpy(to, host, bytes, cudaMemcpyHostToDevice));
        return;
    }
#endif
    static_cast<void>(device);
    std::memcpy(to, host, bytes);
}

void device_download(Device device, void* host, const void* from, size_t bytes) {
#if defined(GPT_WITH_GPU)
    if (device == Device::kCuda) {
        CUDA_CHECK(cudaMemcpy(host, from, bytes, cudaMemcpyDeviceToHost));
        return;
    }
#endif
    static_cast<void>(device);
    std::memcpy(host, from, bytes);
}

void device_fill(Device device, void* memory, int byte, size_t bytes) {
#if defined(GPT_WITH_GPU)
    if (device == Device::kCuda) {
        CUDA_CHECK(cudaMemset(memory, byte, bytes));
        return;
    }
#endif
    static_cast<void>(device);
    cpu_fill(static_cast<char*>(memory), byte, bytes);
}

std::vector<float> floats_on_host(Device device, const float* memory, int64_t n) {
    std::vector<float> copy(static_cast<size_t>(n));
    device_download(device, copy.data(), memory, copy.size() * sizeof(float));
    return copy;
}

Stream stream_create(Device device) {
    Stream stream;
#if defined(GPT_WITH_GPU)
    if (device == Device::kCuda) {
        CUDA_CHECK(cudaStreamCreate(&stream.handle));
        // Scratch memory that is given back stays with the program; by default the next wait hands it to the driver, which
        // takes as long as many kernels.
        cudaMemPool_t pool = nullptr;
        uint64_t keep = UINT64_MAX;
        CUDA_CHECK(cudaDeviceGetDefaultMemPool(&pool, 0));
        CUDA_CHECK(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep));
    }
#endif
    static_cast<void>(device);
    return stream;
}

void stream_destroy(Device device, Stream stream) {
#if defined(GPT_WITH_GPU)
    if (device == Device::kCuda) cudaStreamDestroy(stream.handle);
#endif
    static_cast<void>(device), static_cast<void>(stream);
}

void* host_alloc(Device device, size_t bytes) {
    void* memory = nullptr;
#if defined(GPT_WITH_GPU)
    if (device == Device::kCuda) {
        CUDA_CHECK(cudaMallocHost(&memory, bytes));
        return memory;
    }
#endif
    static_cast<void>(device);
    memory = std::malloc(bytes ? bytes : 1);
    if (!memory) user_error("cannot get %.1f MiB of memory", double(bytes) / kMiB);
    return memory;
}

void host_free(Device device, void* memory) {
#if defined(GPT_WITH_GPU)
    if (device == Device::kCuda) {
        cudaFreeHost(memory);
        return;
    }
#endif
    static_cast<void>(device);
    std::free(memory);
}

void device_upload_later(Device device, void* to, const void* host, size_t bytes, Stream stream) {
#if defined(GPT_WITH_GPU)
    if (device == Device::kCuda) {
        CUDA_CHECK(cudaMemcpyAsync(to, host, bytes, cudaMemcpyHostToDevice, stream.handle));
        return;
    }
#endif
    static_cast<void>(device), static_cast<void>(stream);
    std::memcpy(to, host, bytes);
}

void device_download_later(Device device, void* host, const void* from, size_t bytes, Stream stream) {
#if defined(GPT_WITH_GPU)
    if (device == Device::kCuda) {
        CUDA_CHECK(cudaMemcpyAsync(host, from, bytes, cudaMemcpyDeviceToHost, stream.handle));
        return;
    }
#endif
    static_cast<void>(device), static_cast<void>(stream);
    std::memcpy(host, from, bytes);
}

DeviceMemory device_memory(Device device) {
#if defined(GPT_WITH_GPU)
    if (device == Device::kCuda) {
        DeviceMemory memory = {};
        CUDA_CHECK(cudaMemGetInfo(&memory.free, &memory.total));
        return memory;
    }
#endif
    static_cast<void>(device);
    const size_t page = size_t(sysconf(_SC_PAGESIZE));
    return {size_t(sysconf(_SC_AVPHYS_PAGES)) * page, size_t(sysconf(_SC_PHYS_PAGES)) * page};
}

void device_wait(Device device) {
#if defined(GPT_WITH_GPU)
    if (device == Device::kCuda) CUDA_CHECK(cudaDeviceSynchronize());
#endif
    static_cast<void>(device);
}

#if defined(GPT_WITH_GPU)
void* device_scratch(size_t bytes, Stream stream) {
    void* memory = nullptr;
    const cudaError_t error = cudaMallocAsync(&memory, bytes, stream.handle);
    if (error == cudaErrorMemoryAllocation) device_memory_is_short(bytes);
    CUDA_CHECK(error);
    return memory;
}

void device_scratch_free(void* memory, Stream stream) {
    CUDA_CHECK(cudaFreeAsync(memory, stream.handle));
}

// ---- errors of CUDA ---------------------------------------------------------------------------------------

namespace {

// Faults of a kernel: the device is lost, and whichever call comes next says so.
bool is_fault(cudaError_t error) {
    return error >= cudaErrorIllegalAddress && error <= cudaErrorLaunchFailure;
}

std::string kernel_name(const void* kernel) {
    const char* name = nullptr;
#if defined(GPT_CUDA_ON_HOST) || CUDART_VERSION >= 12030
    cudaFuncGetName(&name, kernel);
#endif
    return name ? readable_name(name) : format("the kernel at %p", kernel);
}

}  // namespace

void cuda_check_failed(const char* file, int line, const char* expression, cudaError_t error) {
    if (error == cudaErrorMemoryAllocation) device_memory_is_short(0);
    const char* const advice = is_fault(error) && !cuda_waits_after_launch()
                                   ? "; a kernel before it failed: GPT_SYNC=1 names it"
                                   : "";
    fail(FailureKind::kBug, format("%s:%d: CUDA_CHECK(%s) failed: %s (%s)%s", file, line, expression,
                                   cudaGetErrorString(error), cudaGetErrorName(error), advice));
}

void cuda_check_launch(const void* kernel, const char* file, int line) {
    cudaError_t error = cudaGetLastError();
    const bool has_waited = error == cudaSuccess && cuda_waits_after_launch();
    if (has_waited) error = cudaDeviceSynchronize();
    if (error == cudaSuccess) return;
    const char* const dispatched = cuda_dispatched_kernel();
    const char* const advice =
        is_fault(error) && !has_waited ? "; a kernel before it failed: GPT_SYNC=1 names it" : "";
    fail(FailureKind::kBug, format("[%s] %s, launched at %s:%d, failed: %s (%s)%s",
                                   dispatched ? dispatched : "launch", kernel_name(kernel).c_str(), file,
                                   line, cudaGetErrorString(error), cudaGetErrorName(error), advice));
}

bool& cuda_waits_after_launch() {
    static bool waits = [] {
        const char* value = std::getenv("GPT_SYNC");
        return value && *value && std::strcmp(value, "0") != 0;
    }();
    return waits;
}

// Not within the function: cuda_on_host would take it for a kernel's __shared__ variable.
static thread_local const char* dispatched_kernel = nullptr;
const char*& cuda_dispatched_kernel() {
    return dispatched_kernel;
}
#endif
