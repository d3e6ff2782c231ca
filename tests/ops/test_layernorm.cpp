// test_layernorm.cpp - the op layernorm: finite differences through the tape, and what it refuses.
#include <vector>

#include "ops/ops.h"
#include "tests/support/catch.h"
#include "tests/support/op_gradcheck.h"
#include "tests/support/throwing_failures.h"

TEST_CASE("layernorm: gradients are finite differences'", "[grad][cpu]") {
    OpUnderTest op({{2, 3, 19}});
    LayerNorm ln;
    op.declare(&ln.weight, "ln.weight", {19});
    op.declare(&ln.bias, "ln.bias", {19});
    op.check("layernorm",
             [&](Context& ctx, const std::vector<Tensor>& in) { return layernorm(ctx, in[0], ln); });
}

TEST_CASE("layernorm refuses parameters of another width", "[cpu]") {
    OpUnderTest op({{2, 3}});
    LayerNorm ln, crooked;
    op.declare(&ln.weight, "weight", {4});
    op.declare(&ln.bias, "bias", {4});
    op.declare(&crooked.weight, "weight", {3});
    op.allocate();
    crooked.bias = ln.bias;
    const Tensor x = op.make_inputs()[0];
    REQUIRE_THAT(failure_of([&] { layernorm(op.ctx, x, ln); }).message,
                 contains("[layernorm] x has C=3, weight wants 4"));
    REQUIRE_THAT(failure_of([&] { layernorm(op.ctx, x, crooked); }).message,
                 contains("[layernorm] x has C=3, bias wants 4"));
}
