// lanes.h - the windows of a batch, shared by the cores of a CPU: a lane takes some of them forward and backward on one
// core, with activations and gradients of its own, and in the end the lanes' gradients are added up.
// Otherwise all cores work on the same layer, and each reads what the others have just written. A model of some hundred
// thousand weights would spend half of its time on that: its layers take microseconds, and they fit into one core's cache.
// Chapter 03 does the same with GPUs for lanes.
// Not here: models whose gradients do not fit into a cache; they have work enough in each layer to share it.
// Windows and weights alone decide how many lanes there are, and gradients are added in the order of the lanes: the same
// bytes for any number of threads. Dropout draws what it would draw for the whole batch.
#pragma once
#include <algorithm>
#include <memory>
#include <vector>

#include "core/context.h"
#include "core/parallel.h"
#include "nn/parameters.h"

class Lanes {
  public:
    static constexpr int64_t kMost = 8;
    static constexpr int64_t kMostWeights = 1 << 20;  // 4 MiB of gradients for each lane

    Lanes(Context& ctx, const Parameters& params) : ctx_(ctx), params_(params) {}
    ~Lanes() {
        for (float* grads : grads_) device_free(Device::kCpu, grads, bytes());
    }
    Lanes(const Lanes&) = delete;
    Lanes& operator=(const Lanes&) = delete;

    // Into how many lanes so many windows are cut. One: they are computed as they are.
    int64_t count(int64_t windows) const { return ceil_div(windows, windows_of_lane(windows)); }

    int64_t windows_in(int64_t lane, int64_t windows) const {
        const int64_t each = windows_of_lane(windows);
        return std::min(each, windows - lane * each);
    }

    // Calls body(ctx, lane, first, n) for the windows [first, first + n) of each lane, with the context that is to be
    // used. What body adds to the parameters' gradients has arrived there when run returns.
    template <class F>
    void run(int64_t windows, F&& body) {
        const int64_t lanes = count(windows), each = windows_of_lane(windows);
        if (lanes == 1) return body(ctx_, int64_t(0), int64_t(0), windows);
        prepare(lanes);
        const auto run_lane = [&](int64_t lane) {
            Context& ctx = *contexts_[size_t(parallel::this_thread())];
            begin(ctx, lane, lane * each);
            body(ctx, lane, lane * each, windows_in(lane, windows));
        };
        if (ctx_.inspects())  // whoever looks wants to see one window after another
            for (int64_t lane = 0; lane < lanes; lane++) run_lane(lane);
        else
            parallel_for(lanes, run_lane);
        finish(lanes);
    }

  private:
    static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
    size_t bytes() const { return size_t(params_.count()) * sizeof(float); }

    int64_t windows_of_lane(int64_t windows) const {
        if (ctx_.device != Device::kCpu || params_.count() > kMostWeights) return windows;
        return ceil_div(ceil_div(windows, kMost), 4) *
               4;  // a multiple of 4, as dropout draws numbers by fours
    }

    void prepare(int64_t lanes) {
        sum_ =
            params_
                .grads();  // subtle: all are written from here on, so that no lane changes what lanes share
        while (int64_t(grads_.size()) < lanes)
            grads_.push_back(static_cast<float*>(device_alloc(Device::kCpu, bytes())));
        while (int(contexts_.size()) < parallel::num_threads()) {
            contexts_.push_back(std::make_unique<Context>(Device::kCpu));
            profiles_.push_back(std::make_unique<Profile>());
        }
        for (size_t t = 0; t < contexts_.size(); t++) {
            contexts_[t]->profile = ctx_.profile ? profiles_[t].get() : nullptr;
            contexts_[t]->stream.rounds_products = ctx_.stream.rounds_products;
            contexts_[t]->next_site = ctx_.next_site;  // also of a thread that will find no lane left
            contexts_[t]->first_non_finite.clear();
        }
    }

    void begin(Context& ctx, int64_t lane, int64_t first_window) {
        float* grads = grads_[size_t(lane)];
        device_clear(Device::kCpu, grads, bytes());
        ctx.parameter_gradients = {sum_, grads};
        ctx.first_window = first_window;
        ctx.seed = ctx_.seed;
        ctx.step = ctx_.step;
        ctx.next_site = ctx_.next_site;
        ctx.watch_non_finite = ctx_.watch_non_finite;
    }

    void finish(int64_t lanes) {
        constexpr int64_t kGrain = 1 << 12;
        parallel_ranges(params_.count(), kGrain, [&](int64_t begin, int64_t end) {
            for (int64_t lane = 0; lane < lanes; lane++) {
                const float* grads = grads_[size_t(lane)];
                for (int64_t i = begin; i < end; i++) sum_[i] += grads[i];
            }
        });
        for (size_t t = 0; t < contexts_.size(); t++) {
            const Context& ctx = *contexts_[t];
            ctx_.next_site = std::max(ctx_.next_site, ctx.next_site);
            if (ctx_.first_non_finite.empty()) ctx_.first_non_finite = ctx.first_non_finite;
            if (ctx_.profile) gather(*profiles_[t]);
        }
    }

    // Lanes run side by side: a second of each is one second divided by their number.
    void gather(Profile& profile) {
        for (const auto& [name, entry] : profile.entries) {
            Profile::Entry& all = ctx_.profile->entries[name];
            all.seconds += entry.seconds / double(contexts_.size());
            all.flops += entry.flops;
            all.calls += entry.calls;
        }
        profile.entries.clear();
    }

    Context& ctx_;
    const Parameters& params_;
    float* sum_ = nullptr;                            // the parameters' own gradients
    std::vector<float*> grads_;                       // of each lane, laid out as the parameters' are
    std::vector<std::unique_ptr<Context>> contexts_;  // of each thread
    std::vector<std::unique_ptr<Profile>> profiles_;  // of each thread
};
