// test_schemes.cpp - the schemes that explore compares: what they learn and how they cut, against brute force.
// Not here: BPE (test_bpe.cpp, test_trainer.cpp); bits per byte and the tables (test_explore.cpp).
#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "chapters/01_bpe/simple_schemes.h"
#include "chapters/01_bpe/unigram.h"
#include "chapters/01_bpe/wordpiece.h"
#include "core/rng.h"
#include "tests/support/catch.h"
#include "tests/support/throwing_failures.h"

namespace {

const char* const kText =
    "the cat sat on the mat, the cat ran; the rat sat. a cat, a rat, a mat and a hat!\n"
    "that cat sat there then: the thin rat thought that the fat cat had the hat, that it had.\n";

std::string random_text(uint64_t seed, size_t size, const std::string& letters) {
    RandomStream random{seed, 7};
    std::string text;
    while (text.size() < size) text += letters[random.next_below(uint32_t(letters.size()))];
    return text;
}

// The tokens as text, with bars between; <unk> in the place of what is unknown.
std::string cut(const Scheme& scheme, std::string_view text) {
    const Tokens tokens = scheme.encode(text);
    std::string shown;
    size_t begin = 0;
    for (size_t i = 0; i < tokens.ids.size(); begin += tokens.sizes[i++])
        shown +=
            (i ? "|" : "") +
            (tokens.ids[i] == scheme.unknown ? "<unk>" : std::string(text.substr(begin, tokens.sizes[i])));
    return shown;
}

WordPieceOptions wordpiece_options(int vocab_size, WordPieceScore score, int64_t min_frequency = 2) {
    WordPieceOptions options;
    options.vocab_size = vocab_size;
    options.score = score;
    options.min_frequency = min_frequency;
    return options;
}

UnigramOptions unigram_options(int vocab_size) {
    UnigramOptions options;
    options.vocab_size = vocab_size;
    return options;
}

std::vector<Scheme> all_schemes(std::string_view text) {
    return {byte_scheme(),
            character_scheme(text),
            word_scheme(text, 12),
            wordpiece_scheme(text, wordpiece_options(60, WordPieceScore::kRatio)),
            wordpiece_scheme(text, wordpiece_options(60, WordPieceScore::kLikelihood)),
            unigram_scheme(text, unigram_options(50))};
}

}  // namespace

TEST_CASE("schemes: tokens cover the text, and each is the text that it covers", "[chapter01][cpu]") {
    for (const Scheme& scheme : all_schemes(kText))
        for (uint64_t seed = 1; seed <= 30; seed++) {
            const std::string text = seed == 1
                                         ? std::string(kText)
                                         : random_text(seed, 50, "that cat.\n\xc3\xa9\x80\xff\xe2\x82\xacZ");
            const Tokens tokens = scheme.encode(text);
            CAPTURE(scheme.name, seed);
            REQUIRE(tokens.ids.size() == tokens.sizes.size());
            REQUIRE(std::accumulate(tokens.sizes.begin(), tokens.sizes.end(), size_t(0)) == text.size());
            size_t begin = 0;
            for (size_t i = 0; i < tokens.ids.size(); begin += tokens.sizes[i++]) {
                REQUIRE(tokens.ids[i] >= 0);
                REQUIRE(tokens.ids[i] < scheme.size());
                if (tokens.ids[i] == scheme.unknown) continue;
                std::string token = scheme.tokens[size_t(tokens.ids[i])];
                if (token.size() == tokens.sizes[i] + 2) token.erase(0, 2);  // WordPiece's "##"
                REQUIRE(token == text.substr(begin, tokens.sizes[i]));
            }
        }
}

