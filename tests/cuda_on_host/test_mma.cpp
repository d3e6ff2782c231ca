// test_mma.cpp - the wrappers of kernels/cuda/mma.cuh on the host: each layout against a plain loop over the
// matrix, and what the twins must refuse. A copy that is read too early is in test_planted_bugs.cpp. On a GPU the attention and gemm tests hold the same wrappers to the CPU.
#include <cstdint>
#include <string>
#include <vector>

#include "core/device.h"
#include "core/rng.h"
#include "kernels/cuda/mma.cuh"
#include "tests/cuda_on_host/device_array.h"
#include "tests/support/arrays.h"
#include "tests/support/catch.h"
#include "tests/support/throwing_failures.h"

using bf16 = __nv_bfloat16;
using cuda_on_host::Order;

namespace {

std::vector<bf16> random_bf16(int n, uint64_t stream) {
    const std::vector<float> x = random_floats(n, stream);
    return {x.begin(), x.end()};
}

template <class Action>
std::string message_of(Action action) {
    return failure_of(action).message;
}

// ---- mma --------------------------------------------------------------------------------------------------

// out (16,8) = 2 a b + c, with every element put into its register by the picture in mma.cuh.
__global__ void mma_kernel(float* out, const bf16* a, const bf16* b, const float* c) {
    const int g = int(threadIdx.x) % 32 / 4, p = 2 * (int(threadIdx.x) % 4);
    const auto pair = [](const bf16& low, const bf16& high) { return pack_bf16(float(low), float(high)); };
    FragmentA left;
    for (int r = 0; r < 4; r++) {
        const bf16* at = a + (g + r % 2 * 8) * 16 + p + r / 2 * 8;
        left.x[r] = pair(at[0], at[1]);
    }
    FragmentB right;
    for (int r = 0; r < 2; r++) right.x[r] = pair(b[(p + 8 * r) * 8 + g], b[(p + 8 * r + 1) * 8 + g]);
    FragmentD sum;
    for (int r = 0; r < 4; r++) sum.x[r] = c[(g + r / 2 * 8) * 8 + p + r % 2];
    mma_m16n8k16(sum, left, right);
    mma_m16n8k16(sum, left, right);
    for (int r = 0; r < 4; r++) out[(g + r / 2 * 8) * 8 + p + r % 2] = sum.x[r];
}

// Two products one after the other: (a b) b2, where a b (16,16) goes from D to A inside its lanes.
__global__ void chain_kernel(float* out, const bf16* a, const bf16* b, const bf16* b2) {
    const int lane = int(threadIdx.x) % 32, g = lane / 4, p = 2 * (lane % 4);
    FragmentA left;
    ldmatrix_x4(left.x, a + lane % 16 * 16 + lane / 16 * 8);
    uint32_t quarters[4];  // of b (16,16)
    ldmatrix_x4_trans(quarters, b + lane % 16 * 16 + lane / 16 * 8);
    FragmentD middle[2] = {};
    for (int n = 0; n < 2; n++)
        mma_m16n8k16(middle[n], left, FragmentB{{quarters[2 * n], quarters[2 * n + 1]}});
    ldmatrix_x4_trans(quarters, b2 + lane % 16 * 16 + lane / 16 * 8);
    FragmentD sum = {};
    mma_m16n8k16(sum, as_a(middle[0], middle[1]), FragmentB{{quarters[0], quarters[1]}});
    for (int r = 0; r < 4; r++) out[(g + r / 2 * 8) * 8 + p + r % 2] = sum.x[r];
}

__global__ void mma_of_some_kernel(uint32_t* out) {
    FragmentD sum = {};
    if (threadIdx.x % 32 != 9) mma_m16n8k16(sum, FragmentA{}, FragmentB{});
    out[threadIdx.x] = uint32_t(sum.x[0]);
}

// ---- ldmatrix ---------------------------------------------------------------------------------------------

// Writes the registers of each lane; row r of the matrix begins at element r * stride + first.
__global__ void ldmatrix_kernel(uint32_t* out, const bf16* matrix, int stride, int first, bool transposed) {
    uint32_t registers[4];
    const bf16* row = matrix + first + int(threadIdx.x) * stride;
    if (transposed)
        ldmatrix_x4_trans(registers, row);
    else
        ldmatrix_x4(registers, row);
    for (int r = 0; r < 4; r++) out[threadIdx.x * 4 + r] = registers[r];
}

// ---- cp.async ---------------------------------------------------------------------------------------------

// Each thread moves 16 bytes of each of 3 groups through shared memory, and looks when `waits` are over.
__global__ void copy_kernel(float* out, const float* inp, int n, int waits) {
    float4* shared = dynamic_shared<float4>();
    for (int group = 0; group < 3; group++) {
        const int at = (group * int(blockDim.x) + int(threadIdx.x)) * 4;
        cp_async<16>(&shared[group * int(blockDim.x) + int(threadIdx.x)], inp + (at < n ? at : 0), at < n);
        cp_async_commit();
    }
    if (waits >= 1) cp_async_wait<2>();
    if (waits >= 2) cp_async_wait<1>();
    if (waits >= 3) cp_async_wait<0>();
    const float* mine = reinterpret_cast<const float*>(&shared[threadIdx.x]);
    for (int group = 0; group < 3; group++)
        for (int k = 0; k < 4; k++)
            out[(group * int(blockDim.x) + int(threadIdx.x)) * 4 + k] = mine[group * int(blockDim.x) * 4 + k];
}

__global__ void never_committed_kernel(float* out, const float* inp) {
    float* shared = dynamic_shared<float>();
    cp_async<4>(&shared[threadIdx.x], inp + threadIdx.x);
    cp_async_wait<0>();
    out[threadIdx.x] = shared[threadIdx.x];
}

__global__ void misaligned_copy_kernel(const float* inp, int from, int to) {
    cp_async<16>(dynamic_shared<float>() + to, inp + from);
}

__global__ void many_copies_kernel(const float* inp) {
    for (int n = 0; n < 65; n++) cp_async<4>(dynamic_shared<float>() + n, inp);
}

}  // namespace

