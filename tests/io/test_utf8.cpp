// test_utf8.cpp - UTF-8 in and out, and every way of writing it wrongly.
#include "io/utf8.h"
#include "tests/support/catch.h"
#include "tests/support/throwing_failures.h"

TEST_CASE("utf8: every code point survives encode and decode", "[cpu]") {
    for (uint32_t code = 0; code <= utf8::kLastCodePoint; code++) {
        if (code == 0xd800) code = 0xe000;  // surrogates are no characters
        const std::string text = utf8::encode(code);
        size_t offset = 0;
        if (utf8::decode_next(text, &offset) != code || offset != text.size()) {
            CAPTURE(code);
            FAIL("changed on the way");
        }
    }
}

TEST_CASE("utf8: lengths of the encoded forms", "[cpu]") {
    REQUIRE(utf8::encode(0x41) == "A");
    REQUIRE(utf8::encode(0xe9) == "\xc3\xa9");
    REQUIRE(utf8::encode(0x20ac) == "\xe2\x82\xac");
    REQUIRE(utf8::encode(0x1f600) == "\xf0\x9f\x98\x80");
    REQUIRE(utf8::encode(std::vector<uint32_t>{0x41, 0x20ac}) == "A\xe2\x82\xac");
    REQUIRE(failure_of([] { utf8::encode(0xd800); }).kind == FailureKind::kBug);
    REQUIRE(failure_of([] { utf8::encode(0x110000); }).kind == FailureKind::kBug);
}

TEST_CASE("utf8: what is not UTF-8 is refused with its offset", "[cpu]") {
    struct Case {
        const char* what;
        std::string text;
        size_t offset;
    };
    const Case cases[] = {
        {"lone continuation", "ab\x80", 2},
        {"latin-1", "caf\xe9 au lait", 3},
        {"truncated at the end", "abc\xe2\x82", 3},
        {"overlong slash", "a\xc0\xaf", 1},
        {"overlong in three bytes", "\xe0\x80\xaf", 0},
        {"overlong in four bytes", "\xf0\x80\x80\xaf", 0},
        {"surrogate", "x\xed\xa0\x80", 1},
        {"above U+10FFFF", "\xf4\x90\x80\x80", 0},
        {"never a first byte", "a\xff", 1},
    };
    for (const Case& c : cases) {
        CAPTURE(c.what);
        const Failure failure = failure_of([&] { utf8::decode(c.text, "data.txt"); });
        REQUIRE(failure.kind == FailureKind::kUser);
        REQUIRE_THAT(failure.message,
                     contains("data.txt is not valid UTF-8: byte " + std::to_string(c.offset) + " "));
    }
    REQUIRE(utf8::decode("", "empty").empty());
    REQUIRE(utf8::decode(std::string("a\0b", 3), "with a zero").size() == 3);
}

TEST_CASE("utf8: printable text neither breaks its line nor moves the cursor", "[cpu]") {
    REQUIRE(utf8::printable("caf\xc3\xa9") == "caf\xc3\xa9");
    REQUIRE(utf8::printable("a\nb\tc\x1b[31m\xff") == "a\\nb\\tc\\x1b[31m\\xff");
    REQUIRE(utf8::printable("\xc2\x9b") == "\\xc2\\x9b");  // U+009B begins an escape sequence, too
}
