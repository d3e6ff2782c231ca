// test_bpe.cpp - text to ids and back: equal to tiktoken's (golden file), to the plain version, for any bytes, any number of
// threads.
#include "chapters/01_bpe/bpe.h"

#include <algorithm>
#include <fstream>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "chapters/01_bpe/bpe_plain.h"
#include "chapters/01_bpe/merge_piece.h"
#include "core/parallel.h"
#include "io/data_set.h"
#include "tests/support/catch.h"
#include "tests/support/throwing_failures.h"

namespace {

using Ids = std::vector<int>;

// Null, after a message, when the files cannot be had.
const Bpe* published(const std::string& name) {
    static const auto load = [](const char* set, const char* file, const char* vocabulary) {
        if (!find_data_file(set, file)) return std::unique_ptr<Bpe>();
        return std::make_unique<Bpe>(load_vocabulary(vocabulary));
    };
    static const std::unique_ptr<Bpe> gpt2 = load("gpt2", "encoder.json", "gpt2");
    static const std::unique_ptr<Bpe> cl100k = load("tiktoken", "cl100k_base.tiktoken", "cl100k");
    const Bpe* bpe = name == "gpt2" ? gpt2.get() : cl100k.get();
    if (bpe == nullptr) WARN("skipped: the files of " << name << " could not be fetched");
    return bpe;
}

// A vocabulary that needs no files: learned from words that are made up here.
Vocabulary toy_vocabulary(Pattern pattern) {
    std::mt19937 random(7);
    std::vector<std::string> words;
    for (int i = 0; i < 150; i++) {
        std::string word;
        for (unsigned k = 0; k < 2 + random() % 8; k++) word += "aabcdeeilnorst'1.\n\xc3\xa9"[random() % 19];
        words.push_back(word);
    }
    std::string text;
    for (int i = 0; i < 3000; i++) text += words[random() % 150] + (random() % 5 ? " " : "  ");
    Vocabulary vocabulary = plain::train(text, 400, 2, pattern);
    for (const char* special : {"<|end|>", "<|end|>er", "<s>"}) {
        vocabulary.specials.push_back({special, vocabulary.size()});
        vocabulary.tokens.push_back(special);
    }
    return vocabulary;
}

std::string random_text(std::mt19937& random, size_t size) {
    std::string text;
    while (text.size() < size) {
        switch (random() % 6) {
            case 0:
                text += char(random());
                break;
            case 1:
                text += std::string(1 + random() % 20, "a \n'1."[random() % 6]);
                break;
            case 2:
                text += "\xe4\xb8\xad";
                break;
            default:
                for (unsigned k = 0; k < 1 + random() % 9; k++) text += "aabcdeeilnorst"[random() % 14];
                if (random() % 2) text += " ";
        }
    }
    return text;
}

}  // namespace

TEST_CASE("ids are those that tiktoken gave", "[chapter01][bpe][golden]") {
    std::ifstream file("tests/golden/tokenizer_cases.txt");
    REQUIRE(file);
    size_t cases = 0;
    for (std::string row; std::getline(file, row);) {
        if (row.empty() || row[0] == '#') continue;
        std::istringstream line(row);
        std::string name, hex, text;
        line >> name >> hex;
        const Bpe* bpe = published(name);
        if (bpe == nullptr) return;
        for (size_t i = 0; hex != "-" && i < hex.size(); i += 2)
            text += char(std::stoi(hex.substr(i, 2), nullptr, 16));
        Ids expected;
        for (int id = 0; line >> id;) expected.push_back(id);
        CAPTURE(name, hex);
        const Ids ids = bpe->encode(text);
        REQUIRE(ids == expected);
        REQUIRE(bpe->decode(ids) == text);
        cases++;
    }
    REQUIRE(cases == 410);
}

