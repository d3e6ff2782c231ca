// 4_fewest_tokens.cpp - exercise: BPE makes its merges in the order it learned them and never looks ahead. How few tokens
// could a word have? Find a cut of it into as few tokens of the vocabulary as there can be, by dynamic programming: the
// Viterbi search of the unigram scheme (unigram.h) with the same cost for every token.
// Fill in the gap, then: make exercise-01-4
#include "chapters/01_bpe/exercises/check_4.h"

// Ids of tokens whose bytes, one after the other, are `piece`; no other list is shorter. Every byte is a token, so there
// always is one.
std::vector<int> fewest_tokens(const Vocabulary& vocabulary, std::string_view piece) {
    // Your part. What is here takes every byte for itself.
    return plain::bytes_as_ids(vocabulary, piece);
}
