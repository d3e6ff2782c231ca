// cuda_runtime_on_host.cpp - see cuda_runtime_on_host.h.
// Not here: which memory is the device's, and who may touch it when (device_memory.cpp).
#include "cuda_on_host/cuda_runtime_on_host.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <vector>

#include "core/check.h"
#include "core/parallel.h"
#include "cuda_on_host/device_memory.h"
#include "cuda_on_host/program_symbols.h"

struct CudaGraph {
    std::vector<std::function<void()>> work;
    std::vector<void*> scratch;  // cudaMallocAsync's while recording: the graph's own
    int owners = 1;              // a graph and what it was instantiated to are one
};
struct CudaStream {
    CudaGraph* recording = nullptr;
};
struct CudaEvent {
    std::chrono::steady_clock::time_point time;
};

namespace cuda_on_host {
namespace {

constexpr int kRuntimeVersion = 13000;  // the toolkit whose names and numbers are imitated

thread_local cudaError_t last_error = cudaSuccess;
cudaError_t fault =
    cudaSuccess;  // of a kernel that has failed: the device is lost, all that waits for it says so

cudaError_t result(cudaError_t error) {
    if (error == cudaSuccess) error = fault;
    if (error != cudaSuccess) last_error = error;
    return error;
}

// The stream whose work is being recorded; nullptr for none.
cudaStream_t recorded_stream = nullptr;
bool is_recording_spoilt = false;

// What calls say that do their work at once, while a stream is recorded.
cudaError_t not_while_recording(cudaError_t error = cudaErrorStreamCaptureUnsupported) {
    if (!recorded_stream) return cudaSuccess;
    is_recording_spoilt = true;
    return result(error);
}

// What every call says first on a machine without a GPU, or without a driver that is new enough.
cudaError_t no_device() {
    if (imitation().driver < kRuntimeVersion) return result(cudaErrorInsufficientDriver);
    if (imitation().cards == 0) return result(cudaErrorNoDevice);
    return cudaSuccess;
}

Imitation imitation_from_environment() {
    Imitation card;
    const char* text = std::getenv("CUDA_ON_HOST_GPU");
    std::istringstream settings(text ? text : "");
    for (std::string setting; settings >> setting;) {
        const size_t equals = std::min(setting.find('='), setting.size() - 1);
        const std::string name = setting.substr(0, equals), value = setting.substr(equals + 1);
        const int number = std::atoi(value.c_str());
        if (name == "cards") card.cards = number;
        if (name == "driver") card.driver = number;
        if (name == "arch") card.major = number / 10, card.minor = number % 10;
        if (name == "memory_mib") card.memory = size_t(number) << 20;
        if (name == "fails") card.fails = value;
    }
    return card;
}

}  // namespace

Imitation& imitation() {
    static Imitation the_imitation = imitation_from_environment();
    return the_imitation;
}

bool is_recording(cudaStream_t stream) {
    if (!recorded_stream) return false;
    if (stream == recorded_stream) return true;
    not_while_recording(cudaErrorStreamCaptureImplicit);
    return false;
}

void record(cudaStream_t stream, std::function<void()> work) {
    stream->recording->work.push_back(std::move(work));
}

void forget_recording() {
    cudaGraph_t graph = nullptr;
    if (recorded_stream) cudaStreamEndCapture(recorded_stream, &graph);
    if (graph) cudaGraphDestroy(graph);
    last_error = cudaSuccess;
}

void forget_fault() {
    fault = last_error = cudaSuccess;
}

void notice_launch(const void* kernel) {
    if (!imitation().fails.empty() && function_name(kernel) == imitation().fails)
        fault = cudaErrorIllegalAddress;
}

}  // namespace cuda_on_host

using namespace cuda_on_host;

// ---- errors -----------------------------------------------------------------------------------------------

namespace {
struct ErrorText {
    cudaError_t error;
    const char *name, *text;
};
constexpr ErrorText kErrors[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorNoKernelImageForDevice, "cudaErrorNoKernelImageForDevice",
     "no kernel image is available for execution on the device"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureImplicit, "cudaErrorStreamCaptureImplicit",
     "operation would make the legacy stream depend on a capturing blocking stream"},
};
ErrorText error_text(cudaError_t error) {
    for (const ErrorText& known : kErrors)
        if (known.error == error) return known;
    return {error, "unrecognized error code", "unrecognized error code"};
}
}  // namespace

const char* cudaGetErrorName(cudaError_t error) {
    return error_text(error).name;
}
const char* cudaGetErrorString(cudaError_t error) {
    return error_text(error).text;
}

cudaError_t cudaGetLastError() {
    return std::exchange(last_error, cudaSuccess);
}
cudaError_t cudaPeekAtLastError() {
    return last_error;
}

// ---- the device -------------------------------------------------------------------------------------------

cudaError_t cudaGetDeviceCount(int* count) {
    *count = 0;
    if (const cudaError_t error = no_device()) return error;
    *count = imitation().cards;
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
    properties->sharedMemPerBlock = kSharedBytes;
    properties->sharedMemPerBlockOptin = kMaxSharedBytes;
    properties->major = imitation().major;
    properties->minor = imitation().minor;
    properties->multiProcessorCount = parallel::num_threads();
    properties->warpSize = 32;
    properties->maxThreadsPerBlock = int(kMaxThreads);
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
    const size_t page = size_t(sysconf(_SC_PAGESIZE));
    *free_bytes = size_t(sysconf(_SC_AVPHYS_PAGES)) * page;
    *total_bytes = size_t(sysconf(_SC_PHYS_PAGES)) * page;
    if (const size_t memory = imitation().memory) {
        *total_bytes = memory;
        *free_bytes = memory - std::min(memory, bytes_given_out());
    }
    return result(cudaSuccess);
}

