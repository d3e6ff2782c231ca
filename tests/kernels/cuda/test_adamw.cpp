// test_adamw.cpp - gpu::adamw and gpu::squared_norm against their definitions in double, and against cpu::; and how the
// weights that kernels read are rounded.
#include <cmath>
#include <vector>

#include "kernels/kernels.h"
#include "tests/support/allclose.h"
#include "tests/support/gpu.h"
#include "tests/support/throwing_failures.h"

#ifdef GPT_WITH_GPU

namespace {

constexpr float kLr = 1e-2f, kBeta1 = 0.9f, kBeta2 = 0.99f, kEps = 1e-8f;

// The definition, for one step.
void step_in_double(std::vector<double>& params, std::vector<double>& m, std::vector<double>& v,
                    const std::vector<float>& grads, float weight_decay, float grad_scale, int64_t step) {
    for (size_t i = 0; i < params.size(); i++) {
        const double g = double(grads[i]) * double(grad_scale);
        m[i] = double(kBeta1) * m[i] + (1 - double(kBeta1)) * g;
        v[i] = double(kBeta2) * v[i] + (1 - double(kBeta2)) * g * g;
        const double m_hat = m[i] / (1 - std::pow(double(kBeta1), double(step)));
        const double v_hat = v[i] / (1 - std::pow(double(kBeta2), double(step)));
        params[i] -=
            double(kLr) * (m_hat / (std::sqrt(v_hat) + double(kEps)) + double(weight_decay) * params[i]);
    }
}

}  // namespace

TEST_CASE("gpu::adamw follows the algorithm for five steps, as cpu::adamw does", "[cuda]") {
    const int64_t n = GENERATE(1, 3, 4, 17, 1000, 1024, 1025, 40001);
    if (kUnderTsan && n > 1025) return;
    const float weight_decay = GENERATE(0.0f, 0.1f), grad_scale = GENERATE(1.0f, 0.25f);
    constexpr int64_t kSteps = 5;
    const std::vector<float> start = random_floats(n, 1), zeros(size_t(n), 0.0f);
    const auto grads = [&](int64_t step) { return random_floats(n, uint64_t(100 + step)); };

    const auto results = in_any_order([&] {
        const FloatArray params(start), m(zeros), v(zeros), scale_d(std::vector<float>{grad_scale});
        for (int64_t step = 1; step <= kSteps; step++) {
            const FloatArray grads_d(grads(step));
            gpu::adamw(params, nullptr, m, v, grads_d, n, kLr, kBeta1, kBeta2, kEps, weight_decay, scale_d,
                       step, {}, {});
        }
        return std::vector<std::vector<float>>{params.host(), m.host(), v.host()};
    });

    std::vector<double> params(start.begin(), start.end()), m(size_t(n), 0.0), v(size_t(n), 0.0);
    std::vector<float> cpu_params = start, cpu_m = zeros, cpu_v = zeros;
    for (int64_t step = 1; step <= kSteps; step++) {
        const std::vector<float> g = grads(step);
        step_in_double(params, m, v, g, weight_decay, grad_scale, step);
        cpu::adamw(cpu_params.data(), nullptr, cpu_m.data(), cpu_v.data(), g.data(), n, kLr, kBeta1, kBeta2,
                   kEps, weight_decay, &grad_scale, step, {}, {});
    }
    const auto close = [&](const char* what, const std::vector<float>& got, const auto& want, double atol) {
        return allclose(
            what, format("n=%lld decay=%g scale=%g", (long long)n, double(weight_decay), double(grad_scale)),
            got.data(), want.data(), n, 1e-5, atol);
    };
    REQUIRE(close("adamw params", results[0], params, 2e-6) == "");
    REQUIRE(close("adamw m", results[1], m, 1e-6) == "");
    REQUIRE(close("adamw v", results[2], v, 1e-6) == "");
    REQUIRE(close("adamw params, cpu", results[0], cpu_params, 2e-6) == "");
    REQUIRE(close("adamw m, cpu", results[1], cpu_m, 1e-6) == "");
    REQUIRE(close("adamw v, cpu", results[2], cpu_v, 1e-6) == "");
}

namespace {

// What a step of no gradient and no decay makes of params: themselves, rounded.
std::vector<float> rounded(const std::vector<float>& params, const WeightRounding& rounding) {
    const auto n = int64_t(params.size());
    const std::vector<float> zeros(params.size(), 0.0f);
    return in_any_order([&] {
        const FloatArray params_d(params), m(zeros), v(zeros), grads(zeros);
        const RealArray weights(n);
        gpu::adamw(params_d, weights, m, v, grads, n, kLr, kBeta1, kBeta2, kEps, 0, nullptr, 1, rounding, {});
        REQUIRE(same_bytes(params_d.host(), params));
        return std::vector<std::vector<float>>{weights.host()};
    })[0];
}

}  // namespace

