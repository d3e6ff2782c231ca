// test_linear.cpp - linear, linear_residual and mlp: finite differences through the tape; the fused ops
// against their parts; what they refuse.
#include <cmath>
#include <vector>

#include "ops/ops.h"
#include "tests/support/allclose.h"
#include "tests/support/catch.h"
#include "tests/support/op_gradcheck.h"
#include "tests/support/throwing_failures.h"

namespace {

// Fused and in parts, the same products are summed in the same order; only where the bias, the residual and a
// second gradient enter the sum differs.
constexpr double kFusedTolerance = 2e-6;

void declare(OpUnderTest& op, Linear& w, const char* weight, const char* bias, int64_t OC, int64_t IC) {
    op.declare(&w.weight, weight, {OC, IC});
    if (bias) op.declare(&w.bias, bias, {OC});
}

struct Mlp {
    OpUnderTest op;
    Linear c_fc, c_proj;
    Activation kind;

    Mlp(Activation kind, int64_t C, int64_t rows) : op({{2, rows, C}, {2, rows, C}}), kind(kind) {
        declare(op, c_fc, "c_fc.weight", "c_fc.bias", 4 * C, C);
        declare(op, c_proj, "c_proj.weight", "c_proj.bias", C, 4 * C);
        op.allocate();
    }
    // Finite differences must not step over the kink of ReLU: biases of at least 1, and weights that sum to
    // less.
    void keep_away_from_zero() {
        float* weight = c_fc.weight.ptr();
        float* bias = c_fc.bias.ptr();
        for (int64_t i = 0; i < c_fc.weight.numel(); i++) weight[i] *= 0.2f;
        for (int64_t i = 0; i < c_fc.bias.numel(); i++) bias[i] += bias[i] < 0 ? -1.0f : 1.0f;
    }
    Tensor fused(Context& ctx, const Tensor& x, const Tensor& residual) {
        return mlp(ctx, x, c_fc, c_proj, kind, residual);
    }
    Tensor in_parts(Context& ctx, const Tensor& x, const Tensor& residual) {
        Tensor y = linear(ctx, activation(ctx, linear(ctx, x, c_fc), kind), c_proj);
        return residual.is_null() ? y : add(ctx, residual, y);
    }
};

void require_equal_runs(const std::string& name, const OpUnderTest::Run& got, const OpUnderTest::Run& want) {
    REQUIRE(allclose(name, "output", got.output.data(), want.output.data(), int64_t(want.output.size()),
                     kFusedTolerance, kFusedTolerance) == "");
    REQUIRE(got.gradients.size() == want.gradients.size());
    for (size_t i = 0; i < want.gradients.size(); i++) {
        CAPTURE(name, i);
        REQUIRE(relative_norm_error(got.gradients[i].data(), want.gradients[i].data(),
                                    int64_t(want.gradients[i].size())) < kFusedTolerance);
    }
}

}  // namespace

TEST_CASE("linear: gradients are finite differences'", "[grad][cpu]") {
    const bool has_bias = GENERATE(true, false);
    OpUnderTest op({{2, 3, 7}});
    Linear w;
    declare(op, w, "weight", has_bias ? "bias" : nullptr, 5, 7);
    op.check("linear", [&](Context& ctx, const std::vector<Tensor>& in) { return linear(ctx, in[0], w); });
}

TEST_CASE("linear of a matrix keeps two dimensions, of a batch three", "[cpu]") {
    OpUnderTest op({{6, 7}, {2, 3, 7}});
    Linear w;
    declare(op, w, "weight", nullptr, 5, 7);
    op.allocate();
    const std::vector<Tensor> in = op.make_inputs();
    REQUIRE(linear(op.ctx, in[0], w).shape_text() == "(6,5)");
    REQUIRE(linear(op.ctx, in[1], w).shape_text() == "(2,3,5)");
}

TEST_CASE("linear_residual: gradients are finite differences'", "[grad][cpu]") {
    const bool has_bias = GENERATE(true, false);
    OpUnderTest op({{2, 3, 7}, {2, 3, 5}});
    Linear w;
    declare(op, w, "weight", has_bias ? "bias" : nullptr, 5, 7);
    op.check("linear_residual", [&](Context& ctx, const std::vector<Tensor>& in) {
        return linear_residual(ctx, in[0], w, in[1]);
    });
}

TEST_CASE("linear_residual of one tensor twice: both gradients arrive", "[grad][cpu]") {
    OpUnderTest op({{2, 3, 5}});
    Linear w;
    declare(op, w, "weight", "bias", 5, 5);
    op.check("linear_residual(x, x)", [&](Context& ctx, const std::vector<Tensor>& in) {
        return linear_residual(ctx, in[0], w, in[0]);
    });
}

