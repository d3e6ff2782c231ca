// adamw.h - the optimiser: clip by global norm, one AdamW step over the flat block. zero_grad is the
// caller's.
// Source: Loshchilov and Hutter 2019, algorithm 2; clipping: Pascanu, Mikolov, Bengio 2013, algorithm 1.
#pragma once
#include "core/context.h"
#include "kernels/kernels.h"
#include "nn/parameters.h"

struct AdamWOptions {
    float beta1 = 0.9f, beta2 = 0.999f, eps = 1e-8f;
    float weight_decay = 0.01f;
    bool decay_vectors = true;  // PyTorch's default decays biases and LayerNorm too; GPT-2's recipe does not
    float clip = 0;             // largest global norm of the gradients; 0 means no clipping
};

class AdamW {
  public:
    AdamW(Device device, Parameters& params, const AdamWOptions& options)
        : params_(params), options_(options), device_(device) {
        m_ = static_cast<float*>(device_alloc(device_, bytes()));
        v_ = static_cast<float*>(device_alloc(device_, bytes()));
        squares_ = static_cast<double*>(device_alloc(device_, sizeof *squares_));
        norm_and_scale_ = static_cast<float*>(device_alloc(device_, 2 * sizeof(float)));
    }
    ~AdamW() {
        device_free(device_, m_, bytes());
        device_free(device_, v_, bytes());
        device_free(device_, squares_, sizeof *squares_);
        device_free(device_, norm_and_scale_, 2 * sizeof(float));
    }
    AdamW(const AdamW&) = delete;
    AdamW& operator=(const AdamW&) = delete;

    // step counts from 1. Returns the gradients' global norm, before clipping; not finite when a gradient is
    // not, and then nothing has been changed. Waits for a GPU only when all is queued.
    float step(Context& ctx, int64_t step, float lr) {
        device_clear(device_, squares_, sizeof *squares_);
        DISPATCH(ctx, squared_norm, squares_, params_.grads(), params_.count());
        DISPATCH(ctx, clip_scale, norm_and_scale_, squares_, options_.clip);
        const int64_t decayed = options_.decay_vectors ? params_.count() : params_.matrix_count();
        update(ctx, 0, decayed, options_.weight_decay, step, lr);
        update(ctx, decayed, params_.count() - decayed, 0.0f, step, lr);
        float norm;
        device_download(device_, &norm, norm_and_scale_, sizeof norm);
        return norm;
    }

    // For a run that goes on behind `step`: the weights that kernels read, as that step left them. Before the first step they
    // are rounded to the nearest, as they were set.
    void restore_rounding(const Context& ctx, int64_t step) {
        if (step > 0) params_.round(rounding(ctx, step, 0));
    }

    float* m() { return m_; }  // on the device
    float* v() { return v_; }

  private:
    size_t bytes() const { return size_t(params_.count()) * sizeof(float); }

    static WeightRounding rounding(const Context& ctx, int64_t step, int64_t first) {
        return {ctx.seed, uint64_t(step), uint64_t(first)};
    }

    void update(Context& ctx, int64_t begin, int64_t n, float weight_decay, int64_t step, float lr) {
        if (n == 0) return;
        DISPATCH(ctx, adamw, params_.values() + begin, params_.rounded_copy(begin), m_ + begin, v_ + begin,
                 params_.grads() + begin, n, lr, options_.beta1, options_.beta2, options_.eps, weight_decay,
                 norm_and_scale_ + 1, step, rounding(ctx, step, begin));
    }

    Parameters& params_;
    AdamWOptions options_;
    Device device_;
    float* m_ = nullptr;               // first moments, laid out as the parameters are
    float* v_ = nullptr;               // second moments
    double* squares_ = nullptr;        // sum of the squares of the gradients
    float* norm_and_scale_ = nullptr;  // clip_scale's
};
