// memorize.h - is it memory or language? How likely a model finds the true continuation of sentences that it was trained
// on and of sentences that it never saw, and how much of what it writes itself stands word for word in its training text.
// Not here: text that was changed a little while it was copied; only equal tokens count.
#pragma once
#include <cstdint>
#include <vector>

#include "chapters/02_small_gpt/shards.h"
#include "chapters/02_small_gpt/tasks.h"

namespace small_gpt {

// The longest run of tokens of a text that stands somewhere in a split.
struct Copy {
    int64_t length = 0;
    int64_t begin = 0;  // in the text
};

// For each text its longest copy; the first of equal ones. One pass over the split.
std::vector<Copy> longest_copies(const std::vector<std::vector<int>>& texts, const TokenShards& data);

// The beginnings of up to `count` documents, spread evenly over those that are long enough: `context` tokens and the
// `continuation` tokens behind them.
std::vector<Passage> document_beginnings(const TokenShards& data, int end_of_text, int64_t count,
                                         int64_t context, int64_t continuation);

}  // namespace small_gpt
