// add.cpp - the residual connection: a + b, forward and backward.
#include "ops/gradients.h"
#include "ops/ops.h"

struct Add : Node {
    Tensor a, b;

    void backward(Context& ctx) override {
        const GradientTarget db = ctx.grad(b);
        if (db.accumulate)
            DISPATCH(ctx, accumulate, db.ptr, ctx.grad_of(y), y.numel());
        else
            DISPATCH(ctx, dropout, db.ptr, ctx.grad_of(y), y.numel(), DropoutMask{}, false);  // p = 0: a copy
        pass_grad(ctx, y, a);
    }
    std::vector<Tensor> inputs() const override { return {a, b}; }
};

Tensor add(Context& ctx, const Tensor& a, const Tensor& b) {
    CHECK(same_shape(a, b), "[add] a is %s, b is %s", a.shape_text().c_str(), b.shape_text().c_str());
    Tensor y = ctx.make_like("add", a);
    DISPATCH(ctx, add_forward, y.ptr(), a.ptr(), b.ptr(), y.numel());
    if (auto* node = ctx.record<Add>("add", y)) {
        node->a = a;
        node->b = b;
    }
    return y;
}