TEST_CASE("schemes: bytes are never unknown, other characters and words are counted", "[chapter01][cpu]") {
    const auto unknowns = [](const Scheme& scheme, std::string_view text) {
        const Tokens tokens = scheme.encode(text);
        return std::count(tokens.ids.begin(), tokens.ids.end(), scheme.unknown);
    };
    REQUIRE(byte_scheme().unknown == -1);
    const Scheme characters = character_scheme("hello");
    REQUIRE(characters.size() == 5);  // <unk>, e, h, l, o
    REQUIRE(unknowns(characters, "hello") == 0);
    REQUIRE(unknowns(characters, "h\xc3\xa9llo\x80!") == 3);  // an accent, a lone byte, a mark: one each
    const Scheme words =
        word_scheme("a b a b a c", 3);  // <unk> and the two most frequent: " b", then " a" (2 each)
    REQUIRE(words.tokens == std::vector<std::string>{"<unk>", " a", " b"});
    REQUIRE(cut(words, "a b a c") == "<unk>| b| a|<unk>");
    REQUIRE(unknowns(words, "a b a c") == 2);
}

// ---- WordPiece ------------------------------------------------------------------------------------------------------

TEST_CASE("WordPiece takes the longest token that fits, or the whole word is unknown", "[chapter01][cpu]") {
    const Scheme scheme = wordpiece_scheme(kText, wordpiece_options(90, WordPieceScore::kLikelihood));
    const auto has = [&](const std::string& token) {
        return std::find(scheme.tokens.begin(), scheme.tokens.end(), token) != scheme.tokens.end();
    };
    for_each_piece(Pattern::kGpt2, kText, [&](std::string_view piece) {
        const Tokens tokens = scheme.encode(piece);
        size_t begin = 0;
        for (size_t i = 0; i < tokens.ids.size(); begin += tokens.sizes[i++])
            for (size_t longer = begin + tokens.sizes[i] + 1; longer <= piece.size(); longer++) {
                CAPTURE(std::string(piece), begin, longer);
                REQUIRE_FALSE(
                    has((begin > 0 ? "##" : "") + std::string(piece.substr(begin, longer - begin))));
            }
    });
    REQUIRE(has(" the"));
    REQUIRE(cut(scheme, " the") == " the");
    REQUIRE(cut(scheme, " thez the") ==
            "<unk>| the");  // no z in the text: one unknown for the word, not for the letter
}

TEST_CASE("WordPiece merges the pairs that counting anew would choose", "[chapter01][cpu]") {
    const auto score = GENERATE(WordPieceScore::kRatio, WordPieceScore::kLikelihood);
    for (uint64_t seed = 1; seed <= 10; seed++) {
        const std::string text = seed == 1 ? std::string(kText) : random_text(seed, 300, "aab c");
        const WordPiece fast = WordPiece::train(text, wordpiece_options(70, score));

        // The same from the definition. A token is its text, with "##" if it goes on within a word.
        std::vector<std::vector<std::string>> words;
        std::map<std::string, int> order;  // id of each token
        for_each_piece(Pattern::kGpt2, text, [&](std::string_view piece) {
            words.emplace_back();
            for (size_t i = 0; i < piece.size(); i++)
                words.back().push_back((i ? "##" : "") + std::string(1, piece[i]));
        });
        std::vector<std::string> expected;
        for (int id = 1; id < fast.size(); id++) {  // the characters come first
            const std::string token = fast.shown(id);
            if (token.size() != (token.substr(0, 2) == "##" ? 3 : 1)) break;
            order[token] = id;
        }
        int next = int(order.size()) + 1;
        for (;;) {
            std::map<std::string, int64_t> tokens;
            std::map<std::pair<int, int>, int64_t> pairs;
            std::map<int, std::string> text_of;
            int64_t total = 0;
            for (const auto& word : words)
                for (size_t i = 0; i < word.size(); i++) {
                    tokens[word[i]]++, total++;
                    text_of[order[word[i]]] = word[i];
                    if (i + 1 < word.size()) pairs[{order[word[i]], order[word[i + 1]]}]++;
                }
            double best_score = -INFINITY;
            int64_t best_count = 0;
            std::pair<int, int> best;
            for (const auto& [pair, count] : pairs) {
                if (count < 2) continue;
                const double ratio = double(count) / (double(tokens[text_of[pair.first]]) *
                                                      double(tokens[text_of[pair.second]]));
                const double value =
                    score == WordPieceScore::kRatio ? ratio : double(count) * std::log(double(total) * ratio);
                if (value > best_score || (value == best_score && count > best_count))
                    best_score = value, best_count = count, best = pair;
            }
            if (best_count == 0 || next == 70) break;
            const std::string a = text_of[best.first], b = text_of[best.second];
            const std::string merged = a + (b.substr(0, 2) == "##" ? b.substr(2) : b);
            expected.push_back(merged);
            order[merged] = next++;
            for (auto& word : words)
                for (size_t i = 0; i + 1 < word.size(); i++)
                    if (word[i] == a && word[i + 1] == b) {
                        word[i] = merged;
                        word.erase(word.begin() + std::ptrdiff_t(i) + 1);
                    }
        }
        std::vector<std::string> learned;
        for (int id = fast.size() - int(expected.size()); id < fast.size(); id++)
            learned.push_back(fast.shown(id));
        CAPTURE(seed);
        REQUIRE(learned == expected);
    }
}

