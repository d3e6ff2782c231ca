// evaluate.h - how well a model predicts held-out text, per token and per byte. Loss per token depends on the
// tokenizer; bits per byte do not: they compare models with different vocabularies.
// Not here: multiple-choice tasks.
#pragma once
#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

#include "chapters/00_char_gpt/gpt.h"
#include "chapters/01_bpe/bpe.h"
#include "chapters/02_small_gpt/shards.h"

namespace small_gpt {

struct HeldOut {
    double nats = 0;     // of all predicted tokens together
    int64_t tokens = 0;  // predicted
    int64_t bytes =
        0;  // of text that these stand for; <|endoftext|> stands for none, and its nats count all the same

    // Of windows, for the standard error: each a mean of its tokens, weighted by how many these are.
    int64_t windows = 0;
    double weighted_squares = 0;  // sum over windows of tokens * (nats per token)^2

    double loss() const { return nats / double(tokens); }  // nats per token
    // How far the loss of as many other windows might be from this one: windows are taken for independent draws.
    double loss_error() const;
    double perplexity() const { return std::exp(loss()); }
    double bits_per_byte() const { return nats / 0.69314718055994530942 / double(bytes); }
};

// For each id, the bytes of text that it stands for; 0 for a special token.
std::vector<uint32_t> bytes_of_tokens(const Vocabulary& vocabulary);

// Over the non-overlapping windows of a split: no dropout, nothing recorded.
//   rows         windows at once: what fits into memory
//   most_windows  spread evenly over the split; 0: all of them
HeldOut evaluate(Context& ctx, const Gpt& gpt, const TokenShards& data,
                 const std::vector<uint32_t>& token_bytes, int64_t rows, int64_t most_windows = 0);

// Over all of a text, however short: <|endoftext|> in front, so that its first token is predicted too, and a last window
// that is not full. `ids` has no special token.
HeldOut evaluate_text(Context& ctx, const Gpt& gpt, const std::vector<int>& ids, int end_of_text,
                      const std::vector<uint32_t>& token_bytes, int64_t rows, int64_t most_windows = 0);

}  // namespace small_gpt
