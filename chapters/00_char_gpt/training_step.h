// training_step.h - forward and backward of a batch, such that a GPU is never kept waiting within a step: the host copies ids and
// losses through memory that the device reads and writes by itself, and asks for the loss when all has been queued. On a GPU
// the step is recorded the second time and is one launch from then on (core/step_graph.h). On a CPU the cores share the windows
// of a small model (nn/lanes.h).
// Not here: the optimiser's step, whose learning rate is another each time.
#pragma once
#include <algorithm>

#include "chapters/00_char_gpt/gpt.h"
#include "chapters/00_char_gpt/windows.h"
#include "core/step_graph.h"
#include "nn/lanes.h"

class TrainingStep {
  public:
    // Batches are split into micro-batches of at most micro_batch windows.
    TrainingStep(Context& ctx, const Gpt& gpt, int64_t micro_batch)
        : ctx_(ctx),
          gpt_(gpt),
          micro_batch_(micro_batch),
          graph_(ctx),
          lanes_(ctx, gpt.params),
          inputs_(ctx.device),
          targets_(ctx.device),
          losses_(ctx.device) {}

    // Adds the gradients of the batch's mean loss to the parameters'. Returns before a GPU has computed them. After a call,
    // the host must have waited for the device (loss(), AdamW::step) before the next.
    void run(const Batch& batch) {
        const size_t ids = batch.inputs.size();
        B_ = batch.B;
        const bool moved[] = {inputs_.reserve(ids), targets_.reserve(ids),
                              losses_.reserve(size_t(micro_batches() * Lanes::kMost))};
        if (moved[0] || moved[1] || moved[2]) graph_.forget();
        std::copy(batch.inputs.begin(), batch.inputs.end(), inputs_.get());
        std::copy(batch.targets.begin(), batch.targets.end(), targets_.get());
        if (micro_batches() <= kMostRecorded)
            graph_.run(B_, [&] { queue(); });
        else
            queue();
    }

    // Of the last batch: mean nats per token. Waits until it is there.
    float loss() {
        device_wait(ctx_.device);
        double loss = 0;
        for (int64_t i = 0; i < micro_batches(); i++)
            for (int64_t lane = 0; lane < lanes_.count(windows_of(i)); lane++)
                loss += double(losses_[place(i, lane)]);
        return float(loss);
    }

    int64_t replays() const { return graph_.replays(); }

  private:
    // Many micro-batches are for large models, whose kernels take longer than their launches.
    static constexpr int64_t kMostRecorded = 4;

    int64_t micro_batches() const { return (B_ + micro_batch_ - 1) / micro_batch_; }
    int64_t windows_of(int64_t i) const { return std::min(micro_batch_, B_ - i * micro_batch_); }
    static size_t place(int64_t micro_batch, int64_t lane) {
        return size_t(micro_batch * Lanes::kMost + lane);
    }

    void queue() {
        for (int64_t i = 0; i < micro_batches(); i++)
            lanes_.run(windows_of(i), [&](Context& ctx, int64_t lane, int64_t first, int64_t B) {
                queue(ctx, i * micro_batch_ + first, B, losses_[place(i, lane)]);
            });
    }

    // The windows [first, first + B) of the batch. Their nats are divided by the tokens of the whole batch, not by their
    // own: a mean of means would give the windows of a last, smaller micro-batch more weight, and a product of two rounded
    // quotients would not be the one that the undivided batch has.
    void queue(Context& ctx, int64_t first, int64_t B, float& loss) {
        const int64_t T = gpt_.config.T;
        Tensor inputs = ctx.ids_later(inputs_.get() + first * T, {B, T});
        Tensor targets = ctx.ids_later(targets_.get() + first * T, {B, T});
        Tensor logits = gpt_.forward(ctx, inputs);                          // (B,T,V)
        Tensor part = cross_entropy_inplace(ctx, logits, targets, B_ * T);  // (1), of the batch's mean loss
        ctx.backward(part);
        ctx.to_host_later(&loss, part);
        ctx.release_activations();
    }

    Context& ctx_;
    const Gpt& gpt_;
    const int64_t micro_batch_;
    StepGraph graph_;
    Lanes lanes_;
    HostArray<int> inputs_, targets_;  // (B,T) of the last batch
    HostArray<float> losses_;          // of the lanes of its micro-batches
    int64_t B_ = 0;
};
