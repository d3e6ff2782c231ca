// test_runtime.cpp - the runtime's calls: memory, copies that know which side a pointer is on, streams,
// events, errors.
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "core/device.h"
#include "tests/cuda_on_host/device_array.h"
#include "tests/support/catch.h"
#include "tests/support/throwing_failures.h"

TEST_CASE("cudaMalloc gives aligned memory that is no number yet", "[cuda]") {
    for (const size_t n : {1u, 3u, 1000u}) {
        float* memory = nullptr;
        REQUIRE(cudaMalloc(&memory, n * sizeof(float)) == cudaSuccess);
        REQUIRE(reinterpret_cast<uintptr_t>(memory) % 256 == 0);
        std::vector<float> values(n, 1.0f);
        REQUIRE(cudaMemcpy(values.data(), memory, n * sizeof(float), cudaMemcpyDeviceToHost) == cudaSuccess);
        for (const float x : values) REQUIRE(std::isnan(x));
        REQUIRE(cudaFree(memory) == cudaSuccess);
    }
    REQUIRE(cudaFree(nullptr) == cudaSuccess);
}

TEST_CASE("copies and fills go there and back", "[cuda]") {
    const DeviceArray<int> a({1, 2, 3, 4}), b(4, 0);
    CUDA_CHECK(cudaMemcpyAsync(b.get(), a.get(), 16, cudaMemcpyDeviceToDevice, nullptr));
    REQUIRE(b.host() == std::vector<int>{1, 2, 3, 4});
    CUDA_CHECK(cudaMemset(b.get() + 1, 0, 8));
    REQUIRE(b.host() == std::vector<int>{1, 0, 0, 4});
    int last = 0;
    CUDA_CHECK(cudaMemcpy(&last, b.get() + 3, sizeof last, cudaMemcpyDefault));
    REQUIRE(last == 4);
}

TEST_CASE("a copy whose kind contradicts its pointers is refused", "[cuda]") {
    std::vector<float> host(8);
    const DeviceArray<float> device(8, 0);
    const auto copy = [&](void* to, const void* from, cudaMemcpyKind kind) {
        return failure_of([&] { cudaMemcpy(to, from, 32, kind); }).message;
    };
    REQUIRE_THAT(copy(host.data(), device.get(), cudaMemcpyHostToDevice),
                 contains("[cudaMemcpy] the destination is host memory, the call says device"));
    REQUIRE_THAT(copy(device.get(), device.get(), cudaMemcpyHostToDevice),
                 contains("[cudaMemcpy] the source is device memory, the call says host"));
    REQUIRE_THAT(copy(host.data(), host.data(), cudaMemcpyDeviceToHost),
                 contains("[cudaMemcpy] the source is host memory, the call says device"));
    REQUIRE_THAT(failure_of([&] { cudaMemset(host.data(), 0, 4); }).message, contains("is host memory"));
    REQUIRE_THAT(copy(host.data(), device.get(), cudaMemcpyHostToDevice), contains("test_runtime.cpp:"));
}

TEST_CASE("a copy past the end of an array is refused", "[cuda]") {
    std::vector<float> host(100);
    const DeviceArray<float> device(8, 0);
    REQUIRE_THAT(
        failure_of([&] { cudaMemcpy(device.get(), host.data(), 36, cudaMemcpyHostToDevice); }).message,
        contains("36 bytes from byte 0 on, of a block that has 32"));
    REQUIRE_THAT(failure_of([&] { cudaMemset(device.get() + 6, 0, 12); }).message,
                 contains("12 bytes from byte 24 on, of a block that has 32"));
}

TEST_CASE("an error is kept until somebody asks", "[cuda]") {
    float on_the_stack = 0;
    REQUIRE(cudaFree(&on_the_stack) == cudaErrorInvalidValue);
    REQUIRE(cudaPeekAtLastError() == cudaErrorInvalidValue);
    REQUIRE(cudaGetLastError() == cudaErrorInvalidValue);
    REQUIRE(cudaGetLastError() == cudaSuccess);
    REQUIRE(std::string(cudaGetErrorString(cudaErrorMemoryAllocation)) == "out of memory");
    REQUIRE_THAT(
        failure_of([&] { CUDA_CHECK(cudaFree(&on_the_stack)); }).message,
        contains("CUDA_CHECK(cudaFree(&on_the_stack)) failed: invalid argument (cudaErrorInvalidValue)"));
    cudaGetLastError();
}