TEST_CASE("merges alone make every token of GPT-2 out of its bytes", "[chapter01][bpe]") {
    // So merging by GPT-2's list and tiktoken's way, which takes a piece that is a token as a whole, are the same.
    const Bpe* bpe = published("gpt2");
    if (bpe == nullptr) return;
    const Vocabulary& gpt2 = bpe->vocabulary();
    const MergeTable merges(gpt2);
    PieceMerger merger(merges);
    const std::vector<char> is_reached = tokens_that_merge_to_themselves(gpt2, merges);
    REQUIRE(std::count(is_reached.begin(), is_reached.end(), true) == 50256);  // all but <|endoftext|>
    for (int id = 0; id < gpt2.size() - 1; id++) {
        const std::string& token = gpt2.tokens[size_t(id)];
        std::vector<uint32_t> ids(token.size());
        REQUIRE(merger.merge_long(token, ids.data()) == 1);
        REQUIRE(ids[0] == uint32_t(id));
        if (token.size() > PieceMerger::kShortPiece) continue;
        REQUIRE(merger.merge_short(token, ids.data()) == 1);
        REQUIRE(ids[0] == uint32_t(id));
    }
}

TEST_CASE("which tokens come out of their own bytes is found without trying", "[chapter01][bpe]") {
    // Made-up merges of few letters: many tokens are cut across by an earlier merge, or by themselves ("aa" in "aaa").
    size_t reached = 0, missed = 0;
    for (uint32_t seed = 0; seed < 300; seed++) {
        std::mt19937 random(seed);
        Vocabulary vocabulary = byte_vocabulary(Pattern::kNone);
        std::vector<int> parts;
        for (const char letter : std::string("abc").substr(0, 1 + seed % 3))
            parts.push_back(vocabulary.byte_ids[uint8_t(letter)]);
        for (int tries = 0; tries < 60; tries++) {
            const int left = parts[random() % parts.size()], right = parts[random() % parts.size()];
            const std::string token = vocabulary.tokens[size_t(left)] + vocabulary.tokens[size_t(right)];
            if (token.size() > 24 ||
                std::count(vocabulary.tokens.begin(), vocabulary.tokens.end(), token) > 0)
                continue;
            vocabulary.merges.push_back({left, right, vocabulary.size(), int(vocabulary.merges.size())});
            parts.push_back(vocabulary.size());
            vocabulary.tokens.push_back(token);
        }
        const MergeTable merges(vocabulary);
        PieceMerger merger(merges);
        const std::vector<char> is_reached = tokens_that_merge_to_themselves(vocabulary, merges);
        for (int id = 0; id < vocabulary.size(); id++) {
            std::vector<uint32_t> ids(vocabulary.tokens[size_t(id)].size());
            const size_t count = merger.merge(vocabulary.tokens[size_t(id)], ids.data());
            const bool is_itself = count == 1 && ids[0] == uint32_t(id);
            CAPTURE(seed, id, vocabulary.tokens[size_t(id)]);
            REQUIRE(bool(is_reached[size_t(id)]) == is_itself);
            (is_itself ? reached : missed)++;
        }
    }
    REQUIRE(reached > 1000);
    REQUIRE(missed > 1000);
}

TEST_CASE("the fast version does what the plain one does", "[chapter01][bpe]") {
    const Pattern pattern = GENERATE(Pattern::kGpt2, Pattern::kCl100k, Pattern::kNone);
    Vocabulary vocabulary = toy_vocabulary(pattern);
    vocabulary.whole_piece_first = GENERATE(false, true);
    const Bpe bpe(vocabulary);
    Encoder encoder(bpe);  // one for all texts: what it remembers must not matter
    std::mt19937 random(uint32_t(pattern) + 1);
    for (size_t size : {0, 1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65, 66, 100, 300, 1000}) {
        const std::string text = random_text(random, size).substr(0, size);
        CAPTURE(size, text);
        const Ids expected = plain::encode(vocabulary, text);
        REQUIRE(bpe.encode(text) == expected);
        REQUIRE(bpe.decode(expected) == text);
        Ids appended{-5};
        encoder.encode(text, &appended);
        REQUIRE(appended.front() == -5);
        REQUIRE(Ids(appended.begin() + 1, appended.end()) == expected);
    }
}

TEST_CASE("long runs: leftmost first among equals", "[chapter01][bpe]") {
    const Vocabulary vocabulary = toy_vocabulary(Pattern::kGpt2);
    const Bpe bpe(vocabulary);
    for (const char* unit : {"a", "ab", "aab", " ", "\n", "1", "'", "\xe4\xb8\xad", "abcde"})
        for (size_t count : {1, 2, 3, 5, 31, 32, 33, 64, 65, 129, 300}) {
            std::string text;
            for (size_t i = 0; i < count; i++) text += unit;
            CAPTURE(unit, count);
            REQUIRE(bpe.encode(text) == plain::encode(vocabulary, text));
        }
}

