// 1_lost_merges.cpp - exercise: tiktoken's files list tokens in the order in which they were learned, and not the merges
// that made them. Find the merges again.
// Fill in the gap, then: make exercise-01-1
#include "chapters/01_bpe/exercises/check_1.h"

// The two halves of every token that is longer than a byte, in the order of the tokens. When a token was learned, its
// halves were tokens already, and stood side by side once the merges learned before had been made in its bytes.
//   vocabulary  tokens and byte_ids are there, merges is empty
std::vector<plain::Pair> find_merges(const Vocabulary& vocabulary) {
    // Your part. What is here finds none.
    (void)vocabulary;
    return {};
}
