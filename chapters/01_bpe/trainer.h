// trainer.h - learns a vocabulary: merges the most frequent pair of neighbours, over and over.
// Not here: the split into pieces (pretokenize.h); the plain version, which recounts every pair for each merge
// (bpe_plain.h).
// Source: Sennrich, Haddow, Birch 2016, algorithm 1, with counts kept up to date instead of taken anew.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "chapters/01_bpe/vocabulary.h"

struct TrainOptions {
    int vocab_size = 8192;      // bytes, merges and special tokens together
    int64_t min_frequency = 2;  // stop when no pair is as frequent
    Pattern pattern = Pattern::kGpt2;
    std::vector<std::string> specials;                          // get the last ids
    std::function<void(int64_t done, int64_t total)> progress;  // merges; may be empty
};

// Each text is a document of its own: pieces never cross its ends. Equal counts: the pair with the smaller left id, then
// right id, bytes numbered as in GPT-2, which gives the merges of HuggingFace's trainer. Counting uses
// parallel::num_threads() threads; the merges do not depend on them. Memory: about 30 bytes per byte of different pieces.
// Errors: no text; a vocab_size below 256 and the special tokens; a special token that is empty, named twice, or a
// single byte; different pieces of more than 4 GiB together.
Vocabulary train_bpe(const std::vector<std::string_view>& texts, const TrainOptions& options);
