// test_activations.cpp - the ops gelu and relu: finite differences through the tape.
#include <vector>

#include "ops/ops.h"
#include "tests/support/catch.h"
#include "tests/support/op_gradcheck.h"

TEST_CASE("gelu: the gradient is finite differences'", "[grad][cpu]") {
    OpUnderTest op({{3, 5, 7}});
    op.check("gelu", [](Context& ctx, const std::vector<Tensor>& in) { return gelu(ctx, in[0]); });
}

TEST_CASE("relu: the gradient is finite differences'", "[grad][cpu]") {
    OpUnderTest op({{3, 5, 7}});
    for (float& x : op.values[0]) x += x < 0 ? -0.1f : 0.1f;  // no step over the kink
    op.check("relu", [](Context& ctx, const std::vector<Tensor>& in) { return relu(ctx, in[0]); });
}

TEST_CASE("activation picks the op that it is told", "[cpu]") {
    OpUnderTest op({{2, 9}});
    const auto run = [&](auto f) { return op.run(f).output; };
    const auto gelu_output = run([](Context& ctx, const auto& in) { return gelu(ctx, in[0]); });
    const auto relu_output = run([](Context& ctx, const auto& in) { return relu(ctx, in[0]); });
    REQUIRE(run([](Context& ctx, const auto& in) { return activation(ctx, in[0], Activation::kGelu); }) ==
            gelu_output);
    REQUIRE(run([](Context& ctx, const auto& in) { return activation(ctx, in[0], Activation::kRelu); }) ==
            relu_output);
    REQUIRE(gelu_output != relu_output);
}
