// model.h - what main.cpp does with a Gpt, one function a verb's loop can call: a step, a held-out loss, a
// sample.
#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "chapters/00_char_gpt/gpt.h"
#include "chapters/00_char_gpt/training_step.h"
#include "nn/sampler.h"

// Forward and backward of one batch, split into micro-batches of at most micro_batch windows. The gradients
// of the batch's mean loss are added to the parameters'; returns that loss, mean nats per character.
inline float forward_backward(Context& ctx, const Gpt& gpt, const Batch& batch, int64_t micro_batch) {
    TrainingStep step(ctx, gpt, micro_batch);
    step.run(batch);
    return step.loss();
}

// Mean loss over all non-overlapping windows of ids (DESIGN's held-out loss): no dropout, nothing recorded.
inline double held_out_loss(Context& ctx, const Gpt& gpt, const std::vector<int>& ids) {
    const NoGrad no_grad(ctx);
    const int64_t T = gpt.config.T, windows = (int64_t(ids.size()) - 1) / T;
    const int64_t rows = std::max<int64_t>(1, 4096 / T);  // windows at once
    double sum = 0;
    for (int64_t begin = 0; begin < windows; begin += rows) {
        const ArenaScope scope(ctx);
        const int64_t B = std::min(rows, windows - begin);
        Tensor inputs = ctx.ids(&ids[size_t(begin * T)], {B, T});
        Tensor targets = ctx.ids(&ids[size_t(begin * T + 1)], {B, T});
        Tensor loss = cross_entropy(ctx, gpt.forward(ctx, inputs), targets, B * T);
        sum += double(ctx.to_host(loss)) * double(B);
    }
    return sum / double(windows);
}

// Continues `ids` by n more. The model sees the last T of them each time and computes all of their rows
// again; chapter 02 keeps keys and values instead. on_id is called with each new id.
template <class F>
void generate(Context& ctx, const Gpt& gpt, std::vector<int> ids, int64_t n, Sampler& sampler, F on_id) {
    const NoGrad no_grad(ctx);
    for (int64_t i = 0; i < n; i++) {
        const ArenaScope scope(ctx);
        const int64_t t = std::min<int64_t>(int64_t(ids.size()), gpt.config.T);
        Tensor logits = gpt.forward(ctx, ctx.ids(&ids[ids.size() - size_t(t)], {1, t}));  // (1,t,V)
        const std::vector<float> last =
            floats_on_host(ctx.device, logits.ptr().at((t - 1) * gpt.config.V), gpt.config.V);
        ids.push_back(sampler.pick(last.data(), int(gpt.config.V)));
        on_id(ids.back());
    }
}
