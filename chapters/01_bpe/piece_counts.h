// piece_counts.h - the different pieces of a text and how often each occurs: all that training reads of it.
// Not here: how text is cut into pieces (pretokenize.h), what is learned from them (trainer.h, wordpiece.h, unigram.h).
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "chapters/01_bpe/pretokenize.h"

struct PieceCount {
    std::string_view piece;  // points into the texts
    int64_t count;
};

// Each text is a document of its own. Uses parallel::num_threads() threads; the result, in alphabetical order of the
// pieces' bytes if `sorted`, else in no order, has the same content for any number of them.
std::vector<PieceCount> count_pieces(const std::vector<std::string_view>& texts, Pattern pattern,
                                     bool sorted = false);
