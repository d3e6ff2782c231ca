// test_activations.cpp - GELU against its tanh form in double, ReLU against its definition.
#include <cmath>
#include <vector>

#include "kernels/kernels.h"
#include "tests/kernels/problems/activations.h"
#include "tests/support/allclose.h"
#include "tests/support/arrays.h"
#include "tests/support/catch.h"

namespace {

using namespace activations_problem;

using Forward = void (*)(float*, const float*, int64_t, Stream);
using Backward = void (*)(float*, const float*, const float*, int64_t, bool, Stream);

void compare(const char* name, Forward forward, Backward backward, double (*f)(double), double (*df)(double),
             double tolerance) {
    // note: 16384 elements are a task; the last has more than one, the second and third ragged.
    const int64_t n = GENERATE(1, 3, 15, 16, 17, 33, 1000, 50001);
    const Threads two(2);
    const std::vector<float> x = inputs(n), dout = random_floats(n, 2), before = random_floats(n, 3);
    std::vector<double> want(static_cast<size_t>(n));
    const auto close = [&](const char* what, const std::vector<float>& got) {
        return allclose(std::string(name) + what, format("n=%lld", (long long)n), got.data(), want.data(), n,
                        tolerance, tolerance);
    };

    std::vector<float> out(size_t(n), NAN);
    forward(out.data(), x.data(), n, {});
    for (size_t i = 0; i < x.size(); i++) want[i] = f(double(x[i]));
    REQUIRE(close("_forward", out) == "");
    out = x;
    forward(out.data(), out.data(), n, {});
    REQUIRE(close("_forward in place", out) == "");

    std::vector<float> dinp(size_t(n), NAN);
    backward(dinp.data(), dout.data(), x.data(), n, false, {});
    for (size_t i = 0; i < x.size(); i++) want[i] = double(dout[i]) * df(double(x[i]));
    REQUIRE(close("_backward", dinp) == "");
    dinp = before;
    backward(dinp.data(), dout.data(), x.data(), n, true, {});
    for (size_t i = 0; i < x.size(); i++) want[i] += double(before[i]);
    REQUIRE(close("_backward, accumulated", dinp) == "");
}

}  // namespace

TEST_CASE("gelu equals its tanh form in double", "[cpu]") {
    compare("gelu", cpu::gelu_forward, cpu::gelu_backward, gelu, gelu_derivative, kTolerance);
}

TEST_CASE("relu equals its definition; its derivative at 0 is 0", "[cpu]") {
    const auto relu = [](double x) { return x > 0 ? x : 0.0; };
    const auto step = [](double x) { return x > 0 ? 1.0 : 0.0; };
    compare("relu", cpu::relu_forward, cpu::relu_backward, relu, step, 1e-7);  // the addition rounds once
}

TEST_CASE("an activation hides no NaN", "[cpu]") {
    const std::vector<float> x(19, NAN);
    std::vector<float> y(19, 0.0f);
    cpu::gelu_forward(y.data(), x.data(), 19, {});
    for (const float value : y) REQUIRE(std::isnan(value));
    cpu::relu_forward(y.data(), x.data(), 19, {});
    for (const float value : y) REQUIRE(std::isnan(value));
}

TEST_CASE("activations leave the same bytes for any number of threads", "[cpu]") {
    const std::vector<float> x = inputs(40003), dout = random_floats(40003, 2);
    require_same_bytes_for_any_threads([&] {
        std::vector<float> y(4 * x.size());
        const int64_t n = int64_t(x.size());
        cpu::gelu_forward(y.data(), x.data(), n, {});
        cpu::gelu_backward(y.data() + n, dout.data(), x.data(), n, false, {});
        cpu::relu_forward(y.data() + 2 * n, x.data(), n, {});
        cpu::relu_backward(y.data() + 3 * n, dout.data(), x.data(), n, false, {});
        return y;
    });
}
