// findings.cpp - see findings.h.
#include "chapters/02_small_gpt/findings.h"

#include <algorithm>

#include "core/check.h"

namespace small_gpt {

int64_t count_rare_tokens(const TokenShards& data, int64_t vocabulary) {
    constexpr int64_t kMostCounted = 100000000;
    std::vector<int64_t> counts(size_t(vocabulary), 0);
    int64_t counted = 0;
    for (const Shard& shard : data.shards)
        for (int64_t i = 0; i < shard.size() && counted < kMostCounted; i++, counted++)
            counts[size_t(shard[i])]++;
    return std::count_if(counts.begin(), counts.end(), [](int64_t count) { return count < kRare; });
}

std::vector<std::string> findings(const Config& config, const RunFacts& facts) {
    std::vector<std::string> found;
    const auto number = [](int64_t value) { return std::to_string(value); };
    if (config.min_lr > config.lr)
        found.push_back(
            format("the learning rate rises: --min-lr %g is above --lr %g; a cosine that falls ends at a "
                   "tenth: --min-lr %g",
                   double(config.min_lr), double(config.lr), double(config.lr) / 10));
    const int64_t width = config.heads * config.head_size;
    if (width != config.channels)
        found.push_back("attention is " + number(width) + " wide (" + number(config.heads) + " heads of " +
                        number(config.head_size) + ") inside " + number(config.channels) +
                        " channels; try --head-size " +
                        number(std::max<int64_t>(config.channels / config.heads, 1)));
    if (facts.steps_per_epoch < config.warmup)
        found.push_back("the warm-up of " + number(config.warmup) + " steps is longer than an epoch of " +
                        number(facts.steps_per_epoch) + "; try --warmup " +
                        number(std::max<int64_t>(facts.steps_per_epoch / 20, 0)) +
                        ", a smaller --accumulate, or a "
                        "smaller --stride");
    constexpr int64_t kFewUpdates = 100;
    if (facts.planned_steps < kFewUpdates)
        found.push_back("only " + number(facts.planned_steps) +
                        " updates; a language model wants thousands: try a "
                        "smaller --accumulate or --batch, --stride 1, or more --epochs");
    // A token that is hardly ever seen keeps its random vector; when that is a quarter of them, the vocabulary is too large.
    if (facts.rare_tokens * 4 > facts.vocabulary) {
        int64_t fits = 512;
        while (fits * 2 <= facts.train_tokens / 256 && fits < 65536) fits *= 2;
        found.push_back(number(facts.rare_tokens) + " of the vocabulary's " + number(facts.vocabulary) +
                        " tokens occur fewer than " + number(kRare) +
                        " times in the training split: this corpus "
                        "cannot train them; try prepare --vocab bpe:" +
                        number(fits) + ", or more text");
    }
    if (facts.needed_bytes > 0.8 * facts.present_bytes)
        found.push_back(
            format("training needs about %.3g of %.3g GiB of memory; a smaller --batch with a larger "
                   "--accumulate takes the same steps in less",
                   facts.needed_bytes / (1 << 30), facts.present_bytes / (1 << 30)));
    return found;
}

}  // namespace small_gpt
