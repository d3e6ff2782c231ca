// json_lines.cpp - see json_lines.h.
#include "chapters/01_bpe/json_lines.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "core/check.h"
#include "io/utf8.h"

namespace {

bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

// The four hexadecimal digits at `at`, or -1.
int32_t hex4(std::string_view line, size_t at) {
    if (line.size() < at + 4) return -1;
    int32_t value = 0;
    for (const char c : line.substr(at, 4)) {
        const bool is_digit = c >= '0' && c <= '9';
        const char lower = char(c | 0x20);
        if (!is_digit && !(lower >= 'a' && lower <= 'f')) return -1;
        value = value << 4 | (is_digit ? c - '0' : lower - 'a' + 10);
    }
    return value;
}

bool is_high_surrogate(int32_t code) {
    return code >= 0xd800 && code < 0xdc00;
}
bool is_low_surrogate(int32_t code) {
    return code >= 0xdc00 && code < 0xe000;
}

// The character that stands behind a backslash; 0 for one that may not.
char unescaped(char c) {
    switch (c) {
        case 'b':
            return '\b';
        case 'f':
            return '\f';
        case 'n':
            return '\n';
        case 'r':
            return '\r';
        case 't':
            return '\t';
        case '"':
        case '\\':
        case '/':
            return c;
        default:
            return 0;
    }
}

// In each byte of the eight at `at` that does not stand for itself, the high bit: a quote, a backslash, a control character.
// x - 0x01.. has the high bit set in each byte that was 0, and perhaps in ones above such a byte: the lowest one is right.
// What is searched for becomes 0 by an exclusive or.
uint64_t special_bytes(const char* at) {
    constexpr uint64_t kOnes = 0x0101010101010101u, kHigh = 0x8080808080808080u;
    const auto has_zero = [](uint64_t x) { return (x - kOnes) & ~x & kHigh; };
    uint64_t word;
    std::memcpy(&word, at, 8);
    const uint64_t is_control = (word - kOnes * 0x20) & ~word & kHigh;
    return is_control | has_zero(word ^ kOnes * '"') | has_zero(word ^ kOnes * '\\');
}

// How many bytes stand for themselves, from the first one on.
size_t plain_run(std::string_view text) {
    size_t i = 0;
    const char* const from = text.data();
    for (; i + 32 <= text.size(); i += 32)  // four words: a vector's worth
        if (special_bytes(from + i) | special_bytes(from + i + 8) | special_bytes(from + i + 16) |
            special_bytes(from + i + 24))
            break;
    for (; i + 8 <= text.size(); i += 8)
        if (const uint64_t special = special_bytes(from + i)) return i + size_t(__builtin_ctzll(special)) / 8;
    while (i < text.size() && text[i] != '"' && text[i] != '\\' && uint8_t(text[i]) >= 0x20) i++;
    return i;
}

}  // namespace

std::string parse_json_string_at(std::string_view line, size_t* at, std::string* text) {
    text->clear();
    size_t& i = *at;
    if (i >= line.size() || line[i] != '"')
        return format("a JSON string begins with a quote, not with '%s'",
                      utf8::printable(std::string(line.substr(std::min(i, line.size()), 1))).c_str());
    for (i++; i < line.size() && line[i] != '"';) {
        // Most bytes stand for themselves: take a run of them at once.
        const size_t begin = i;
        i += plain_run(line.substr(i));
        text->append(line, begin, i - begin);
        if (i == line.size() || line[i] == '"') continue;
        if (line[i] != '\\')
            return format("byte %zu is 0x%02x, a control character without an escape", i, uint8_t(line[i]));
        if (i + 1 == line.size()) break;
        if (line[i + 1] != 'u') {
            const char c = unescaped(line[i + 1]);
            if (c == 0) return format("byte %zu begins an escape that JSON does not have", i);
            *text += c;
            i += 2;
            continue;
        }
        const int32_t code = hex4(line, i + 2);
        if (code < 0) return format("byte %zu begins an escape without its four hexadecimal digits", i);
        i += 6;
        const int32_t next = is_high_surrogate(code) && line.substr(i, 2) == "\\u" ? hex4(line, i + 2) : -1;
        if (is_low_surrogate(next)) {
            utf8::append(text, uint32_t(0x10000 + ((code - 0xd800) << 10) + (next - 0xdc00)));
            i += 6;
        } else {
            const bool is_half = is_high_surrogate(code) || is_low_surrogate(code);
            utf8::append(text, is_half ? utf8::kReplacement : uint32_t(code));
        }
    }
    if (i >= line.size() || line[i] != '"') return "its closing quote is missing";
    i++;
    return "";
}

std::string parse_json_string(std::string_view line, std::string* text) {
    text->clear();
    size_t i = 0;
    while (i < line.size() && is_blank(line[i])) i++;
    if (i == line.size()) return "it is empty; a JSON string has quotes: \"\"";
    const std::string problem = parse_json_string_at(line, &i, text);
    if (!problem.empty()) return problem;
    for (; i < line.size(); i++)
        if (!is_blank(line[i])) return format("something follows the string, at byte %zu", i);
    return "";
}
