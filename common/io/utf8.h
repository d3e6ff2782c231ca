// utf8.h - text as code points: a strict UTF-8 decoder, an encoder, and text made safe to show.
// Not here: normalisation, case, grapheme clusters. A character of this course is one code point.
// Source: Unicode 16, table 3-7 (well-formed byte sequences).
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/check.h"

namespace utf8 {

constexpr uint32_t kInvalid = 0xffffffff;  // what decode_next returns instead of a code point
constexpr uint32_t kReplacement = 0xfffd;  // the character that stands for what could not be decoded
constexpr uint32_t kLastCodePoint = 0x10ffff;

// Reads the code point at `offset` and moves behind it. Where the bytes are not UTF-8 it returns kInvalid and
// moves one byte. Refuses overlong forms, surrogates and code points above U+10FFFF, as the standard asks.
inline uint32_t decode_next(std::string_view text, size_t* offset) {
    const size_t begin = (*offset)++;
    const auto byte = [&](size_t i) { return uint32_t(uint8_t(text[i])); };
    const uint32_t first = byte(begin);
    if (first < 0x80) return first;

    size_t length;           // in bytes
    uint32_t code, minimum;  // below the minimum a shorter form exists
    if (first >= 0xc0 && first < 0xe0) {
        length = 2, code = first & 0x1f, minimum = 0x80;
    } else if (first >= 0xe0 && first < 0xf0) {
        length = 3, code = first & 0x0f, minimum = 0x800;
    } else if (first >= 0xf0 && first < 0xf8) {
        length = 4, code = first & 0x07, minimum = 0x10000;
    } else {
        return kInvalid;  // a continuation byte without its head, or no UTF-8 at all
    }
    if (text.size() - begin < length) return kInvalid;
    for (size_t i = 1; i < length; i++) {
        if ((byte(begin + i) & 0xc0) != 0x80) return kInvalid;
        code = code << 6 | (byte(begin + i) & 0x3f);
    }
    const bool is_surrogate = code >= 0xd800 && code < 0xe000;
    if (code < minimum || is_surrogate || code > kLastCodePoint) return kInvalid;
    *offset = begin + length;
    return code;
}

// Appends one code point.
inline void append(std::string* text, uint32_t code) {
    CHECK(code <= kLastCodePoint && !(code >= 0xd800 && code < 0xe000), "[utf8] U+%04X is not a character",
          code);
    const auto tail = [&](int shift) { text->push_back(char(0x80 | (code >> shift & 0x3f))); };
    if (code < 0x80) {
        text->push_back(char(code));
    } else if (code < 0x800) {
        text->push_back(char(0xc0 | code >> 6));
        tail(0);
    } else if (code < 0x10000) {
        text->push_back(char(0xe0 | code >> 12));
        tail(6), tail(0);
    } else {
        text->push_back(char(0xf0 | code >> 18));
        tail(12), tail(6), tail(0);
    }
}

inline std::string encode(uint32_t code) {
    std::string text;
    append(&text, code);
    return text;
}

inline std::string encode(const std::vector<uint32_t>& codes) {
    std::string text;
    for (uint32_t code : codes) append(&text, code);
    return text;
}

// All code points of `text`. `what` names the text in the error (a path, "--prompt").
inline std::vector<uint32_t> decode(const std::string& text, const std::string& what) {
    std::vector<uint32_t> codes;
    codes.reserve(text.size());
    for (size_t offset = 0; offset < text.size();) {
        const size_t begin = offset;
        const uint32_t code = decode_next(text, &offset);
        if (code == kInvalid)
            user_error(
                "%s is not valid UTF-8: byte %zu is 0x%02x\nconvert it first, for example with: iconv -f "
                "latin1 -t utf-8",
                what.c_str(), begin, uint8_t(text[begin]));
        codes.push_back(code);
    }
    return codes;
}

// `text` fit for one line on a terminal: control characters as \n, \t or \x1b, invalid bytes as \xff. Paths
// and arguments come from outside, and an error message must neither break its line nor move the cursor.
inline std::string printable(const std::string& text) {
    std::string shown;
    for (size_t offset = 0; offset < text.size();) {
        const size_t begin = offset;
        const uint32_t code = decode_next(text, &offset);
        const bool is_control = code < 0x20 || (code >= 0x7f && code < 0xa0);
        if (code == '\n') {
            shown += "\\n";
        } else if (code == '\t') {
            shown += "\\t";
        } else if (is_control || code == kInvalid) {
            for (size_t i = begin; i < offset; i++) shown += format("\\x%02x", uint8_t(text[i]));
        } else {
            shown.append(text, begin, offset - begin);
        }
    }
    return shown;
}

}  // namespace utf8
