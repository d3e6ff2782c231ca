// test_attention_mma.cpp - attention on tensor cores against cpu:: and against plain double-precision loops, from
// inputs that bf16 can hold. It needs no bf16 build: the fast form's types are its own.
// Tolerances are of whole arrays, ||got - want|| / ||want||: probabilities and score gradients are rounded to bf16
// (half a unit is 2^-9) before they are multiplied, results after it, and such errors spread over the sums.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/kernels.h"
#include "tests/kernels/problems/attention.h"
#include "tests/support/gpu.h"
#include "tests/support/throwing_failures.h"

#ifdef GPT_WITH_GPU
#include "kernels/cuda/attention_forms.h"

using attention_problem::Problem;
using attention_problem::Result;
using bf16 = __nv_bfloat16;
using Bf16Array = DeviceArray<bf16>;

namespace {

// Every rounding is at most 2^-9 of its element. Out has two of them (p, then out); gradients up to four (out in D,
// ds, the result, and dout - D, where numbers of like size are subtracted).
constexpr double kForwardTolerance = 2 * 0x1p-9, kBackwardTolerance = 4 * 0x1p-9;

std::vector<float> rounded(std::vector<float> x) {
    for (float& value : x) value = float(bf16(value));
    return x;
}

Result run(const Problem& a) {
    const int64_t rows = a.B * a.T, C = a.NH * a.HS;
    const auto results = in_any_order([&] {
        const Bf16Array qkv(a.qkv), dout(a.dout), out(rows * C), dqkv(rows * 3 * C);
        const FloatArray lse(rows * a.NH);
        attention_mma::forward(out, lse, qkv, a.B, a.T, a.NH, a.HS, a.mask, {});
        attention_mma::backward(dqkv, dout, qkv, out, lse, a.B, a.T, a.NH, a.HS, a.mask, {});
        return std::vector<std::vector<float>>{out.host(), lse.host(), dqkv.host()};
    });
    return {results[0], results[1], results[2]};
}

template <class Want>
void agree(const char* what, const Problem& a, const std::vector<float>& got, const std::vector<Want>& want,
           double tolerance) {
    const double error = relative_norm_error(got.data(), want.data(), int64_t(want.size()));
    proof::record("values", what, a.sizes(), error / tolerance, format("%.1g of the norm", tolerance));
    CAPTURE(what, a.sizes());
    REQUIRE(error < tolerance);
}

// Of dq, dk and dv each: an error in one must not hide behind the others' size.
template <class T>
std::vector<T> part_of(const std::vector<T>& dqkv, const Problem& a, int part) {
    const size_t C = size_t(a.NH * a.HS);
    std::vector<T> x;
    for (size_t row = 0; row < size_t(a.B * a.T); row++)
        for (size_t c = 0; c < C; c++) x.push_back(dqkv[(row * 3 + size_t(part)) * C + c]);
    return x;
}

void check(Problem a, bool is_tiny = false) {
    if (kUnderTsan && !is_tiny) return;  // every product of a warp is 32 switches between its lanes
    a.qkv = rounded(a.qkv), a.dout = rounded(a.dout);
    const Result got = run(a), cpu = run_on_cpu(a);
    const attention_problem::Reference want = reference(a);
    agree("attention_mma forward, out, cpu", a, got.out, cpu.out, kForwardTolerance);
    agree("attention_mma forward, out", a, got.out, want.out, kForwardTolerance);
    agree("attention_mma forward, lse", a, got.lse, want.lse, attention_problem::kForwardTolerance);
    const char* names[] = {"attention_mma backward, dq", "attention_mma backward, dk",
                           "attention_mma backward, dv"};
    for (int part = 0; part < 3; part++) {
        const std::vector<float> g = part_of(got.dqkv, a, part);
        // One token alone: dq and dk are 0, and so is what rounding leaves of them, of dv's size.
        if (a.T == 1 && part < 2) {
            for (float x : g) REQUIRE(std::fabs(x) < 0.1f);
            continue;
        }
        agree(names[part], a, g, part_of(want.dqkv, a, part), kBackwardTolerance);
        agree((std::string(names[part]) + ", cpu").c_str(), a, g, part_of(cpu.dqkv, a, part),
              kBackwardTolerance);
    }
}

}  // namespace

TEST_CASE("gpu::attention on tensor cores agrees with plain loops and with the CPU", "[cuda][attention]") {
    // one row; odd; a warp's 32 rows, a tile of 64 keys, a block's 128 queries, each less one, whole, one more
    const int64_t T = GENERATE(1, 2, 5, 16, 31, 32, 33, 63, 64, 65, 127, 128, 129, 200);
    const int64_t HS = GENERATE(16, 64);
    check(Problem(1 + (T + HS / 16) % 2, T, 1 + T % 3, HS));
}

TEST_CASE("gpu::attention on tensor cores has every width of head", "[cuda][attention]") {
    // rows in shared memory have 16, 32, 64 and 128 channels; narrower heads leave zeros behind their last
    const int64_t HS = GENERATE(8, 16, 24, 32, 48, 64, 80, 96, 128);
    check(Problem(2, 70, 2, HS));
    check(Problem(1, 10, 2, HS));
}

TEST_CASE("gpu::attention on tensor cores, tiny enough for ThreadSanitizer", "[cuda][attention]") {
    check(Problem(1, 3, 1, 56, 0.3f), true);
    check(Problem(1, 34, 1, 32), true);
    check(Problem(1, 130, 1, 16), true);  // three tiles and more: the first one's place is used again
}

