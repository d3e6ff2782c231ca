// test_pretokenize.cpp - the two patterns' pieces: cases made by hand, broken UTF-8, worst cases, the blocks
// of 64 bytes against the scanner, cuts for threads, and the table of character classes.
// Not here: another engine's opinion (test_second_opinion.cpp).
#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "chapters/01_bpe/pretokenize.h"
#include "chapters/01_bpe/unicode_classes.h"
#include "tests/chapter01/random_text.h"
#include "tests/support/catch.h"

namespace {

using Pieces = std::vector<std::string>;

Pieces split(Pattern pattern, const std::string& text) {
    Pieces pieces;
    for_each_piece(pattern, text, [&](std::string_view piece) { pieces.emplace_back(piece); });
    return pieces;
}

// By piece_end alone: rule by rule, without the blocks.
Pieces split_plainly(Pattern pattern, const std::string& text) {
    Pieces pieces;
    const char* const end = text.data() + text.size();
    for (const char* begin = text.data(); begin < end;) {
        const char* next = piece_end(pattern, begin, end);
        pieces.emplace_back(begin, next);
        begin = next;
    }
    return pieces;
}

// The pieces with bars between them: shorter to write and to read.
std::string barred(const Pieces& pieces) {
    std::string text;
    for (const std::string& piece : pieces) text += (text.empty() ? "" : "|") + piece;
    return text;
}

struct Case {
    const char* text;
    const char* pieces;
};

void check_cases(Pattern pattern, const std::vector<Case>& cases) {
    for (const Case& c : cases) {
        CAPTURE(name_of(pattern), c.text);
        REQUIRE(barred(split_plainly(pattern, c.text)) == c.pieces);
        REQUIRE(barred(split(pattern, c.text)) == c.pieces);
    }
}

double seconds_of(Pattern pattern, const std::string& text, size_t* pieces) {
    const auto begin = std::chrono::steady_clock::now();
    *pieces = 0;
    for_each_piece(pattern, text, [&](std::string_view) { ++*pieces; });
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

const std::vector<Pattern> kPatterns = {Pattern::kGpt2, Pattern::kCl100k};

}  // namespace

TEST_CASE("the table of classes is Unicode 16's", "[chapter01][cpu]") {
    int counts[4] = {};
    std::vector<uint32_t> blanks;
    for (uint32_t code = 0; code <= 0x10ffff; code++) {
        counts[int(class_of(code))]++;
        if (class_of(code) == CharacterClass::kBlank) blanks.push_back(code);
    }
    REQUIRE(counts[int(CharacterClass::kLetter)] == 141028);
    REQUIRE(counts[int(CharacterClass::kNumber)] == 1911);
    REQUIRE(blanks == std::vector<uint32_t>{9,      10,     11,     12,     13,     0x20,   0x85,
                                            0xa0,   0x1680, 0x2000, 0x2001, 0x2002, 0x2003, 0x2004,
                                            0x2005, 0x2006, 0x2007, 0x2008, 0x2009, 0x200a, 0x2028,
                                            0x2029, 0x202f, 0x205f, 0x3000});

    const auto all_are = [](CharacterClass kind, const std::vector<uint32_t>& codes) {
        for (uint32_t code : codes) {
            CAPTURE(code);
            REQUIRE(class_of(code) == kind);
        }
    };
    // Ends of ranges, both ordinals and micro, first and last of the ideographs, Garay (new in 16), the last
    // letter.
    all_are(CharacterClass::kLetter,
            {'A',    'Z',    'a',    'z',    0xaa,   0xb5,   0xba,    0xc0,    0xff,    0x17f,  0x2b0,
             0x3400, 0x4dbf, 0x4e00, 0x9fff, 0xac00, 0xd7a3, 0x10d50, 0x20000, 0x2a6df, 0x323af});
    // Superscripts, fractions, Roman and circled numbers, the ideographic zero, mathematical digits.
    all_are(CharacterClass::kNumber, {'0', '9', 0xb2, 0xb9, 0xbc, 0x660, 0x966, 0x2070, 0x2160, 0x2460,
                                      0x3007, 0xff10, 0x1d7ff, 0x1fbf9});
    // Information separators, the Mongolian vowel separator, zero-width characters, marks, what is not
    // assigned.
    all_are(CharacterClass::kOther,
            {0,      0x1c,   0x1f,    '/',     ':',     '@',     '[',      '`',      '{',       0x7f,
             0xd7,   0x301,  0x180e,  0x200b,  0x200d,  0x2019,  0x2060,   0xd800,   0xdfff,    0xe000,
             0xfeff, 0xfffd, 0x1f600, 0x323b0, 0x32400, 0xe0001, 0x10ffff, 0x110000, 0xffffffff});
}

TEST_CASE("GPT-2's pieces", "[chapter01][cpu]") {
    check_cases(
        Pattern::kGpt2,
        {{"", ""},
         {" ", " "},
         {"a", "a"},
         {"Hello world", "Hello| world"},
         {" a1b2", " a|1|b|2"},
         {"x = 10;", "x| =| 10|;"},
         // Contractions: lower case and straight apostrophe only, and only where the apostrophe begins a
         // piece.
         {"it's I'll we've you're he'd I'm don't", "it|'s| I|'ll| we|'ve| you|'re| he|'d| I|'m| don|'t"},
         {"IT'S", "IT|'|S"},
         {"it\xe2\x80\x99s", "it|\xe2\x80\x99|s"},
         {"''s", "''|s"},
         {" 's", " '|s"},
         {"\n's", "\n|'s"},
         {"\t's", "\t|'s"},
         {"\xe2\x80\x84's", "\xe2\x80\x84|'s"},
         {"'sfoo", "'s|foo"},
         {"'llama", "'ll|ama"},
         {"'l", "'|l"},
         {"'s's", "'s|'s"},
         {"'s1's.", "'s|1|'s|."},
         // One space belongs to the word behind it, no other blank does.
         {"a  b", "a| | b"},
         {"a   b", "a|  | b"},
         {"a\tb", "a|\t|b"},
         {"a \tb", "a| |\t|b"},
         {"a\t b", "a|\t| b"},
         {"a\n\nb", "a|\n|\n|b"},
         {"a\r\nb", "a|\r|\n|b"},
         {"a\xc2\xa0 b", "a|\xc2\xa0| b"},
         {"a\xe3\x80\x80\xe3\x80\x80z", "a|\xe3\x80\x80|\xe3\x80\x80|z"},
         {"a\n", "a|\n"},
         {"a  ", "a|  "},
         {"a \n\t ", "a| \n\t "},
         // Marks, joiners and the byte order mark are neither letters nor blanks; other scripts' digits are
         // numbers.
         {"e\xcc\x81t", "e|\xcc\x81|t"},
         {"\xef\xbb\xbfHi", "\xef\xbb\xbf|Hi"},
         {"a\xe2\x80\x8b b", "a|\xe2\x80\x8b| b"},
         {"x\xc2\xb2", "x|\xc2\xb2"},
         {"1\xd9\xa3\xe2\x85\xa7", "1\xd9\xa3\xe2\x85\xa7"},
         {"\x1c\x1f x", "\x1c\x1f| x"},
         {"<|endoftext|>", "<||endoftext||>"}});
}

TEST_CASE("cl100k's pieces", "[chapter01][cpu]") {
    check_cases(Pattern::kCl100k, {{"", ""},
                                   {" ", " "},
                                   {"Hello world", "Hello| world"},
                                   // Contractions in any case; U+017F is an s too.
                                   {"IT'S I'LL we'Ve", "IT|'S| I|'LL| we|'Ve"},
                                   {"'\xc5\xbf"
                                    "a",
                                    "'\xc5\xbf|a"},
                                   {"x'\xc5\xbfs", "x|'\xc5\xbf|s"},
                                   {"'k'K", "'k|'K"},  // the apostrophe as the one character before letters
                                   {"'l", "'l"},
                                   {" 's", " '|s"},
                                   {"\t's", "\t|'s"},
                                   // One character before letters, but no newline, letter or number.
                                   {".foo", ".foo"},
                                   {"..foo", "..|foo"},
                                   {" .foo", " .|foo"},
                                   {"\t.foo", "\t|.foo"},
                                   {"a\tb", "a|\tb"},
                                   {"a\t\tb", "a|\t|\tb"},
                                   {"a\nb", "a|\n|b"},
                                   {"1a", "1|a"},
                                   {"\xe2\x80\x9cHi\xe2\x80\x9d", "\xe2\x80\x9cHi|\xe2\x80\x9d"},
                                   {"e\xcc\x81t", "e|\xcc\x81t"},
                                   // Numbers in threes, without a space before.
                                   {"1234567", "123|456|7"},
                                   {" 12", " |12"},
                                   {"  12", " | |12"},
                                   {"\xd9\xa1\xd9\xa2\xd9\xa3\xd9\xa4", "\xd9\xa1\xd9\xa2\xd9\xa3|\xd9\xa4"},
                                   // Others take the newlines behind them along.
                                   {"end.\r\n\nNext", "end|.\r\n\n|Next"},
                                   {"end.\n Next", "end|.\n| Next"},
                                   {"end.\n  \n Next", "end|.\n|  \n| Next"},
                                   {"end. \n", "end|.| \n"},
                                   // A run of blanks: up to its last newline, then all but the last.
                                   {"a  \n\n  b", "a|  \n\n| | b"},
                                   {"a\n \n\tb", "a|\n \n|\tb"},
                                   {"a\n\t\t.", "a|\n|\t|\t|."},
                                   {"a \n", "a| \n"},
                                   {"a \n  ", "a| \n  "},
                                   {"a  ", "a|  "},
                                   {"a\xe3\x80\x80\xe3\x80\x80z", "a|\xe3\x80\x80|\xe3\x80\x80z"}});
}

TEST_CASE("without a pattern the text is one piece", "[chapter01][cpu]") {
    REQUIRE(split(Pattern::kNone, "").empty());
    REQUIRE(split(Pattern::kNone, std::string(200, ' ') + "a b") == Pieces{std::string(200, ' ') + "a b"});
    REQUIRE(certain_cut(Pattern::kNone, "a b c", 1) == 5);
}

TEST_CASE("patterns have names", "[chapter01][cpu]") {
    for (const Pattern pattern : {Pattern::kNone, Pattern::kGpt2, Pattern::kCl100k}) {
        Pattern found = pattern == Pattern::kNone ? Pattern::kGpt2 : Pattern::kNone;
        REQUIRE(pattern_from_name(name_of(pattern), &found));
        REQUIRE(found == pattern);
    }
    Pattern untouched = Pattern::kCl100k;
    REQUIRE_FALSE(pattern_from_name("GPT2", &untouched));
    REQUIRE_FALSE(pattern_from_name("", &untouched));
    REQUIRE(untouched == Pattern::kCl100k);
}

TEST_CASE("a byte that is no UTF-8 is one other character", "[chapter01][cpu]") {
    // Stray continuation, cut-off head, overlong forms, a surrogate, above U+10FFFF, bytes that never occur.
    for (const std::string bad : {"\x80", "\xe2\x82", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80",
                                  "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\xff\xfe", "\xc3"}) {
        for (const Pattern pattern : kPatterns) {
            CAPTURE(name_of(pattern), bad);
            REQUIRE(split(pattern, bad) == Pieces{bad});
            REQUIRE(split(pattern, "1" + bad + " 2") ==
                    (pattern == Pattern::kGpt2 ? Pieces{"1", bad, " 2"} : Pieces{"1", bad, " ", "2"}));
            REQUIRE(split(pattern, "1 " + bad) == Pieces{"1", " " + bad});
            REQUIRE(split(pattern, "a" + bad + "!") == Pieces{"a", bad + "!"});
        }
        // Letters take one other character along: one byte, where it is the first.
        const std::string rest = bad.substr(0, bad.size() - 1);
        REQUIRE(split(Pattern::kGpt2, bad + "a") == Pieces{bad, "a"});
        REQUIRE(split(Pattern::kCl100k, bad + "a") == (rest.empty() ? Pieces{bad + "a"} : Pieces{bad, "a"}));
    }
    REQUIRE(split(Pattern::kGpt2, "\xff abc") == Pieces{"\xff", " abc"});
    REQUIRE(split(Pattern::kGpt2, "a\xe2\x82 b") == Pieces{"a", "\xe2\x82", " b"});
}

TEST_CASE("bytes of zero are characters like others", "[chapter01][cpu]") {
    const std::string text("a\0\0 b\0", 6);
    REQUIRE(split(Pattern::kGpt2, text) == Pieces{"a", std::string("\0\0", 2), " b", std::string("\0", 1)});
}

TEST_CASE("blocks of 64 bytes give the pieces of the scanner", "[chapter01][cpu]") {
    RandomText random(20240916);
    for (int i = 0; i < rounds(20000, 4000); i++) {
        const std::string text = random.text(1 + int(random.below(60)), /*valid_utf8=*/random.below(3) != 0);
        for (const Pattern pattern : kPatterns) {
            const Pieces pieces = split(pattern, text);
            if (pieces == split_plainly(pattern, text)) continue;
            CAPTURE(name_of(pattern), text);
            REQUIRE(barred(pieces) == barred(split_plainly(pattern, text)));
        }
    }
}

// All texts of up to six characters of a small alphabet, in the middle of a block and at each place at its
// end.
TEST_CASE("blocks agree with the scanner on every short text", "[chapter01][cpu]") {
    const Pieces alphabet = {" ", "\n", "'", "s", "l", "1", "\xe2\x80\x9d", "\xc2\xa0"};
    const std::string padding(64, '.');
    for (int i = 0; i < 8 * 8 * 8 * 8 * 8; i++) {
        std::string text;
        for (int rest = i, k = 0; k < 5; k++, rest /= 8) text += alphabet[size_t(rest % 8)];
        const size_t before = size_t(i % 7 == 0 ? 56 + i % 11 : 1);
        const std::string padded = padding.substr(0, before) + text + padding;
        for (const Pattern pattern : kPatterns) {
            if (split(pattern, padded) == split_plainly(pattern, padded)) continue;
            CAPTURE(name_of(pattern), padded);
            REQUIRE(barred(split(pattern, padded)) == barred(split_plainly(pattern, padded)));
        }
    }
}

TEST_CASE("left and right of a certain cut are split apart as together", "[chapter01][cpu]") {
    RandomText random(7);
    int cuts = 0;
    for (int i = 0; i < 5000; i++) {
        const std::string text = random.text(1 + int(random.below(30)), /*valid_utf8=*/random.below(3) != 0);
        for (const Pattern pattern : kPatterns) {
            const size_t at = random.below(uint32_t(text.size()) + 1);
            const size_t cut = certain_cut(pattern, text, at);
            REQUIRE(cut >= at);
            REQUIRE(cut <= text.size());
            if (cut == text.size()) continue;
            cuts++;
            // From a place before it where a character begins.
            size_t start = 0, next = 0;
            const size_t target = random.below(4) == 0 ? 0 : random.below(uint32_t(cut) + 1);
            while (next <= target) start = next, utf8::decode_next(text, &next);
            CAPTURE(name_of(pattern), text, at, cut, start);
            Pieces apart = split(pattern, text.substr(start, cut - start));
            const Pieces right = split(pattern, text.substr(cut));
            apart.insert(apart.end(), right.begin(), right.end());
            if (apart != split(pattern, text.substr(start)))
                REQUIRE(barred(apart) == barred(split(pattern, text.substr(start))));
        }
    }
    REQUIRE(cuts > 2000);
}

TEST_CASE("a cut is found near by in ordinary text", "[chapter01][cpu]") {
    REQUIRE(certain_cut(Pattern::kGpt2, "hello world", 2) == 5);
    REQUIRE(certain_cut(Pattern::kCl100k, "hello, world", 2) == 5);
    REQUIRE(certain_cut(Pattern::kCl100k, "a.\n\nb c", 1) == 5);  // the newlines belong to the full stop
    REQUIRE(certain_cut(Pattern::kGpt2, "    ", 1) == 4);
    REQUIRE(certain_cut(Pattern::kGpt2, "", 0) == 0);
    REQUIRE(certain_cut(Pattern::kGpt2, "ab", 9) == 2);
}

// Two million characters; what is quadratic takes hours.
TEST_CASE("the time is linear in the text", "[chapter01][cpu][slow]") {
    const size_t n = 2000000;
    std::string mixed, indented, digits;
    while (mixed.size() < n) mixed += " \n\t\r ";
    while (indented.size() < n) indented += "\n    ";
    while (digits.size() < n) digits += "\xd9\xa3";
    for (const std::string& text :
         {std::string(n, ' '), std::string(n, ' ') + "x", std::string(n, '\n') + "x", mixed, mixed + "x",
          indented + "x", std::string(n, 'a'), std::string(n, '\''), std::string(n, '.'), std::string(n, '7'),
          digits, std::string(n, '\xff'), "." + std::string(n, '\n') + "  x"}) {
        for (const Pattern pattern : kPatterns) {
            CAPTURE(name_of(pattern), text.substr(0, 8));
            size_t pieces = 0;
            REQUIRE(seconds_of(pattern, text, &pieces) < 5);
            REQUIRE(pieces > 0);
            REQUIRE(certain_cut(pattern, text, 1) <= text.size());
        }
    }
}
