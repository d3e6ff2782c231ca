// test_planted_bugs.cpp - kernels with one bug each that needs a tool: ThreadSanitizer (BUILD=tsan) names
// both lines of a race and the CUDA threads, AddressSanitizer and UBSan (BUILD=asan) stop at a bad access,
// reversing the order of the threads changes a result, NaN shows what was never written. And clean kernels,
// which nobody may accuse. A sanitizer ends the program, so each kernel is a hidden test case that its test
// runs as a child process.
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "core/device.h"
#include "core/parallel.h"
#include "kernels/cuda/mma.cuh"
#include "tests/cuda_on_host/device_array.h"
#include "tests/support/catch.h"

using cuda_on_host::Order;

namespace {

// ---- races ------------------------------------------------------------------------------------------------

[[maybe_unused]] constexpr int kMissingBarrierWrites = __LINE__ + 3, kMissingBarrierReads = __LINE__ + 4;
__global__ void missing_barrier_kernel(float* out) {  // neighbours are read before all have written
    __shared__ float tile[64];
    tile[threadIdx.x] = float(threadIdx.x);
    out[threadIdx.x] = tile[(threadIdx.x + 1) % 64];
}

[[maybe_unused]] constexpr int kTileIsOverwritten = __LINE__ + 5, kTileIsRead = __LINE__ + 7;
__global__ void missing_second_barrier_kernel(float* out) {  // a tile is overwritten while others read it
    __shared__ float tile[64];
    float sum = 0;
    for (int k = 0; k < 4; k++) {
        tile[threadIdx.x] = float(threadIdx.x) + 100.0f * float(k);
        __syncthreads();
        sum += tile[63 - threadIdx.x];
    }
    out[threadIdx.x] = sum;
}

__global__ void missing_syncwarp_kernel(float* out) {  // lanes of a warp do not run in step
    __shared__ float tile[32];
    tile[threadIdx.x] = float(threadIdx.x);
    if (threadIdx.x < 16) tile[threadIdx.x] += tile[threadIdx.x + 16];
    if (threadIdx.x < 8) tile[threadIdx.x] += tile[threadIdx.x + 8];
    out[threadIdx.x] = tile[threadIdx.x];
}

[[maybe_unused]] constexpr int kCopyIsRead = __LINE__ + 7;
__global__ void barrier_before_wait_kernel(float* out) {  // the other thread has not waited for its copy
    __shared__ float tile[32];
    cp_async<4>(&tile[threadIdx.x], out + threadIdx.x);
    cp_async_commit();
    __syncthreads();
    cp_async_wait<0>();
    out[32 + threadIdx.x] = tile[31 - threadIdx.x];
}

__global__ void two_blocks_one_place_kernel(float* out) {
    out[threadIdx.x] = float(blockIdx.x);
}

__global__ void missing_atomic_kernel(float* out) {
    out[0] += 1.0f;
}

// ---- bad accesses -----------------------------------------------------------------------------------------

[[maybe_unused]] constexpr int kStaticSharedRead = __LINE__ + 6;
__global__ void past_static_shared_kernel(float* out, int shift) {
    __shared__ float tile[64];
    tile[threadIdx.x] = 1;
    __syncthreads();
    const float* volatile neighbour = tile + shift;  // volatile: the compiler forgets where it points to
    out[threadIdx.x] = neighbour[threadIdx.x];
}

[[maybe_unused]] constexpr int kStaticIndex = __LINE__ + 4;
__global__ void static_index_kernel(float* out, int shift) {
    __shared__ float tile[64];
    tile[threadIdx.x] = 1;
    out[threadIdx.x] = tile[int(threadIdx.x) + shift];
}

[[maybe_unused]] constexpr int kDynamicSharedRead = __LINE__ + 5;
__global__ void past_dynamic_shared_kernel(float* out, int shift) {
    float* tile = dynamic_shared<float>();
    tile[threadIdx.x] = 1;
    __syncthreads();
    out[threadIdx.x] = tile[int(threadIdx.x) + shift];
}

[[maybe_unused]] constexpr int kGlobalWrite = __LINE__ + 2;
__global__ void past_global_kernel(float* out, int shift) {
    out[int(threadIdx.x) + shift] = 1;
}

// A copy of the whole where UBSan looks at those: clang's looks at references and members only.
#if defined(__clang__)
using Loaded = const float4&;
#else
using Loaded = const float4;
#endif
[[maybe_unused]] constexpr int kMisalignedRead = __LINE__ + 2;
__global__ void misaligned_kernel(float* out) {
    Loaded v = *reinterpret_cast<const float4*>(out + 1);
    out[0] = v.x + v.w;
}

// ---- what was never written -------------------------------------------------------------------------------

[[maybe_unused]] __global__ void uninitialised_shared_kernel(float* out) {
    __shared__ float tile[64];
    if (threadIdx.x != 5) tile[threadIdx.x] = 1;
    __syncthreads();
    out[threadIdx.x] = tile[threadIdx.x];
}

__global__ void uninitialised_dynamic_kernel(float* out) {
    float* tile = dynamic_shared<float>();
    if (threadIdx.x != 5) tile[threadIdx.x] = 1;
    __syncthreads();
    out[threadIdx.x] = tile[threadIdx.x];
}

// ---- stacks that are too small ----------------------------------------------------------------------------

[[maybe_unused]] __global__ void large_array_kernel(float* out) {  // 200 KB of local variables
    volatile float own[50000];
    own[0] = float(threadIdx.x);
    __syncthreads();
    out[threadIdx.x] = own[0];
}

[[maybe_unused]] __global__ void recursive_kernel(float* out, int depth) {
    volatile float own[64];
    own[depth % 64] = float(depth);
    if (depth > 0) recursive_kernel(out, depth - 1);
    out[threadIdx.x] = own[depth % 64];
}

// As many CUDA threads as a block can have, all of which wait: each needs a stack of its own.
__global__ void all_wait_kernel(float* out) {
    volatile float own[4096];  // fits
    own[threadIdx.x] = float(threadIdx.x);
    __syncthreads();
    if (threadIdx.x < 64) out[threadIdx.x] = own[threadIdx.x];
}

// ---- clean kernels ----------------------------------------------------------------------------------------

__global__ void clean_tiles_kernel(float* out) {
    __shared__ float tile[64];
    float sum = 0;
    for (int k = 0; k < 4; k++) {
        tile[threadIdx.x] = float(threadIdx.x) + 100.0f * float(k);
        __syncthreads();
        sum += tile[63 - threadIdx.x];
        __syncthreads();
    }
    atomicAdd(&out[threadIdx.x], sum);
}

__global__ void clean_warps_kernel(float* out) {
    __shared__ float tile[64];
    tile[threadIdx.x] = float(threadIdx.x);
    for (unsigned step = 16; step > 0; step /= 2) {
        __syncwarp();
        const float other = threadIdx.x % 32 < step ? tile[threadIdx.x + step] : 0.0f;
        __syncwarp();
        tile[threadIdx.x] += other;
    }
    const float sum = __shfl_sync(0xffffffffu, tile[threadIdx.x], 0);
    atomicAdd(&out[threadIdx.x], sum);
}

__global__ void clean_fill_kernel(float* out) {
    out[blockIdx.x * blockDim.x + threadIdx.x] = float(blockIdx.x);
}

// ---- running them -----------------------------------------------------------------------------------------

template <class Kernel, class... A>
std::vector<float> result_of(Kernel kernel, unsigned blocks, unsigned threads, size_t shared_bytes,
                             A... args) {
    const DeviceArray<float> out(64, 0);
    launch(kernel, blocks, threads, shared_bytes, nullptr, out.get(), args...);
    return out.host();
}

template <class Kernel>
bool depends_on_order(Kernel kernel, unsigned blocks, unsigned threads) {
    std::vector<float> results[2];
    for (const Order order : {Order::kForward, Order::kReverse}) {
        const InOrder in_order(order);
        results[order == Order::kReverse] = result_of(kernel, blocks, threads, 0);
    }
    return results[0] != results[1];
}

// What this program prints when it runs one hidden test case; `passed` by its exit status.
struct Child {
    bool passed;
    std::string output;
};

Child run_hidden(const std::string& test) {
    char self[4096];
    const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    REQUIRE(length > 0);
    const std::string command = "timeout 300 '" + std::string(self, size_t(length)) + "' '" + test + "' 2>&1";
    FILE* pipe = popen(command.c_str(), "r");
    REQUIRE(pipe);
    Child child{false, ""};
    char buffer[4096];
    for (size_t n; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) child.output.append(buffer, n);
    child.passed = pclose(pipe) == 0;
    return child;
}

[[maybe_unused]] void require_found(const std::string& test, const std::vector<std::string>& words) {
    const Child child = run_hidden(test);
    CAPTURE(test);
    for (const std::string& word : words) REQUIRE_THAT(child.output, contains(word));
    REQUIRE(child.output.size() < 100000);  // a message, not a flood in which it lies
    REQUIRE(!child.passed);
}

[[maybe_unused]] std::string at_line(int line) {
    return "test_planted_bugs.cpp:" + std::to_string(line);
}

}  // namespace

