// device.cpp - memory on the CPU: zero pages from the kernel, so that nothing is touched before it is used;
// memory on a CUDA device; and the copies between them.
#include "core/device.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "core/check.h"

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

#if defined(GPT_WITH_GPU)
void* cuda_alloc(size_t bytes) {
    if (bytes == 0) bytes = 1;
    void* memory = nullptr;
    const cudaError_t error = cudaMalloc(&memory, bytes);
    if (error == cudaErrorMemoryAllocation) {
        cudaGetLastError();  // it is reported here, not by the next call
        size_t free_bytes = 0, total_bytes = 0;
        cudaMemGetInfo(&free_bytes, &total_bytes);
        user_error(
            "cannot get %.1f MiB of device memory: %.1f of %.1f MiB are free; a smaller --batch, --context "
            "or "
            "--channels needs less",
            double(bytes) / kMiB, double(free_bytes) / kMiB, double(total_bytes) / kMiB);
    }
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
    std::memset(memory, byte, bytes);
}

std::vector<float> floats_on_host(Device device, const float* memory, int64_t n) {
    std::vector<float> copy(static_cast<size_t>(n));
    device_download(device, copy.data(), memory, copy.size() * sizeof(float));
    return copy;
}

#if defined(GPT_WITH_GPU)
void cuda_check_failed(const char* file, int line, const char* expression, cudaError_t error) {
    fail(FailureKind::kBug, format("%s:%d: CUDA_CHECK(%s) failed: %s (%s)", file, line, expression,
                                   cudaGetErrorString(error), cudaGetErrorName(error)));
}
#endif
