// test_attention.cpp - the op attention: finite differences through the tape, with dropout too, and what it
// refuses.
#include <vector>

#include "ops/ops.h"
#include "tests/support/catch.h"
#include "tests/support/op_gradcheck.h"
#include "tests/support/throwing_failures.h"

TEST_CASE("attention: the gradient is finite differences'", "[grad][cpu]") {
    const int64_t NH = GENERATE(1, 2), HS = GENERATE(3, 4);
    const float p = GENERATE(0.0f, 0.3f);
    CAPTURE(NH, HS, p);
    OpUnderTest op({{2, 5, 3 * NH * HS}});
    op.check("attention",
             [&](Context& ctx, const std::vector<Tensor>& in) { return attention(ctx, in[0], NH, p); });
}

TEST_CASE("attention drops nothing while nothing is recorded", "[cpu]") {
    OpUnderTest op({{2, 5, 24}});
    const auto output = [&](float p) {
        const NoGrad no_grad(op.ctx);
        const float* y = attention(op.ctx, op.make_inputs()[0], 2, p).ptr();
        return std::vector<float>(y, y + 2 * 5 * 8);
    };
    REQUIRE(output(0.5f) == output(0));
}

TEST_CASE("attention refuses columns that are not three times the heads", "[cpu]") {
    OpUnderTest op({{2, 5, 24}, {5, 24}});
    const std::vector<Tensor> in = op.make_inputs();
    REQUIRE_THAT(failure_of([&] { attention(op.ctx, in[0], 5, 0); }).message,
                 contains("[attention] wants (B,T,3*NH*HS) with NH=5, got (2,5,24)"));
    REQUIRE_THAT(failure_of([&] { attention(op.ctx, in[0], 0, 0); }).message,
                 contains("with NH=0, got (2,5,24)"));
    REQUIRE_THAT(failure_of([&] { attention(op.ctx, in[1], 2, 0); }).message,
                 contains("with NH=2, got (5,24)"));
}

TEST_CASE("attention refuses a second use of its input, whose gradient it would overwrite", "[cpu]") {
    OpUnderTest op({{1, 3, 12}});
    const OpFunction twice = [](Context& ctx, const std::vector<Tensor>& in) {
        return add(ctx, attention(ctx, in[0], 2, 0), attention(ctx, in[0], 2, 0));
    };
    REQUIRE_THAT(failure_of([&] { op.run(twice); }).message, contains("[attention] qkv is used twice"));
}