TEST_CASE("a rank file whose merges lead back to smaller ranks", "[chapter01][bpe]") {
    // bc (258) is made late, but abc (257), which comes before it, can be made from it. Both orders must agree with plain.
    Vocabulary vocabulary = byte_vocabulary(Pattern::kNone);
    vocabulary.tokens.insert(vocabulary.tokens.end(), {"xx", "abc", "bc", "bcbc"});
    const auto id = [&](char byte) { return vocabulary.byte_ids[uint8_t(byte)]; };
    vocabulary.merges = {
        {id('x'), id('x'), 256, 0}, {id('a'), 258, 257, 1}, {id('b'), id('c'), 258, 2}, {258, 258, 259, 3}};
    const Bpe bpe(vocabulary);
    for (const std::string unit : {"abc", "bcbc", "abcbcbc", "xxabcbcx"})
        for (int count : {1, 2, 40}) {
            std::string text;
            for (int i = 0; i < count; i++) text += unit;
            CAPTURE(text);
            REQUIRE(bpe.encode(text) == plain::encode(vocabulary, text));
        }
}

TEST_CASE("threads change nothing", "[chapter01][bpe][threads]") {
    const int kBytes = rounds(3000000, 700000);  // both are portions for everybody
    const Vocabulary vocabulary = toy_vocabulary(GENERATE(Pattern::kGpt2, Pattern::kCl100k, Pattern::kNone));
    const Bpe bpe(vocabulary);
    std::mt19937 random(3);
    const std::string text = random_text(random, kBytes) + "<s>" + std::string(5000, 'a') + "<|end|>er";
    std::vector<std::string_view> parts;
    for (size_t begin = 0; begin < text.size(); begin += 1 + random() % 20000)
        parts.push_back(std::string_view(text).substr(begin, random() % 20000));
    parallel::set_num_threads(1);
    const Ids serial = bpe.encode(text), special = bpe.encode_with_special(text);
    const std::vector<Ids> batch = bpe.encode_batch(parts);
    REQUIRE(bpe.decode(serial) == text);
    REQUIRE(bpe.decode(special) == text);
    for (size_t i = 0; i < parts.size(); i++) REQUIRE(bpe.decode(batch[i]) == parts[i]);
    for (int threads : {2, 3, 7}) {
        parallel::set_num_threads(threads);
        const bool is_equal = bpe.encode(text) == serial && bpe.encode_with_special(text) == special &&
                              bpe.encode_batch(parts) == batch;
        parallel::set_num_threads(1);
        CAPTURE(threads);
        REQUIRE(is_equal);
    }
}

TEST_CASE("special tokens count only when asked for, the longest first", "[chapter01][bpe]") {
    const Vocabulary vocabulary = toy_vocabulary(Pattern::kGpt2);
    const Bpe bpe(vocabulary);
    const int end = vocabulary.size() - 3, ender = end + 1, s = end + 2;
    REQUIRE(bpe.encode_with_special("<|end|>") == Ids{end});
    REQUIRE(bpe.encode_with_special("<|end|>er<s><s><|end|>e") ==
            Ids{ender, s, s, end, vocabulary.byte_ids['e']});
    REQUIRE(bpe.encode("<|end|>er<s>") == plain::encode(vocabulary, "<|end|>er<s>"));
    Ids expected = plain::encode(vocabulary, "a b ");
    expected.push_back(s);
    for (int id : plain::encode(vocabulary, " <s")) expected.push_back(id);
    REQUIRE(bpe.encode_with_special("a b <s> <s") == expected);
    REQUIRE(bpe.decode(expected) == "a b <s> <s");
    REQUIRE(bpe.encode_with_special("").empty());
    const Bpe without(byte_vocabulary(Pattern::kGpt2));
    REQUIRE(without.encode_with_special("<s>").size() == 3);
}

