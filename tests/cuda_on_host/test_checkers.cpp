// test_checkers.cpp - kernels with one bug each that the machine itself notices, in every build: what it says
// must name the kernel, the block, both threads and both lines.
// Not here: bugs that only a sanitizer sees (test_planted_bugs.cpp).
#include <string>
#include <vector>

#include "core/check.h"
#include "core/device.h"
#include "tests/cuda_on_host/device_array.h"
#include "tests/support/catch.h"
#include "tests/support/throwing_failures.h"

using cuda_on_host::Order;

namespace {

// ---- kernels, and the lines that the messages must name ---------------------------------------------------

constexpr int kBarrierOfSome = __LINE__ + 3;
__global__ void barrier_of_some_kernel(float* out) {
    if (threadIdx.x >= 40) return;
    __syncthreads();
    out[threadIdx.x] = 1;
}

constexpr int kFirstBranch = __LINE__ + 3, kSecondBranch = __LINE__ + 5;
__global__ void barrier_in_branches_kernel(float* out) {
    if (threadIdx.x < 32)
        __syncthreads();
    else
        __syncthreads();
    out[threadIdx.x] = 1;
}

constexpr int kShuffleOfSome = __LINE__ + 3;
__global__ void shuffle_of_some_kernel(float* out) {
    float x = 1;
    if (threadIdx.x % 32 < 20) x = __shfl_down_sync(0xffffffffu, x, 1u);
    out[threadIdx.x] = x;
}

constexpr int kShuffle = __LINE__ + 3, kBarrier = __LINE__ + 4;
__global__ void shuffle_against_barrier_kernel(float* out) {
    float x = 1;
    if (threadIdx.x < 16) x = __shfl_xor_sync(0xffffffffu, x, 1);
    __syncthreads();
    out[threadIdx.x] = x;
}

__global__ void not_in_its_mask_kernel(unsigned* out) {
    out[threadIdx.x] = __ballot_sync(0x0000ffffu, 1);
}

__global__ void unequal_masks_kernel(unsigned* out) {
    out[threadIdx.x] = __reduce_add_sync(threadIdx.x == 3 ? 0x0000000fu : 0x000000ffu, 1u);
}

__global__ void unequal_operations_kernel(int* out) {
    if (threadIdx.x < 16)
        out[threadIdx.x] = __any_sync(0xffffffffu, 1);
    else
        out[threadIdx.x] = __all_sync(0xffffffffu, 1);
}

__global__ void operations_on_one_line_kernel(int* out) {
    out[threadIdx.x] = threadIdx.x < 16 ? __any_sync(0xffffffffu, 1) : __all_sync(0xffffffffu, 1);
}

__global__ void refuse_kernel(const int* ids, int V) {
    CHECK(ids[threadIdx.x] < V, "[embedding] id %d of %d", ids[threadIdx.x], V);
}

__global__ void trap_kernel(const int* ids) {
    __syncthreads();
    if (ids[threadIdx.x] == 7) __trap();
    __syncthreads();
}

__global__ void fill_kernel(float* out, float value) {
    out[threadIdx.x] = value;
}

__global__ void two_pointers_kernel(float* out, const float* inp, int n) {
    if (int(threadIdx.x) < n) out[threadIdx.x] = inp[threadIdx.x];
}

struct WithPointers {
    const float *scale, *bias;
    template <class See>
    void pointers(See see) const {
        see("scale", scale), see("bias", bias);
    }
};
__global__ void struct_kernel(float* out, WithPointers p) {
    out[threadIdx.x] = p.bias ? p.bias[0] : 1;
}

struct LooksLikePointers {
    uint64_t seed;
};
__global__ void numbers_kernel(float* out, LooksLikePointers p) {
    out[threadIdx.x] = p.seed != 0;
}

// ---- what a launch says -----------------------------------------------------------------------------------

template <class Action>
std::string message_of(Action action) {
    const std::string message = failure_of(action).message;
    // Whatever happened, the machine goes on: the next kernel runs as if nothing had been.
    const DeviceArray<float> out(64, 0);
    launch(fill_kernel, 1, 64, 0, nullptr, out.get(), 2.0f);
    REQUIRE(out.host() == std::vector<float>(64, 2.0f));
    return message;
}

std::string at_line(int line) {
    return "test_checkers.cpp:" + std::to_string(line);
}

}  // namespace

TEST_CASE("a barrier that some threads never reach", "[cuda]") {
    const InOrder in_order(GENERATE(Order::kForward, Order::kReverse));
    const DeviceArray<float> out(64, 0);
    const int line = __LINE__ + 1;
    const auto launch_it = [&] { launch(barrier_of_some_kernel, 2, 64, 0, nullptr, out.get()); };
    const std::string message = message_of(launch_it);
    REQUIRE_THAT(message, contains("[barrier_of_some_kernel] divergent barrier in block ("));
    REQUIRE_THAT(message, contains("thread (0,0,0) waits in __syncthreads"));
    REQUIRE_THAT(message, contains(at_line(kBarrierOfSome)));
    REQUIRE_THAT(message, contains("thread (40,0,0) has returned"));
    REQUIRE_THAT(message, contains("launched at"));
    REQUIRE_THAT(message, contains(at_line(line)));
    REQUIRE_THAT(message, contains("with grid (2,1,1) and block (64,1,1)"));
}

