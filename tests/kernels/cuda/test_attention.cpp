// test_attention.cpp - gpu::attention_forward and _backward against plain double-precision loops that do store
// T x T, and against cpu::.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/kernels.h"
#include "tests/kernels/problems/attention.h"
#include "tests/support/allclose.h"
#include "tests/support/gpu.h"
#include "tests/support/throwing_failures.h"

#ifdef GPT_WITH_GPU

using attention_problem::Problem;
using attention_problem::Result;

namespace {

// The forward's output is rounded before the backward reads it, and dqkv is rounded again.
constexpr double kStorage = 2 * kStorageRounding;

Result run(const Problem& a) {
    const int64_t rows = a.B * a.T, C = a.NH * a.HS;
    const auto results = in_any_order([&] {
        const RealArray qkv(a.qkv), dout(a.dout), out(rows * C), dqkv(rows * 3 * C);
        const FloatArray lse(rows * a.NH);
        gpu::attention_forward(out, lse, qkv, a.B, a.T, a.NH, a.HS, a.mask, {});
        gpu::attention_backward(dqkv, dout, qkv, out, lse, a.B, a.T, a.NH, a.HS, a.mask, {});
        return std::vector<std::vector<float>>{out.host(), lse.host(), dqkv.host()};
    });
    return {results[0], results[1], results[2]};
}

void check(Problem a, double lse_noise = 0) {
    if (kUnderTsan && a.B * a.NH * a.T * a.HS > 4000) return;
    a.qkv = stored(a.qkv), a.dout = stored(a.dout);
    const Result got = run(a), cpu = run_on_cpu(a);
    require_close(a, got, lse_noise, kStorage);

    const auto agree = [&](const char* what, const std::vector<float>& g, const std::vector<float>& c,
                           double tolerance) {
        const double error = relative_norm_error(g.data(), c.data(), int64_t(c.size()));
        proof::record("values", std::string(what) + ", cpu", a.sizes(), error / tolerance,
                      format("%.1g of the norm", tolerance));
        CAPTURE(what, a.sizes());
        REQUIRE(error < tolerance);
    };
    agree("attention_forward, out", got.out, cpu.out, attention_problem::kForwardTolerance + kStorage);
    agree("attention_forward, lse", got.lse, cpu.lse, attention_problem::kForwardTolerance);
    agree("attention_backward, dqkv", got.dqkv, cpu.dqkv,
          attention_problem::kBackwardTolerance + kStorage + lse_noise);
}

}  // namespace

TEST_CASE("gpu::attention agrees with plain loops in double, and with cpu::attention", "[cuda][attention]") {
    // one row; odd; a tile of keys (32) less one, whole, and one more; a block of queries (64); several of both
    const int64_t T = GENERATE(1, 2, 3, 31, 32, 33, 63, 64, 65, 100, 129);
    const int64_t HS = GENERATE(1, 3, 4, 16, 33, 64);
    check(Problem(1 + (T + HS) % 2, T, 1 + T % 3, HS));
}

TEST_CASE("gpu::attention agrees with plain loops for every width of head", "[cuda][attention]") {
    // one thread a row up to 32 channels, two up to 64, four up to 128
    const int64_t HS = GENERATE(4, 5, 8, 9, 17, 32, 48, 65, 127, 128);
    check(Problem(2, 40, 2, HS));
}

TEST_CASE("gpu::attention agrees with plain loops at the sizes of a small model", "[cuda][attention][slow]") {
    check(Problem(1, 256, 4, 32));
    check(Problem(1, 300, 1, 64));
}

TEST_CASE("gpu::attention with dropout draws the CPU's mask", "[cuda][attention]") {
    const int64_t T = GENERATE(1, 4, 17, 67);
    const float dropout = GENERATE(0.1f, 0.5f);
    const int64_t HS = GENERATE(20, 40);
    check(Problem(2, T, 3, HS, dropout));
}

TEST_CASE("gpu::attention survives scores whose exponentials overflow", "[cuda][attention]") {
    // scores are normal with a spread of 100, up to about 500: e^100 is no float. Inputs are multiples of 1/4,
    // so that the scores themselves are exact in float and tolerances need not grow.
    Problem a(1, 100, 2, 16, 0, 10);
    for (float& x : a.qkv) x = std::round(x * 4) / 4;
    check(a, 500 * 0x1p-24);

    // every score is +80 or -80, and then all -80: the running maximum must rise, and a low one must not
    // underflow
    for (const bool all_low : {false, true}) {
        Problem b(1, 130, 1, 4);
        for (int64_t t = 0; t < b.T; t++)
            for (int64_t d = 0; d < 4; d++) {
                b.qkv[size_t(t * 12 + d)] = std::sqrt(40.0f);
                b.qkv[size_t(t * 12 + 4 + d)] = (all_low || t % 7 ? -1 : 1) * std::sqrt(40.0f);
            }
        // Rows of probabilities that are almost one 1 and zeros: where out is rounded, so is D, for all keys
        // in the same direction.
        check(b, 87 * 0x1p-24 + 2 * kStorageRounding);
        // and with keys that get better (all_low: worse) tile by tile
        for (int64_t t = 0; t < b.T; t++)
            for (int64_t d = 0; d < 4; d++) b.qkv[size_t(t * 12 + 4 + d)] *= float(t) / float(b.T);
        check(b, 87 * 0x1p-24 + 2 * kStorageRounding);
    }
}

TEST_CASE("gpu::attention sees no later token", "[cuda][attention]") {
    const int64_t T = GENERATE(33, 100), cut = T / 2, C = 24;
    if (kUnderTsan) return;
    Problem a(1, T, 2, 12);
    a.qkv = stored(a.qkv), a.dout = stored(a.dout);
    const Result before = run(a);
    for (size_t x = size_t(cut * 3 * C); x < a.qkv.size(); x++) a.qkv[x] = x % 2 ? -1e3f : 1e3f;
    const Result after = run(a);
    REQUIRE(std::equal(before.out.begin(), before.out.begin() + cut * C, after.out.begin()));
    REQUIRE(before.out.back() != after.out.back());

    // and the gradient of what came later reaches no earlier query
    Problem b(1, T, 2, 12);
    std::fill(b.dout.begin(), b.dout.begin() + cut * C, 0.0f);
    const Result later = run(b);
    for (int64_t t = 0; t < cut; t++)
        for (int64_t c = 0; c < C; c++) REQUIRE(later.dqkv[size_t(t * 3 * C + c)] == 0);
}

TEST_CASE("gpu::attention hides no NaN", "[cuda][attention]") {
    const int part = GENERATE(0, 1, 2);  // in a query, a key, a value
    Problem a(1, 50, 1, 16);
    a.qkv[size_t((20 * 3 + part) * 16 + 5)] = NAN;
    const int64_t rows = a.T;
    const RealArray qkv(a.qkv), out(rows * 16);
    const FloatArray lse(rows);
    gpu::attention_forward(out, lse, qkv, 1, a.T, 1, 16, {}, {});
    const std::vector<float> got = out.host();
    bool is_nan = false;
    for (int c = 0; c < 16; c++) is_nan = is_nan || std::isnan(got[size_t(20 * 16 + c)]);
    REQUIRE(is_nan);
}

TEST_CASE("gpu::attention refuses heads that are too wide, by name", "[cuda][attention]") {
    ThrowingFailures throwing;
    const RealArray x(3 * 129);
    const FloatArray lse(1);
    REQUIRE_THROWS_WITH(gpu::attention_forward(x, lse, x, 1, 1, 1, 129, {}, {}),
                        contains("[attention] head size 129"));
}

#endif
