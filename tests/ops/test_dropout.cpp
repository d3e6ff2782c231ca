// test_dropout.cpp - the op dropout: finite differences with the mask held still, and which mask a use gets.
#include <vector>

#include "ops/ops.h"
#include "tests/support/catch.h"
#include "tests/support/op_gradcheck.h"
#include "tests/support/throwing_failures.h"

namespace {

std::vector<float> masks_of(Context& ctx, int uses) {
    const std::vector<float> ones(64, 1.0f);
    std::vector<float> all;
    for (int i = 0; i < uses; i++) {
        const float* y = dropout(ctx, make_tensor(ctx, "x", {64}, ones), 0.5f).ptr();
        all.insert(all.end(), y, y + 64);
    }
    ctx.end_step();
    return all;
}

}  // namespace

TEST_CASE("dropout: the gradient is finite differences', through the forward's mask", "[grad][cpu]") {
    OpUnderTest op({{3, 5, 7}});
    op.check("dropout",
             [](Context& ctx, const std::vector<Tensor>& in) { return dropout(ctx, in[0], 0.3f); });
    op.check("dropout of dropout", [](Context& ctx, const std::vector<Tensor>& in) {
        return dropout(ctx, dropout(ctx, in[0], 0.3f), 0.2f);
    });
}

TEST_CASE("dropout is x itself at probability 0 and while nothing is recorded", "[cpu]") {
    OpUnderTest op({{1, 5}});
    const Tensor x = op.make_inputs()[0];
    REQUIRE(dropout(op.ctx, x, 0).memory == x.memory);
    const NoGrad no_grad(op.ctx);
    REQUIRE(dropout(op.ctx, x, 0.5f).memory == x.memory);
    REQUIRE(op.ctx.tape.empty());
}

TEST_CASE("each use of dropout in a run has a mask of its own, and a run can be repeated", "[cpu]") {
    Context a, b;
    a.seed = b.seed = 3;
    const std::vector<float> first = masks_of(a, 2);
    REQUIRE(std::vector<float>(first.begin(), first.begin() + 64) !=
            std::vector<float>(first.begin() + 64, first.end()));
    REQUIRE(masks_of(b, 2) == first);  // (seed, step, site) is all there is to it
    b.step = 1;
    REQUIRE(masks_of(b, 2) != first);
    b.step = 0;
    REQUIRE(masks_of(b, 2) == first);
    b.seed = 4;
    REQUIRE(masks_of(b, 2) != first);
}

TEST_CASE("dropout refuses a probability outside [0, 1)", "[cpu]") {
    OpUnderTest op({{1, 5}});
    const Tensor x = op.make_inputs()[0];
    const float p = GENERATE(1.0f, -0.5f, 2.0f);
    REQUIRE_THAT(failure_of([&] { dropout(op.ctx, x, p); }).message,
                 contains(format("[dropout] p is %g", double(p))));
}