TEST_CASE("WordPiece refuses a vocabulary that cannot hold the characters", "[chapter01][cpu]") {
    const auto train = [](std::string_view text, int size) {
        return failure_of([&] { WordPiece::train(text, wordpiece_options(size, WordPieceScore::kRatio)); });
    };
    REQUIRE_THAT(train("abcdef", 5).message, contains("no room"));
    REQUIRE(train("", 100).kind == FailureKind::kUser);
}

// ---- Unigram --------------------------------------------------------------------------------------------------------

namespace {

// Every way to cut `piece` into tokens of the model (or single unknown characters, if the model asks for them).
void for_each_cut(const Unigram& model, std::string_view piece, double log_p, std::vector<int>* ids,
                  const std::function<void(double, const std::vector<int>&)>& visit) {
    if (piece.empty()) return visit(log_p, *ids);
    bool has_character = false;
    for (int id = 1; id < model.size(); id++) {
        const std::string& token = model.token(id);
        if (piece.substr(0, token.size()) != token) continue;
        has_character = has_character || token.size() == 1;
        ids->push_back(id);
        for_each_cut(model, piece.substr(token.size()), log_p + model.log_p(id), ids, visit);
        ids->pop_back();
    }
    if (has_character) return;
    ids->push_back(Unigram::kUnknown);
    for_each_cut(model, piece.substr(1), log_p + model.log_p(Unigram::kUnknown), ids, visit);
    ids->pop_back();
}

Unigram random_model(uint64_t seed) {
    RandomStream random{seed, 3};
    std::vector<std::string> tokens;
    std::vector<double> probabilities;
    for (const char* token : {"a", "b", "c", "ab", "bc", "ca", "aa", "abc", "cab", "bb", "aab", "bcab"}) {
        if (random.next_below(5) == 0) continue;  // sometimes a single character is missing
        tokens.push_back(token);
        probabilities.push_back(0.001 + double(random.next_below(1000)) / 1000);
    }
    return Unigram(tokens, probabilities);
}

}  // namespace

TEST_CASE("Unigram: Viterbi and the forward sum equal brute force", "[chapter01][cpu]") {
    for (uint64_t seed = 1; seed <= 60; seed++) {
        const Unigram model = random_model(seed);
        const std::string piece = random_text(seed, 1 + seed % 11, "abc");
        double best = -INFINITY, sum = 0;
        std::vector<int> ids, best_ids;
        for_each_cut(model, piece, 0, &ids, [&](double log_p, const std::vector<int>& found) {
            sum += std::exp(log_p);
            if (log_p > best) best = log_p, best_ids = found;
        });
        CAPTURE(seed, piece);
        REQUIRE(model.best_log_probability(piece) == Approx(best).epsilon(1e-12));
        REQUIRE(model.log_probability(piece) == Approx(std::log(sum)).epsilon(1e-9));
        Tokens tokens;
        model.encode_piece(piece, &tokens);
        double log_p = 0;
        for (const int id : tokens.ids) log_p += model.log_p(id);
        REQUIRE(log_p == Approx(best).epsilon(1e-12));
    }
}