TEST_CASE("mma_m16n8k16 multiplies as a loop does, with each element where the picture has it", "[cuda]") {
    const InOrder in_order(GENERATE(Order::kForward, Order::kReverse));
    const std::vector<bf16> a = random_bf16(256, 1), b = random_bf16(128, 2);
    const std::vector<float> c = random_floats(128, 3);
    const DeviceArray<bf16> da(a), db(b);
    const DeviceArray<float> dc(c), out(128, 0);
    launch(mma_kernel, 1, 32, 0, nullptr, out.get(), da.get(), db.get(), dc.get());
    const std::vector<float> got = out.host();
    for (int m = 0; m < 16; m++)
        for (int n = 0; n < 8; n++) {
            double sum = 0;
            for (int k = 0; k < 16; k++)
                sum += double(float(a[size_t(m * 16 + k)])) * double(float(b[size_t(k * 8 + n)]));
            CAPTURE(m, n);
            // 32 float sums
            REQUIRE(double(got[size_t(m * 8 + n)]) ==
                    Approx(double(c[size_t(m * 8 + n)]) + 2 * sum).margin(1e-5));
        }
}

TEST_CASE("a product is the next one's operand without moving", "[cuda]") {
    const InOrder in_order(GENERATE(Order::kForward, Order::kReverse));
    const std::vector<bf16> a = random_bf16(256, 1), b = random_bf16(256, 2), b2 = random_bf16(256, 3);
    const DeviceArray<bf16> da(a), db(b), db2(b2);
    const DeviceArray<float> out(128, 0);
    launch(chain_kernel, 1, 32, 0, nullptr, out.get(), da.get(), db.get(), db2.get());
    const std::vector<float> got = out.host();
    for (int m = 0; m < 16; m++)
        for (int n = 0; n < 8; n++) {
            double sum = 0;
            for (int j = 0; j < 16; j++) {
                float middle = 0;
                for (int k = 0; k < 16; k++)
                    middle += float(a[size_t(m * 16 + k)]) * float(b[size_t(k * 16 + j)]);
                sum += double(float(bf16(middle))) * double(float(b2[size_t(j * 16 + n)]));
            }
            CAPTURE(m, n);
            REQUIRE(double(got[size_t(m * 8 + n)]) == Approx(sum).margin(1e-4));
        }
}

TEST_CASE("ldmatrix brings every element to the lane of the picture", "[cuda]") {
    const InOrder in_order(GENERATE(Order::kForward, Order::kReverse));
    const bool transposed = GENERATE(false, true);
    const int stride = GENERATE(8, 24);  // elements from row to row
    const std::vector<bf16> matrix = random_bf16(32 * stride, 4);
    const DeviceArray<bf16> in(matrix);
    const DeviceArray<uint32_t> out(128, 0);
    launch(ldmatrix_kernel, 1, 32, 0, nullptr, out.get(), in.get(), stride, 0, transposed);
    const std::vector<uint32_t> registers = out.host();
    for (int lane = 0; lane < 32; lane++)
        for (int quarter = 0; quarter < 4; quarter++)
            for (int k = 0; k < 2; k++) {
                const int g = lane / 4, p = 2 * (lane % 4) + k;
                const int row = 8 * quarter + (transposed ? p : g), col = transposed ? g : p;
                const uint32_t pair = registers[size_t(lane * 4 + quarter)];
                CAPTURE(lane, quarter, k, transposed, stride);
                REQUIRE(uint16_t(pair >> 16 * k) == matrix[size_t(row * stride + col)].bits);
            }
}

