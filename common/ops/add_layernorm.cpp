// add_layernorm.cpp - the addition to the residual stream and the LayerNorm that reads it, as one op with two
// results. Where it pays: with dropout, after a product. Counted in rows of C numbers that go through memory, the
// product's own reading left out:
//                                                       forward                              together
//     linear, dropout, add, layernorm           write; read write; 2 read write; read write      8
//     linear, add_layernorm                     write; 2 read 2 write                            5
//     linear_residual, layernorm (no dropout)   read write; read write                           4
// Backwards the first takes LayerNorm's four, a copy for the branch (2) and the mask (2), the second 5. So without
// dropout the addition belongs to the product's last step, where its result is in registers anyway; the mask cannot
// go there too, as cuBLASLt knows none.
#include "ops/gradients.h"
#include "ops/ops.h"

struct AddLayerNorm : Node {
    Tensor sum, residual, branch, mean, rstd;
    LayerNorm ln;
    DropoutMask mask;

    // The loss may depend on the sum alone.
    bool has_gradient() const override { return y.gradient->is_written || sum.gradient->is_written; }

    void backward(Context& ctx) override {
        const GradientTarget dbranch = ctx.grad(branch);
        if (y.gradient->is_written) {
            const GradientTarget dsum = ctx.grad(sum);
            DISPATCH(ctx, add_layernorm_backward, dsum.ptr, dbranch.ptr, ctx.param_grad(ln.weight),
                     ctx.param_grad(ln.bias), ctx.grad_of(y), sum.ptr(), ln.weight.ptr(), mean.ptr(),
                     rstd.ptr(), sum.rows(), sum.last(), mask, dsum.accumulate, dbranch.accumulate);
        } else {
            DISPATCH(ctx, dropout, dbranch.ptr, ctx.grad_of(sum), sum.numel(), mask, dbranch.accumulate);
        }
        pass_grad(ctx, sum, residual);
    }
    std::vector<Tensor> inputs() const override {
        return {residual, branch, ln.weight, ln.bias, sum, mean, rstd};
    }
};

SumAndNorm add_layernorm(Context& ctx, const Tensor& residual, const Tensor& branch, const LayerNorm& ln,
                         float p) {
    CHECK(p >= 0 && p < 1, "[add_layernorm] p is %g, wants [0,1)", double(p));
    CHECK(same_shape(residual, branch), "[add_layernorm] residual is %s, branch is %s",
          residual.shape_text().c_str(), branch.shape_text().c_str());
    for (const Tensor* parameter : {&ln.weight, &ln.bias})
        CHECK(parameter->last() == residual.last(), "[add_layernorm] residual has C=%lld, %s has %lld",
              static_cast<long long>(residual.last()), parameter->name,
              static_cast<long long>(parameter->last()));
    const int64_t per_window = branch.numel() / branch.shape[0];
    const DropoutMask mask = p > 0 && ctx.is_recording ? ctx.next_dropout(p, per_window) : DropoutMask{};
    Tensor sum = ctx.make_like("add_layernorm.sum", residual);
    Tensor y = ctx.make_like("add_layernorm", residual);
    Tensor mean = ctx.make("add_layernorm.mean", {sum.rows()}, DType::kFloat32);
    Tensor rstd = ctx.make("add_layernorm.rstd", {sum.rows()}, DType::kFloat32);
    DISPATCH(ctx, add_layernorm_forward, y.ptr(), sum.ptr(), mean.ptr(), rstd.ptr(), residual.ptr(),
             branch.ptr(), ln.weight.ptr(), ln.bias.ptr(), sum.rows(), sum.last(), mask);
    if (auto* node = ctx.record<AddLayerNorm>("add_layernorm", y)) {
        node->sum = sum;
        node->residual = residual;
        node->branch = branch;
        node->mean = mean;
        node->rstd = rstd;
        node->ln = ln;
        node->mask = mask;
    }
    return {sum, y};
}
