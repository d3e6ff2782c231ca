// test_formats.cpp - ids and JSON strings as they come from outside; the kinds that tokens are counted by.
#include "chapters/01_bpe/id_formats.h"
#include "chapters/01_bpe/json_lines.h"
#include "chapters/01_bpe/stats.h"
#include "core/rng.h"
#include "io/html.h"
#include "tests/support/catch.h"
#include "tests/support/throwing_failures.h"

namespace {

std::string text_of_json(const std::string& line) {
    std::string text;
    const std::string problem = parse_json_string(line, &text);
    return problem.empty() ? text : "refused: " + problem;
}

}  // namespace

TEST_CASE("json: strings and their escapes", "[chapter01][json]") {
    REQUIRE(text_of_json("\"\"").empty());
    REQUIRE(text_of_json(" \t\"a b\" \r") == "a b");
    REQUIRE(text_of_json(R"("\"\\\/\b\f\n\r\t")") == "\"\\/\b\f\n\r\t");
    REQUIRE(text_of_json(R"("\u0041\u00e9\u20AC\u20ac")") == "A\xc3\xa9\xe2\x82\xac\xe2\x82\xac");
    REQUIRE(text_of_json(R"("\u0000")") == std::string(1, '\0'));
    REQUIRE(text_of_json(R"("\ud83d\ude00")") == "\xf0\x9f\x98\x80");
    REQUIRE(text_of_json("\"\xff\xc3\xa9\x7f\"") == "\xff\xc3\xa9\x7f");
}

TEST_CASE("json: half of a surrogate pair is U+FFFD", "[chapter01][json]") {
    const std::string unknown = "\xef\xbf\xbd";
    REQUIRE(text_of_json(R"("\ud83d")") == unknown);
    REQUIRE(text_of_json(R"("\ude00")") == unknown);
    REQUIRE(text_of_json(R"("\ud83dx")") == unknown + "x");
    REQUIRE(text_of_json(R"("\ud83d\n")") == unknown + "\n");
    REQUIRE(text_of_json(R"("\ud83d\u0041")") == unknown + "A");
    REQUIRE(text_of_json(R"("\ud83d\ud83d\ude00")") == unknown + "\xf0\x9f\x98\x80");
    REQUIRE(text_of_json(R"("\ude00\ud83d")") == unknown + unknown);
    REQUIRE_THAT(text_of_json(R"("\ud83d\u12")"), contains("four hexadecimal digits"));
}

TEST_CASE("json: what is no string is refused", "[chapter01][json]") {
    for (const char* bad : {"",
                            "  ",
                            "a",
                            "17",
                            "null",
                            "[\"a\"]",
                            "{\"text\": \"a\"}",
                            "\"",
                            "\"a",
                            "\"a\\\"",
                            "\"a\\",
                            "\"a\" \"b\"",
                            "\"a\"x",
                            "\"\\x\"",
                            "\"\\u\"",
                            "\"\\u123\"",
                            "\"\\u12g4\"",
                            "\"\\u 123\"",
                            "\"\n\"",
                            "\"\x01\"",
                            "'a'",
                            "\xef\xbb\xbf\"a\""}) {
        CAPTURE(bad);
        REQUIRE_THAT(text_of_json(bad), contains("refused: "));
    }
}

TEST_CASE("json: what html.h writes is read back", "[chapter01][json]") {
    RandomStream random{11, 0};
    for (int i = 0; i < 300; i++) {
        std::string text;
        for (uint32_t k = random.next_below(40); k > 0; k--) {
            const uint32_t code =
                random.next_below(3) ? random.next_below(0x300) : random.next_below(0x110000);
            utf8::append(&text, code >= 0xd800 && code < 0xe000 ? 'x' : code);
        }
        REQUIRE(text_of_json(html::json_string(text)) == text);
    }
}

