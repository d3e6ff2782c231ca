// characters.h - text as the patterns see it: characters of four kinds, newlines, contractions.
// Not here: the patterns (pretokenize.cpp, and as bits in piece_cuts.cpp); which character is of which kind
// (unicode_classes.h).
// Source: see pretokenize.h.
#pragma once
#include <cstring>
#include <string_view>

#include "chapters/01_bpe/unicode_classes.h"
#include "io/utf8.h"

struct Character {
    CharacterClass kind;
    const char* end;  // of its bytes
};

// The character at p < end. A byte that is no part of valid UTF-8 is one character of kind `other`.
inline Character character_at(const char* p, const char* end) {
    size_t length = 0;
    const uint32_t code = utf8::decode_next(std::string_view(p, size_t(end - p)), &length);
    return {code == utf8::kInvalid ? CharacterClass::kOther : class_of(code), p + length};
}

inline bool is_newline(char c) {
    return c == '\n' || c == '\r';
}

// Bytes in the contraction at p ('s 't 'd 'm 'll 've 're), or 0. The apostrophe is the straight one only.
inline int contraction_length(const char* p, const char* end, bool any_case) {
    if (*p != '\'') return 0;
    const auto letter = [&](int i) -> char {
        if (end - p <= i) return '\0';
        return any_case ? char(p[i] | 0x20) : p[i];  // 0x20: the bit between an ASCII letter's two cases
    };
    const char first = letter(1), second = letter(2);
    if (first == 's' || first == 't' || first == 'd' || first == 'm') return 2;
    if ((first == 'l' && second == 'l') || (first == 'v' && second == 'e') || (first == 'r' && second == 'e'))
        return 3;
    // subtle: U+017F, the long s, is an s to whom case does not matter
    if (any_case && end - p > 2 && std::memcmp(p + 1, "\xc5\xbf", 2) == 0) return 3;
    return 0;
}
