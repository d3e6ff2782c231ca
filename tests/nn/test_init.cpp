// test_init.cpp - first weights: mean and spread as asked, and a random stream for each name.
#include "nn/init.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "nn/parameters.h"
#include "tests/support/catch.h"
#include "tests/support/gpu.h"

namespace {

struct Weights {
    Parameters params{Device::kCpu};
    Tensor a, b;

    Weights() {
        params.declare("a", {200, 100}, &a);
        params.declare("b", {200, 100}, &b);
        params.allocate();
    }
};

std::vector<float> values(const Tensor& t) {
    const float* x = t.ptr();
    return std::vector<float>(x, x + t.numel());
}

}  // namespace

TEST_CASE("fill_normal has mean 0 and the standard deviation asked for", "[nn][cpu]") {
    Weights w;
    fill_normal(w.params, w.a, 0.02f, 1);
    double sum = 0, squares = 0;
    for (const float x : values(w.a)) sum += double(x), squares += double(x) * double(x);
    const double n = double(w.a.numel());
    REQUIRE(std::fabs(sum / n) < 5 * 0.02 / std::sqrt(n));  // five standard errors
    REQUIRE(std::fabs(std::sqrt(squares / n) / 0.02 - 1) < 5 / std::sqrt(2 * n));
}

TEST_CASE("fill_uniform stays in its bounds and fills them", "[nn][cpu]") {
    Weights w;
    fill_uniform(w.params, w.a, 0.25f, 1);
    const std::vector<float> x = values(w.a);
    const auto [low, high] = std::minmax_element(x.begin(), x.end());
    REQUIRE((*low >= -0.25f && *low < -0.249f));
    REQUIRE((*high < 0.25f && *high > 0.249f));
    double sum = 0;
    for (const float value : x) sum += double(value);
    REQUIRE(std::fabs(sum / double(x.size())) < 5 * 0.25 / std::sqrt(3.0 * double(x.size())));
}

TEST_CASE("a parameter's numbers are a function of seed and name", "[nn][cpu]") {
    Weights one, two;
    fill_normal(one.params, one.a, 1, 7);
    fill_normal(one.params, one.b, 1, 7);
    fill_normal(two.params, two.b, 1, 7);  // without a: nothing else changes
    REQUIRE(values(one.b) == values(two.b));
    REQUIRE(values(one.a) != values(one.b));
    fill_normal(two.params, two.b, 1, 8);
    REQUIRE(values(one.b) != values(two.b));
    REQUIRE(stream_of_name("wte.weight") != stream_of_name("wpe.weight"));
}

TEST_CASE("fill sets every element", "[nn][cpu]") {
    Weights w;
    fill(w.params, w.a, 1);
    REQUIRE(values(w.a) == std::vector<float>(size_t(w.a.numel()), 1.0f));
    REQUIRE(values(w.b) == std::vector<float>(size_t(w.b.numel()), 0.0f));
}

#ifdef GPT_WITH_GPU
TEST_CASE("first weights on cuda are the CPU's, rounded where it stores less than float32", "[nn][cuda]") {
    Weights cpu;
    Parameters params(Device::kCuda);
    Tensor a, b;
    params.declare("a", {200, 100}, &a);
    params.declare("b", {200, 100}, &b);
    params.allocate();
    fill_normal(cpu.params, cpu.a, 0.02f, 3);
    fill_normal(params, a, 0.02f, 3);
    fill_uniform(cpu.params, cpu.b, 0.25f, 3);
    fill_uniform(params, b, 0.25f, 3);
    const std::vector<float> masters = floats_on_host(Device::kCuda, params.values(), params.count());
    REQUIRE(same_bytes(masters, floats_on_host(Device::kCpu, cpu.params.values(), params.count())));
    REQUIRE(same_bytes(floats_on_host(Device::kCuda, a.ptr(), a.numel()), stored(values(cpu.a))));
    REQUIRE(same_bytes(floats_on_host(Device::kCuda, b.ptr(), b.numel()), stored(values(cpu.b))));
}
#endif