TEST_CASE("ids outside the vocabulary are named with their place", "[chapter01][bpe]") {
    Vocabulary vocabulary = byte_vocabulary(Pattern::kGpt2);
    vocabulary.tokens.resize(300);
    vocabulary.tokens.push_back("<s>");
    vocabulary.specials = {{"<s>", 300}};
    const Bpe bpe(vocabulary);
    REQUIRE(bpe.decode({0, 300}) == "!<s>");
    for (int id : {-1, 299, 301, 1 << 30}) {
        const Failure failure = failure_of([&] { bpe.decode({0, 1, id}); });
        CAPTURE(id);
        REQUIRE(failure.kind == FailureKind::kUser);
        REQUIRE_THAT(failure.message, contains("id " + std::to_string(id)));
        REQUIRE_THAT(failure.message, contains("place 2"));
    }
    REQUIRE(failure_of([&] { bpe.bytes_of(301); }).kind == FailureKind::kBug);
    REQUIRE(failure_of([&] { bpe.bytes_of(-1); }).kind == FailureKind::kBug);
}

TEST_CASE("spans are where the tokens lie", "[chapter01][bpe]") {
    const Bpe bpe(toy_vocabulary(Pattern::kGpt2));
    const std::string text = "retold  \xe4\xb8\xad stories\xff";
    const Ids ids = bpe.encode(text);
    const std::vector<TokenSpan> spans = token_spans(bpe, ids);
    REQUIRE(spans.size() == ids.size());
    REQUIRE(spans.front().begin == 0);
    REQUIRE(spans.back().end == text.size());
    for (size_t i = 0; i < spans.size(); i++) {
        REQUIRE(text.substr(spans[i].begin, spans[i].end - spans[i].begin) == bpe.bytes_of(ids[i]));
        if (i > 0) REQUIRE(spans[i].begin == spans[i - 1].end);
    }
}

TEST_CASE("a stream shows whole characters only", "[chapter01][bpe]") {
    const Vocabulary bytes = byte_vocabulary(Pattern::kGpt2);
    const Bpe bpe(bytes);
    const auto stream = [&](const std::string& text) {
        StreamDecoder decoder(bpe);
        std::vector<std::string> parts;
        for (const char byte : text) parts.push_back(decoder.add(bytes.byte_ids[uint8_t(byte)]));
        parts.push_back(decoder.finish());
        return parts;
    };
    using Parts = std::vector<std::string>;
    const std::string bad = "\xef\xbf\xbd";
    REQUIRE(stream("a") == Parts{"a", ""});
    REQUIRE(stream("\xe2\x82\xac") == Parts{"", "", "\xe2\x82\xac", ""});
    REQUIRE(stream("\xf0\x9f\x98\x80") == Parts{"", "", "", "\xf0\x9f\x98\x80", ""});
    REQUIRE(stream("\xe2\x82") == Parts{"", "", bad});  // given up at the end: one for the whole part
    REQUIRE(stream("\xe2\x82 a") == Parts{"", "", bad + " ", "a", ""});
    REQUIRE(stream("\xe2\xe2\x82\xac") == Parts{"", bad, "", "\xe2\x82\xac", ""});
    REQUIRE(stream("\x80\xff") == Parts{bad, bad, ""});
    REQUIRE(stream("\xc0\xaf") == Parts{bad, bad, ""});  // overlong: no byte of it can be right
    REQUIRE(stream("\xed\xa0\x80") ==
            Parts{"", bad + bad, bad, ""});  // a surrogate: after ED, A0 cannot follow
    REQUIRE(stream("\xf4\x90") == Parts{"", bad + bad, ""});
    REQUIRE(stream("\xf0\x9f\x98z") == Parts{"", "", "", bad + "z", ""});

    // All together it is what decoding at once and then replacing gives.
    std::mt19937 random(5);
    for (int i = 0; i < 200; i++) {
        const std::string text = random_text(random, 40);
        std::string streamed, whole;
        for (const std::string& part : stream(text)) streamed += part;
        StreamDecoder decoder(bpe);
        const Bpe one_token([&] {
            Vocabulary vocabulary = bytes;
            vocabulary.tokens.push_back(text);
            vocabulary.specials = {{text, 256}};
            return vocabulary;
        }());
        StreamDecoder at_once(one_token);
        whole = at_once.add(256);
        whole += at_once.finish();
        REQUIRE(streamed == whole);
    }
}