TEST_CASE("Unigram: a step of EM makes the expected counts the probabilities", "[chapter01][cpu]") {
    Unigram model({"a", "b", "ab", "ba", "aba"}, {0.3, 0.2, 0.25, 0.15, 0.1});
    const std::vector<PieceCount> pieces = {{"abab", 3}, {"aba", 2}, {"b", 1}};
    std::vector<double> expected(size_t(model.size()));
    double log_likelihood = 0;
    for (const PieceCount& piece : pieces) {
        const double all = model.log_probability(piece.piece);
        log_likelihood += double(piece.count) * all;
        std::vector<int> ids;
        for_each_cut(model, piece.piece, 0, &ids, [&](double log_p, const std::vector<int>& found) {
            for (const int id : found) expected[size_t(id)] += double(piece.count) * std::exp(log_p - all);
        });
    }
    const double total = std::accumulate(expected.begin(), expected.end(), 0.0);
    REQUIRE(model.em_step(pieces) == Approx(log_likelihood));
    for (int id = 1; id < model.size(); id++) {
        CAPTURE(model.token(id));
        REQUIRE(std::exp(model.log_p(id)) == Approx(expected[size_t(id)] / total));
    }
}

TEST_CASE("Unigram: EM never makes the text less probable", "[chapter01][cpu]") {
    for (uint64_t seed = 1; seed <= 10; seed++) {
        Unigram model = random_model(seed);
        const std::string text = random_text(seed, 2000, "aabbc ");
        const std::vector<PieceCount> pieces = count_pieces({text}, Pattern::kGpt2, /*sorted=*/true);
        double before = -INFINITY;
        // note: <unk> is no parameter: a model that lacks a character is not what EM improves.
        std::vector<PieceCount> known;
        for (const PieceCount& piece : pieces) {
            Tokens tokens;
            model.encode_piece(piece.piece, &tokens);
            if (std::find(tokens.ids.begin(), tokens.ids.end(), Unigram::kUnknown) == tokens.ids.end())
                known.push_back(piece);
        }
        if (known.empty()) continue;
        model.em_step(known);  // the first probabilities do not add up to 1
        for (int step = 0; step < 8; step++) {
            const double now = model.em_step(known);
            CAPTURE(seed, step, before, now);
            REQUIRE(now >= before - 1e-9 * std::fabs(before));
            before = now;
        }
    }
}

TEST_CASE("Unigram: pruning keeps all characters and what is missed most", "[chapter01][cpu]") {
    Unigram model({"a", "b", "c", "ab", "bc", "abc"}, {0.1, 0.1, 0.1, 0.1, 0.1, 0.5});
    model.prune({{"abc", 100}, {"bc", 1}}, 6);  // <unk>, three characters, and two of the three others
    std::vector<std::string> tokens;
    for (int id = 1; id < model.size(); id++) tokens.push_back(model.token(id));
    REQUIRE(tokens == std::vector<std::string>{"a", "b", "c", "bc", "abc"});  // "ab" is used nowhere
}

TEST_CASE("Unigram: training ends at the size asked for, the same every time", "[chapter01][cpu]") {
    const Unigram model = Unigram::train(kText, unigram_options(50));
    REQUIRE(model.size() == 50);
    const Unigram again = Unigram::train(kText, unigram_options(50));
    double sum = 0;
    for (int id = 1; id < model.size(); id++) {
        REQUIRE(model.token(id) == again.token(id));
        REQUIRE(model.log_p(id) == again.log_p(id));
        sum += std::exp(model.log_p(id));
    }
    REQUIRE(sum == Approx(1.0).epsilon(1e-6));
    const Scheme scheme = unigram_scheme(kText, unigram_options(50));
    REQUIRE(cut(scheme, " the cat\xc3\xa9") == " the| cat|<unk>");
    REQUIRE_THAT(failure_of([&] { Unigram::train(kText, unigram_options(10)); }).message,
                 contains("no room"));
    REQUIRE(failure_of([&] { Unigram::train("", unigram_options(10)); }).kind == FailureKind::kUser);
}

TEST_CASE("Unigram: a very long piece has a probability, too", "[chapter01][cpu]") {
    const Unigram model = Unigram::train(kText, unigram_options(50));
    const std::string piece(5000,
                            'a');  // the product of 5,000 probabilities is far below what a double can hold
    REQUIRE(std::isfinite(model.log_probability(piece)));
    Tokens tokens;
    model.encode_piece(piece, &tokens);
    REQUIRE(std::accumulate(tokens.sizes.begin(), tokens.sizes.end(), size_t(0)) == piece.size());
}
