// test_add.cpp - the op add: finite differences through the tape, one tensor twice, and what it refuses.
#include <vector>

#include "ops/ops.h"
#include "tests/support/catch.h"
#include "tests/support/op_gradcheck.h"
#include "tests/support/throwing_failures.h"

TEST_CASE("add: gradients are finite differences'", "[grad][cpu]") {
    OpUnderTest op({{2, 3, 5}, {2, 3, 5}});
    op.check("add", [](Context& ctx, const std::vector<Tensor>& in) { return add(ctx, in[0], in[1]); });
}

TEST_CASE("add(x, x) doubles the gradient", "[grad][cpu]") {
    OpUnderTest op({{1, 17}});
    const OpFunction twice = [](Context& ctx, const std::vector<Tensor>& in) {
        return add(ctx, in[0], in[0]);
    };
    op.check("add(x, x)", twice);
    const std::vector<float> gradient = op.run(twice).gradients[0];
    for (size_t i = 0; i < gradient.size(); i++) REQUIRE(gradient[i] == 2 * op.weights[i]);
}

TEST_CASE("add refuses two shapes", "[cpu]") {
    OpUnderTest op({{2, 3}, {3, 2}, {2, 3, 1}});
    const std::vector<Tensor> in = op.make_inputs();
    REQUIRE_THAT(failure_of([&] { add(op.ctx, in[0], in[1]); }).message,
                 contains("[add] a is (2,3), b is (3,2)"));
    REQUIRE_THAT(failure_of([&] { add(op.ctx, in[0], in[2]); }).message,
                 contains("[add] a is (2,3), b is (2,3,1)"));
}
