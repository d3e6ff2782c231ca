// test_parameters.cpp - one flat block of weights, one of gradients: where each lies, and that padding stays
// zero.
#include "nn/parameters.h"

#include <string>

#include "tests/support/catch.h"
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
    for (int64_t i = 0; i < params.count(); i++) params.values()[i] = params.grads()[i] = 1;
    params.zero_grad();
    for (int64_t i = 0; i < params.count(); i++) REQUIRE((params.values()[i] == 1 && params.grads()[i] == 0));
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