cudaError_t cudaDeviceSynchronize() {
    if (const cudaError_t error = not_while_recording()) return error;
    return result(cudaSuccess);
}

cudaError_t cudaDriverGetVersion(int* version) {
    *version = imitation().driver;
    return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
    *version = kRuntimeVersion;
    return cudaSuccess;
}

// ---- memory -----------------------------------------------------------------------------------------------

namespace {

cudaError_t allocate(void** memory, size_t bytes) {
    *memory = nullptr;
    if (bytes == 0) return cudaSuccess;
    if (imitation().memory && bytes > imitation().memory - std::min(imitation().memory, bytes_given_out()))
        return result(cudaErrorMemoryAllocation);
    // Not rounded up: AddressSanitizer's red zone begins at the first byte that was not asked for.
    if (posix_memalign(memory, 256, bytes) != 0) return result(cudaErrorMemoryAllocation);
    std::memset(*memory, 0xFF, bytes);
    give_out(*memory, bytes);
    return cudaSuccess;
}

cudaError_t release(void* memory) {
    if (!memory) return cudaSuccess;
    if (!take_back(memory)) return result(cudaErrorInvalidValue);  // not given out, or freed already
    std::free(memory);
    return cudaSuccess;
}

}  // namespace

cudaError_t cudaMalloc(void** memory, size_t bytes) {
    if (const cudaError_t error = no_device()) return error;
    if (const cudaError_t error = not_while_recording()) return error;
    return allocate(memory, bytes);
}

cudaError_t cudaFree(void* memory) {
    if (const cudaError_t error = not_while_recording()) return error;
    return release(memory);
}

// What a graph records keeps its scratch memory as long as the graph lives.
cudaError_t cudaMallocAsync(void** memory, size_t bytes, cudaStream_t stream) {
    if (!is_recording(stream)) return cudaMalloc(memory, bytes);
    const cudaError_t error = allocate(memory, bytes);
    if (error == cudaSuccess && *memory) stream->recording->scratch.push_back(*memory);
    return error;
}
cudaError_t cudaFreeAsync(void* memory, cudaStream_t stream) {
    return is_recording(stream) ? cudaSuccess : cudaFree(memory);
}
cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int) {
    *pool = nullptr;
    return cudaSuccess;
}
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) {
    return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, Where where) {
    if (const cudaError_t error = not_while_recording(cudaErrorStreamCaptureImplicit)) return error;
    if (bytes == 0) return cudaSuccess;
    if (kind != cudaMemcpyDefault) {
        const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
        const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
        check_side("cudaMemcpy", "the destination", to, bytes, to_device, where);
        check_side("cudaMemcpy", "the source", from, bytes, from_device, where);
    }
    const OpenRange open_to(to, bytes), open_from(from, bytes);
    std::memmove(to, from, bytes);
    return result(cudaSuccess);
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream, Where where) {
    if (!is_recording(stream)) return cudaMemcpy(to, from, bytes, kind, where);
    record(stream, [=] { cudaMemcpy(to, from, bytes, kind, where); });
    return cudaSuccess;
}

cudaError_t cudaMemset(void* memory, int byte, size_t bytes, Where where) {
    if (const cudaError_t error = not_while_recording(cudaErrorStreamCaptureImplicit)) return error;
    if (bytes == 0) return cudaSuccess;
    check_side("cudaMemset", "the memory", memory, bytes, true, where);
    const OpenRange open(memory, bytes);
    std::memset(memory, byte, bytes);
    return result(cudaSuccess);
}

cudaError_t cudaMemsetAsync(void* memory, int byte, size_t bytes, cudaStream_t stream, Where where) {
    if (!is_recording(stream)) return cudaMemset(memory, byte, bytes, where);
    record(stream, [=] { cudaMemset(memory, byte, bytes, where); });
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void** memory, size_t bytes) {
    return result(posix_memalign(memory, 4096, bytes ? bytes : 1) == 0 ? cudaSuccess
                                                                       : cudaErrorMemoryAllocation);
}

cudaError_t cudaFreeHost(void* memory) {
    std::free(memory);
    return cudaSuccess;
}

cudaError_t set_shared_memory_limit(const void* kernel, int bytes) {
    return result(bytes >= 0 && allow_shared_bytes(kernel, size_t(bytes)) ? cudaSuccess
                                                                          : cudaErrorInvalidValue);
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
    if (const cudaError_t error = not_while_recording()) return error;
    return result(cudaSuccess);
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

// ---- graphs -----------------------------------------------------------------------------------------------

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
    if (!stream || recorded_stream) return result(cudaErrorStreamCaptureUnsupported);
    stream->recording = new CudaGraph;
    recorded_stream = stream;
    is_recording_spoilt = false;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
    *graph = nullptr;
    if (!stream || stream != recorded_stream) return result(cudaErrorInvalidValue);
    CudaGraph* const recorded = std::exchange(stream->recording, nullptr);
    recorded_stream = nullptr;
    if (is_recording_spoilt) {
        cudaGraphDestroy(recorded);
        return result(cudaErrorStreamCaptureInvalidated);
    }
    *graph = recorded;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
    graph->owners++;
    *executable = graph;
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t) {
    if (const cudaError_t error = not_while_recording()) return error;
    for (const auto& work : executable->work) work();
    return result(cudaSuccess);
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    if (--graph->owners > 0) return cudaSuccess;
    for (void* memory : graph->scratch) release(memory);
    delete graph;
    return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
    return cudaGraphDestroy(executable);
}

// ---- launching --------------------------------------------------------------------------------------------

cudaError_t cudaFuncGetName(const char** name, const void* kernel) {
    static thread_local std::string kept;  // until the next call
    kept = function_name(kernel);
    *name = kept.c_str();
    return cudaSuccess;
}
