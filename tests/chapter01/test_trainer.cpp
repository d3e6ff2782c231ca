// test_trainer.cpp - training: the fast way against the page-long one and against HuggingFace's merges, its threads, its
// refusals; and the counting of pieces under it.
// Not here: what is done with a trained vocabulary (test_bpe.cpp), the second half of the proof against HuggingFace,
// webtext-10k to 32,768 (tests/golden/tokenizer_training.py, by hand and in the benchmark).
#include "chapters/01_bpe/trainer.h"

#include <algorithm>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "chapters/01_bpe/bpe.h"
#include "chapters/01_bpe/bpe_plain.h"
#include "chapters/01_bpe/piece_counts.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "io/data_set.h"
#include "io/file.h"
#include "io/utf8.h"
#include "tests/support/catch.h"
#include "tests/support/throwing_failures.h"

namespace {

TrainOptions options_of(int vocab_size, int64_t min_frequency = 2, Pattern pattern = Pattern::kGpt2) {
    TrainOptions options;
    options.vocab_size = vocab_size;
    options.min_frequency = min_frequency;
    options.pattern = pattern;
    return options;
}

std::string spelled(const std::string& bytes) {
    std::string text;
    for (const char byte : bytes) utf8::append(&text, byte_spelling()[uint8_t(byte)]);
    return text;
}

// One line per merge, as in merges.txt.
std::vector<std::string> merges_of(const Vocabulary& vocabulary) {
    std::vector<std::string> lines;
    for (const Merge& merge : vocabulary.merges)
        lines.push_back(spelled(vocabulary.tokens[size_t(merge.left)]) + " " +
                        spelled(vocabulary.tokens[size_t(merge.right)]));
    return lines;
}

// `size` bytes of `letters`, drawn evenly.
std::string random_text(uint64_t seed, size_t size, const std::string& letters) {
    RandomStream random{seed, 7};
    std::string text;
    while (text.size() < size) text += letters[random.next_below(uint32_t(letters.size()))];
    return text;
}

// Words of one to nine letters, the short ones often, with blanks and punctuation between them.
std::string random_words(uint64_t seed, size_t size) {
    RandomStream random{seed, 8};
    std::string text;
    while (text.size() < size) {
        const uint32_t length = 1 + random.next_below(1 + random.next_below(9));
        for (uint32_t i = 0; i < length; i++)
            text += char('a' + random.next_below(1 + random.next_below(26)));
        text += random.next_below(12) == 0 ? ".\n" : random.next_below(9) == 0 ? ", " : " ";
    }
    return text;
}

struct ThreadsRestored {
    int before = parallel::num_threads();
    ~ThreadsRestored() { parallel::set_num_threads(before); }
};

}  // namespace

TEST_CASE("training makes the merges that recounting every pair makes", "[chapter01][cpu]") {
    // Few letters: runs of one letter, pairs that overlap themselves, and ties everywhere.
    const auto letters =
        GENERATE(as<std::string>{}, "a", "ab", "ab ", "abc\n ", "'s t\xc3\xa9", "ab\x80\xff ");
    const auto pattern = GENERATE(Pattern::kGpt2, Pattern::kNone, Pattern::kCl100k);
    for (uint64_t seed = 1; seed <= uint64_t(rounds(20, 8)); seed++)
        for (const int64_t min_frequency : {1, 2, 5}) {
            const std::string text = random_text(seed, 40 * size_t(seed), letters);
            CAPTURE(seed, min_frequency, name_of(pattern), utf8::printable(text));
            const Vocabulary fast = train_bpe({text}, options_of(330, min_frequency, pattern));
            const Vocabulary slow = plain::train(text, 330, min_frequency, pattern);
            REQUIRE(merges_of(fast) == merges_of(slow));
            REQUIRE(fast.tokens == slow.tokens);
        }
}

TEST_CASE("training on words makes the merges that recounting makes", "[chapter01][cpu][slow]") {
    const std::string text = random_words(3, 20000);
    REQUIRE(merges_of(train_bpe({text}, options_of(700))) == merges_of(plain::train(text, 700)));
}

