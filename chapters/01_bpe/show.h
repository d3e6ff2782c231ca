// show.h - a text as its tokens: in colours on a terminal, or as a page to share (show_page.cpp).
// Not here: how tokens come to be (trace.h).
#pragma once
#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "chapters/01_bpe/bpe.h"
#include "chapters/01_bpe/options.h"

// What there is to say about a token of a vocabulary, wherever it stands.
struct TokenOrigin {
    enum Kind { kByte, kMerge, kLookedUp, kSpecial } kind = kByte;
    int rank = -1;              // of the merge that makes it
    int left = -1, right = -1;  // the ids that it is made of
};

struct ShownToken {
    int id;
    size_t begin, end;  // its bytes in the text
    std::string
        part_of;  // the whole characters around a token that begins or ends inside one; empty for others
};

struct ShownText {
    std::string tokenizer;  // its name
    int vocabulary_size;
    const Bpe* bpe;
    std::vector<ShownToken> tokens;
    std::map<int, TokenOrigin> origins;  // of every id in `tokens`
};

// Keeps a pointer to `bpe`.
ShownText tokenize(const Bpe& bpe, const std::string& text, bool with_special);

// Lines for a terminal: the text in one strip, coloured or with bars between the tokens, then a row per token.
std::string terminal_view(const ShownText& shown, bool has_colours);

// A page with the text once for each of `views`: one or two of them.
std::string show_page(const std::string& text, const std::vector<ShownText>& views);

void run_show(const Options& options);