TEST_CASE("streams and events exist, and time goes on", "[cuda]") {
    cudaStream_t stream = nullptr;
    cudaEvent_t start = nullptr, end = nullptr;
    CUDA_CHECK(cudaStreamCreate(&stream));
    CUDA_CHECK(cudaEventCreate(&start));
    CUDA_CHECK(cudaEventCreate(&end));
    CUDA_CHECK(cudaEventRecord(start, stream));
    CUDA_CHECK(cudaEventRecord(end, stream));
    CUDA_CHECK(cudaStreamSynchronize(stream));
    float ms = -1;
    CUDA_CHECK(cudaEventElapsedTime(&ms, start, end));
    REQUIRE(ms >= 0);
    CUDA_CHECK(cudaEventDestroy(start));
    CUDA_CHECK(cudaEventDestroy(end));
    CUDA_CHECK(cudaStreamDestroy(stream));
}

namespace {

__global__ void add_one_kernel(int* x, const int* amount) {
    x[threadIdx.x] += *amount;
}

}  // namespace

TEST_CASE("a graph runs what was recorded as often as it is launched, with what memory holds then",
          "[cuda]") {
    cudaStream_t stream = nullptr;
    CUDA_CHECK(cudaStreamCreate(&stream));
    const DeviceArray<int> x({10, 20, 0}), amount(1, 0);
    int on_host = 1;
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    CUDA_CHECK(cudaMemcpyAsync(amount.get(), &on_host, sizeof on_host, cudaMemcpyHostToDevice, stream));
    int* scratch = nullptr;
    CUDA_CHECK(cudaMallocAsync(&scratch, 8, stream));
    CUDA_CHECK(cudaMemsetAsync(scratch, 0, 8, stream));
    launch(add_one_kernel, 1, 2, 0, stream, x.get(), amount.get());
    launch(add_one_kernel, 1, 2, 0, stream, scratch, amount.get());
    CUDA_CHECK(cudaMemcpyAsync(x.get() + 1, scratch, sizeof(int), cudaMemcpyDeviceToDevice, stream));
    CUDA_CHECK(cudaFreeAsync(scratch, stream));
    CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
    REQUIRE(x.host() == std::vector<int>{10, 20, 0});  // recorded, not run
    CUDA_CHECK(cudaGraphInstantiate(&executable, graph, 0));
    CUDA_CHECK(cudaGraphDestroy(graph));
    CUDA_CHECK(cudaGraphLaunch(executable, stream));
    REQUIRE(x.host() == std::vector<int>{11, 1, 0});
    on_host = 5;
    CUDA_CHECK(cudaGraphLaunch(executable, stream));
    REQUIRE(x.host() == std::vector<int>{16, 5, 0});
    CUDA_CHECK(cudaGraphExecDestroy(executable));
    CUDA_CHECK(cudaStreamDestroy(stream));
}

TEST_CASE("what waits, allocates or uses another stream spoils a recording, as on a GPU", "[cuda]") {
    cudaStream_t stream = nullptr;
    CUDA_CHECK(cudaStreamCreate(&stream));
    const DeviceArray<int> x({1, 2, 3});
    const auto spoils = [&](auto call) {
        cudaGraph_t graph = nullptr;
        CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
        const bool is_refused = call() != cudaSuccess;
        const bool is_spoilt = cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated;
        cudaGetLastError();
        if (graph) cudaGraphDestroy(graph);
        return is_refused && is_spoilt;
    };
    int host[2];
    void* memory = nullptr;
    REQUIRE(spoils([&] { return cudaStreamSynchronize(stream); }));
    REQUIRE(spoils([&] { return cudaDeviceSynchronize(); }));
    REQUIRE(spoils([&] { return cudaMalloc(&memory, 8); }));
    REQUIRE(spoils([&] { return cudaMemcpy(host, x.get(), 8, cudaMemcpyDeviceToHost); }));
    REQUIRE(spoils([&] { return cudaMemset(x.get(), 0, 8); }));
    REQUIRE(spoils([&] { return cudaMemcpyAsync(host, x.get(), 8, cudaMemcpyDeviceToHost, nullptr); }));
    REQUIRE_FALSE(spoils([&] { return cudaMemsetAsync(x.get(), 0, 8, stream); }));
    REQUIRE(x.host() == std::vector<int>{1, 2, 3});
    REQUIRE(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeThreadLocal) != cudaSuccess);
    cudaGetLastError();
    CUDA_CHECK(cudaStreamDestroy(stream));
}

TEST_CASE("core/device.h moves memory on both devices", "[cuda]") {
    const Device device = GENERATE(Device::kCpu, Device::kCuda);
    auto* memory = static_cast<float*>(device_alloc(device, 5 * sizeof(float)));
    REQUIRE(floats_on_host(device, memory, 5) == std::vector<float>(5, 0.0f));
    const std::vector<float> values = {1, 2, 3};
    device_upload(device, memory + 1, values.data(), 3 * sizeof(float));
    REQUIRE(floats_on_host(device, memory, 5) == std::vector<float>{0, 1, 2, 3, 0});
    device_clear(device, memory + 2, sizeof(float));
    REQUIRE(floats_on_host(device, memory, 5) == std::vector<float>{0, 1, 0, 3, 0});
    device_free(device, memory, 5 * sizeof(float));
}
