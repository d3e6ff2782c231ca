// stats.h - what a vocabulary holds: lengths and kinds of its tokens, the longest; and what of it a text uses.
// Not here: a token's place in a text (show.h).
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "chapters/01_bpe/options.h"
#include "chapters/01_bpe/vocabulary.h"

enum class TokenKind {
    kWordAfterBlank,  // " word": a blank and letters
    kLetters,         // "word": a word at the beginning of something, or a part of one
    kNumber,          // digits, with or without a blank before them
    kBlanks,          // nothing but blanks and line breaks
    kSymbols,         // punctuation and the rest, with or without a blank before it
    kMixed,
    kPartOfCharacter,  // no valid UTF-8 on its own
    kSpecial,
    kUnnamed,  // an id that no file names
};
constexpr int kTokenKinds = 9;
const char* name_of(TokenKind kind);

// The kinds of all ids of a vocabulary.
std::vector<TokenKind> token_kinds(const Vocabulary& vocabulary);

// `candidates`, the longest tokens first; of equal length the smaller id.
std::vector<int> longest_first(const Vocabulary& vocabulary, std::vector<int> candidates);

void run_stats(const Options& options);