TEST_CASE("gpu::adamw rounds each weight by the word of its place, as the host does", "[cuda]") {
    const int64_t n = GENERATE(1, 3, 4, 5, 1024, 1027);  // four to a thread; 1024 to a block
    const uint64_t first = GENERATE(0u, 16u);
    CAPTURE(n, first);
    const WeightRounding rounding{42, 9, first};
    const std::vector<float> params = random_floats(n, 1);
    std::vector<float> want = params;
    if (sizeof(gpu::real) < sizeof(float))
        for (size_t i = 0; i < want.size(); i++)
            want[i] = bfloat16_to_float(bfloat16_stochastic(
                params[i], philox(42, (first + i) / 4, uint64_t(1) << 63 | 9).word[i % 4]));
    REQUIRE(same_bytes(rounded(params, rounding), want));
}

TEST_CASE("gpu::adamw rounds a weight differently in each step, and its mean is the master", "[cuda]") {
    constexpr int kSteps = 200;
    constexpr int64_t kWeights = 40;
    if (kUnderTsan) return;
    const std::vector<float> params = random_floats(kWeights, 3);
    std::vector<double> mean(params.size(), 0.0);
    for (uint64_t step = 1; step <= kSteps; step++) {
        const std::vector<float> weights = rounded(params, {1, step, 0});
        for (size_t i = 0; i < params.size(); i++) mean[i] += double(weights[i]) / kSteps;
    }
    for (size_t i = 0; i < params.size(); i++) {
        // one of two neighbours, up to 2^-7 apart: at worst a spread of half of that; five standard errors
        const double limit = 5 * 0.5 * 0x1p-7 * std::fabs(double(params[i])) / std::sqrt(double(kSteps));
        const double to_nearest = double(stored({params[i]})[0]) - double(params[i]);
        CAPTURE(i, params[i], mean[i], to_nearest);
        REQUIRE(std::fabs(mean[i] - double(params[i])) <= limit + 1e-12);
    }
}

TEST_CASE("gpu::clip_scale is cpu::clip_scale", "[cuda]") {
    const double squares = GENERATE(0.0, 2.0, 1e-30, 12345.678, 1e300, double(NAN), double(INFINITY));
    const float clip = GENERATE(0.0f, 1.0f, 1000.0f);
    CAPTURE(squares, clip);
    std::vector<float> want(2);
    cpu::clip_scale(want.data(), &squares, clip, {});
    const DeviceArray<double> squares_d(std::vector<double>{squares});
    const FloatArray got(2);
    gpu::clip_scale(got, squares_d, clip, {});
    REQUIRE(got.host()[1] == want[1]);
    if (std::isfinite(want[0])) REQUIRE(got.host()[0] == want[0]);
}

TEST_CASE("gpu::adamw leaves everything as it is when the scale says that gradients are no numbers",
          "[cuda]") {
    const int64_t n = 1025;
    const std::vector<float> start = random_floats(n, 1), ones(size_t(n), 1.0f);
    const FloatArray params(start), m(ones), v(ones), grads(n),
        scale(std::vector<float>{0.0f});  // grads: NaN
    const RealArray weights(ones);
    gpu::adamw(params, weights, m, v, grads, n, kLr, kBeta1, kBeta2, kEps, 0.1f, scale, 3, {}, {});
    REQUIRE(same_bytes(params.host(), start));
    REQUIRE(same_bytes(weights.host(), ones));
    REQUIRE(same_bytes(m.host(), ones));
    REQUIRE(same_bytes(v.host(), ones));
}

TEST_CASE("gpu::adamw refuses a block that begins inside a draw", "[cuda]") {
    ThrowingFailures throwing;
    const FloatArray x(1);
    REQUIRE_THROWS_WITH(
        gpu::adamw(x, nullptr, x, x, x, 1, kLr, kBeta1, kBeta2, kEps, 0, nullptr, 1, {1, 1, 2}, {}),
        contains("[adamw]"));
}

TEST_CASE("gpu::squared_norm adds the sum of squares, in double, in any order of threads", "[cuda]") {
    const int64_t n = GENERATE(1, 7, 8, 9, 1025, 16384, 16385, 100003);  // 16384: a range
    if (kUnderTsan && n > 16385) return;
    CAPTURE(n);
    const std::vector<float> x = random_floats(n, 1);
    double want = 3.0;  // not zeroed by the kernel
    for (const float value : x) want += double(value) * double(value);
    double first = 0;
    const auto compute = [&] {
        const FloatArray x_d(x);
        const DeviceArray<double> sum(std::vector<double>{3.0});
        gpu::squared_norm(sum, x_d, n, {});
        double got;
        device_download(Device::kCuda, &got, sum, sizeof got);
        return got;
    };
    first = compute();
    const ReverseOrder reverse;
    REQUIRE(compute() == first);
    REQUIRE(std::fabs(first - want) <= 1e-12 * want);
}

#endif
