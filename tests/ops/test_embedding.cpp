// test_embedding.cpp - the op embedding: finite differences through the tape, and what it refuses.
#include <vector>

#include "ops/ops.h"
#include "tests/support/catch.h"
#include "tests/support/op_gradcheck.h"
#include "tests/support/throwing_failures.h"

TEST_CASE("embedding: gradients of both tables are finite differences'", "[grad][cpu]") {
    OpUnderTest op({});
    Tensor wte, wpe;
    op.declare(&wte, "wte", {5, 6});
    op.declare(&wpe, "wpe", {4, 6});
    const std::vector<int> ids = {0, 4, 4,
                                  2, 4, 0};  // 4 three times, 1 and 3 never; the last position unused
    op.check("embedding", [&](Context& ctx, const std::vector<Tensor>&) {
        return embedding(ctx, ctx.ids(ids.data(), {2, 3}), wte, wpe);
    });
}

TEST_CASE("embedding refuses shapes that do not fit, and names both", "[cpu]") {
    OpUnderTest op({});
    Tensor wte, wpe, narrow;
    op.declare(&wte, "wte", {5, 6});
    op.declare(&wpe, "wpe", {4, 6});
    op.declare(&narrow, "wpe", {4, 7});
    op.allocate();
    const std::vector<int> ids(10, 0);
    const auto refusal = [&](std::initializer_list<int64_t> shape, const Tensor& positions) {
        return failure_of([&] { embedding(op.ctx, op.ctx.ids(ids.data(), shape), wte, positions); }).message;
    };
    REQUIRE_THAT(refusal({2, 5}, wpe), contains("[embedding] 5 positions, wpe has 4"));
    REQUIRE_THAT(refusal({10}, wpe), contains("[embedding] wants ids (B,T) int32, got (10) int32"));
    REQUIRE_THAT(refusal({2, 3}, narrow), contains("[embedding] wte has C=6, wpe has 7"));
    const Failure floats = failure_of([&] { embedding(op.ctx, op.ctx.make("x", {2, 3}), wte, wpe); });
    REQUIRE_THAT(floats.message, contains("[embedding] wants ids (B,T) int32, got (2,3) float32"));
}