TEST_CASE("linear_residual equals add of linear", "[cpu]") {
    const auto [rows, IC, OC] =
        GENERATE(table<int64_t, int64_t, int64_t>({{1, 1, 1}, {3, 7, 5}, {33, 65, 48}}));
    CAPTURE(rows, IC, OC);
    OpUnderTest op({{2, rows, IC}, {2, rows, OC}});
    Linear w;
    declare(op, w, "weight", "bias", OC, IC);
    const auto fused = op.run(
        [&](Context& ctx, const std::vector<Tensor>& in) { return linear_residual(ctx, in[0], w, in[1]); });
    const auto parts = op.run(
        [&](Context& ctx, const std::vector<Tensor>& in) { return add(ctx, in[1], linear(ctx, in[0], w)); });
    require_equal_runs("linear_residual", fused, parts);
}

TEST_CASE("mlp: gradients are finite differences'", "[grad][cpu]") {
    const Activation kind = GENERATE(Activation::kGelu, Activation::kRelu);
    const bool has_residual = GENERATE(true, false);
    CAPTURE(int(kind), has_residual);
    Mlp m(kind, 5, 3);
    if (kind == Activation::kRelu) m.keep_away_from_zero();
    if (!has_residual) m.op.shapes.pop_back(), m.op.values.pop_back();
    m.op.check("mlp", [&](Context& ctx, const std::vector<Tensor>& in) {
        return m.fused(ctx, in[0], has_residual ? in[1] : Tensor{});
    });
}

TEST_CASE("mlp of one tensor as input and residual: both gradients arrive", "[grad][cpu]") {
    Mlp m(Activation::kGelu, 5, 3);
    m.op.shapes.pop_back(), m.op.values.pop_back();
    m.op.check("mlp(x, x)",
               [&](Context& ctx, const std::vector<Tensor>& in) { return m.fused(ctx, in[0], in[0]); });
}

TEST_CASE("mlp equals linear, activation, linear, add", "[cpu]") {
    const Activation kind = GENERATE(Activation::kGelu, Activation::kRelu);
    const auto [rows, C] = GENERATE(table<int64_t, int64_t>({{1, 1}, {3, 5}, {17, 48}}));
    const bool has_residual = GENERATE(true, false);
    CAPTURE(int(kind), rows, C, has_residual);
    Mlp m(kind, C, rows);
    const auto residual = [&](const std::vector<Tensor>& in) { return has_residual ? in[1] : Tensor{}; };
    const auto fused = m.op.run(
        [&](Context& ctx, const std::vector<Tensor>& in) { return m.fused(ctx, in[0], residual(in)); });
    const auto parts = m.op.run(
        [&](Context& ctx, const std::vector<Tensor>& in) { return m.in_parts(ctx, in[0], residual(in)); });
    require_equal_runs("mlp", fused, parts);
}

TEST_CASE("linear ops refuse shapes that do not fit, and name the weight and both sizes", "[cpu]") {
    OpUnderTest op({{2, 3, 7}, {2, 3, 4}});
    Linear w, crooked;
    declare(op, w, "h.0.attn.c_proj.weight", "h.0.attn.c_proj.bias", 5, 7);
    declare(op, crooked, "h.0.mlp.c_fc.weight", "h.0.mlp.c_fc.bias", 6, 7);
    op.allocate();
    crooked.bias = w.bias;
    const std::vector<Tensor> in = op.make_inputs();
    Context& ctx = op.ctx;
    REQUIRE_THAT(failure_of([&] { linear(ctx, in[1], w); }).message,
                 contains("[linear] x has 4 columns, h.0.attn.c_proj.weight wants 7"));
    REQUIRE_THAT(failure_of([&] { linear(ctx, in[0], crooked); }).message,
                 contains("[linear] h.0.mlp.c_fc.weight gives 6 columns, h.0.attn.c_proj.bias has 5"));
    REQUIRE_THAT(failure_of([&] { linear_residual(ctx, in[1], w, in[1]); }).message,
                 contains("[linear_residual] x has 4 columns, h.0.attn.c_proj.weight wants 7"));
    REQUIRE_THAT(failure_of([&] { linear_residual(ctx, in[0], w, in[1]); }).message,
                 contains("[linear_residual] residual is (2,3,4), linear gives (2,3,5)"));
    REQUIRE_THAT(failure_of([&] { mlp(ctx, in[0], w, w, Activation::kGelu, in[1]); }).message,
                 contains("[mlp] x has 5 columns, h.0.attn.c_proj.weight wants 7"));
}
