// embedding.cpp - token and position embedding, forward and backward.
#include "ops/ops.h"

struct Embedding : Node {
    Tensor ids, wte, wpe;

    void backward(Context& ctx) override {
        const int64_t B = ids.shape[0], T = ids.shape[1], C = wte.last();
        DISPATCH(ctx, embedding_backward, ctx.param_grad(wte), ctx.param_grad(wpe), ctx.grad_of(y), ids.ptr(),
                 B, T, C, wte.shape[0]);
    }
    std::vector<Tensor> inputs() const override { return {ids, wte, wpe}; }
};

Tensor embedding(Context& ctx, const Tensor& ids, const Tensor& wte, const Tensor& wpe) {
    CHECK(ids.ndim == 2 && ids.dtype == DType::kInt32, "[embedding] wants ids (B,T) int32, got %s %s",
          ids.shape_text().c_str(), dtype_name(ids.dtype));
    const int64_t B = ids.shape[0], T = ids.shape[1], C = wte.last();
    CHECK(T <= wpe.shape[0], "[embedding] %lld positions, wpe has %lld", static_cast<long long>(T),
          static_cast<long long>(wpe.shape[0]));
    CHECK(wpe.last() == C, "[embedding] wte has C=%lld, wpe has %lld", static_cast<long long>(C),
          static_cast<long long>(wpe.last()));
    Tensor y = ctx.make("embedding", {B, T, C});
    DISPATCH(ctx, embedding_forward, y.ptr(), ids.ptr(), wte.ptr(), wpe.ptr(), B, T, C, wte.shape[0]);
    if (auto* node = ctx.record<Embedding>("embedding", y)) {
        node->ids = ids;
        node->wte = wte;
        node->wpe = wpe;
    }
    return y;
}
