// cuda_runtime_on_host.cpp - device memory as a list of heap blocks, copies that know which side a pointer is
// on; see cuda_runtime_on_host.h.
#include "cuda_on_host/cuda_runtime_on_host.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "core/check.h"
#include "core/parallel.h"
#include "cuda_on_host/program_symbols.h"

struct CudaStream {};
struct CudaEvent {
    std::chrono::steady_clock::time_point time;
};

namespace cuda_on_host {
namespace {

// What cudaMalloc has given out: begin and bytes.
struct DeviceMemory {
    std::mutex mutex;
    std::map<const char*, size_t> blocks;
    int users = 0;  // kernels and copies that are running

    // The block that a pointer points into (or to the end of), or nullptr.
    const std::pair<const char* const, size_t>* find(const void* memory) {
        const char* const address = static_cast<const char*>(memory);
        auto after = blocks.upper_bound(address);
        if (after == blocks.begin()) return nullptr;
        --after;
        return address <= after->first + after->second ? &*after : nullptr;
    }
};

DeviceMemory& device_memory() {
    static DeviceMemory the_memory;
    return the_memory;
}

// Under AddressSanitizer device memory is poisoned while host code runs, so that `*device_pointer` stops
// there.
void close_block([[maybe_unused]] const char* begin, [[maybe_unused]] size_t bytes) {
#if defined(CUDA_ON_HOST_ASAN)
    __asan_poison_memory_region(begin, bytes);
#endif
}
void open_block([[maybe_unused]] const char* begin, [[maybe_unused]] size_t bytes) {
#if defined(CUDA_ON_HOST_ASAN)
    __asan_unpoison_memory_region(begin, bytes);
#endif
}

thread_local cudaError_t last_error = cudaSuccess;

cudaError_t result(cudaError_t error) {
    if (error != cudaSuccess) last_error = error;
    return error;
}

// The range [memory, memory + bytes) must lie on the side that the call says.
void check_side(const char* call, const char* role, const void* memory, size_t bytes, bool wants_device,
                Where where) {
    DeviceMemory& device = device_memory();
    std::lock_guard<std::mutex> lock(device.mutex);
    const auto* found = device.find(memory);
    // An address behind the end of a block may be the first of a host's.
    const bool is_device = found && (memory != found->first + found->second || found->second == 0);
    if (!wants_device) {
        CHECK(!is_device, "[%s] %s is device memory, the call says host\n  called at %s:%u", call, role,
              where.file, where.line);
        return;
    }
    CHECK(is_device, "[%s] %s is host memory, the call says device\n  called at %s:%u", call, role,
          where.file, where.line);
    const size_t offset = size_t(static_cast<const char*>(memory) - found->first);
    CHECK(bytes <= found->second - offset,
          "[%s] %s: %zu bytes from byte %zu on, of a block that has %zu\n  called at %s:%u", call, role,
          bytes, offset, found->second, where.file, where.line);
}

// Opens the part of device memory that a copy touches, while it lives. Host memory it leaves alone.
class OpenRange {
  public:
    OpenRange(const void* memory, size_t bytes) {
        DeviceMemory& device = device_memory();
        const std::lock_guard<std::mutex> lock(device.mutex);
        const auto* block = device.find(memory);
        if (!block || device.users > 0) return;
        const size_t offset = size_t(static_cast<const char*>(memory) - block->first);
        const size_t from = offset / 8 * 8,
                     to = (offset + bytes + 7) / 8 * 8;  // the sanitizer's unit is 8 bytes
        begin_ = block->first + from;
        bytes_ = std::min(to, block->second) - from;
        open_block(begin_, bytes_);
    }
    ~OpenRange() {
        if (begin_) close_block(begin_, bytes_);
    }
    OpenRange(const OpenRange&) = delete;
    OpenRange& operator=(const OpenRange&) = delete;

  private:
    const char* begin_ = nullptr;
    size_t bytes_ = 0;
};

}  // namespace

DeviceMemoryAccess::DeviceMemoryAccess() {
    DeviceMemory& device = device_memory();
    std::lock_guard<std::mutex> lock(device.mutex);
    if (device.users++ == 0)
        for (const auto& [begin, bytes] : device.blocks) open_block(begin, bytes);
}

DeviceMemoryAccess::~DeviceMemoryAccess() {
    DeviceMemory& device = device_memory();
    std::lock_guard<std::mutex> lock(device.mutex);
    if (--device.users == 0)
        for (const auto& [begin, bytes] : device.blocks) close_block(begin, bytes);
}

bool is_device_memory(const void* memory) {
    DeviceMemory& device = device_memory();
    std::lock_guard<std::mutex> lock(device.mutex);
    return device.find(memory) != nullptr;
}

void check_pointer_argument(const Grid& grid, int number, const void* pointer) {
    CHECK(!pointer || is_device_memory(pointer),
          "[%s] argument %d points to host memory, which a GPU cannot read: pass what cudaMalloc gave\n  %s",
          function_name(grid.kernel).c_str(), number, describe(grid).c_str());
}

}  // namespace cuda_on_host

using namespace cuda_on_host;

// ---- errors -----------------------------------------------------------------------------------------------

