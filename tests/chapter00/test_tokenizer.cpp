// test_tokenizer.cpp - characters to ids and back.
#include <string>
#include <vector>

#include "chapters/00_char_gpt/char_tokenizer.h"
#include "tests/support/catch.h"
#include "tests/support/throwing_failures.h"

namespace {

CharTokenizer tokenizer_of(const std::string& text) {
    return CharTokenizer(utf8::decode(text, "text"));
}

}  // namespace

TEST_CASE("ids are the places of the characters in sorted order", "[chapter00][cpu]") {
    const CharTokenizer tokenizer = tokenizer_of("hello\n");
    REQUIRE(tokenizer.vocabulary() == 5);  // newline, e, h, l, o
    REQUIRE(tokenizer.encode("hello\n", "text") == std::vector<int>{2, 1, 3, 3, 4, 0});
    REQUIRE(tokenizer.decode({2, 1, 3, 3, 4, 0}) == "hello\n");
    REQUIRE(tokenizer.encode("", "text").empty());
    REQUIRE(tokenizer.decode({}).empty());
}

TEST_CASE("a character is a code point, of one to four bytes", "[chapter00][cpu]") {
    const std::string text =
        "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"
        "a";  // a, e acute, euro, a face, a
    const CharTokenizer tokenizer = tokenizer_of(text);
    REQUIRE(tokenizer.vocabulary() == 4);
    REQUIRE(tokenizer.encode(text, "text") == std::vector<int>{0, 1, 2, 3, 0});
    REQUIRE(tokenizer.decode(tokenizer.encode(text, "text")) == text);
}

TEST_CASE("the order and number of occurrences do not matter", "[chapter00][cpu]") {
    REQUIRE(tokenizer_of("cab").alphabet() == tokenizer_of("aabbccabc").alphabet());
}

TEST_CASE("a character that the model has never seen is named", "[chapter00][cpu]") {
    const CharTokenizer tokenizer = tokenizer_of("abc");
    REQUIRE(tokenizer.id_of('b') == 1);
    REQUIRE(tokenizer.id_of('d') == -1);
    const Failure failure = failure_of([&] { tokenizer.encode("ab\xc3\xa9", "--prompt"); });
    REQUIRE(failure.kind == FailureKind::kUser);
    REQUIRE_THAT(failure.message, contains("--prompt has the character '\xc3\xa9' (U+00E9)"));
    REQUIRE_THAT(failure.message, contains("it knows 3: abc"));
    REQUIRE_THAT(failure_of([&] { tokenizer.encode("a\x07", "--prompt"); }).message,
                 contains("'\\x07' (U+0007)"));
}
