// piece_cuts.cpp - the patterns as arithmetic on 64 bits, one for each byte of a block of text.
// Not here: the rules one by one (pretokenize.cpp: read it first; this file must agree with it, and gives up
// where it would have to be long to do so).
// Source: the technique is that of Langdale and Lemire 2019, "Parsing gigabytes of JSON per second": find out
// about many bytes at once, remember one bit about each, and let the rules be shifts, ands and ors.
#include <cstring>

#include "chapters/01_bpe/characters.h"
#include "chapters/01_bpe/pretokenize.h"
#if defined(__AVX2__) || defined(__SSE2__)
#include <immintrin.h>
#endif

namespace {

constexpr int kBlock = 64;

// ---- Bytes to bits --------------------------------------------------------------------------------------------------

#if defined(__AVX2__)
constexpr int kWidth = 32;
#else
constexpr int kWidth = 16;
#endif
typedef uint8_t Bytes __attribute__((vector_size(kWidth)));  // GCC's vectors: arithmetic on each element
typedef int8_t Claims __attribute__((vector_size(kWidth)));  // what comparing them gives: 0 or -1 for each

Bytes load(const char* p) {
    Bytes bytes;
    std::memcpy(&bytes, p, sizeof bytes);
    return bytes;
}

// One comparison for two: bytes below `first` wrap around to great numbers.
Claims is_between(Bytes bytes, uint8_t first, uint8_t last) {
    return bytes - first <= uint8_t(last - first);
}

// Bit i is the highest bit of byte i, which every -1 has.
uint64_t bits_of(Claims claims) {
#if defined(__AVX2__)
    return uint32_t(_mm256_movemask_epi8(__m256i(claims)));
#elif defined(__SSE2__)
    return uint32_t(_mm_movemask_epi8(__m128i(claims)));
#else
    uint64_t bits = 0;
    for (int i = 0; i < kWidth; i++) bits |= uint64_t(claims[i] < 0) << i;
    return bits;
#endif
}

// ---- Bits -----------------------------------------------------------------------------------------------------------

uint64_t bit(int i) {
    return uint64_t(1) << i;
}
uint64_t below(int i) {
    return bit(i) - 1;
}
int lowest(uint64_t bits) {
    return __builtin_ctzll(bits);
}
// The first of each run of ones. What came before the block does not count: its first byte begins a piece
// anyway.
uint64_t firsts(uint64_t bits) {
    return bits & ~(bits << 1);
}
// The last of each run of ones. Not to be trusted at the end of the block.
uint64_t lasts(uint64_t bits) {
    return bits & ~(bits >> 1);
}
// Of each run of ones that begins with a one of `chosen` all of it: adding 1 to a run turns it to zeros.
uint64_t runs_from(uint64_t chosen, uint64_t bits) {
    return bits & ~(bits + chosen);
}

// Bit i is about byte i of the block. All bytes of a character are of its kind.
struct Kinds {
    uint64_t letter = 0, number = 0, blank = 0;
    uint64_t space = 0, newline = 0, apostrophe = 0;
    uint64_t not_ascii = 0;
    uint64_t continuation = 0;  // bytes of characters, without the first of each
    int known = kBlock - 1;     // the kinds of the bytes up to this one are known, so cuts before it can be

