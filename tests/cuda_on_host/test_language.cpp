// test_language.cpp - what cuda_on_host.h puts in the place of CUDA's types and functions: sizes, alignments,
// bfloat16's rounding, bits, atomics.
#include <cmath>
#include <limits>
#include <vector>

#include "core/device.h"
#include "core/rng.h"
#include "tests/cuda_on_host/device_array.h"
#include "tests/support/catch.h"

TEST_CASE("vector types have CUDA's sizes and alignments", "[cuda]") {
    REQUIRE((sizeof(float2) == 8 && alignof(float2) == 8));
    REQUIRE((sizeof(float3) == 12 && alignof(float3) == 4));
    REQUIRE((sizeof(float4) == 16 && alignof(float4) == 16));
    REQUIRE((sizeof(int2) == 8 && alignof(int2) == 8));
    REQUIRE((sizeof(int4) == 16 && alignof(int4) == 16));
    REQUIRE((sizeof(uint4) == 16 && alignof(uint4) == 16));
    REQUIRE((sizeof(double2) == 16 && alignof(double2) == 16));
    REQUIRE((sizeof(__nv_bfloat16) == 2 && alignof(__nv_bfloat16) == 2));
    REQUIRE((sizeof(__nv_bfloat162) == 4 && alignof(__nv_bfloat162) == 4));
    REQUIRE(dim3(3).y == 1);
    REQUIRE(dim3(3).z == 1);
}

TEST_CASE("bfloat16 rounds to the nearest value, and to the even one between two", "[cuda]") {
    const auto bits = [](float x) { return int(__float2bfloat16(x).bits); };
    REQUIRE(bits(1.0f) == 0x3f80);
    REQUIRE(bits(-2.0f) == 0xc000);
    REQUIRE(bits(1.0f + 0x1p-8f) == 0x3f80);             // halfway between 1 and 1 + 2^-7: to the even one
    REQUIRE(bits(1.0f + 0x1p-7f + 0x1p-8f) == 0x3f82);   // halfway again: up, to the even one
    REQUIRE(bits(1.0f + 0x1p-8f + 0x1p-20f) == 0x3f81);  // a little more than halfway
    REQUIRE(bits(3.4e38f) == 0x7f80);                    // above the largest finite one: infinity
    REQUIRE(bits(INFINITY) == 0x7f80);
    REQUIRE(bits(-0.0f) == 0x8000);
    REQUIRE(std::isnan(float(__nv_bfloat16(NAN))));
    REQUIRE(__bfloat162float(__ushort_as_bfloat16(0x4049)) == 3.140625f);
    // Every finite value comes back as itself, and no float is nearer to another value than to its own.
    RandomStream random{1, 2};
    for (int i = 0; i < 20000; i++) {
        const float x = __uint_as_float(random.next_word());
        if (!std::isfinite(x) || std::fabs(x) > 3e38f) continue;
        const __nv_bfloat16 rounded = x;
        REQUIRE(int(__nv_bfloat16(float(rounded)).bits) == int(rounded.bits));
        const double error = std::fabs(double(float(rounded)) - double(x));
        for (const int step : {-1, 1}) {
            const auto neighbour = float(__ushort_as_bfloat16(uint16_t(rounded.bits + step)));
            if (std::isfinite(neighbour)) REQUIRE(error <= std::fabs(double(neighbour) - double(x)));
        }
    }
}

TEST_CASE("bits: counting, finding, reinterpreting", "[cuda]") {
    REQUIRE(__popc(0xf0f00001u) == 9);
    REQUIRE(__clz(0) == 32);
    REQUIRE(__clz(1) == 31);
    REQUIRE(__ffs(0) == 0);
    REQUIRE(__ffs(8) == 4);
    REQUIRE(__umulhi(0xD2511F53u, 0x12345678u) == uint32_t(uint64_t(0xD2511F53u) * 0x12345678u >> 32));
    REQUIRE(__float_as_uint(1.0f) == 0x3f800000u);
    REQUIRE(__int_as_float(__float_as_int(-1.5f)) == -1.5f);
}

namespace {

__global__ void atomics_kernel(int* count, float* sum, int* most, int* least, unsigned* bits, int* winner) {
    const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
    atomicAdd(count, 1);
    atomicAdd(sum, 0.5f);
    atomicMax(most, i);
    atomicMin(least, i);
    atomicOr(bits, 1u << i % 32);
    atomicCAS(winner, -1, i);
}

__global__ void read_as_vectors(float* sums, const __nv_bfloat16* values) {
    const uint4 raw = reinterpret_cast<const uint4*>(values)[threadIdx.x];  // eight values at once
    float sum = 0;
    for (const unsigned word : {raw.x, raw.y, raw.z, raw.w})
        sum += __uint_as_float(word << 16) + __uint_as_float(word & 0xffff0000u);
    sums[threadIdx.x] = sum;
}

}  // namespace

TEST_CASE("atomics lose nothing, whatever runs side by side", "[cuda]") {
    const DeviceArray<int> count(1, 0), most(1, -1), least(1, 1000000), winner(1, -1);
    const DeviceArray<float> sum(1, 0);
    const DeviceArray<unsigned> bits(1, 0);
    launch(atomics_kernel, 5, 64, 0, nullptr, count.get(), sum.get(), most.get(), least.get(), bits.get(),
           winner.get());
    REQUIRE(count.host()[0] == 320);
    REQUIRE(sum.host()[0] == 160.0f);
    REQUIRE(most.host()[0] == 319);
    REQUIRE(least.host()[0] == 0);
    REQUIRE(bits.host()[0] == 0xffffffffu);
    REQUIRE((winner.host()[0] >= 0 && winner.host()[0] < 320));
}

TEST_CASE("a kernel may read an array through a vector of another type", "[cuda]") {
    std::vector<__nv_bfloat16> values(64);
    for (size_t i = 0; i < values.size(); i++) values[i] = __nv_bfloat16(float(i));
    const DeviceArray<__nv_bfloat16> inp(values);
    const DeviceArray<float> sums(8, 0);
    launch(read_as_vectors, 1, 8, 0, nullptr, sums.get(), inp.get());
    for (int t = 0; t < 8; t++) REQUIRE(sums.host()[size_t(t)] == float(8 * 8 * t + 28));
}
