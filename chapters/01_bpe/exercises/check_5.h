// check_5.h - checks exercise 5 on whole characters, beginnings of characters, and bytes that can never be one.
#pragma once
#include "chapters/01_bpe/exercises/checker.h"
#include "chapters/01_bpe/token_text.h"

size_t showable(std::string_view bytes);

int main() {
    Verdict verdict;
    struct Case {
        std::string bytes;
        size_t held_back;
    };
    // clang-format off
    const std::vector<Case> cases = {
        {"", 0}, {"abc", 0}, {"caf\xc3\xa9", 0}, {"\xe2\x82\xac", 0}, {"\xf0\x9f\x98\x80", 0},
        {"caf\xc3", 1}, {"\xe2", 1}, {"\xe2\x82", 2}, {"\xf0", 1}, {"\xf0\x9f", 2}, {"a\xf0\x9f\x98", 3},
        {"\xe2\x82 ", 0},          // the blank has ended it
        {"\xff", 0}, {"\xc0", 0}, {"\xc1", 0}, {"\xf5", 0},  // no character begins so
        {"\x80", 0}, {"a\xbf\xbf", 0},                    // middles without a beginning
        {"\xc3\xa9\xa9", 0},       // a character, and a middle too many
        {"\xf0\x9f\x98\x80\xf0", 1}, {"\xe2\x82\xe2\x82", 2},
        {"\xe0\x80", 0},           // a longer form of what has a shorter one
        {"\xe0\xa0", 2}, {"\xed\xa0", 0},                 // half of a surrogate pair
        {"\xed\x9f", 2}, {"\xf0\x80", 0}, {"\xf0\x90", 2},
        {"\xf4\x8f", 2}, {"\xf4\x90", 0},                 // beyond U+10FFFF
    };
    // clang-format on
    for (const Case& c : cases) {
        const size_t want = c.bytes.size() - c.held_back;
        verdict.same("the bytes " + hex_of(c.bytes), std::to_string(showable(c.bytes)), std::to_string(want));
    }
    return verdict.finish("whole characters");
}