TEST_CASE("the first 8,000 merges of tiny Shakespeare are HuggingFace's", "[chapter01][cpu][golden]") {
    const auto path = find_data_file("tinyshakespeare", "input.txt");
    if (!path) {
        WARN("skipped: data/tinyshakespeare/input.txt cannot be had here");
        return;
    }
    const std::string text = read_file(*path);
    const std::vector<std::string> merges = merges_of(train_bpe({text}, options_of(8256)));
    std::istringstream golden(read_file("tests/golden/tokenizer_merges.txt"));
    std::vector<std::string> expected;
    for (std::string line; std::getline(golden, line);) expected.push_back(line);
    REQUIRE(expected.size() == 8000);
    REQUIRE(merges.size() == expected.size());
    for (size_t i = 0; i < expected.size(); i++) {
        CAPTURE(i);
        REQUIRE(merges[i] == expected[i]);
    }
}

TEST_CASE("the merges do not depend on the number of threads", "[chapter01][cpu][threads]") {
    const ThreadsRestored restored;
    const std::string text = random_words(5, 3 << 20);  // long enough to be cut among threads
    const std::string second = random_words(6, 100000);
    parallel::set_num_threads(1);
    const Vocabulary one = train_bpe({text, second}, options_of(1000));
    parallel::set_num_threads(3);
    REQUIRE(train_bpe({text, second}, options_of(1000)).tokens == one.tokens);
}

TEST_CASE("of equally frequent pairs the smaller is merged first", "[chapter01][cpu]") {
    // Bytes are numbered as in GPT-2, where the blank, 220, comes after all letters.
    const Vocabulary vocabulary = train_bpe({"cd ab cd ab"}, options_of(258));
    REQUIRE(merges_of(vocabulary) == std::vector<std::string>{"a b", "c d"});
    REQUIRE(merges_of(train_bpe({"x x yz yz"}, options_of(257))) == std::vector<std::string>{"y z"});
}

TEST_CASE("training stops when no pair is frequent enough", "[chapter01][cpu]") {
    REQUIRE(train_bpe({"ab ab abc"}, options_of(1000, 4)).merges.empty());
    REQUIRE(train_bpe({"ab ab abc"}, options_of(1000, 3)).merges.size() == 1);
    REQUIRE(train_bpe({"abcdefgh"}, options_of(1000, 2)).merges.empty());
    REQUIRE(train_bpe({"abcdefgh"}, options_of(1000, 1)).tokens.back() == "abcdefgh");
}

TEST_CASE("each text is a document of its own", "[chapter01][cpu]") {
    const Vocabulary vocabulary = train_bpe({"ab", "ab", "ab"}, options_of(300, 1, Pattern::kNone));
    REQUIRE(merges_of(vocabulary) == std::vector<std::string>{"a b"});  // "ba" and "bab" cross the ends
}

TEST_CASE("a vocabulary of 256 is the bytes, whatever the text", "[chapter01][cpu]") {
    const Vocabulary vocabulary = train_bpe({"some text"}, options_of(256));
    REQUIRE(vocabulary.size() == 256);
    REQUIRE(vocabulary.merges.empty());
}

TEST_CASE("no two tokens have the same bytes", "[chapter01][cpu]") {
    const std::string text = random_text(9, 20000, "aab") + random_words(9, 50000);
    const Vocabulary vocabulary = train_bpe({text}, options_of(3000, 1, Pattern::kGpt2));
    REQUIRE(std::set<std::string>(vocabulary.tokens.begin(), vocabulary.tokens.end()).size() ==
            size_t(vocabulary.size()));
}