TEST_CASE("ldmatrix counts the passes that conflicting banks cost", "[cuda]") {
    // Rows of 64 elements lie on the same banks: 8 passes for each of the 4 quarters, 7 of them extra. Rows of
    // 72 begin 16 bytes further each time.
    const auto extra_passes = [](int stride) {
        const DeviceArray<bf16> in(random_bf16(32 * 72, 4));
        const DeviceArray<uint32_t> out(128, 0);
        const int64_t before = cuda_on_host::bank_count.extra_passes;
        launch(ldmatrix_kernel, 1, 32, 0, nullptr, out.get(), in.get(), stride, 0, false);
        return cuda_on_host::bank_count.extra_passes - before;
    };
    REQUIRE(extra_passes(64) == 28);
    REQUIRE(extra_passes(72) == 0);
    REQUIRE(extra_passes(8) == 0);
    REQUIRE(extra_passes(16) == 4);  // two rows for each column
    REQUIRE(extra_passes(0) == 0);   // all lanes read the same row
}

TEST_CASE("tensor cores refuse what a GPU does not survive, and say where", "[cuda]") {
    const DeviceArray<uint32_t> out(64, 0);
    const DeviceArray<bf16> in(random_bf16(32 * 8 + 8, 4));
    std::string message = message_of([&] { launch(mma_of_some_kernel, 1, 64, 0, nullptr, out.get()); });
    REQUIRE_THAT(message, contains("the mask of mma_m16n8k16 names lane 9, which never comes to it"));
    REQUIRE_THAT(message, contains("test_mma.cpp"));
    message = message_of([&] { launch(mma_of_some_kernel, 1, 8, 0, nullptr, out.get()); });
    REQUIRE_THAT(message,
                 contains("[mma_m16n8k16] works with all 32 lanes of a warp, but the block has 8 threads"));
    message =
        message_of([&] { launch(ldmatrix_kernel, 1, 32, 0, nullptr, out.get(), in.get(), 8, 4, false); });
    REQUIRE_THAT(message, contains("[ldmatrix_x4] the address ends in 8: it must be a multiple of 16"));
    REQUIRE_THAT(message, contains("test_mma.cpp"));
    message =
        message_of([&] { launch(ldmatrix_kernel, 1, 32, 0, nullptr, out.get(), in.get(), 8, 1, true); });
    REQUIRE_THAT(message, contains("[ldmatrix_x4_trans] the address ends in 2"));
}

TEST_CASE("cp.async has copied what was waited for, and nothing else", "[cuda]") {
    const InOrder in_order(GENERATE(Order::kForward, Order::kReverse));
    const int waits = GENERATE(0, 1, 2, 3);
    const int threads = 32, n = 3 * threads * 4 - 40;  // the last ten threads get zeros
    const std::vector<float> values = random_floats(n, 5);
    const DeviceArray<float> in(values), out(size_t(3 * threads * 4), 0);
    // Twice: nothing is left of a block whose copies nobody waited for.
    for (int time = 0; time < 2; time++)
        launch(copy_kernel, 1, unsigned(threads), size_t(threads) * 48, nullptr, out.get(), in.get(), n,
               waits);
    const std::vector<float> got = out.host();
    for (int i = 0; i < 3 * threads * 4; i++) {
        const int group = i / (threads * 4);
        CAPTURE(i, group, waits);
        if (group >= waits)
            REQUIRE(std::isnan(got[size_t(i)]));
        else
            REQUIRE(got[size_t(i)] == (i < n ? values[size_t(i)] : 0.0f));
    }
}

TEST_CASE("cp.async: what nobody committed never comes", "[cuda]") {
    const DeviceArray<float> in(random_floats(32, 6)), out(32, 0);
    launch(never_committed_kernel, 1, 32, 128, nullptr, out.get(), in.get());
    for (float x : out.host()) REQUIRE(std::isnan(x));
}

TEST_CASE("cp.async refuses addresses that are no multiples of its size", "[cuda]") {
    const DeviceArray<float> in(random_floats(64, 7));
    const auto refusal = [&](int from, int to) {
        return message_of([&] { launch(misaligned_copy_kernel, 1, 1, 64, nullptr, in.get(), from, to); });
    };
    REQUIRE_THAT(refusal(1, 0), contains("[cp_async] the address ends in 4: it must be a multiple of 16"));
    REQUIRE_THAT(refusal(0, 2), contains("[cp_async] the address ends in 8: it must be a multiple of 16"));
    REQUIRE(refusal(4, 8) == "");
    REQUIRE_THAT(message_of([&] { launch(many_copies_kernel, 1, 1, 512, nullptr, in.get()); }),
                 contains("more than 64 copies at a time"));
}