const char* cudaGetErrorName(cudaError_t error) {
    switch (error) {
        case cudaSuccess:
            return "cudaSuccess";
        case cudaErrorInvalidValue:
            return "cudaErrorInvalidValue";
        case cudaErrorMemoryAllocation:
            return "cudaErrorMemoryAllocation";
    }
    return "unrecognized error code";
}

const char* cudaGetErrorString(cudaError_t error) {
    switch (error) {
        case cudaSuccess:
            return "no error";
        case cudaErrorInvalidValue:
            return "invalid argument";
        case cudaErrorMemoryAllocation:
            return "out of memory";
    }
    return "unrecognized error code";
}

cudaError_t cudaGetLastError() {
    return std::exchange(last_error, cudaSuccess);
}
cudaError_t cudaPeekAtLastError() {
    return last_error;
}

// ---- the device -------------------------------------------------------------------------------------------

cudaError_t cudaGetDeviceCount(int* count) {
    *count = 1;
    return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
    *device = 0;
    return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
    return result(device == 0 ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
    if (device != 0) return result(cudaErrorInvalidValue);
    *properties = {};
    std::snprintf(properties->name, sizeof properties->name, "CUDA on the host");
    size_t free_bytes = 0;
    cudaMemGetInfo(&free_bytes, &properties->totalGlobalMem);
    properties->sharedMemPerBlock = size_t(48) << 10;
    properties->sharedMemPerBlockOptin = kMaxSharedBytes;
    properties->major = 8;  // what it imitates: bf16, warp reductions
    properties->multiProcessorCount = parallel::num_threads();
    properties->warpSize = 32;
    properties->maxThreadsPerBlock = int(kMaxThreads);
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
    const size_t page = size_t(sysconf(_SC_PAGESIZE));
    *free_bytes = size_t(sysconf(_SC_AVPHYS_PAGES)) * page;
    *total_bytes = size_t(sysconf(_SC_PHYS_PAGES)) * page;
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
    return cudaSuccess;
}

// ---- memory -----------------------------------------------------------------------------------------------

cudaError_t cudaMalloc(void** memory, size_t bytes) {
    *memory = nullptr;
    if (bytes == 0) return cudaSuccess;
    // Not rounded up: AddressSanitizer's red zone begins at the first byte that was not asked for.
    if (posix_memalign(memory, 256, bytes) != 0) return result(cudaErrorMemoryAllocation);
    std::memset(*memory, 0xFF, bytes);
    const char* const begin = static_cast<const char*>(*memory);
    DeviceMemory& device = device_memory();
    std::lock_guard<std::mutex> lock(device.mutex);
    device.blocks[begin] = bytes;
    if (device.users == 0) close_block(begin, bytes);
    return cudaSuccess;
}

cudaError_t cudaFree(void* memory) {
    if (!memory) return cudaSuccess;
    DeviceMemory& device = device_memory();
    std::lock_guard<std::mutex> lock(device.mutex);
    const auto block = device.blocks.find(static_cast<const char*>(memory));
    if (block == device.blocks.end())
        return result(cudaErrorInvalidValue);  // not given out, or freed already
    open_block(block->first, block->second);
    device.blocks.erase(block);
    std::free(memory);
    return cudaSuccess;
}

cudaError_t cudaMallocAsync(void** memory, size_t bytes, cudaStream_t) {
    return cudaMalloc(memory, bytes);
}
cudaError_t cudaFreeAsync(void* memory, cudaStream_t) {
    return cudaFree(memory);
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, Where where) {
    if (bytes == 0) return cudaSuccess;
    if (kind != cudaMemcpyDefault) {
        const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
        const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
        check_side("cudaMemcpy", "the destination", to, bytes, to_device, where);
        check_side("cudaMemcpy", "the source", from, bytes, from_device, where);
    }
    const OpenRange open_to(to, bytes), open_from(from, bytes);
    std::memmove(to, from, bytes);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t,
                            Where where) {
    return cudaMemcpy(to, from, bytes, kind, where);
}

cudaError_t cudaMemset(void* memory, int byte, size_t bytes, Where where) {
    if (bytes == 0) return cudaSuccess;
    check_side("cudaMemset", "the memory", memory, bytes, true, where);
    const OpenRange open(memory, bytes);
    std::memset(memory, byte, bytes);
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* memory, int byte, size_t bytes, cudaStream_t, Where where) {
    return cudaMemset(memory, byte, bytes, where);
}

cudaError_t cudaMallocHost(void** memory, size_t bytes) {
    return result(posix_memalign(memory, 4096, bytes ? bytes : 1) == 0 ? cudaSuccess
                                                                       : cudaErrorMemoryAllocation);
}

cudaError_t cudaFreeHost(void* memory) {
    std::free(memory);
    return cudaSuccess;
}

// ---- streams and events -----------------------------------------------------------------------------------

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
    *stream = new CudaStream;
    return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
    return cudaStreamCreate(stream);
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    delete stream;
    return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) {
    return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) {
    return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) {
    *event = new CudaEvent;
    return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
    return cudaEventCreate(event);
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
    delete event;
    return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
    event->time = std::chrono::steady_clock::now();
    return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t) {
    return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t start, cudaEvent_t end) {
    *ms = std::chrono::duration<float, std::milli>(end->time - start->time).count();
    return cudaSuccess;
}
