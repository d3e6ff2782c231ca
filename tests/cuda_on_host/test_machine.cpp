// test_machine.cpp - clean kernels: indices, barriers, shared memory, warp operations with full and partial
// masks, blocks of ragged sizes, in forward and in reverse thread order.
// Not here: kernels with bugs (test_checkers.cpp, test_planted_bugs.cpp).
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/device.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "tests/cuda_on_host/device_array.h"
#include "tests/support/catch.h"

using cuda_on_host::Order;

namespace {

// ---- kernels ----------------------------------------------------------------------------------------------

__global__ void add_kernel(float* out, const float* a, const float* b, int n) {
    const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < n) out[i] = a[i] + b[i];
}

__global__ void count_indices(int* visits) {
    const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    visits[block * blockDim.x * blockDim.y * blockDim.z + thread] += int(thread) + 1;
}

// LayerNorm's shape: a sum over a row by shuffles and shared memory, twice.
__device__ float block_sum(float x) {
    __shared__ float of_warp[32];
    for (int step = 16; step > 0; step /= 2) x += __shfl_down_sync(0xffffffffu, x, unsigned(step));
    if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = x;
    __syncthreads();
    float sum = 0;
    for (unsigned w = 0; w < blockDim.x / 32; w++) sum += of_warp[w];
    __syncthreads();
    return sum;
}

__global__ void normalise_kernel(float* out, const float* inp, int C) {
    const float* x = inp + blockIdx.x * unsigned(C);
    float sum = 0;
    for (int c = int(threadIdx.x); c < C; c += int(blockDim.x)) sum += x[c];
    const float mean = block_sum(sum) / float(C);
    float squares = 0;
    for (int c = int(threadIdx.x); c < C; c += int(blockDim.x)) squares += (x[c] - mean) * (x[c] - mean);
    const float rstd = rsqrtf(block_sum(squares) / float(C));
    for (int c = int(threadIdx.x); c < C; c += int(blockDim.x))
        out[blockIdx.x * unsigned(C) + unsigned(c)] = (x[c] - mean) * rstd;
}

// Every thread's value goes once round the block, a barrier after each step.
__global__ void rotate_kernel(int* out) {
    int* ring = dynamic_shared<int>();
    const unsigned n = blockDim.x;
    int mine = int(threadIdx.x);
    for (unsigned step = 0; step < 5; step++) {
        ring[threadIdx.x] = mine;
        __syncthreads();
        mine = ring[(threadIdx.x + 1) % n];
        __syncthreads();
    }
    out[blockIdx.x * n + threadIdx.x] = mine;
}

__global__ void shuffles_kernel(int* out, int width) {
    const int lane = int(threadIdx.x);
    int* mine = out + lane * 4;
    mine[0] = __shfl_sync(0xffffffffu, 100 + lane, 3, width);
    mine[1] = __shfl_xor_sync(0xffffffffu, 100 + lane, 5, width);
    mine[2] = __shfl_down_sync(0xffffffffu, 100 + lane, 2, width);
    mine[3] = __shfl_up_sync(0xffffffffu, 100 + lane, 2, width);
}

__global__ void votes_kernel(unsigned* out) {
    const unsigned lane = threadIdx.x;
    unsigned* mine = out + lane * 6;
    mine[0] = __ballot_sync(0xffffffffu, lane % 3 == 0);
    mine[1] = unsigned(__any_sync(0xffffffffu, lane == 31));
    mine[2] = unsigned(__all_sync(0xffffffffu, lane < 31));
    mine[3] = __reduce_add_sync(0xffffffffu, lane);
    mine[4] = __reduce_max_sync(0xffffffffu, lane * 7 % 32);
    mine[5] = unsigned(__reduce_min_sync(0xffffffffu, int(lane) - 10));
}

// Groups of eight lanes go through loops of unequal length, each with a mask of its own.
__global__ void groups_kernel(int* out) {
    const unsigned group = threadIdx.x % 32 / 8, mask = 0xffu << group * 8;
    int sum = 0;
    for (unsigned round = 0; round <= group; round++)
        sum += __reduce_add_sync(mask, int(threadIdx.x + round));
    __syncwarp();
    out[threadIdx.x] = sum;
}

__global__ void transpose_kernel(double* out, const double* inp, int n) {
    __shared__ double tile[16][17];
    const int x = int(blockIdx.x * 16 + threadIdx.x), y = int(blockIdx.y * 16 + threadIdx.y);
    if (x < n && y < n) tile[threadIdx.y][threadIdx.x] = inp[y * n + x];
    __syncthreads();
    const int to_x = int(blockIdx.y * 16 + threadIdx.x), to_y = int(blockIdx.x * 16 + threadIdx.y);
    if (to_x < n && to_y < n) out[to_y * n + to_x] = tile[threadIdx.x][threadIdx.y];
}