TEST_CASE("gpu::attention on tensor cores at the sizes of a small model", "[cuda][attention]") {
    check(Problem(1, 256, 2, 64));
    check(Problem(1, 300, 1, 128));
    check(Problem(1, 256, 2, 32, 0.1f));
}

TEST_CASE("gpu::attention on tensor cores with dropout draws the CPU's mask", "[cuda][attention]") {
    const int64_t T = GENERATE(1, 4, 17, 67);
    const float dropout = GENERATE(0.1f, 0.5f);
    const int64_t HS = GENERATE(16, 64, 128);
    check(Problem(2, T, 3, HS, dropout));
}

TEST_CASE("gpu::attention on tensor cores survives scores whose exponentials overflow", "[cuda][attention]") {
    // Scores with a spread of 100, from multiples of 1/4: e^100 is no float.
    Problem a(1, 100, 2, 16, 0, 10);
    for (float& x : a.qkv) x = std::round(x * 4) / 4;
    check(a);
}

TEST_CASE("gpu::attention on tensor cores sees no later token", "[cuda][attention]") {
    const int64_t T = GENERATE(33, 100), cut = T / 2, C = 32;
    if (kUnderTsan) return;
    Problem a(1, T, 2, 16);
    const Result before = run(a);
    for (size_t x = size_t(cut * 3 * C); x < a.qkv.size(); x++) a.qkv[x] = x % 2 ? -1e3f : 1e3f;
    const Result after = run(a);
    REQUIRE(std::equal(before.out.begin(), before.out.begin() + cut * C, after.out.begin()));
    REQUIRE(before.out.back() != after.out.back());

    // and the gradient of what came later reaches no earlier query
    Problem b(1, T, 2, 16);
    std::fill(b.dout.begin(), b.dout.begin() + cut * C, 0.0f);
    const Result later = run(b);
    for (int64_t t = 0; t < cut; t++)
        for (int64_t c = 0; c < C; c++) REQUIRE(later.dqkv[size_t(t * 3 * C + c)] == 0);
}

TEST_CASE("gpu::attention on tensor cores hides no NaN", "[cuda][attention]") {
    const int part = GENERATE(0, 1, 2);  // in a query, a key, a value
    Problem a(1, 50, 1, 16);
    a.qkv[size_t((20 * 3 + part) * 16 + 5)] = NAN;
    const Bf16Array qkv(a.qkv), out(a.T * 16);
    const FloatArray lse(a.T);
    attention_mma::forward(out, lse, qkv, 1, a.T, 1, 16, {}, {});
    const std::vector<float> got = out.host();
    bool is_nan = false;
    for (int c = 0; c < 16; c++) is_nan = is_nan || std::isnan(got[size_t(20 * 16 + c)]);
    REQUIRE(is_nan);
}

TEST_CASE("gpu::attention on tensor cores is what runs when it is chosen, in bf16 builds",
          "[cuda][attention]") {
    if (kUnderTsan) return;
    REQUIRE(compare_attention_forms() == "");
    Problem a(1, 70, 2, 32);
    a.qkv = rounded(a.qkv);
    const auto out_of_form = [&](bool is_fast) {
        const ForcedForm form(attention_on_tensor_cores(), is_fast);
        const RealArray qkv(a.qkv), out(a.T * 64);
        const FloatArray lse(a.T * 2);
        gpu::attention_forward(out, lse, qkv, 1, a.T, 2, 32, {}, {});
        return out.host();
    };
    const Bf16Array qkv(a.qkv), out(a.T * 64);
    const FloatArray lse(a.T * 2);
    attention_mma::forward(out, lse, qkv, 1, a.T, 2, 32, {}, {});
    REQUIRE(same_bytes(out_of_form(true), out.host()) == (sizeof(gpu::real) == sizeof(bf16)));
    REQUIRE(!same_bytes(out_of_form(false), out.host()));
}

#if defined(GPT_CUDA_ON_HOST)
TEST_CASE("gpu::attention on tensor cores meets no bank twice", "[cuda][attention]") {
    if (kUnderTsan) return;
    const int64_t HS = GENERATE(16, 32, 64, 128);
    const int64_t loads = cuda_on_host::bank_count.loads, extra = cuda_on_host::bank_count.extra_passes;
    run(Problem(1, 65, 1, HS));
    REQUIRE(cuda_on_host::bank_count.loads > loads);
    REQUIRE(cuda_on_host::bank_count.extra_passes == extra);
}
#endif

TEST_CASE("gpu::attention on tensor cores refuses what it cannot copy 16 bytes at a time",
          "[cuda][attention]") {
    ThrowingFailures throwing;
    const Bf16Array x(3 * 136 + 8);
    const FloatArray lse(1);
    for (const int64_t HS : {4, 20, 136})
        REQUIRE_THROWS_WITH(attention_mma::forward(x, lse, x, 1, 1, 1, HS, {}, {}),
                            contains(format("[attention] head size %lld", (long long)HS)));
    REQUIRE_THROWS_WITH(attention_mma::forward(x, lse, static_cast<bf16*>(x) + 4, 1, 1, 1, 16, {}, {}),
                        contains("[attention] qkv begins at an address that is no multiple of 16"));
}

#endif