TEST_CASE("two different barriers", "[cuda]") {
    const InOrder in_order(GENERATE(Order::kForward, Order::kReverse));
    const DeviceArray<float> out(64, 0);
    const std::string message =
        message_of([&] { launch(barrier_in_branches_kernel, 1, 64, 0, nullptr, out.get()); });
    REQUIRE_THAT(message, contains("divergent barrier in block (0,0,0)"));
    REQUIRE_THAT(message, contains("thread (0,0,0) waits in __syncthreads"));
    REQUIRE_THAT(message, contains(at_line(kFirstBranch)));
    REQUIRE_THAT(message, contains("thread (32,0,0) waits in __syncthreads"));
    REQUIRE_THAT(message, contains(at_line(kSecondBranch)));
}

TEST_CASE("a lane that its mask names stays away", "[cuda]") {
    const InOrder in_order(GENERATE(Order::kForward, Order::kReverse));
    const DeviceArray<float> out(64, 0);
    const std::string message =
        message_of([&] { launch(shuffle_of_some_kernel, 1, 64, 0, nullptr, out.get()); });
    REQUIRE_THAT(message, contains("[shuffle_of_some_kernel] warp 0 in block (0,0,0) waits for ever"));
    REQUIRE_THAT(message, contains("the mask of __shfl_down_sync names lane 20, which never comes to it"));
    REQUIRE_THAT(message, contains(at_line(kShuffleOfSome) + ", with the mask 0xffffffff"));
    REQUIRE_THAT(message, contains("thread (20,0,0) has returned"));
}

TEST_CASE("lanes in a shuffle, the others at a barrier", "[cuda]") {
    const InOrder in_order(GENERATE(Order::kForward, Order::kReverse));
    const DeviceArray<float> out(32, 0);
    const std::string message =
        message_of([&] { launch(shuffle_against_barrier_kernel, 1, 32, 0, nullptr, out.get()); });
    REQUIRE_THAT(message, contains("the mask of __shfl_xor_sync names lane 16"));
    REQUIRE_THAT(message, contains(at_line(kShuffle)));
    REQUIRE_THAT(message, contains("thread (16,0,0) waits in __syncthreads"));
    REQUIRE_THAT(message, contains(at_line(kBarrier)));
}

TEST_CASE("a lane that its own mask does not name", "[cuda]") {
    const DeviceArray<unsigned> out(32, 0);
    const std::string message =
        message_of([&] { launch(not_in_its_mask_kernel, 1, 32, 0, nullptr, out.get()); });
    REQUIRE_THAT(message,
                 contains("thread (16,0,0) in block (0,0,0), lane 16 of its warp, calls __ballot_sync at"));
    REQUIRE_THAT(message, contains("with the mask 0x0000ffff, which does not name it"));
}

TEST_CASE("one warp operation, two masks", "[cuda]") {
    const InOrder in_order(GENERATE(Order::kForward, Order::kReverse));
    const DeviceArray<unsigned> out(8, 0);
    const std::string message =
        message_of([&] { launch(unequal_masks_kernel, 1, 8, 0, nullptr, out.get()); });
    REQUIRE_THAT(message, contains("0x0000000f"));
    REQUIRE_THAT(message, contains("0x000000ff"));
}

TEST_CASE("two warp operations, one mask", "[cuda]") {
    const InOrder in_order(GENERATE(Order::kForward, Order::kReverse));
    const DeviceArray<int> out(32, 0);
    const std::string message =
        message_of([&] { launch(unequal_operations_kernel, 1, 32, 0, nullptr, out.get()); });
    REQUIRE_THAT(message, contains("divergent warp 0 in block (0,0,0)"));
    REQUIRE_THAT(message, contains("waits in __any_sync"));
    REQUIRE_THAT(message, contains("waits in __all_sync"));
}

TEST_CASE("two warp operations on one line", "[cuda]") {
    const DeviceArray<int> out(32, 0);
    const std::string message =
        message_of([&] { launch(operations_on_one_line_kernel, 1, 32, 0, nullptr, out.get()); });
    REQUIRE_THAT(message, contains("waits in __any_sync"));
    REQUIRE_THAT(message, contains("waits in __all_sync"));
}

TEST_CASE("a kernel that is given host memory", "[cuda]") {
    const std::vector<float> host(64);
    const DeviceArray<float> out(64, 0);
    const std::string message =
        message_of([&] { launch(two_pointers_kernel, 1, 64, 0, nullptr, out.get(), host.data(), 64); });
    REQUIRE_THAT(message, contains("[two_pointers_kernel] argument 2 points to host memory"));
    // Null is no mistake by itself: optional arrays are passed so.
    launch(two_pointers_kernel, 1, 64, 0, nullptr, out.get(), nullptr, 0);
}