TEST_CASE("special tokens get the last ids and count as tokens", "[chapter01][cpu]") {
    TrainOptions options = options_of(260);
    options.specials = {"<|endoftext|>", "<|pad|>"};
    const Vocabulary vocabulary = train_bpe({"abab abab abab"}, options);
    REQUIRE(vocabulary.size() == 260);
    REQUIRE(vocabulary.merges.size() == 2);
    REQUIRE(vocabulary.tokens[258] == "<|endoftext|>");
    REQUIRE(vocabulary.specials[1].text == "<|pad|>");
    REQUIRE(vocabulary.specials[1].id == 259);

    // A text may hold a special token's own words: they are learned, and stay apart from it.
    options.specials = {"ab"};
    const Vocabulary both = train_bpe({"abab abab abab"}, options);
    REQUIRE(both.tokens[256] == "ab");
    REQUIRE(both.tokens[259] == "ab");
    const Bpe bpe(both);
    REQUIRE(bpe.encode("ab") == std::vector<int>{256});
    REQUIRE(bpe.encode_with_special("ab") == std::vector<int>{259});
}

TEST_CASE("progress counts merges and never goes back", "[chapter01][cpu]") {
    TrainOptions options = options_of(1300);
    std::vector<int64_t> seen;
    options.progress = [&](int64_t done, int64_t total) {
        REQUIRE(total == 1300 - 256);
        seen.push_back(done);
    };
    train_bpe({random_words(2, 100000)}, options);
    REQUIRE(seen.size() >= 3);
    REQUIRE(std::is_sorted(seen.begin(), seen.end()));
    REQUIRE(seen.back() <= 1300 - 256);
}

TEST_CASE("what cannot be trained is refused with the reason", "[chapter01][cpu]") {
    const auto refusal = [](const std::vector<std::string_view>& texts, int vocab_size,
                            const std::vector<std::string>& specials) {
        TrainOptions options = options_of(vocab_size);
        options.specials = specials;
        return failure_of([&] { train_bpe(texts, options); });
    };
    REQUIRE(refusal({}, 300, {}).kind == FailureKind::kUser);
    REQUIRE_THAT(refusal({"", ""}, 300, {}).message, contains("no text"));
    REQUIRE_THAT(refusal({"text"}, 255, {}).message, contains("256 or more"));
    REQUIRE_THAT(refusal({"text"}, 257, {"<a>", "<b>"}).message, contains("258 or more"));
    REQUIRE_THAT(refusal({"text"}, 300, {""}).message, contains("empty"));
    REQUIRE_THAT(refusal({"text"}, 300, {"<a>", "<b>", "<a>"}).message, contains("'<a>' is named twice"));
    REQUIRE_THAT(refusal({"text"}, 300, {"x"}).message, contains("ordinary token"));  // a byte is one
}

TEST_CASE("pieces are counted as a map would count them", "[chapter01][cpu][threads]") {
    const ThreadsRestored restored;
    const int threads = GENERATE(1, 2, 5);
    parallel::set_num_threads(threads);
    // Pieces around the sizes at which their keys change, 8 and 16, some with bytes 0; many of them at a text's end.
    std::vector<std::string> texts = {std::string(3, '\0') + "a", "",
                                      random_words(1, size_t(rounds(5, 3)) << 19)};
    for (const size_t length : {1, 7, 8, 9, 14, 15, 16, 17, 31, 32, 300})
        for (const char letter : {'a', 'b'}) {
            texts.push_back(std::string(length, letter) + " " + std::string(length - 1, letter) + "c");
            texts.push_back(std::string(length, letter) + "\n" + std::string(length, letter));
        }
    std::map<std::string_view, int64_t> expected;
    for (const std::string& text : texts)
        for_each_piece(Pattern::kGpt2, text, [&](std::string_view piece) { expected[piece]++; });

    const std::vector<std::string_view> views(texts.begin(), texts.end());
    const std::vector<PieceCount> counts = count_pieces(views, Pattern::kGpt2, /*sorted=*/true);
    std::vector<std::pair<std::string_view, int64_t>> got;
    for (const PieceCount& count : counts) got.emplace_back(count.piece, count.count);
    REQUIRE(got.size() == expected.size());
    const auto difference = std::mismatch(
        expected.begin(), expected.end(), got.begin(),
        [](const auto& a, const auto& b) { return a == std::pair<const std::string_view, int64_t>(b); });
    const bool is_equal = difference.first == expected.end();
    CAPTURE(is_equal ? "" : utf8::printable(std::string(difference.first->first)));
    REQUIRE(is_equal);
}
