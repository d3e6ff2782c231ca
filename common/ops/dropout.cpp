// dropout.cpp - dropout, forward and backward: the same mask both times, drawn again instead of stored.
// Source: Srivastava et al. 2014, in the form that scales while training.
#include "ops/ops.h"

struct Dropout : Node {
    Tensor x;
    DropoutMask mask;

    void backward(Context& ctx) override {
        const GradientTarget dx = ctx.grad(x);
        DISPATCH(ctx, dropout, dx.ptr, ctx.grad_of(y), x.numel(), mask, dx.accumulate);
    }
    std::vector<Tensor> inputs() const override { return {x}; }
};

Tensor dropout(Context& ctx, const Tensor& x, float p) {
    CHECK(p >= 0 && p < 1, "[dropout] p is %g, wants [0,1)", double(p));
    if (p == 0 || !ctx.is_recording) return x;
    const DropoutMask mask = ctx.next_dropout(p, x.numel() / x.shape[0]);
    Tensor y = ctx.make_like("dropout", x);
    DISPATCH(ctx, dropout, y.ptr(), x.ptr(), x.numel(), mask, false);
    if (auto* node = ctx.record<Dropout>("dropout", y)) {
        node->x = x;
        node->mask = mask;
    }
    return y;
}
