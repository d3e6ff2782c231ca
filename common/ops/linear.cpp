// linear.cpp - y = x weight^T + bias, alone and with the residual addition fused onto it; forward and
// backward. Derivation: chapters/00_char_gpt/README.md, "Linear, backwards".
// Not here: how a weight is rounded to 8 bits (int8_weight.cpp).
#include "ops/gradients.h"
#include "ops/ops.h"

namespace {

struct Sizes {
    int64_t N, IC, OC;
    double flops() const { return 2.0 * double(N) * double(IC) * double(OC); }
};

Sizes linear_sizes(const char* op, const Tensor& x, const Linear& w) {
    const Sizes n = {x.rows(), w.weight.shape[1], w.weight.shape[0]};
    CHECK(x.last() == n.IC, "[%s] x has %lld columns, %s wants %lld", op, static_cast<long long>(x.last()),
          w.weight.name, static_cast<long long>(n.IC));
    CHECK(w.bias.is_null() || w.bias.numel() == n.OC, "[%s] %s gives %lld columns, %s has %lld", op,
          w.weight.name, static_cast<long long>(n.OC), w.bias.name, static_cast<long long>(w.bias.numel()));
    return n;
}

Tensor make_output(Context& ctx, const char* op, const Tensor& x, int64_t OC) {
    return x.ndim == 3 ? ctx.make(op, {x.shape[0], x.shape[1], OC}) : ctx.make(op, {x.rows(), OC});
}

// dtype: of the null pointer, where there is no tensor.
Pointer pointer_or_null(const Tensor& tensor, DType dtype) {
    return tensor.is_null() ? Pointer{nullptr, dtype} : tensor.ptr();
}

Pointer bias_ptr(const Linear& w) {
    return pointer_or_null(w.bias, w.weight.dtype);
}

// dweight += dy^T x, dbias += column sums of dy.
void linear_backward_params(Context& ctx, const Tensor& x, const Linear& w, Pointer dy, const Sizes& n) {
    const GradientTarget dweight = ctx.grad(w.weight);
    ctx.work(n.flops(), w.weight.name);
    DISPATCH(ctx, linear_backward_params, dweight.ptr, ctx.param_grad(w.bias), dy, x.ptr(), n.N, n.IC, n.OC,
             dweight.accumulate);
}

// The same, and dx = dy weight.
void linear_backward(Context& ctx, const Tensor& x, const Linear& w, Pointer dy) {
    const Sizes n = linear_sizes("linear", x, w);
    linear_backward_params(ctx, x, w, dy, n);
    const GradientTarget dx = ctx.grad(x);
    ctx.work(n.flops(), w.weight.name);
    DISPATCH(ctx, gemm, dx.ptr, dy, w.weight.ptr(), nullptr, n.N, n.IC, n.OC, false, false, dx.accumulate);
}

}  // namespace

struct LinearNode : Node {
    Tensor x;
    Linear w;

    void backward(Context& ctx) override { linear_backward(ctx, x, w, ctx.grad_of(y)); }
    std::vector<Tensor> inputs() const override { return {x, w.weight, w.bias}; }
};

Tensor linear(Context& ctx, const Tensor& x, const Linear& w) {
    const Sizes n = linear_sizes("linear", x, w);
    Tensor y = make_output(ctx, "linear", x, n.OC);
    ctx.work(n.flops(), w.weight.name);
    DISPATCH(ctx, gemm, y.ptr(), x.ptr(), w.weight.ptr(), bias_ptr(w), n.N, n.OC, n.IC, false, true, false);
    if (auto* node = ctx.record<LinearNode>("linear", y)) {
        node->x = x;
        node->w = w;
    }
    return y;
}

struct LinearResidual : Node {
    Tensor x, residual;
    Linear w;

    void backward(Context& ctx) override {
        linear_backward(ctx, x, w, ctx.grad_of(y));
        pass_grad(ctx, y, residual);
    }
    std::vector<Tensor> inputs() const override { return {x, w.weight, w.bias, residual}; }
};

Tensor linear_residual(Context& ctx, const Tensor& x, const Linear& w, const Tensor& residual) {
    const Sizes n = linear_sizes("linear_residual", x, w);
    Tensor y = make_output(ctx, "linear_residual", x, n.OC);
    CHECK(same_shape(y, residual), "[linear_residual] residual is %s, linear gives %s",
          residual.shape_text().c_str(), y.shape_text().c_str());
    ctx.work(n.flops(), w.weight.name);
    DISPATCH(ctx, linear_residual_forward, y.ptr(), x.ptr(), w.weight.ptr(), bias_ptr(w), residual.ptr(), n.N,
             n.IC, n.OC);
    if (auto* node = ctx.record<LinearResidual>("linear_residual", y)) {
        node->x = x;
        node->w = w;
        node->residual = residual;
    }
    return y;
}

