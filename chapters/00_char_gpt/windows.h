// windows.h - the training data as the original run walks it: every window of T characters, stride 1, each
// exactly once per epoch in a shuffled order, in batches of B; the last batch of an epoch is smaller and is
// kept. The order is a function of (seed, epoch), so that a position in the run is one number: the step.
#pragma once
#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "core/check.h"
#include "core/rng.h"

struct Batch {
    int64_t B = 0;             // windows
    std::vector<int> inputs;   // (B,T)
    std::vector<int> targets;  // (B,T): the inputs shifted by one
};

class Windows {
  public:
    // batch: windows per optimiser step.
    Windows(const int* ids, int64_t length, int64_t T, int64_t batch, uint64_t seed)
        : ids_(ids), T_(T), batch_(batch), seed_(seed), order_(size_t(std::max<int64_t>(length - T, 0))) {
        CHECK(length > T, "[windows] %lld ids hold no window of %lld and its targets",
              static_cast<long long>(length), static_cast<long long>(T));
    }

    int64_t count() const { return int64_t(order_.size()); }
    int64_t steps_per_epoch() const { return (count() + batch_ - 1) / batch_; }

    // The batch of a step; steps and epochs count from 0 here.
    Batch at(int64_t step) {
        shuffle(step / steps_per_epoch());
        const int64_t begin = step % steps_per_epoch() * batch_, end = std::min(begin + batch_, count());
        Batch batch;
        batch.B = end - begin;
        batch.inputs.reserve(size_t(batch.B * T_));
        batch.targets.reserve(size_t(batch.B * T_));
        for (int64_t i = begin; i < end; i++) {
            const int* window = ids_ + order_[size_t(i)];
            batch.inputs.insert(batch.inputs.end(), window, window + T_);
            batch.targets.insert(batch.targets.end(), window + 1, window + T_ + 1);
        }
        return batch;
    }

  private:
    // Fisher and Yates, with a random stream of its own for each epoch.
    void shuffle(int64_t epoch) {
        if (epoch == epoch_) return;
        epoch_ = epoch;
        std::iota(order_.begin(), order_.end(), 0);
        RandomStream random{seed_, kShuffleStream + uint64_t(epoch)};
        for (size_t i = order_.size() - 1; i > 0; i--)
            std::swap(order_[i], order_[random.next_below(uint32_t(i + 1))]);
    }

    static constexpr uint64_t kShuffleStream = uint64_t(1)
                                               << 62;  // far from the streams of weights and dropout

    const int* ids_;
    int64_t T_, batch_;
    uint64_t seed_;
    int64_t epoch_ = -1;
    std::vector<uint32_t> order_;  // starts of windows
};
