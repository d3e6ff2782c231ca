// test_gradients.cpp - the rules by which gradients gather: the first writer sets and later ones add,
// a parameter's adds until zero_grad, a gradient that is only passed on changes hands instead of being copied.
#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/gradients.h"
#include "ops/ops.h"
#include "tests/support/allclose.h"
#include "tests/support/catch.h"
#include "tests/support/op_gradcheck.h"
#include "tests/support/throwing_failures.h"

namespace {

// Ops that keep their input's shape (2,3,8), so that each can share that input with another.
struct SameShapeOps {
    OpUnderTest op{{{2, 3, 8}}};
    LayerNorm ln;
    Linear w, c_fc, c_proj;

    SameShapeOps() {
        op.declare(&ln.weight, "ln.weight", {8});
        op.declare(&ln.bias, "ln.bias", {8});
        op.declare(&w.weight, "w.weight", {8, 8});
        op.declare(&c_fc.weight, "c_fc.weight", {32, 8});
        op.declare(&c_fc.bias, "c_fc.bias", {32});
        op.declare(&c_proj.weight, "c_proj.weight", {8, 32});
        op.declare(&c_proj.bias, "c_proj.bias", {8});
        op.allocate();
    }
    Tensor apply(Context& ctx, const std::string& name, const Tensor& x) {
        if (name == "layernorm") return layernorm(ctx, x, ln);
        if (name == "linear") return linear(ctx, x, w);
        if (name == "linear_residual") return linear_residual(ctx, x, w, x);
        if (name == "mlp") return mlp(ctx, x, c_fc, c_proj, Activation::kGelu, Tensor{});
        if (name == "mlp with residual") return mlp(ctx, x, c_fc, c_proj, Activation::kGelu, x);
        if (name == "relu") return relu(ctx, x);
        if (name == "dropout") return dropout(ctx, x, 0.25f);
        if (name == "add") return add(ctx, x, x);
        CHECK(name == "gelu", "[test] no op %s", name.c_str());
        return gelu(ctx, x);
    }
};

}  // namespace

TEST_CASE("a tensor that two ops read gets the sum of both gradients, whichever writes first",
          "[grad][cpu]") {
    const std::string name = GENERATE(as<std::string>{}, "layernorm", "linear", "linear_residual", "mlp",
                                      "mlp with residual", "gelu", "relu", "dropout", "add");
    const bool is_last = GENERATE(false, true);  // the last recorded writes first
    CAPTURE(name, is_last);
    SameShapeOps ops;
    const auto gradients = [&](const OpFunction& f) { return ops.op.run(f).gradients[0]; };
    // note: dropout draws by its place in the step, so it must be the only one, here and there.
    const std::vector<float> own =
        gradients([&](Context& ctx, const auto& in) { return ops.apply(ctx, name, in[0]); });
    const std::vector<float> others =
        gradients([&](Context& ctx, const auto& in) { return layernorm(ctx, in[0], ops.ln); });
    const std::vector<float> both = gradients([&](Context& ctx, const auto& in) {
        const Tensor first = is_last ? layernorm(ctx, in[0], ops.ln) : ops.apply(ctx, name, in[0]);
        const Tensor second = is_last ? ops.apply(ctx, name, in[0]) : layernorm(ctx, in[0], ops.ln);
        return add(ctx, first, second);
    });
    for (size_t i = 0; i < own.size(); i++) {
        const double want = double(own[i]) + double(others[i]);
        if (!(std::fabs(double(both[i]) - want) < 2e-5))
            FAIL("element " << i << ": " << both[i] << ", not " << want);
    }
}

TEST_CASE("the first writer of a gradient sets it: memory that is used again does no harm", "[cpu]") {
    const std::string name = GENERATE(as<std::string>{}, "layernorm", "linear", "linear_residual", "mlp",
                                      "mlp with residual", "gelu", "relu", "dropout", "add");
    CAPTURE(name);
    SameShapeOps ops;
    const OpFunction f = [&](Context& ctx, const auto& in) { return ops.apply(ctx, name, in[0]); };
    const OpUnderTest::Run fresh = ops.op.run(f);
    // The whole arena full of NaN, as far as the next step will reach.
    {
        const ArenaScope scope(ops.op.ctx);
        Tensor poison = ops.op.ctx.make("poison", {1 << 16});
        std::fill_n(static_cast<float*>(poison.ptr()), poison.numel(), NAN);
    }
    const OpUnderTest::Run again = ops.op.run(f);
    REQUIRE(same_bytes(again.output, fresh.output));
    for (size_t i = 0; i < fresh.gradients.size(); i++)
        REQUIRE(same_bytes(again.gradients[i], fresh.gradients[i]));
}

TEST_CASE(
    "a parameter's gradient adds until zero_grad: twice the gradient after two backwards, nothing left after "
    "zero_grad",
    "[cpu]") {
    SameShapeOps ops;
    OpUnderTest& op = ops.op;
    const OpFunction f = [&](Context& ctx, const auto& in) {
        return ops.apply(ctx, "mlp", ops.apply(ctx, "layernorm", ops.apply(ctx, "linear", in[0])));
    };
    const OpUnderTest::Run once = op.run(f);
    for (int pass = 0; pass < 1; pass++) {  // run() has cleared and filled them; now a second time on top
        const Tensor y = f(op.ctx, op.make_inputs());
        op.ctx.backward(sum_weighted(op.ctx, y, op.weights));
        op.ctx.end_step();
    }
    for (size_t i = 0; i < op.params.size(); i++) {
        std::vector<float> twice = gradient_of(op.params[i]);
        for (float& value : twice) value *= 0.5f;
        CAPTURE(op.params[i].name);
        REQUIRE(relative_norm_error(twice.data(), once.gradients[1 + i].data(), int64_t(twice.size())) <
                1e-6);
    }
    op.params.zero_grad();
    for (int64_t i = 0; i < op.params.count(); i++) REQUIRE(op.params.grads()[i] == 0);
}

