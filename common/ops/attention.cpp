// attention.cpp - causal multi-head self-attention, forward and backward; the kernels never store a T x T
// matrix.
#include "ops/ops.h"

struct Attention : Node {
    Tensor qkv, lse;
    int64_t NH = 0;
    DropoutMask mask;

    void backward(Context& ctx) override {
        const int64_t B = y.shape[0], T = y.shape[1], HS = y.shape[2] / NH;
        const GradientTarget dqkv = ctx.grad(qkv);
        CHECK(!dqkv.accumulate, "[attention] qkv is used twice; the kernel overwrites dqkv");
        ctx.work(5.0 * double(B) * double(T) * double(T) * double(NH * HS),
                 "");  // five products over half a square
        DISPATCH(ctx, attention_backward, dqkv.ptr, ctx.grad_of(y), qkv.ptr(), y.ptr(), lse.ptr(), B, T, NH,
                 HS, mask);
    }
    std::vector<Tensor> inputs() const override { return {qkv, lse}; }
};

Tensor attention(Context& ctx, const Tensor& qkv, int64_t NH, float p) {
    CHECK(qkv.ndim == 3 && NH > 0 && qkv.shape[2] % (3 * NH) == 0,
          "[attention] wants (B,T,3*NH*HS) with NH=%lld, got %s", static_cast<long long>(NH),
          qkv.shape_text().c_str());
    const int64_t B = qkv.shape[0], T = qkv.shape[1], HS = qkv.shape[2] / (3 * NH);
    const DropoutMask mask = p > 0 && ctx.is_recording ? ctx.next_dropout(p, NH * T * T) : DropoutMask{};
    Tensor y = ctx.make("attention", {B, T, NH * HS});
    Tensor lse = ctx.make("attention.lse", {B, NH, T}, DType::kFloat32);
    ctx.work(2.0 * double(B) * double(T) * double(T) * double(NH * HS), "");
    DISPATCH(ctx, attention_forward, y.ptr(), lse.ptr(), qkv.ptr(), B, T, NH, HS, mask);
    if (auto* node = ctx.record<Attention>("attention", y)) {
        node->qkv = qkv;
        node->lse = lse;
        node->NH = NH;
        node->mask = mask;
    }
    return y;
}
