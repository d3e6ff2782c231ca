// test_add_layernorm.cpp - the op add_layernorm: the bits of layernorm(add(residual, dropout(branch))), finite
// differences through both results, and what it refuses.
#include <cstring>
#include <vector>

#include "ops/ops.h"
#include "tests/support/catch.h"
#include "tests/support/op_gradcheck.h"
#include "tests/support/throwing_failures.h"

namespace {

// Which of the two results the loss depends on.
enum class Used { kSum, kNorm, kBoth };

struct Case {
    OpUnderTest op;
    LayerNorm ln;
    float p;
    Used used;

    Case(std::initializer_list<int64_t> shape, float p, Used used) : op({shape, shape}), p(p), used(used) {
        const int64_t C = *(shape.end() - 1);
        op.declare(&ln.weight, "ln.weight", {C});
        op.declare(&ln.bias, "ln.bias", {C});
    }
    Tensor pick(Context& ctx, const Tensor& sum, const Tensor& norm) const {
        return used == Used::kBoth ? add(ctx, norm, sum) : used == Used::kSum ? sum : norm;
    }
    Tensor fused(Context& ctx, const std::vector<Tensor>& in) const {
        const SumAndNorm both = add_layernorm(ctx, in[0], in[1], ln, p);
        return pick(ctx, both.sum, both.norm);
    }
    Tensor in_parts(Context& ctx, const std::vector<Tensor>& in) const {
        Tensor sum = add(ctx, in[0], dropout(ctx, in[1], p));
        return pick(ctx, sum, layernorm(ctx, sum, ln));
    }
};

}  // namespace

TEST_CASE("add_layernorm equals dropout, add, layernorm to the last bit", "[cpu]") {
    const float p = GENERATE(0.0f, 0.3f);
    const Used used = GENERATE(Used::kSum, Used::kNorm, Used::kBoth);
    // 19 columns: rows begin at no multiple of Philox's four; 67 rows: two tasks, and a last group of three
    const int64_t rows = GENERATE(1, 3, 67), C = GENERATE(1, 19, 48);
    CAPTURE(p, int(used), rows, C);
    Case c({1, rows, C}, p, used);
    const auto fused =
        c.op.run([&](Context& ctx, const std::vector<Tensor>& in) { return c.fused(ctx, in); });
    const auto parts =
        c.op.run([&](Context& ctx, const std::vector<Tensor>& in) { return c.in_parts(ctx, in); });
    REQUIRE(same_bytes(fused.output, parts.output));
    REQUIRE(fused.gradients.size() == 4);
    for (size_t i = 0; i < fused.gradients.size(); i++) {
        CAPTURE(i);
        REQUIRE(same_bytes(fused.gradients[i], parts.gradients[i]));
    }
}

TEST_CASE("add_layernorm: gradients are finite differences'", "[grad][cpu]") {
    const float p = GENERATE(0.0f, 0.3f);
    Case c({2, 3, 19}, p, Used::kBoth);
    c.op.check("add_layernorm",
               [&](Context& ctx, const std::vector<Tensor>& in) { return c.fused(ctx, in); });
}

TEST_CASE("add_layernorm of one tensor twice: both gradients arrive", "[grad][cpu]") {
    Case c({2, 3, 7}, 0.3f, Used::kBoth);
    c.op.shapes.pop_back(), c.op.values.pop_back();
    c.op.check("add_layernorm(x, x)", [&](Context& ctx, const std::vector<Tensor>& in) {
        return c.fused(ctx, {in[0], in[0]});
    });
}

TEST_CASE("add_layernorm drops nothing when nothing is recorded", "[cpu]") {
    Case c({2, 3, 7}, 0.5f, Used::kSum);
    c.op.allocate();
    const std::vector<Tensor> in = c.op.make_inputs();
    const NoGrad guard(c.op.ctx);
    const Tensor sum = c.fused(c.op.ctx, in), want = add(c.op.ctx, in[0], in[1]);
    REQUIRE(std::memcmp(sum.memory, want.memory, sum.bytes()) == 0);
}

TEST_CASE("add_layernorm refuses shapes that do not fit", "[cpu]") {
    OpUnderTest op({{2, 3}, {3, 2}});
    LayerNorm ln, crooked;
    op.declare(&ln.weight, "ln.weight", {3});
    op.declare(&ln.bias, "ln.bias", {3});
    op.declare(&crooked.weight, "crooked.weight", {4});
    op.allocate();
    crooked.bias = ln.bias;
    const std::vector<Tensor> in = op.make_inputs();
    REQUIRE_THAT(failure_of([&] { add_layernorm(op.ctx, in[0], in[1], ln, 0); }).message,
                 contains("[add_layernorm] residual is (2,3), branch is (3,2)"));
    REQUIRE_THAT(failure_of([&] { add_layernorm(op.ctx, in[0], in[0], crooked, 0); }).message,
                 contains("[add_layernorm] residual has C=3, crooked.weight has 4"));
    REQUIRE_THAT(failure_of([&] { add_layernorm(op.ctx, in[0], in[0], ln, 1); }).message,
                 contains("[add_layernorm] p is 1, wants [0,1)"));
}
