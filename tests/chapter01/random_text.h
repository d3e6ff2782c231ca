// random_text.h - text that hurts tokenizers, from a seed: every kind of blank, contractions, digits of other
// scripts, marks, emoji with joiners, long runs, control characters, and, if asked, bytes that are no UTF-8.
// Not here: plausible language.
#pragma once
#include <cstdint>
#include <random>
#include <string>

#include "io/utf8.h"

class RandomText {
  public:
    explicit RandomText(uint32_t seed) : random_(seed) {}

    // [0, n)
    uint32_t below(uint32_t n) { return uint32_t(random_() % n); }

    // A character, of one script or another; never a surrogate.
    std::string character() {
        uint32_t code = below(3) == 0 ? below(0x110000) : below(2) == 0 ? below(0x3000) : below(0x20000);
        if (code >= 0xd800 && code < 0xe000) code = '?';
        return utf8::encode(code);
    }

    // About `parts` small parts in a row.
    std::string text(int parts, bool valid_utf8 = true) {
        // A text of few kinds of parts meets the rare neighbours more often than one of all kinds.
        const uint32_t kinds = 1 + below(13), shift = below(13);
        std::string text;
        for (int i = 0; i < parts; i++) text += part((below(kinds) + shift) % 13);
        if (!valid_utf8)
            for (uint32_t i = 0, n = below(8); i < n && !text.empty(); i++)
                text[below(uint32_t(text.size()))] = char(below(256));
        return text;
    }

  private:
    template <size_t N>
    std::string one_of(const char* const (&list)[N]) {
        return list[below(N)];
    }
    std::string repeat(const std::string& s, uint32_t most) {
        std::string text;
        for (uint32_t i = 0, n = 1 + below(most); i < n; i++) text += s;
        return text;
    }
    std::string part(uint32_t kind) {
        static const char* const kWords[] = {"the", "and", "Hello", "tokenization", "I",
                                             "s",   "ll",  "x",     "def"};
        static const char* const kContractions[] = {"'s", "'t", "'re", "'ve", "'m",  "'ll",
                                                    "'d", "'S", "'RE", "'Ve", "'l",  "'",
                                                    "''", "'v", "'r",  "'x",  "'lL", "'\xc5\xbf"};
        static const char* const kBlanks[] = {" ",
                                              "  ",
                                              "\t",
                                              "\n",
                                              "\r\n",
                                              "\n\n",
                                              "\v",
                                              "\f",
                                              "\xc2\x85",
                                              "\xc2\xa0",
                                              " \n",
                                              "\n ",
                                              "\xe1\x9a\x80",
                                              "\xe2\x80\x83",
                                              "\xe2\x80\xa8",
                                              "\xe2\x80\xa9",
                                              "\xe2\x80\xaf",
                                              "\xe2\x81\x9f",
                                              "\xe3\x80\x80"};
        static const char* const kOthers[] = {"!",
                                              ".",
                                              ",",
                                              "-",
                                              "_",
                                              "(",
                                              "\x1c",
                                              "\xe2\x80\x8b",
                                              "\xe2\x80\x8d",
                                              "\xef\xbb\xbf",
                                              "\x7f",
                                              "\xe2\x80\x99",
                                              "\xe1\xa0\x8e",
                                              "\xf0\x9f\x91\xa9",
                                              "\xcc\x81",
                                              "\xe0\xa5\x8d"};
        static const char* const kNumbers[] = {
            "7", "12", "1234567", "\xd9\xa3", "\xe0\xa5\xa7", "\xc2\xb2", "\xe2\x85\xa7", "\xf0\x9d\x9f\x97"};
        switch (kind) {
            case 0:
                return one_of(kWords);
            case 1:
                return one_of(kContractions);
            case 2:
                return one_of(kBlanks);
            case 3:
                return one_of(kOthers);
            case 4:
                return one_of(kNumbers);
            case 5:
                return character();
            case 6:
                return " ";
            case 7:
                return repeat(" ", 9);
            case 8:
                return repeat(one_of(kWords), 40);
            case 9:
                return repeat(one_of(kOthers), 40);
            case 10:
                return repeat(one_of(kNumbers), 40);
            case 11:
                return "\n" + repeat(" ", 8);
            default:
                return repeat(one_of(kBlanks), 40);
        }
    }

    std::mt19937 random_;
};