    uint64_t other() const { return ~(letter | number | blank); }
};

Kinds kinds_of_ascii(const char* block) {
    Kinds kinds;
    for (int i = 0; i < kBlock; i += kWidth) {
        const Bytes bytes = load(block + i);
        const Claims space = bytes == ' ';
        kinds.letter |= bits_of(is_between(bytes | 0x20, 'a', 'z')) << i;
        kinds.number |= bits_of(is_between(bytes, '0', '9')) << i;
        kinds.blank |= bits_of(is_between(bytes, '\t', '\r') | space) << i;
        kinds.space |= bits_of(space) << i;
        kinds.newline |= bits_of((bytes == '\n') | (bytes == '\r')) << i;
        kinds.apostrophe |= bits_of(bytes == '\'') << i;
        kinds.not_ascii |= bits_of(Claims(bytes)) << i;
    }
    return kinds;
}

// The characters of several bytes, one by one. Bytes that are no UTF-8 stay `other`.
void add_kinds_of_others(const char* block, const char* end, bool count_numbers, Kinds* kinds) {
    for (uint64_t rest = kinds->not_ascii; rest != 0;) {
        const int i = lowest(rest);
        const Character c = character_at(block + i, end);
        const uint64_t bytes = below(int(c.end - block) - i) << i;
        kinds->continuation |= bytes & ~bit(i);
        if (c.kind == CharacterClass::kLetter) kinds->letter |= bytes;
        if (c.kind == CharacterClass::kNumber) kinds->number |= bytes;
        if (c.kind == CharacterClass::kBlank) kinds->blank |= bytes;
        // Where characters are counted, or the last of a run matters, a bit per byte is not enough: stop before.
        if (c.kind == CharacterClass::kBlank || (c.kind == CharacterClass::kNumber && count_numbers)) {
            kinds->known = i;
            break;
        }
        rest &= ~bytes;
    }
}

// ---- The patterns ---------------------------------------------------------------------------------------------------

// Contractions apart.
uint64_t gpt2_cuts(const Kinds& kinds) {
    //  ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+   A piece begins where the kind changes, not behind a space ...
    const uint64_t words = firsts(kinds.letter) | firsts(kinds.number) | firsts(kinds.other());
    // \s+(?!\S)|\s+   ... because it began with that space, the last one of a run of blanks.
    return (words & ~(kinds.space << 1)) | firsts(kinds.blank) | lasts(kinds.blank);
}

// Contractions apart. May lower `known`.
uint64_t cl100k_cuts(Kinds* kinds) {
    //  ?[^\s\p{L}\p{N}]+[\r\n]*
    const uint64_t others = firsts(kinds->other()) & ~(kinds->space << 1);
    const uint64_t taken_along = runs_from(kinds->newline & (kinds->other() << 1), kinds->newline);
    const uint64_t blank = kinds->blank & ~taken_along;
    const uint64_t indent = blank & ~kinds->newline;  // blanks that are no newlines

    // [^\r\n\p{L}\p{N}]?\p{L}+   Letters begin a piece, unless the one character before them does: a blank that
    // is no newline, or the first of others.
    uint64_t lead = others;
    for (int i = 0; i < 3; i++) lead |= (lead << 1) & kinds->continuation;
    const uint64_t letters = firsts(kinds->letter) & ~((lead | indent) << 1);

    // \p{N}{1,3}   The first of a run, and every third one.
    const uint64_t number = kinds->number;
    const uint64_t fourth = number & number << 1 & number << 2 & number << 3;  // has three before it
    uint64_t numbers = firsts(number);
    for (uint64_t next = numbers; next != 0; numbers |= next) next = (next << 3) & fourth;

    // \s*[\r\n]|\s+(?!\S)|\s   A run of blanks is cut behind its last newline and before its last blank.
    uint64_t blanks = firsts(blank) | (lasts(kinds->blank) & indent);
    // Blanks behind a newline: whether it is the last one of its run shows where the indentation ends.
    const uint64_t behind_newline = indent & ((blank & kinds->newline) << 1) & below(kinds->known);
    for (uint64_t rest = behind_newline; rest != 0; rest &= rest - 1) {
        const int i = lowest(rest);
        const uint64_t no_indent = ~indent >> i << i;
        const int indent_end = no_indent != 0 ? lowest(no_indent) : kBlock;
        if (indent_end > kinds->known) {
            kinds->known = i;  // it reaches farther than we can see
            break;
        }
        if ((kinds->newline & bit(indent_end)) == 0) blanks |= bit(i);
    }
    return others | letters | numbers | blanks;
}

}  // namespace

uint64_t cuts_ahead(Pattern pattern, const char* begin, const char* end) {
    if (end - begin < kBlock || pattern == Pattern::kNone) return 0;
    const bool is_gpt2 = pattern == Pattern::kGpt2;
    Kinds kinds = kinds_of_ascii(begin);
    if (kinds.not_ascii != 0) add_kinds_of_others(begin, end, /*count_numbers=*/!is_gpt2, &kinds);
    uint64_t cuts = is_gpt2 ? gpt2_cuts(kinds) : cl100k_cuts(&kinds);

    // '(?:[sdmt]|ll|ve|re)   The letters belong to an apostrophe that begins a piece.
    for (uint64_t rest = (cuts | 1) & kinds.apostrophe; rest != 0; rest &= rest - 1) {
        const int i = lowest(rest);
        const int length = contraction_length(begin + i, end, /*any_case=*/!is_gpt2);
        if (length == 0 || i + 1 >= kBlock) continue;
        cuts &= ~bit(i + 1);
        if (i + length < kBlock) cuts |= bit(i + length);
    }
    return cuts & below(kinds.known) & ~uint64_t(1);
}