// ---- the hidden cases -------------------------------------------------------------------------------------

TEST_CASE("planted missing barrier", "[.planted]") {
    result_of(missing_barrier_kernel, 1, 64, 0);
}
TEST_CASE("planted missing second barrier", "[.planted]") {
    result_of(missing_second_barrier_kernel, 1, 64, 0);
}
TEST_CASE("planted missing syncwarp", "[.planted]") {
    result_of(missing_syncwarp_kernel, 1, 32, 0);
}
TEST_CASE("planted barrier before wait", "[.planted]") {
    result_of(barrier_before_wait_kernel, 1, 32, 0);
}
TEST_CASE("planted two blocks one place", "[.planted]") {
    result_of(two_blocks_one_place_kernel, 2, 32, 0);
}
TEST_CASE("planted missing atomic", "[.planted]") {
    result_of(missing_atomic_kernel, 2, 32, 0);
}
TEST_CASE("planted past static shared", "[.planted]") {
    result_of(past_static_shared_kernel, 1, 64, 0, 4);
}
TEST_CASE("planted static index", "[.planted]") {
    result_of(static_index_kernel, 1, 64, 0, 4);
}
TEST_CASE("planted past dynamic shared", "[.planted]") {
    result_of(past_dynamic_shared_kernel, 1, 64, 64 * sizeof(float), 1);
}
TEST_CASE("planted past global", "[.planted]") {
    result_of(past_global_kernel, 1, 64, 0, 1);
}
TEST_CASE("planted misaligned", "[.planted]") {
    result_of(misaligned_kernel, 1, 1, 0);
}
TEST_CASE("planted host reads device", "[.planted]") {
    const DeviceArray<float> out(64, 0);
    const volatile float* p = out.get();
    std::printf("%g\n", double(p[3]));
}
TEST_CASE("planted large array", "[.planted]") {
    result_of(large_array_kernel, 1, 64, 0);
}
TEST_CASE("planted recursion", "[.planted]") {
    result_of(recursive_kernel, 1, 64, 0, 1 << 20);
}
TEST_CASE("planted nothing with many stacks", "[.planted]") {
    REQUIRE(result_of(all_wait_kernel, 4, 1024, 0)[40] == 40);
    std::ifstream maps("/proc/self/maps");
    long lines = 0;
    for (std::string line; std::getline(maps, line);) lines++;
    std::printf("%ld mappings\n", lines);
}
TEST_CASE("planted nothing", "[.planted]") {
    REQUIRE(result_of(clean_tiles_kernel, 3, 64, 0)[0] == 3 * (4 * 63 + 600));
    REQUIRE(result_of(clean_warps_kernel, 3, 64, 0)[0] == 3 * 496);
    REQUIRE(result_of(clean_fill_kernel, 2, 32, 0)[40] == 1);
}

