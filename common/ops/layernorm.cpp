// layernorm.cpp - LayerNorm over the last dimension, forward and backward.
#include "ops/ops.h"

struct LayerNormNode : Node {
    Tensor x, mean, rstd;
    LayerNorm ln;

    void backward(Context& ctx) override {
        const GradientTarget dx = ctx.grad(x);
        DISPATCH(ctx, layernorm_backward, dx.ptr, ctx.param_grad(ln.weight), ctx.param_grad(ln.bias),
                 ctx.grad_of(y), x.ptr(), ln.weight.ptr(), mean.ptr(), rstd.ptr(), x.rows(), x.last(),
                 dx.accumulate);
    }
    std::vector<Tensor> inputs() const override { return {x, ln.weight, ln.bias, mean, rstd}; }
};

Tensor layernorm(Context& ctx, const Tensor& x, const LayerNorm& ln) {
    CHECK(ln.weight.last() == x.last(), "[layernorm] x has C=%lld, weight wants %lld",
          static_cast<long long>(x.last()), static_cast<long long>(ln.weight.last()));
    CHECK(ln.bias.last() == x.last(), "[layernorm] x has C=%lld, bias wants %lld",
          static_cast<long long>(x.last()), static_cast<long long>(ln.bias.last()));
    Tensor y = ctx.make_like("layernorm", x);
    Tensor mean = ctx.make("layernorm.mean", {x.rows()}, DType::kFloat32);
    Tensor rstd = ctx.make("layernorm.rstd", {x.rows()}, DType::kFloat32);
    DISPATCH(ctx, layernorm_forward, y.ptr(), mean.ptr(), rstd.ptr(), x.ptr(), ln.weight.ptr(), ln.bias.ptr(),
             x.rows(), x.last());
    if (auto* node = ctx.record<LayerNormNode>("layernorm", y)) {
        node->x = x;
        node->mean = mean;
        node->rstd = rstd;
        node->ln = ln;
    }
    return y;
}