__global__ void first_garbage_kernel(float* out) {
    const float* uninitialised = dynamic_shared<float>();
    out[blockIdx.x * blockDim.x + threadIdx.x] = uninitialised[threadIdx.x];
}

__global__ void outside_the_block_kernel(int* out) {  // lanes 20 to 31 do not exist
    out[threadIdx.x] = __shfl_down_sync(0xffffffffu, int(threadIdx.x), 4u);
}

std::vector<float> random_floats(size_t n) {
    RandomStream random{7, 1};
    std::vector<float> values(n);
    for (float& x : values) x = random.next_uniform() - 0.5f;
    return values;
}

}  // namespace

// ---- tests ------------------------------------------------------------------------------------------------

TEST_CASE("a grid reaches every element once, in both orders", "[cuda]") {
    const InOrder in_order(GENERATE(Order::kForward, Order::kReverse));
    const int n = GENERATE(1, 31, 200);
    const std::vector<float> a = random_floats(size_t(n)), b = random_floats(size_t(n));
    const DeviceArray<float> da(a), db(b), out(a.size(), 0);
    launch(add_kernel, unsigned((n + 63) / 64), 64, 0, nullptr, out.get(), da.get(), db.get(), n);
    for (size_t i = 0; i < size_t(n); i++) REQUIRE(out.host()[i] == a[i] + b[i]);
}

TEST_CASE("threadIdx and blockIdx go through all three dimensions", "[cuda]") {
    const InOrder in_order(GENERATE(Order::kForward, Order::kReverse));
    const DeviceArray<int> visits(2 * 3 * 2 * 3 * 2 * 4, 0);
    launch(count_indices, dim3(2, 3, 2), dim3(3, 2, 4), 0, nullptr, visits.get());
    for (size_t i = 0; i < visits.host().size(); i++) REQUIRE(visits.host()[i] == int(i % 24) + 1);
}

TEST_CASE("a reduction over shuffles and shared memory agrees with a loop", "[cuda]") {
    const unsigned threads = GENERATE(32u, 96u, 256u);
    const int C = GENERATE(1, 33, 128);
    const size_t rows = 3;
    const std::vector<float> inp = random_floats(rows * size_t(C));
    const DeviceArray<float> dinp(inp), out(inp.size(), 0);
    std::vector<float> first;
    for (const Order order : {Order::kForward, Order::kReverse}) {
        const InOrder in_order(order);
        launch(normalise_kernel, unsigned(rows), threads, 0, nullptr, out.get(), dinp.get(), C);
        if (first.empty()) first = out.host();
        CAPTURE(C, threads);
        if (C > 1)
            REQUIRE(first == out.host());  // bit for bit: the sum's order is the kernel's, not the machine's
    }
    for (size_t row = 0; row < rows && C > 1; row++) {
        double mean = 0, variance = 0;
        for (int c = 0; c < C; c++) mean += double(inp[row * size_t(C) + size_t(c)]) / C;
        for (int c = 0; c < C; c++)
            variance += std::pow(double(inp[row * size_t(C) + size_t(c)]) - mean, 2) / C;
        for (int c = 0; c < C; c++) {
            const size_t i = row * size_t(C) + size_t(c);
            REQUIRE(double(first[i]) == Approx((double(inp[i]) - mean) / std::sqrt(variance)).margin(1e-5));
        }
    }
}

TEST_CASE("barriers separate what comes before from what comes after", "[cuda]") {
    const InOrder in_order(GENERATE(Order::kForward, Order::kReverse));
    const unsigned n = GENERATE(1u, 2u, 33u, 100u);
    const DeviceArray<int> out(2 * n, 0);
    launch(rotate_kernel, 2, n, n * sizeof(int), nullptr, out.get());
    for (unsigned i = 0; i < 2 * n; i++) REQUIRE(out.host()[i] == int((i % n + 5) % n));
}

TEST_CASE("a block has up to 1024 threads", "[cuda]") {
    const unsigned n = 1024;
    const DeviceArray<int> out(n, 0);
    launch(rotate_kernel, 1, n, n * sizeof(int), nullptr, out.get());
    for (unsigned i = 0; i < n; i++) REQUIRE(out.host()[i] == int((i + 5) % n));
}

