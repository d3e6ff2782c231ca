// pretokenize.h - cuts text into pieces, the words that BPE never merges across.
// Not here: what happens inside a piece (bpe.h). The cut is GPT-2's regular expression, or cl100k's, written
// as a scanner by hand (pretokenize.cpp): four kinds of characters, a handful of rules, no backtracking and
// so no worst case. Then the same rules for 64 bytes at a time (piece_cuts.cpp), six times as fast.
// Source: the patterns that GPT-2 (Radford et al. 2019) and tiktoken publish; chapters/01_bpe/README.md takes
// them apart, "The pattern, piece by piece".
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

// Of the rules between bars the first one that matches decides, and takes as much as it can.
enum class Pattern {
    kNone,  // the whole text is one piece
    // '(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
    kGpt2,
    // '(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*
    // |\s+$|\s*[\r\n]|\s+(?!\S)|\s
    kCl100k,
};

// "gpt2", "cl100k", "none"; false for any other name.
bool pattern_from_name(const std::string& name, Pattern* pattern);
const char* name_of(Pattern pattern);

// The end of the piece that begins at `begin`; begin < end, and the result is in (begin, end]. `end` is the
// end of the text: a piece may depend on whether anything follows. What came before `begin` never matters. A
// byte that is no part of valid UTF-8 counts as one character that is neither letter, number nor blank.
const char* piece_end(Pattern pattern, const char* begin, const char* end);

// The next cuts, many at once: bit i says that a piece begins at begin + i, where the one that begins at
// `begin` ends or a later one. Says all about the bytes up to the highest bit set, nothing about what
// follows; 0 when it has nothing to say (short rest, long piece): ask piece_end then.
uint64_t cuts_ahead(Pattern pattern, const char* begin, const char* end);

// Calls visit(piece) for each piece of `text`, in order; together they are the text.
template <class Visit>
void for_each_piece(Pattern pattern, std::string_view text, Visit&& visit) {
    const char* begin = text.data();
    const char* const end = begin + text.size();
    while (begin < end) {
        const char* const block = begin;
        uint64_t cuts = cuts_ahead(pattern, block, end);
        do {
            const char* next = cuts != 0 ? block + __builtin_ctzll(cuts) : piece_end(pattern, begin, end);
            visit(std::string_view(begin, size_t(next - begin)));
            begin = next;
            cuts &= cuts - 1;
        } while (cuts != 0);
    }
}

// A place behind `at`, in ordinary text a few characters on, where every split of `text`, from whatever start
// before it, has a cut, and where the split of what is on the left stays the same if the text ends there:
// threads can take the two sides apart. text.size() when there is none (always for kNone).
size_t certain_cut(Pattern pattern, std::string_view text, size_t at);