TEST_CASE("memory that was given back is host memory again", "[cuda]") {
    float* memory = nullptr;
    CUDA_CHECK(cudaMalloc(&memory, 64 * sizeof(float)));
    CUDA_CHECK(cudaFree(memory));
    REQUIRE_THAT(message_of([&] { launch(fill_kernel, 1, 64, 0, nullptr, memory, 1.0f); }),
                 contains("argument 1 points to host memory"));
}

TEST_CASE("a CHECK in a kernel names the kernel and the thread", "[cuda]") {
    const DeviceArray<int> ids({3, 5, 70, 1});
    const std::string message = message_of([&] { launch(refuse_kernel, 1, 4, 0, nullptr, ids.get(), 65); });
    REQUIRE_THAT(message, contains("[embedding] id 70 of 65"));
    REQUIRE_THAT(message, contains("in thread (2,0,0) of block (0,0,0) of refuse_kernel, launched at"));
}

TEST_CASE("__trap ends the launch", "[cuda]") {
    const DeviceArray<int> ids({3, 5, 7, 1});
    const std::string message = message_of([&] { launch(trap_kernel, 1, 4, 0, nullptr, ids.get()); });
    REQUIRE_THAT(message, contains("[trap_kernel] thread (2,0,0) in block (0,0,0): __trap()"));
}

TEST_CASE("a grid that no GPU accepts", "[cuda]") {
    const DeviceArray<float> out(64, 0);
    const auto shape = [&](unsigned blocks, unsigned threads, size_t shared_bytes) {
        return message_of(
            [&] { launch(fill_kernel, blocks, threads, shared_bytes, nullptr, out.get(), 1.0f); });
    };
    REQUIRE_THAT(shape(0, 32, 0), contains("an empty grid: fill_kernel, launched at"));
    REQUIRE_THAT(shape(1, 1025, 0), contains("a block has at most 1024 threads"));
    const auto shape3 = [&](dim3 blocks, dim3 threads) {
        return message_of([&] { launch(fill_kernel, blocks, threads, 0, nullptr, out.get(), 1.0f); });
    };
    REQUIRE_THAT(shape3({1, 65536}, 1), contains("at most 2147483647 x 65535 x 65535 blocks"));
    REQUIRE_THAT(shape3({1, 1, 65536}, 1), contains("at most 2147483647 x 65535 x 65535 blocks"));
    REQUIRE_THAT(shape3(1, {1, 1, 65}), contains("at most 64 threads along z"));
    REQUIRE_THAT(shape(1, 32, 300000), contains("300000 bytes of shared memory, a block has at most 166912"));
}

TEST_CASE("more than 48 KB of dynamic shared memory have to be asked for", "[cuda]") {
    const DeviceArray<float> out(64, 0);
    const auto run = [&](size_t shared_bytes) {
        launch(fill_kernel, 1, 64, shared_bytes, nullptr, out.get(), 1.0f);
    };
    run(48 << 10);
    REQUIRE_THAT(message_of([&] { run((48 << 10) + 1); }),
                 contains("49153 bytes of shared memory, this kernel may have 49152: cudaFuncSetAttribute"));
    const auto ask = [](int bytes) {
        return cudaFuncSetAttribute(fill_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    };
    REQUIRE(ask(163 * 1024 + 1) == cudaErrorInvalidValue);
    REQUIRE(cudaGetLastError() == cudaErrorInvalidValue);
    REQUIRE(ask(100 << 10) == cudaSuccess);
    run(100 << 10);
    REQUIRE_THAT(message_of([&] { run((100 << 10) + 4); }), contains("this kernel may have 102400"));
    const auto run_other = [&] {  // asked for by one kernel, for that one alone
        launch(two_pointers_kernel, 1, 64, 100 << 10, nullptr, out.get(), nullptr, 0);
    };
    REQUIRE_THAT(message_of(run_other), contains("this kernel may have 49152"));
    REQUIRE(ask(0) == cudaSuccess);  // back to what every kernel has
    REQUIRE_THAT(message_of([&] { run((48 << 10) + 1); }), contains("this kernel may have 49152"));
}

TEST_CASE("a struct that names its pointers, one of them to host memory", "[cuda]") {
    const std::vector<float> host(64);
    const DeviceArray<float> out(64, 0);
    REQUIRE_THAT(message_of([&] {
                     launch(struct_kernel, 1, 64, 0, nullptr, out.get(), WithPointers{nullptr, host.data()});
                 }),
                 contains("[struct_kernel] argument 2.bias points to host memory"));
    launch(struct_kernel, 1, 64, 0, nullptr, out.get(), WithPointers{out.get(), nullptr});
    // What a struct does not name is not guessed at: numbers that look like the address of an array are numbers.
    const LooksLikePointers numbers = {reinterpret_cast<uint64_t>(host.data())};
    launch(numbers_kernel, 1, 64, 0, nullptr, out.get(), numbers);
    REQUIRE(out.host()[3] == 1);
}
