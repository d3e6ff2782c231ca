// exploration.h - what explore finds out, and the parts of the program that find it out and show it.
// Not here: the order in which that happens (explore.cpp).
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "chapters/01_bpe/bits_per_byte.h"
#include "chapters/01_bpe/scheme.h"
#include "chapters/01_bpe/vocabulary.h"

struct SchemeRow {
    std::string name;
    int vocabulary = 0;
    double bytes_per_token = 0;
    double tokens_per_word = 0;   // a word: what stands between blanks
    double used_share = 0;        // of the vocabulary, in the whole text
    double unknown_share = 0;     // of the tokens
    bool can_be_unknown = false;  // the scheme has an <unk>
    std::string longest;          // the longest token that the whole text uses: its bytes
    std::optional<BitsPerByte> bits;
};

// The same text in many languages, in each of some vocabularies.
struct LanguageRow {
    std::string name;
    size_t bytes = 0;
    std::vector<size_t> tokens;  // by vocabulary
};
struct Languages {
    std::vector<std::string> vocabularies;
    std::vector<LanguageRow> rows;  // the first is English; empty where the texts are not to be had
    double premium(size_t row, size_t vocabulary) const {
        return double(rows[row].tokens[vocabulary]) / double(rows[0].tokens[vocabulary]);
    }
};

struct Exploration {
    std::string text_name;
    size_t text_bytes = 0, held_out_bytes = 0;
    std::vector<SchemeRow> schemes;
    Languages languages;
    SmallModelOptions model;
    std::string command, machine;
};

// A vocabulary as a scheme, under a name for the table.
Scheme bpe_scheme(Vocabulary vocabulary, const std::string& name);

// The vocabularies that others have published, where data/ has them or can get them: GPT-2's and cl100k.
std::vector<Scheme> published_schemes();

// One row, but for its bits.
SchemeRow measure(const Scheme& scheme, std::string_view text, std::string_view held_out);

// The Universal Declaration of Human Rights in twenty languages, measured in bytes, in characters, with a vocabulary
// learned from these very texts, and with `published`. Says on stderr when data/udhr.sh cannot get the texts.
Languages compare_languages(const std::vector<Scheme>& published);

// The first two dozen characters of a token, made visible, and dots for the rest.
std::string shortened_token(std::string_view bytes);

std::string explore_tables(const Exploration& exploration);  // for a terminal
std::string explore_json(const Exploration& exploration);    // one line
std::string explore_page(const Exploration& exploration);    // HTML