TEST_CASE("ids: every form, and what it refuses", "[chapter01][ids]") {
    Vocabulary vocabulary = byte_vocabulary(Pattern::kGpt2);
    vocabulary.tokens.resize(300);  // 44 ids that no file names
    vocabulary.tokens[299] = "ab";
    vocabulary.name = "small";
    const Bpe bpe(vocabulary);
    const auto parsed = [&](const std::string& bytes, IdFormat format) {
        return parse_ids(bytes, format, bpe, "in");
    };
    const auto refusal = [&](const std::string& bytes, IdFormat format) {
        const Failure failure = failure_of([&] { parsed(bytes, format); });
        REQUIRE(failure.kind == FailureKind::kUser);
        return failure.message;
    };
    using Ids = std::vector<int>;
    using std::string_literals::operator""s;
    REQUIRE(parsed("", IdFormat::kText) == Ids{});
    REQUIRE(parsed(" \n\t", IdFormat::kText) == Ids{});
    REQUIRE(parsed("0 299\n\n007", IdFormat::kText) == Ids{0, 299, 7});
    REQUIRE(parsed("\x00\x00\x2b\x01"s, IdFormat::kU16) == Ids{0, 299});
    REQUIRE(parsed("\x2b\x01\x00\x00"s, IdFormat::kU32) == Ids{299});
    REQUIRE_THAT(refusal("0 300", IdFormat::kText),
                 contains("in: id 300, at position 1, is no token of small"));
    REQUIRE_THAT(refusal("256", IdFormat::kText), contains("id 256, at position 0"));
    REQUIRE_THAT(refusal("4294967296", IdFormat::kText), contains("id 4294967296, at position 0"));
    REQUIRE_THAT(refusal("18446744073709551616", IdFormat::kText),
                 contains("id 2^40 or more, at position 0"));
    for (const char* bad : {"-1", "+1", "1.0", "1,2", "0x1", "a", "1a", "1\x00", "\xff"})
        REQUIRE_THAT(refusal(std::string(bad) + "\v", IdFormat::kText), contains("is no id"));
    REQUIRE_THAT(refusal("\x00"s, IdFormat::kU16), contains("1 bytes, and each id takes 2"));
    REQUIRE_THAT(refusal("\x00\x00\x00"s, IdFormat::kU32), contains("and each id takes 4"));
    REQUIRE_THAT(refusal("\xff\xff"s, IdFormat::kU16), contains("id 65535, at position 0"));
    REQUIRE_THAT(refusal("\x00\x00\x00\x00\xff\xff\xff\xff"s, IdFormat::kU32),
                 contains("id 4294967295, at position 1"));
}

TEST_CASE("stats: kinds of tokens", "[chapter01][stats]") {
    Vocabulary vocabulary = byte_vocabulary(Pattern::kGpt2);
    const auto kind_of = [&](const std::string& bytes) {
        Vocabulary one = vocabulary;
        one.tokens.push_back(bytes);
        return token_kinds(one).back();
    };
    REQUIRE(kind_of(" word") == TokenKind::kWordAfterBlank);
    REQUIRE(kind_of(" \xc3\xa9t\xc3\xa9") == TokenKind::kWordAfterBlank);
    REQUIRE(kind_of("word") == TokenKind::kLetters);
    REQUIRE(kind_of("\xe4\xbd\xa0") == TokenKind::kLetters);
    REQUIRE(kind_of(" 1234") == TokenKind::kNumber);
    REQUIRE(kind_of("\xc2\xb2") == TokenKind::kNumber);
    REQUIRE(kind_of("  \n") == TokenKind::kBlanks);
    REQUIRE(kind_of(" ") == TokenKind::kBlanks);
    REQUIRE(kind_of(" --") == TokenKind::kSymbols);
    REQUIRE(kind_of("\xf0\x9f\x98\x80") == TokenKind::kSymbols);
    REQUIRE(kind_of("'s") == TokenKind::kMixed);
    REQUIRE(kind_of(" \xf0\x9f") == TokenKind::kPartOfCharacter);
    REQUIRE(kind_of("") == TokenKind::kUnnamed);
    vocabulary.tokens.push_back("<|end|>");
    vocabulary.specials.push_back({"<|end|>", 256});
    REQUIRE(token_kinds(vocabulary).back() == TokenKind::kSpecial);
    REQUIRE(longest_first(vocabulary, {3, 256, 1}) == std::vector<int>{256, 3, 1});
}
