// cross_entropy.cpp - softmax and negative log-likelihood in one: the loss, and the gradient of the logits.
#include "ops/ops.h"

int64_t count_targets(const int* targets, int64_t n) {
    int64_t counted = 0;
    for (int64_t i = 0; i < n; i++) counted += targets[i] != kIgnore;
    return counted;
}

namespace {

void check_inputs(const char* op, const Tensor& logits, const Tensor& targets, int64_t counted) {
    CHECK(targets.numel() == logits.rows(), "[%s] %lld targets for logits %s", op,
          static_cast<long long>(targets.numel()), logits.shape_text().c_str());
    CHECK(counted >= 1, "[%s] every target is ignored: the mean has nothing to average", op);
}

}  // namespace

struct CrossEntropy : Node {
    Tensor logits, targets;
    float scale = 0;  // 1 / counted

    void backward(Context& ctx) override {
        const GradientTarget dlogits = ctx.grad(logits);
        DISPATCH(ctx, cross_entropy_backward, dlogits.ptr, logits.ptr(), targets.ptr(), logits.rows(),
                 logits.last(), scale, dlogits.accumulate);
    }
    std::vector<Tensor> inputs() const override { return {logits, targets}; }
};

Tensor cross_entropy(Context& ctx, const Tensor& logits, const Tensor& targets, int64_t counted) {
    check_inputs("cross_entropy", logits, targets, counted);
    Tensor losses = ctx.make("cross_entropy.losses", {logits.rows()}, DType::kFloat32);
    Tensor loss = ctx.make("cross_entropy", {1}, DType::kFloat32);
    DISPATCH(ctx, cross_entropy_forward, losses.ptr(), logits.ptr(), targets.ptr(), logits.rows(),
             logits.last());
    DISPATCH(ctx, mean_loss, loss.ptr(), losses.ptr(), losses.numel(), counted);
    if (auto* node = ctx.record<CrossEntropy>("cross_entropy", loss)) {
        node->logits = logits;
        node->targets = targets;
        node->scale = 1 / float(counted);
    }
    return loss;
}

struct CrossEntropyInplace : Node {
    Tensor logits, targets;

    // The forward pass has left dlogits where the logits were: it only changes its name.
    void backward(Context&) override {
        CHECK(!logits.gradient->is_written,
              "[cross_entropy_inplace] another op used the logits that it overwrote");
        *logits.gradient = {logits.memory, true, false};
    }
    std::vector<Tensor> inputs() const override { return {logits, targets}; }
};

Tensor cross_entropy_inplace(Context& ctx, const Tensor& logits, const Tensor& targets, int64_t counted) {
    check_inputs("cross_entropy_inplace", logits, targets, counted);
    Tensor losses = ctx.make("cross_entropy.losses", {logits.rows()}, DType::kFloat32);
    Tensor loss = ctx.make("cross_entropy_inplace", {1}, DType::kFloat32);
    DISPATCH(ctx, cross_entropy_forward_backward, losses.ptr(), logits.ptr(), targets.ptr(), logits.rows(),
             logits.last(), 1 / float(counted));
    DISPATCH(ctx, mean_loss, loss.ptr(), losses.ptr(), losses.numel(), counted);
    if (auto* node = ctx.record<CrossEntropyInplace>("cross_entropy_inplace", loss)) {
        node->logits = logits;
        node->targets = targets;
    }
    return loss;
}
