// test_parameters.cpp - one flat block of weights, one of gradients: where each lies, and that padding stays
// zero.
#include "nn/parameters.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "core/context.h"
#include "tests/support/catch.h"
#include "tests/support/gpu.h"
#include "tests/support/throwing_failures.h"

TEST_CASE("parameters: matrices first, vectors behind them, each aligned, names and shapes kept",
          "[nn][cpu]") {
    Parameters params(Device::kCpu);
    Tensor bias, weight, norm, table;
    params.declare("h.0.bias", {5}, &bias);
    params.declare("h.0.weight", {5, 3}, &weight);
    params.declare("norm", {17}, &norm);
    params.declare("table", {2, 16}, &table);
    params.allocate();

    REQUIRE(params.size() == 4);
    REQUIRE(params.numel() == 5 + 15 + 17 + 32);
    REQUIRE(params.matrix_count() == 16 + 32);
    REQUIRE(params.count() == 16 + 32 + 16 + 32);  // each padded to 16 floats
    REQUIRE(params.offset(1) == 0);
    REQUIRE(params.offset(3) == 16);
    REQUIRE(params.offset(0) == 48);
    REQUIRE(params.offset(2) == 64);
    for (size_t i = 0; i < params.size(); i++) {
        const Tensor& p = params[i];
        REQUIRE(p.memory == params.values() + params.offset(i));
        REQUIRE(p.gradient->memory == params.grads() + params.offset(i));
        REQUIRE(reinterpret_cast<uintptr_t>(p.memory) % 64 == 0);
        REQUIRE(p.gradient->is_parameter);
    }
    REQUIRE(std::string(params[0].name) == "h.0.bias");
    REQUIRE(params[1].shape_text() == "(5,3)");
    for (int64_t i = 0; i < params.count(); i++) REQUIRE((params.values()[i] == 0 && params.grads()[i] == 0));
}

TEST_CASE("parameters: zero_grad clears gradients and nothing else", "[nn][cpu]") {
    Parameters params(Device::kCpu);
    Tensor w;
    params.declare("w", {3, 3}, &w);
    params.allocate();
    for (int64_t i = 0; i < params.count(); i++) params.values()[i] = 1;
    std::fill_n(params.grads(), w.numel(), 1.0f);
    params.zero_grad();
    for (int64_t i = 0; i < params.count(); i++) REQUIRE((params.values()[i] == 1 && params.grads()[i] == 0));
}

TEST_CASE("parameters: what is left of a gradient after zero_grad is never read", "[nn][cpu]") {
    Parameters params(Device::kCpu);
    Tensor matrix, other, bias;
    params.declare("matrix", {3, 3}, &matrix);
    params.declare("other", {2, 3}, &other);
    params.declare("bias", {3}, &bias);
    params.allocate();
    Context ctx;
    const auto poison_and_clear = [&] {
        for (const Tensor* p : {&matrix, &other, &bias}) std::fill_n(gradient_to_add_to(*p), p->numel(), NAN);
        params.zero_grad();
    };
    poison_and_clear();
    REQUIRE_FALSE(ctx.grad(matrix).accumulate);  // the first sets,
    REQUIRE(ctx.grad(matrix).accumulate);        // the second adds;
    poison_and_clear();
    for (int64_t i = 0; i < 9; i++) REQUIRE(ctx.param_grad(matrix)[i] == 0);  // who always adds finds zeros,
    REQUIRE(ctx.grad(matrix).accumulate);
    for (int64_t i = 0; i < 3; i++) REQUIRE(ctx.param_grad(bias)[i] == 0);
    for (int64_t i = 0; i < params.count(); i++)
        REQUIRE(params.grads()[i] == 0);  // and so does who reads all
    REQUIRE(ctx.grad(other).accumulate);
}

TEST_CASE("parameters are declared before they are allocated, once", "[nn][cpu]") {
    Parameters params(Device::kCpu);
    Tensor w, late;
    params.declare("w", {3, 3}, &w);
    params.allocate();
    REQUIRE_THAT(failure_of([&] { params.declare("late", {3}, &late); }).message,
                 contains("late declared after"));
    REQUIRE_THAT(failure_of([&] { params.allocate(); }).message, contains("allocated twice"));
}

TEST_CASE("parameters on the CPU are all float32: kernels read what is trained", "[nn][cpu]") {
    Parameters params(Device::kCpu);
    Tensor w;
    params.declare("w", {3, 3}, &w);
    params.allocate();
    const std::vector<float> weights = {1, 2, 3, 4, 5, 6, 7, 8, 9.1f};
    params.set(w, weights);
    params.round({1, 1, 0});  // nothing to do
    REQUIRE(w.dtype == DType::kFloat32);
    REQUIRE(std::vector<float>(params.values(), params.values() + 9) == weights);
    REQUIRE(static_cast<float*>(params.rounded_copy(4)) == nullptr);
    REQUIRE_THAT(failure_of([&] { params.set(w, {1, 2}); }).message, contains("CHECK_EQ"));
    REQUIRE_THAT(failure_of([&] { params.set(Tensor{}, {}); }).message, contains("is no parameter"));
}

#ifdef GPT_WITH_GPU
TEST_CASE("parameters on the CUDA device: float32 masters, and beside them what kernels read", "[nn][cuda]") {
    Parameters params(Device::kCuda);
    Tensor bias, weight;
    params.declare("bias", {5}, &bias);
    params.declare("weight", {5, 3}, &weight);
    params.allocate();
    const std::vector<float> w = random_floats(15, 1), b = random_floats(5, 2);
    params.set(weight, w);
    params.set(bias, b);

    const auto masters = [&](size_t i) {
        return floats_on_host(Device::kCuda, params.values() + params.offset(i), params[i].numel());
    };
    const auto read = [&](const Tensor& t) { return floats_on_host(Device::kCuda, t.ptr(), t.numel()); };
    REQUIRE(same_bytes(masters(1), w));
    REQUIRE(same_bytes(masters(0), b));
    REQUIRE(same_bytes(read(weight), stored(w)));
    REQUIRE(same_bytes(read(bias), stored(b)));
    REQUIRE(weight.dtype == storage_dtype(Device::kCuda));
    const bool has_two = storage_dtype(Device::kCuda) != DType::kFloat32;
    REQUIRE((params.rounded_copy(0).memory != nullptr) == has_two);
    REQUIRE((weight.memory == params.values() + params.offset(1)) == !has_two);

    // rounded by the words of their places in the block, which is what AdamW's kernel does
    const WeightRounding rounding{5, 6, 0};
    params.round(rounding);
    std::vector<float> want = w;
    for (size_t i = 0; i < want.size() && has_two; i++) {
        const auto place = uint64_t(params.offset(1)) + i;
        want[i] = bfloat16_to_float(bfloat16_stochastic(w[i], rounding.words(place / 4 * 4).word[place % 4]));
    }
    REQUIRE(same_bytes(read(weight), want));
    REQUIRE(same_bytes(masters(1), w));
    if (has_two) REQUIRE_FALSE(same_bytes(want, stored(w)));
}
#endif