Tensor linear_int8(Context& ctx, const Tensor& x, const Linear& w, const Int8Weight& codes,
                   const Tensor& residual) {
    CHECK(!ctx.is_recording, "[linear_int8] has no backward: use NoGrad");
    const Sizes n = linear_sizes("linear_int8", x, w);
    CHECK(codes.OC == n.OC && codes.IC == n.IC && codes.device == ctx.device,
          "[linear_int8] not the codes of %s", w.weight.name);
    Tensor y = make_output(ctx, "linear_int8", x, n.OC);
    CHECK(residual.is_null() || same_shape(y, residual), "[linear_int8] residual is %s, linear gives %s",
          residual.shape_text().c_str(), y.shape_text().c_str());
    ctx.work(n.flops(), w.weight.name);
    DISPATCH(ctx, linear_int8_forward, y.ptr(), x.ptr(), codes.codes, codes.scale, bias_ptr(w),
             pointer_or_null(residual, y.dtype), n.N, n.IC, n.OC);
    ctx.inspect("linear_int8", "forward", y.ptr(), y);
    return y;
}

struct Mlp : Node {
    Tensor x, pre, act, residual;
    Linear c_fc, c_proj;
    Activation kind = Activation::kGelu;

    void backward(Context& ctx) override {
        const Sizes proj = linear_sizes("mlp", act, c_proj), fc = linear_sizes("mlp", x, c_fc);
        const Pointer dy = ctx.grad_of(y);
        linear_backward_params(ctx, act, c_proj, dy, proj);
        // act has been read for the last time: dpre is written over it.
        const Pointer dpre = act.ptr();
        ctx.work(proj.flops(), c_proj.weight.name);
        DISPATCH(ctx, linear_activation_backward, dpre, dy, c_proj.weight.ptr(), pre.ptr(), proj.N, proj.IC,
                 proj.OC, kind);
        linear_backward_params(ctx, x, c_fc, dpre, fc);
        const GradientTarget dx = ctx.grad(x);
        ctx.work(fc.flops(), c_fc.weight.name);
        DISPATCH(ctx, gemm, dx.ptr, dpre, c_fc.weight.ptr(), nullptr, fc.N, fc.IC, fc.OC, false, false,
                 dx.accumulate);
        if (!residual.is_null()) pass_grad(ctx, y, residual);
    }
    std::vector<Tensor> inputs() const override {
        return {x, c_fc.weight, c_fc.bias, pre, act, c_proj.weight, c_proj.bias, residual};
    }
};

Tensor mlp(Context& ctx, const Tensor& x, const Linear& c_fc, const Linear& c_proj, Activation kind,
           const Tensor& residual) {
    const Sizes fc = linear_sizes("mlp", x, c_fc);
    Tensor pre = make_output(ctx, "mlp.pre", x, fc.OC);  // (..,4*C)
    Tensor act = make_output(ctx, "mlp.act", x, fc.OC);  // (..,4*C)
    ctx.work(fc.flops(), c_fc.weight.name);
    DISPATCH(ctx, linear_activation_forward, act.ptr(), pre.ptr(), x.ptr(), c_fc.weight.ptr(), bias_ptr(c_fc),
             fc.N, fc.IC, fc.OC, kind);
    const Sizes proj = linear_sizes("mlp", act, c_proj);
    Tensor y = make_output(ctx, "mlp", x, proj.OC);  // (..,C)
    ctx.work(proj.flops(), c_proj.weight.name);
    if (residual.is_null()) {
        DISPATCH(ctx, gemm, y.ptr(), act.ptr(), c_proj.weight.ptr(), bias_ptr(c_proj), proj.N, proj.OC,
                 proj.IC, false, true, false);
    } else {
        CHECK(same_shape(y, residual), "[mlp] residual is %s, output is %s", residual.shape_text().c_str(),
              y.shape_text().c_str());
        DISPATCH(ctx, linear_residual_forward, y.ptr(), act.ptr(), c_proj.weight.ptr(), bias_ptr(c_proj),
                 residual.ptr(), proj.N, proj.IC, proj.OC);
    }
    if (auto* node = ctx.record<Mlp>("mlp", y)) {
        node->x = x;
        node->pre = pre;
        node->act = act;
        node->residual = residual;
        node->c_fc = c_fc;
        node->c_proj = c_proj;
        node->kind = kind;
    }
    return y;
}
