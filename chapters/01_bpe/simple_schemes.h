// simple_schemes.h - the schemes that learn nothing but a list: bytes, characters, words.
// Not here: schemes that learn parts of words (bpe.h, wordpiece.h, unigram.h).
#pragma once
#include <string_view>

#include "chapters/01_bpe/scheme.h"

// 256 ids, one per byte. Never unknown, never short.
Scheme byte_scheme();

// One id per character (code point) of the training text, as in chapter 00, and <unk> for all others. A byte that is no
// part of valid UTF-8 counts as a character.
Scheme character_scheme(std::string_view training_text);

// The most frequent pieces of the training text, `vocab_size` ids with <unk>. A word here is a piece of GPT-2's pattern:
// with its leading blank, so that the text can be put together again.
Scheme word_scheme(std::string_view training_text, int vocab_size);
