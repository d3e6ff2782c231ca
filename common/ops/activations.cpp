// activations.cpp - GELU (tanh form, as GPT-2) and ReLU, forward and backward.
#include "ops/ops.h"

struct Gelu : Node {
    Tensor x;

    void backward(Context& ctx) override {
        const GradientTarget dx = ctx.grad(x);
        DISPATCH(ctx, gelu_backward, dx.ptr, ctx.grad_of(y), x.ptr(), x.numel(), dx.accumulate);
    }
    std::vector<Tensor> inputs() const override { return {x}; }
};

Tensor gelu(Context& ctx, const Tensor& x) {
    Tensor y = ctx.make_like("gelu", x);
    DISPATCH(ctx, gelu_forward, y.ptr(), x.ptr(), x.numel());
    if (auto* node = ctx.record<Gelu>("gelu", y)) node->x = x;
    return y;
}

struct Relu : Node {
    Tensor x;

    void backward(Context& ctx) override {
        const GradientTarget dx = ctx.grad(x);
        DISPATCH(ctx, relu_backward, dx.ptr, ctx.grad_of(y), x.ptr(), x.numel(), dx.accumulate);
    }
    std::vector<Tensor> inputs() const override { return {x}; }
};

Tensor relu(Context& ctx, const Tensor& x) {
    Tensor y = ctx.make_like("relu", x);
    DISPATCH(ctx, relu_forward, y.ptr(), x.ptr(), x.numel());
    if (auto* node = ctx.record<Relu>("relu", y)) node->x = x;
    return y;
}

Tensor activation(Context& ctx, const Tensor& x, Activation kind) {
    return kind == Activation::kGelu ? gelu(ctx, x) : relu(ctx, x);
}
