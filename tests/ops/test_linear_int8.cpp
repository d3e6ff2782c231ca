// test_linear_int8.cpp - a weight in 8 bits: how far its floats are from the weight's, and the linear with it.
#include <cmath>
#include <vector>

#include "nn/parameters.h"
#include "ops/ops.h"
#include "tests/support/allclose.h"
#include "tests/support/arrays.h"
#include "tests/support/catch.h"
#include "tests/support/throwing_failures.h"

namespace {

struct Layer {
    Parameters params{Device::kCpu};
    Linear w;

    Layer(const std::vector<float>& weight, int64_t OC, int64_t IC) {
        params.declare("layer.weight", {OC, IC}, &w.weight);
        params.declare("layer.bias", {OC}, &w.bias);
        params.allocate();
        params.set(w.weight, weight);
        params.set(w.bias, random_floats(OC, 2));
    }
};

}  // namespace

TEST_CASE("8-bit weight: every weight within half a step, the largest of a row exact", "[cpu][linear]") {
    constexpr int64_t OC = 30, IC = 77;
    std::vector<float> weight = random_floats(OC * IC, 1);
    for (int64_t o = 0; o < OC; o++)  // rows of all magnitudes
        for (int64_t i = 0; i < IC; i++) weight[size_t(o * IC + i)] *= std::pow(10.0f, float(o - 15));
    Layer layer(weight, OC, IC);
    const std::vector<float> floats = Int8Weight(layer.w.weight).floats();
    for (int64_t o = 0; o < OC; o++) {
        float largest = 0;
        int64_t at = 0;
        for (int64_t i = o * IC; i < (o + 1) * IC; i++)
            if (std::fabs(weight[size_t(i)]) > largest) largest = std::fabs(weight[size_t(i)]), at = i;
        CAPTURE(o, largest);
        for (int64_t i = o * IC; i < (o + 1) * IC; i++)
            REQUIRE(std::fabs(floats[size_t(i)] - weight[size_t(i)]) <= largest / 127 * 0.50001f);
        REQUIRE(std::fabs(floats[size_t(at)] - weight[size_t(at)]) <= largest * 1e-6f);
    }
}

TEST_CASE("8-bit weight: rounding what is rounded changes nothing; rows of zeros stay", "[cpu][linear]") {
    constexpr int64_t OC = 40, IC = 50;
    std::vector<float> weight = random_floats(OC * IC, 3);
    std::fill_n(weight.begin() + 5 * IC, 2 * IC, 0.0f);
    weight[size_t(6 * IC)] = 1e-45f;  // less than a scale can say
    Layer layer(weight, OC, IC);
    const std::vector<float> once = Int8Weight(layer.w.weight).floats();
    for (int64_t i = 5 * IC; i < 7 * IC; i++) REQUIRE(once[size_t(i)] == 0);
    layer.params.set(layer.w.weight, once);
    const std::vector<float> twice = Int8Weight(layer.w.weight).floats();
    REQUIRE(allclose("floats", "", twice.data(), once.data(), OC * IC, 1e-6, 0) == "");
}

TEST_CASE("8-bit linear: as the linear with the rounded weight", "[cpu][linear]") {
    constexpr int64_t OC = 70, IC = 130;
    Layer layer(random_floats(OC * IC, 4), OC, IC);
    const Int8Weight codes(layer.w.weight);
    layer.params.set(layer.w.weight, codes.floats());
    Context ctx;
    const NoGrad no_grad(ctx);
    for (const int64_t N : {1, 3, 11}) {
        CAPTURE(N);
        Tensor x = ctx.make("x", {N, 1, IC}), residual = ctx.make("residual", {N, 1, OC});
        const std::vector<float> values = random_floats(N * IC, 5), stream = random_floats(N * OC, 6);
        std::copy(values.begin(), values.end(), static_cast<float*>(x.ptr()));
        std::copy(stream.begin(), stream.end(), static_cast<float*>(residual.ptr()));
        const auto check = [&](const Tensor& got, const Tensor& want) {
            REQUIRE(got.shape_text() == want.shape_text());
            const float *a = got.ptr(), *b = want.ptr();
            REQUIRE(allclose("linear_int8", "", a, b, N * OC, 1e-5, 1e-5) == "");
        };
        check(linear_int8(ctx, x, layer.w, codes), linear(ctx, x, layer.w));
        check(linear_int8(ctx, x, layer.w, codes, residual), linear_residual(ctx, x, layer.w, residual));
        const Linear without_bias = {layer.w.weight, {}};
        check(linear_int8(ctx, x, without_bias, codes), linear(ctx, x, without_bias));
    }
}

TEST_CASE("8-bit linear refuses what it cannot do", "[cpu][linear]") {
    Layer layer(random_floats(6 * 5, 7), 6, 5);
    const Layer larger(random_floats(7 * 5, 7), 7, 5);
    const Int8Weight codes(layer.w.weight);
    Context ctx;
    const auto message = [](auto f) { return failure_of(f).message; };
    const Tensor x = ctx.make("x", {2, 5}), narrow = ctx.make("x", {2, 4});
    REQUIRE(message([&] { linear_int8(ctx, x, layer.w, codes); }).find("has no backward") !=
            std::string::npos);
    const NoGrad no_grad(ctx);
    REQUIRE(message([&] {
                linear_int8(ctx, narrow, layer.w, codes);
            }).find("x has 4 columns, layer.weight wants 5") != std::string::npos);
    REQUIRE(message([&] { linear_int8(ctx, x, larger.w, codes); }).find("not the codes of layer.weight") !=
            std::string::npos);
    REQUIRE(message([&] { linear_int8(ctx, x, layer.w, codes, x); }).find("residual is (2,5)") !=
            std::string::npos);
    REQUIRE(message([&] { Int8Weight vector(layer.w.bias); }).find("layer.bias is (6), no matrix") !=
            std::string::npos);
    std::vector<float> weight(30, 1.0f);
    weight[7] = GENERATE(NAN, INFINITY);
    layer.params.set(layer.w.weight, weight);
    const Failure failure = failure_of([&] { Int8Weight not_finite(layer.w.weight); });
    REQUIRE(failure.kind == FailureKind::kUser);
    REQUIRE(failure.message.find("layer.weight") != std::string::npos);
}
