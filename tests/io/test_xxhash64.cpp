// test_xxhash64.cpp - the hash of its specification, however the bytes come.
#include <algorithm>
#include <string>

#include "io/xxhash64.h"
#include "tests/support/catch.h"

TEST_CASE("xxhash64 agrees with its specification, in one piece and in many", "[cpu][io]") {
    REQUIRE(xxhash64("", 0) == 0xEF46DB3751D8E999u);
    REQUIRE(xxhash64("a", 1) == 0xD24EC4F1A98C6E5Bu);
    REQUIRE(xxhash64("abc", 3) == 0x44BC2CF5AD770999u);
    const std::string long_text = "Nobody inspects the spammish repetition";
    REQUIRE(xxhash64(long_text.data(), long_text.size()) == 0xFBCEA83C8A378BF1u);

    std::string bytes(1000, '\0');
    for (size_t i = 0; i < bytes.size(); i++) bytes[i] = char(i * i * 31 + 7);
    for (size_t length : {31, 32, 33, 64, 100, 1000}) {
        for (size_t piece = 1; piece <= 70; piece++) {
            XxHash64 hash;
            for (size_t at = 0; at < length; at += piece) hash.add(&bytes[at], std::min(piece, length - at));
            CAPTURE(length, piece);
            REQUIRE(hash.value() == xxhash64(bytes.data(), length));
        }
    }
}