TEST_CASE("shuffles take from the lane that CUDA's table says, in groups of every width", "[cuda]") {
    const int width = GENERATE(2, 4, 8, 16, 32);
    const DeviceArray<int> out(32 * 4, 0);
    launch(shuffles_kernel, 1, 32, 0, nullptr, out.get(), width);
    const std::vector<int> got = out.host();
    for (int lane = 0; lane < 32; lane++) {
        const int group = lane / width * width, rank = lane % width;
        CAPTURE(width, lane);
        const auto* mine = &got[size_t(lane) * 4];
        REQUIRE(mine[0] == 100 + group + 3 % width);
        const int across = lane ^ 5;  // into a later group: its own value; into an earlier one is allowed
        REQUIRE(mine[1] == 100 + (across / width > lane / width ? lane : across));
        REQUIRE(mine[2] == 100 + (rank + 2 < width ? lane + 2 : lane));
        REQUIRE(mine[3] == 100 + (rank - 2 >= 0 ? lane - 2 : lane));
    }
}

TEST_CASE("votes and reductions give every lane the same answer", "[cuda]") {
    const DeviceArray<unsigned> out(32 * 6, 0);
    launch(votes_kernel, 1, 32, 0, nullptr, out.get());
    for (unsigned lane = 0; lane < 32; lane++) {
        const std::vector<unsigned> got = out.host();
        const unsigned* mine = &got[lane * 6];
        REQUIRE(mine[0] == 0x49249249u);
        REQUIRE(mine[1] == 1);
        REQUIRE(mine[2] == 0);
        REQUIRE(mine[3] == 496);
        REQUIRE(mine[4] == 31);
        REQUIRE(int(mine[5]) == -10);
    }
}

TEST_CASE("groups of lanes work with masks of their own", "[cuda]") {
    const InOrder in_order(GENERATE(Order::kForward, Order::kReverse));
    const DeviceArray<int> out(64, 0);
    launch(groups_kernel, 1, 64, 0, nullptr, out.get());
    for (int t = 0; t < 64; t++) {
        const int group = t % 32 / 8, begin = t / 8 * 8;
        int expected = 0;
        for (int round = 0; round <= group; round++)
            for (int i = begin; i < begin + 8; i++) expected += i + round;
        REQUIRE(out.host()[size_t(t)] == expected);
    }
}

TEST_CASE("static shared memory in two dimensions", "[cuda]") {
    const InOrder in_order(GENERATE(Order::kForward, Order::kReverse));
    const int n = GENERATE(1, 16, 37);
    std::vector<double> inp(size_t(n) * size_t(n));
    std::iota(inp.begin(), inp.end(), 0.0);
    const DeviceArray<double> dinp(inp), out(inp.size(), 0);
    const unsigned tiles = unsigned(n + 15) / 16;
    launch(transpose_kernel, dim3(tiles, tiles), dim3(16, 16), 0, nullptr, out.get(), dinp.get(), n);
    for (int y = 0; y < n; y++)
        for (int x = 0; x < n; x++) REQUIRE(out.host()[size_t(x * n + y)] == inp[size_t(y * n + x)]);
}

TEST_CASE("dynamic shared memory begins as NaN in every block", "[cuda]") {
    const DeviceArray<float> out(64, 0);
    for (int i = 0; i < 2; i++) {
        launch(first_garbage_kernel, 2, 32, 32 * sizeof(float), nullptr, out.get());
        for (const float x : out.host()) REQUIRE(std::isnan(x));
    }
}

TEST_CASE("a lane that does not exist has all bits set to give", "[cuda]") {
    const DeviceArray<int> out(20, 0);
    launch(outside_the_block_kernel, 1, 20, 0, nullptr, out.get());
    for (int t = 0; t < 20; t++) REQUIRE(out.host()[size_t(t)] == (t < 16 ? t + 4 : -1));
}

TEST_CASE("the number of OS threads changes nothing", "[cuda]") {
    const int before = parallel::num_threads();
    const std::vector<float> inp = random_floats(40 * 64);
    const DeviceArray<float> dinp(inp), out(inp.size(), 0);
    std::vector<std::vector<float>> results;
    for (const int threads : {1, 2, 4}) {
        parallel::set_num_threads(threads);
        launch(normalise_kernel, 40, 32, 0, nullptr, out.get(), dinp.get(), 64);
        results.push_back(out.host());
    }
    parallel::set_num_threads(before);
    REQUIRE(results[0] == results[1]);
    REQUIRE(results[0] == results[2]);
}
