// test_sample_text.cpp - what a reader sees of a sample: whole characters, and nothing of a stop string.
#include "chapters/02_small_gpt/sample.h"

#include "tests/chapter02/tiny_vocabulary.h"
#include "tests/support/catch.h"

using namespace small_gpt;

namespace {

struct Shown {
    std::vector<std::string> parts;
    std::string all;
    bool is_ended;
};

// Adds the tokens of `text`, one by one.
Shown show(const std::string& text, const std::vector<std::string>& stop, bool end_of_text = false) {
    const Bpe bpe(tiny_vocabulary());
    const int end = int(bpe.vocabulary().specials[0].id);
    SampleText sample(bpe, end, stop);
    Shown shown;
    std::vector<int> ids;
    for (const char byte : text) ids.push_back(bpe.vocabulary().byte_ids[uint8_t(byte)]);
    if (end_of_text) ids.insert(ids.begin() + 3, end);
    for (const int id : ids) {
        shown.parts.push_back(sample.add(id));
        if (sample.is_ended()) break;
    }
    shown.parts.push_back(sample.finish());
    for (const std::string& part : shown.parts) shown.all += part;
    shown.is_ended = sample.is_ended();
    REQUIRE(shown.all == sample.shown());
    return shown;
}

}  // namespace

TEST_CASE("a sample shows whole characters", "[sample]") {
    const Shown shown = show("a\xc3\xa9z\xe2\x82", {});
    REQUIRE(shown.parts == std::vector<std::string>{"a", "", "\xc3\xa9", "z", "", "", "\xef\xbf\xbd"});
    REQUIRE(!shown.is_ended);
}

TEST_CASE("a sample ends in front of a stop string, of which nothing was shown", "[sample]") {
    Shown shown = show("one two three", {"wo"});
    REQUIRE(shown.all == "one t");
    REQUIRE(shown.is_ended);
    // what looked like its beginning comes out as soon as it is none
    shown = show("aab aac", {"aac"});
    REQUIRE(shown.parts == std::vector<std::string>{"", "", "aab", " ", "", "", "", ""});
    REQUIRE(shown.all == "aab ");
    // one that never comes
    shown = show("aaa", {"aaab"});
    REQUIRE(shown.all == "aaa");
    REQUIRE(!shown.is_ended);
    // of two the one that begins first
    shown = show("x.y\n\nz", {"\n\n", "y\n"});
    REQUIRE(shown.all == "x.");
    REQUIRE(show("ab", {"ab"}).all.empty());
}

TEST_CASE("a sample ends with its document", "[sample]") {
    const Shown shown = show("abcdef", {}, true);
    REQUIRE(shown.all == "abc");
    REQUIRE(shown.is_ended);
}

TEST_CASE("the prompt stops nothing", "[sample]") {
    const Bpe bpe(tiny_vocabulary());
    SampleText sample(bpe, bpe.vocabulary().specials[0].id, {"cat"});
    REQUIRE(sample.prompt(bpe.encode("the cat")) == "the cat");
    REQUIRE(sample.add(bpe.vocabulary().byte_ids['.']) == ".");
    REQUIRE(!sample.is_ended());
}
