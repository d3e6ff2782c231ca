// bits_per_byte.h - the measure that compares tokenization schemes fairly: the same small GPT is trained on each for the
// same number of floating-point operations, and its held-out loss is stated per byte of text, not per token.
// Not here: the schemes (scheme.h), the model (chapters/00_char_gpt/gpt.h), the table (explore.h).
// Source: loss in nats per token times tokens / bytes / ln 2; chapters/01_bpe/README.md, "The measure that decides".
#pragma once
#include <cstdint>
#include <functional>
#include <string_view>

#include "chapters/01_bpe/scheme.h"

// Chapter 00's model and recipe (its preset `quick`) with half the channels and a quarter of the batch: a dozen models are
// to be trained in the time of one, and with few steps to take, many small ones reach further than few large ones.
struct SmallModelOptions {
    int64_t layers = 4, heads = 4, channels = 64, context = 64;  // context in tokens, whatever they hold
    int64_t batch = 8;                                           // windows per step
    double flop = 1e12;  // what training may cost; the number of steps follows
    uint64_t seed = 1337;
};

struct BitsPerByte {
    double model_bits = 0;     // held-out bits per byte that the model needs to tell the tokens
    double spelling_bits = 0;  // and what it takes to spell out those that are <unk>; 0 when none is
    double total() const { return model_bits + spelling_bits; }
    double nats_per_token = 0;
    int64_t steps = 0;
    int64_t parameters = 0;
    double passes =
        0;  // over the training text; a window starts at every token, so that it is read in 64 ways
};

// Floating-point operations of one token in training, a multiplication and an addition counted as two: matrix products
// and attention, forward and twice that backward; the output layer over all V tokens included. An embedding is looked up
// (C additions). Norms, GELU, softmax and the optimiser are left out: a percent or two, and the same for all schemes.
//   3 (L (24 C^2 + 2 C (T + 1)) + 2 V C + C)
double training_flop_per_token(const SmallModelOptions& options, int64_t vocabulary);

// How many steps the budget allows; at least one.
int64_t steps_within(const SmallModelOptions& options, int64_t vocabulary);

// Trains on `train`, measures on `held_out`; none of the two may be empty. step(n) is called behind each step.
//
// What a scheme cannot express must not be free: <unk> stands for any word, so telling "<unk>" tells too little. A piece
// that is <unk> is charged for its spelling, by a model of byte pairs learned from the training text's own unknown pieces
// (plus one for each pair, so that nothing is impossible), with an end mark. A spelling model as good as the GPT would
// charge less; a scheme with many unknowns is therefore rated too badly, and without the charge far too well: both
// numbers are shown.
// Errors: a text with fewer tokens than the context and one more.
BitsPerByte bits_per_byte(const Scheme& scheme, std::string_view train, std::string_view held_out,
                          const SmallModelOptions& options, const std::function<void(int64_t step)>& step);

// The charge, alone: bits for each of the held-out text's unknown tokens, together.
double spelling_bits(const Scheme& scheme, std::string_view train, const Tokens& train_tokens,
                     std::string_view held_out, const Tokens& held_out_tokens);