// ---- tests ------------------------------------------------------------------------------------------------

TEST_CASE("clean kernels are not accused", "[cuda]") {
    const Child child = run_hidden("planted nothing");
    INFO(child.output);
    REQUIRE(child.passed);
}

TEST_CASE("a stack overflow names the kernel and the thread", "[cuda]") {
#if !defined(CUDA_ON_HOST_TSAN)  // whose guards are smaller than this array: it clears them for every block
    require_found("planted large array",
                  {"stack overflow in thread (0,0,0) in block (0,0,0): its local variables need more than",
                   "in large_array_kernel, launched at"});
#endif
    require_found("planted recursion",
                  {"stack overflow in thread (0,0,0) in block (0,0,0)", "recursive_kernel"});
}

TEST_CASE("stacks without guards take few mappings", "[cuda]") {
    const auto mappings = [](const char* guards) {
        setenv("CUDA_ON_HOST_GUARDS", guards, 1);
        const Child child = run_hidden("planted nothing with many stacks");
        unsetenv("CUDA_ON_HOST_GUARDS");
        INFO(child.output);
        REQUIRE(child.passed);
        const size_t end = child.output.find(" mappings");
        REQUIRE(end != std::string::npos);
        return std::stol(child.output.substr(child.output.rfind('\n', end) + 1));
    };
#if defined(CUDA_ON_HOST_TSAN)
    REQUIRE(mappings("0") >
            0);  // the stacks are gone when a block has ended: that it runs is all there is to see
#else
    const long guarded = mappings("1000000"), some = mappings("100"), none = mappings("0");
    REQUIRE(guarded >= none + 1024);
    REQUIRE(some <= none + 500);  // 100 guards, each between two stacks
#endif
}

