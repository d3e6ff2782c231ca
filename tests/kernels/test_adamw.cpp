// test_adamw.cpp - the AdamW kernel against algorithm 2 of Loshchilov and Hutter in double, and the squared
// norm.
// Not here: clipping, and which parameters decay (tests/nn/test_adamw.cpp).
#include <cmath>
#include <vector>

#include "kernels/kernels.h"
#include "tests/support/allclose.h"
#include "tests/support/arrays.h"
#include "tests/support/catch.h"

namespace {

constexpr float kLr = 1e-2f, kBeta1 = 0.9f, kBeta2 = 0.99f, kEps = 1e-8f;

struct State {
    std::vector<float> params, m, v;

    explicit State(int64_t n) : params(random_floats(n, 1)), m(size_t(n), 0.0f), v(size_t(n), 0.0f) {}
    void step(const std::vector<float>& grads, float weight_decay, float grad_scale, int64_t step) {
        cpu::adamw(params.data(), nullptr, m.data(), v.data(), grads.data(), int64_t(params.size()), kLr,
                   kBeta1, kBeta2, kEps, weight_decay, &grad_scale, step, {}, {});
    }
};

}  // namespace

TEST_CASE("adamw follows the algorithm for ten steps", "[cpu]") {
    const int64_t n = GENERATE(1, 3, 16, 17, 1000, 40001);
    const float weight_decay = GENERATE(0.0f, 0.1f);
    const float grad_scale = GENERATE(1.0f, 0.25f);
    const Threads two(2);
    State got(n);
    std::vector<double> params(got.params.begin(), got.params.end()), m(size_t(n), 0.0), v(size_t(n), 0.0);
    for (int64_t step = 1; step <= 10; step++) {
        const std::vector<float> grads = random_floats(n, uint64_t(100 + step));
        got.step(grads, weight_decay, grad_scale, step);
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
    // Float moments, rounded ten times; m may be a difference of larger numbers.
    const std::string sizes =
        format("n=%lld decay=%g scale=%g", (long long)n, double(weight_decay), double(grad_scale));
    REQUIRE(allclose("adamw params", sizes, got.params.data(), params.data(), n, 1e-5, 2e-6) == "");
    REQUIRE(allclose("adamw m", sizes, got.m.data(), m.data(), n, 1e-5, 1e-6) == "");
    REQUIRE(allclose("adamw v", sizes, got.v.data(), v.data(), n, 1e-5, 1e-6) == "");
}

TEST_CASE("adamw's first step is lr in the direction of the sign, whatever the gradient's size", "[cpu]") {
    State state(4);
    const std::vector<float> before = state.params;
    state.step({1e-3f, -1e-3f, 1e3f, -1e3f}, 0, 1, 1);
    for (size_t i = 0; i < 4; i++) {
        CAPTURE(i);
        REQUIRE(std::fabs(state.params[i] - before[i] + (i % 2 ? -kLr : kLr)) < 1e-6f);
    }
}

TEST_CASE("cpu::adamw's rounded weights are the params: there float is all there is", "[cpu]") {
    const int64_t n = GENERATE(1, 17, 40001);
    State state(n);
    std::vector<float> weights(size_t(n), NAN);
    const std::vector<float> grads = random_floats(n, 2);
    cpu::adamw(state.params.data(), weights.data(), state.m.data(), state.v.data(), grads.data(), n, kLr,
               kBeta1, kBeta2, kEps, 0.1f, nullptr, 1, {7, 1, 0}, {});
    REQUIRE(same_bytes(weights, state.params));
}

TEST_CASE("adamw leaves padding alone: a zero with a zero gradient stays exactly zero", "[cpu]") {
    State state(16);
    std::fill(state.params.begin(), state.params.end(), 0.0f);
    for (int64_t step = 1; step <= 5; step++) state.step(std::vector<float>(16, 0.0f), 0.1f, 1, step);
    REQUIRE(state.params == std::vector<float>(16, 0.0f));
}

TEST_CASE("clip_scale brings a norm down to the clip, and says so of a norm that is no number", "[cpu]") {
    const auto scale_of = [](double squares, float clip) {
        float result[2] = {-1, -1};
        cpu::clip_scale(result, &squares, clip, {});
        return std::vector<float>(result, result + 2);
    };
    REQUIRE(scale_of(16, 1) == std::vector<float>{4, 0.25f});
    REQUIRE(scale_of(16, 4) == std::vector<float>{4, 1});
    REQUIRE(scale_of(16, 0) == std::vector<float>{4, 1});  // no clipping
    REQUIRE(scale_of(0, 1) == std::vector<float>{0, 1});
    REQUIRE(scale_of(double(INFINITY), 1)[1] == 0);
    REQUIRE(scale_of(double(NAN), 1)[1] == 0);
    REQUIRE(scale_of(1e300, 1)[1] == 0);  // not a float
}

TEST_CASE("squared_norm adds the sum of squares, in double", "[cpu]") {
    const int64_t n = GENERATE(1, 7, 8, 9, 16384, 16385, 100003);
    CAPTURE(n);
    const Threads two(2);
    const std::vector<float> x = random_floats(n, 1);
    double want = 3.0, got = 3.0;  // not zeroed by the kernel
    for (const float value : x) want += double(value) * double(value);
    cpu::squared_norm(&got, x.data(), n, {});
    REQUIRE(std::fabs(got - want) <= 1e-12 * want);
}

TEST_CASE("the optimiser's kernels leave the same bytes for any number of threads", "[cpu]") {
    constexpr int64_t kElements = 60001;
    const std::vector<float> grads = random_floats(kElements, 2);
    require_same_bytes_for_any_threads([&] {
        State state(kElements);
        for (int64_t step = 1; step <= 3; step++) state.step(grads, 0.1f, 0.5f, step);
        std::vector<float> all = state.params;
        all.insert(all.end(), state.m.begin(), state.m.end());
        all.insert(all.end(), state.v.begin(), state.v.end());
        double norm = 0;
        cpu::squared_norm(&norm, grads.data(), kElements, {});
        all.resize(all.size() + 2);
        std::memcpy(&all[all.size() - 2], &norm, sizeof norm);
        return all;
    });
}
