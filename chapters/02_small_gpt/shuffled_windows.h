// shuffled_windows.h - which tokens a step reads: windows of T tokens whose starts lie `stride` apart, each once per epoch
// in an order that is a function of (seed, epoch). So a position in the run is one number, the step.
// Chapter 00 keeps the shuffled order in an array; web text at stride 1 has more windows than memory, so here the order
// is computed: a permutation of 0 ... count - 1 that needs no table.
// Source: Black and Rogaway 2002, "Ciphers with Arbitrary Finite Domains" (a Feistel network, and walking its cycle back
// into the range).
#pragma once
#include <cstdint>
#include <vector>

#include "chapters/00_char_gpt/windows.h"
#include "chapters/02_small_gpt/shards.h"

namespace small_gpt {

// A bijection of [0, count) onto itself, another one for each key.
class Permutation {
  public:
    Permutation(uint64_t count, uint64_t key) : count_(count), key_(key) {
        while ((uint64_t(1) << (2 * half_bits_)) < count) half_bits_++;
    }

    // The network shuffles the next power of four; a value outside [0, count) is shuffled again until it is inside. As a
    // bijection has no dead ends, and i itself is inside, that ends: after fewer than four rounds on average.
    uint64_t operator()(uint64_t i) const {
        do i = shuffle(i);
        while (i >= count_);
        return i;
    }

  private:
    uint64_t shuffle(uint64_t i) const {
        const uint64_t mask = (uint64_t(1) << half_bits_) - 1;
        uint64_t left = i >> half_bits_, right = i & mask;
        for (uint64_t round = 0; round < 4; round++) {
            const uint64_t mixed = left ^ (mix(right ^ mix(key_ + round)) & mask);
            left = right, right = mixed;
        }
        return left << half_bits_ | right;
    }
    // The finisher of SplitMix64: every bit of the input changes half of the output's.
    static uint64_t mix(uint64_t x) {
        x += 0x9e3779b97f4a7c15u;
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
        x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
        return x ^ (x >> 31);
    }

    uint64_t count_, key_;
    int half_bits_ = 1;
};

// How many windows of T tokens and their targets a shard of `tokens` has.
inline int64_t windows_in(int64_t tokens, int64_t T, int64_t stride) {
    return tokens > T ? (tokens - T - 1) / stride + 1 : 0;
}

class ShuffledWindows {
  public:
    // batch: windows per optimiser step.
    ShuffledWindows(const TokenShards& data, int64_t T, int64_t stride, int64_t batch, uint64_t seed)
        : data_(data), T_(T), stride_(stride), batch_(batch), seed_(seed) {
        for (const Shard& shard : data.shards) ends_.push_back(count() + windows_in(shard.size(), T, stride));
        CHECK(count() > 0, "[windows] no window of %lld tokens and its targets", static_cast<long long>(T));
    }

    int64_t count() const { return ends_.empty() ? 0 : ends_.back(); }
    int64_t steps_per_epoch() const { return (count() + batch_ - 1) / batch_; }

    // The batch of a step; steps and epochs count from 0 here. The last batch of an epoch may be smaller.
    Batch at(int64_t step) const {
        const int64_t epoch = step / steps_per_epoch();
        const int64_t begin = step % steps_per_epoch() * batch_, end = std::min(begin + batch_, count());
        const Permutation order(uint64_t(count()), seed_ * 0x9e3779b97f4a7c15u + uint64_t(epoch));
        Batch batch;
        batch.B = end - begin;
        batch.inputs.resize(size_t(batch.B * T_));
        batch.targets.resize(size_t(batch.B * T_));
        for (int64_t b = 0; b < batch.B; b++) {
            const int64_t window = int64_t(order(uint64_t(begin + b)));
            const size_t s = size_t(std::upper_bound(ends_.begin(), ends_.end(), window) - ends_.begin());
            const int64_t start = (window - (s == 0 ? 0 : ends_[s - 1])) * stride_;
            data_.shards[s].copy(start, T_, &batch.inputs[size_t(b * T_)]);
            data_.shards[s].copy(start + 1, T_, &batch.targets[size_t(b * T_)]);
        }
        return batch;
    }

  private:
    const TokenShards& data_;
    int64_t T_, stride_, batch_;
    uint64_t seed_;
    std::vector<int64_t> ends_;  // windows up to the end of each shard
};

}  // namespace small_gpt