TEST_CASE("ThreadSanitizer names both lines of a race, and the CUDA threads", "[cuda]") {
#if defined(CUDA_ON_HOST_TSAN)
    require_found("planted missing barrier", {"data race", at_line(kMissingBarrierWrites),
                                              at_line(kMissingBarrierReads), "block (0,0,0) thread ("});
    require_found("planted missing second barrier",
                  {"data race", at_line(kTileIsOverwritten), at_line(kTileIsRead)});
    require_found("planted missing syncwarp", {"data race", "missing_syncwarp_kernel"});
    require_found("planted barrier before wait", {"data race", at_line(kCopyIsRead)});
    require_found("planted two blocks one place",
                  {"data race", "two_blocks_one_place_kernel", "block (0,0,0)", "block (1,0,0)"});
    require_found("planted missing atomic", {"data race", "missing_atomic_kernel"});
#else
    std::puts("skipped: races, which BUILD=tsan finds");
#endif
}

TEST_CASE("AddressSanitizer and UBSan stop at a bad access", "[cuda]") {
#if defined(CUDA_ON_HOST_ASAN)
    require_found("planted past static shared",
                  {"global-buffer-overflow", at_line(kStaticSharedRead), "tile"});
    require_found("planted static index", {"index 64 out of bounds for type", at_line(kStaticIndex)});
    require_found("planted past dynamic shared", {"heap-buffer-overflow", at_line(kDynamicSharedRead)});
    require_found("planted past global", {"heap-buffer-overflow", at_line(kGlobalWrite)});
    require_found("planted misaligned", {"misaligned address", "float4", at_line(kMisalignedRead)});
    require_found("planted host reads device", {"use-after-poison", "test_planted_bugs.cpp"});
#else
    std::puts("skipped: bad accesses, which BUILD=asan finds");
#endif
}

// What ThreadSanitizer proves, this shows where it happens to matter: a float sum that loses an addition does
// not.
#if !defined(CUDA_ON_HOST_TSAN) && !defined(CUDA_ON_HOST_ASAN)
TEST_CASE("a race shows when the threads run in reverse", "[cuda]") {
    const int before = parallel::num_threads();
    parallel::set_num_threads(1);
    REQUIRE(depends_on_order(missing_barrier_kernel, 1, 64));
    REQUIRE(depends_on_order(missing_second_barrier_kernel, 1, 64));
    REQUIRE(depends_on_order(missing_syncwarp_kernel, 1, 32));
    REQUIRE(depends_on_order(barrier_before_wait_kernel, 1, 32));
    REQUIRE(depends_on_order(two_blocks_one_place_kernel, 2, 32));
    REQUIRE(!depends_on_order(clean_tiles_kernel, 3, 64));
    REQUIRE(!depends_on_order(clean_warps_kernel, 3, 64));
    REQUIRE(!depends_on_order(clean_fill_kernel, 2, 32));
    parallel::set_num_threads(before);
}
#endif

TEST_CASE("dynamic shared memory that nobody wrote shows as NaN", "[cuda]") {
    for (int i = 0; i < 2; i++) {
        const std::vector<float> out = result_of(uninitialised_dynamic_kernel, 1, 64, 64 * sizeof(float));
        for (size_t t = 0; t < 64; t++) REQUIRE(std::isnan(out[t]) == (t == 5));
    }
}

TEST_CASE("static shared memory that nobody wrote shows as NaN, when asked for", "[cuda]") {
#if defined(CUDA_ON_HOST_ONE_THREAD)
    std::puts("skipped: poisoned static shared memory, which BUILD=host has");
#else
    static thread_local std::vector<int> not_shared = {1, 2, 3};  // like scratch memory of the CPU's kernels
    cuda_on_host::options().poison_static_shared = true;
    std::vector<float> out = result_of(uninitialised_shared_kernel, 1, 64, 0);
    for (size_t t = 0; t < 64; t++) REQUIRE(std::isnan(out[t]) == (t == 5));
    out = result_of(clean_tiles_kernel, 3, 64, 0);
    for (size_t t = 0; t < 64; t++) REQUIRE(out[t] == 3 * (4 * float(63 - t) + 600));
    cuda_on_host::options().poison_static_shared = false;
    REQUIRE(not_shared == std::vector<int>{1, 2, 3});
#endif
}