TEST_CASE("one parameter in two places gets both gradients", "[grad][cpu]") {
    OpUnderTest op({{2, 3, 6}});
    Linear w;
    op.declare(&w.weight, "weight", {6, 6});
    op.declare(&w.bias, "bias", {6});
    op.check("linear(linear(x, w), w)",
             [&](Context& ctx, const auto& in) { return linear(ctx, linear(ctx, in[0], w), w); });
}

TEST_CASE("pass_grad hands memory over to the first, and adds for the second", "[cpu]") {
    Context ctx;
    const Tensor x = ctx.make("x", {3}), y = ctx.make("y", {3}), z = ctx.make("z", {3});
    const auto set = [&](const Tensor& t, float value) {
        std::fill_n(static_cast<float*>(ctx.grad(t).ptr), 3, value);
    };
    set(y, 2.0f);
    const void* memory = y.gradient->memory;
    pass_grad(ctx, y, x);
    REQUIRE(x.gradient->memory == memory);
    REQUIRE(x.gradient->is_written);
    REQUIRE(y.gradient->memory == nullptr);

    set(z, 0.5f);
    pass_grad(ctx, z, x);
    REQUIRE(x.gradient->memory == memory);
    REQUIRE(z.gradient->memory != nullptr);
    REQUIRE(gradient_of(x) == std::vector<float>(3, 2.5f));

    REQUIRE_THAT(failure_of([&] { pass_grad(ctx, y, x); }).message,
                 contains("[y] cannot pass a gradient on to [x]"));
}

TEST_CASE("pass_grad to a parameter adds to its own memory", "[cpu]") {
    OpUnderTest op({});
    Tensor w;
    op.declare(&w, "w", {3});
    op.allocate();
    void* memory = w.gradient->memory;
    const Tensor y = op.ctx.make("y", {3});
    std::fill_n(static_cast<float*>(op.ctx.grad(y).ptr), 3, 1.5f);
    pass_grad(op.ctx, y, w);
    REQUIRE(w.gradient->memory == memory);
    REQUIRE(gradient_of(w) == std::vector<float>(3, 1.5f));
}

TEST_CASE("what the loss does not depend on gets no gradient", "[cpu]") {
    Context ctx;
    const Tensor x = make_tensor(ctx, "x", {4}, {1, 2, 3, 4}),
                 unused = make_tensor(ctx, "unused", {4}, {1, 1, 1, 1});
    gelu(ctx, unused);
    const Tensor y = gelu(ctx, x);
    ctx.backward(sum_weighted(ctx, y, {1, 1, 1, 1}));
    REQUIRE(x.gradient->is_written);
    REQUIRE_FALSE(unused.gradient->is_written);
}

TEST_CASE("under NoGrad nothing is recorded, and the answer is the same", "[cpu]") {
    SameShapeOps ops;
    Context& ctx = ops.op.ctx;
    const auto output = [&](const Tensor& y) {
        const float* values = y.ptr();
        return std::vector<float>(values, values + y.numel());
    };
    const auto f = [&] {
        return ops.apply(ctx, "mlp", ops.apply(ctx, "layernorm", ops.op.make_inputs()[0]));
    };
    const std::vector<float> recorded = output(f());
    REQUIRE(ctx.tape.size() == 2);
    ctx.end_step();
    {
        const NoGrad outer(ctx);
        { const NoGrad inner(ctx); }
        const Tensor y = f();
        REQUIRE(same_bytes(output(y), recorded));
        REQUIRE(ctx.tape.empty());
        REQUIRE(y.gradient == nullptr);
        REQUIRE_THAT(failure_of([&] { ctx.backward(y); }).message, contains("NoGrad"));
    }
    REQUIRE(ctx.is_recording);
}

TEST_CASE("two contexts side by side do not know of each other", "[cpu]") {
    SameShapeOps one, two;
    const auto f = [](SameShapeOps& ops, const Tensor& x) {
        return sum_weighted(ops.op.ctx, ops.apply(ops.op.ctx, "gelu", ops.apply(ops.op.ctx, "dropout", x)),
                            random_weights(48));
    };
    const Tensor alone_x = one.op.make_inputs()[0];
    one.op.ctx.backward(f(one, alone_x));
    const std::vector<float> alone = gradient_of(alone_x);
    one.op.ctx.end_step();

    // Now interleaved: both forward passes, then both backward passes.
    two.op.ctx.seed = one.op.ctx.seed + 1;
    const Tensor x1 = one.op.make_inputs()[0], x2 = two.op.make_inputs()[0];
    const Tensor loss1 = f(one, x1), loss2 = f(two, x2);
    two.op.ctx.backward(loss2);
    one.op.ctx.backward(loss1);
    REQUIRE(same_bytes(gradient_of(x1), alone));
    REQUIRE_FALSE(same_bytes(gradient_of(x2), alone));
}
