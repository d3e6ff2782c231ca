// findings.h - what is odd about a run before it begins, and what to try instead. Warnings, not refusals: the original's
// own options have two of these oddities, and a run is allowed to be strange.
// Not here: options that contradict each other (config.cpp) and models that do not fit (cost.h), which are refused.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "chapters/02_small_gpt/config.h"
#include "chapters/02_small_gpt/shards.h"

namespace small_gpt {

// What the findings are about, beside the options.
struct RunFacts {
    int64_t vocabulary = 0;
    int64_t rare_tokens = 0;   // of the vocabulary: those that the training split has fewer than kRare times
    int64_t train_tokens = 0;  // in the training split
    int64_t steps_per_epoch = 0;
    int64_t planned_steps = 0;  // of this run
    double needed_bytes = 0, present_bytes = 0;
};

constexpr int64_t kRare = 10;

// How many ids of the vocabulary the split has fewer than kRare times. Looks at its first 10^8 tokens.
int64_t count_rare_tokens(const TokenShards& data, int64_t vocabulary);

// One sentence each: what it is, and what to try.
std::vector<std::string> findings(const Config& config, const RunFacts& facts);

}  // namespace small_gpt
