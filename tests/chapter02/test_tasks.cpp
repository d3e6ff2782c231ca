// test_tasks.cpp - likelihoods of continuations against transformers' and against hand-made items; the readers of items.
#include "chapters/02_small_gpt/tasks.h"

#include <unistd.h>

#include <cmath>
#include <filesystem>

#include "chapters/02_small_gpt/gpt2_files.h"
#include "io/file.h"
#include "tests/chapter02/gpt2_tiny.h"
#include "tests/chapter02/models.h"
#include "tests/support/catch.h"
#include "tests/support/throwing_failures.h"

using namespace small_gpt;

namespace {

// The tiny model with its vocabulary.
struct Tiny {
    Gpt2Files files = read_gpt2_files(kTinyFolder);
    Bpe bpe{files.vocabulary};
    Context ctx;
    Gpt& gpt = *files.gpt;
};

// What the model itself writes behind a text, as text.
std::string likeliest_word(Tiny& tiny, const std::string& context, size_t tokens) {
    std::vector<int> ids = tiny.bpe.encode(context), word;
    while (word.size() < tokens) {
        double best_nats = INFINITY;
        int best = 0;
        for (int v = 0; v < 280; v++) {
            const double nats = likelihoods(tiny.ctx, tiny.gpt, {{ids, {v}}})[0].nats;
            if (nats < best_nats) best_nats = nats, best = v;
        }
        ids.push_back(best);
        word.push_back(best);
    }
    return tiny.bpe.decode(word);
}

const auto kNothing = [](int64_t) {};

std::string with_lines(const std::string& lines, bool is_hellaswag) {
    const std::string path =
        (std::filesystem::temp_directory_path() / ("items." + std::to_string(getpid()))).string();
    write_file_atomically(path, lines);
    const std::string message = failure_of([&] {
                                    if (is_hellaswag)
                                        read_hellaswag(path, 0);
                                    else
                                        read_lambada(path, 0);
                                }).message;
    std::filesystem::remove(path);
    return message;
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("likelihoods of continuations are transformers'", "[golden][cpu]") {
    Tiny tiny;
    const Gpt2Tiny want = read_gpt2_tiny();
    REQUIRE(want.passages.size() == 8);
    std::vector<Passage> all;
    for (const ExpectedPassage& p : want.passages)
        all.push_back({tiny.bpe.encode(p.context), tiny.bpe.encode(p.continuation)});
    const std::vector<Likelihood> together = likelihoods(tiny.ctx, tiny.gpt, all);
    for (size_t i = 0; i < all.size(); i++) {
        const ExpectedPassage& p = want.passages[i];
        CAPTURE(p.context, p.continuation);
        // one alone, and in a batch of passages of other lengths
        for (const Likelihood& got : {likelihoods(tiny.ctx, tiny.gpt, {all[i]})[0], together[i]}) {
            REQUIRE(got.tokens == p.tokens);
            REQUIRE(std::fabs(got.nats - p.nats) < 1e-4);
            REQUIRE(got.is_likeliest == p.is_likeliest);
            REQUIRE(int64_t(got.nats_of_tokens.size()) == p.tokens);
        }
    }
}

TEST_CASE("a continuation longer than the context is scored as far as it is seen", "[cpu]") {
    Tiny tiny;
    const Likelihood got =
        likelihoods(tiny.ctx, tiny.gpt, {{std::vector<int>(30, 5), std::vector<int>(40, 7)}})[0];
    REQUIRE(got.tokens == 24);
}

TEST_CASE("HellaSwag: each rule takes the ending that it finds cheapest", "[cpu]") {
    Tiny tiny;
    const HellaSwagItem item{
        "The man in the", {"house", "other", "an", "7?"}, 2};  // golden: 28.6, 28.3, 12.6, 17.1
    HellaSwagItem wrong = item;
    wrong.label = 0;
    int64_t calls = 0;
    const HellaSwagResult result = run_hellaswag(tiny.ctx, tiny.gpt, tiny.bpe, {item, wrong, item},
                                                 [&](int64_t done) { REQUIRE(done == ++calls); });
    REQUIRE(result.by_sum.right == 2);
    REQUIRE(result.by_sum.n == 3);
    // per token 5.71, 5.66, 6.30, 5.70: the second; per byte 5.7, 5.7, 6.3, 8.5: the second again, by little
    HellaSwagItem second = item;
    second.label = 1;
    const HellaSwagResult normalised = run_hellaswag(tiny.ctx, tiny.gpt, tiny.bpe, {second}, kNothing);
    REQUIRE(normalised.by_sum.right == 0);
    REQUIRE(normalised.by_token.right == 1);
    REQUIRE(normalised.by_byte.right == 1);
}

TEST_CASE("LAMBADA: right is a word whose every token is the likeliest; perplexity is of words", "[cpu]") {
    Tiny tiny;
    // A context behind which the model's own choice begins with a blank, as a word must.
    std::string context, word;
    for (const char* text :
         {"the", "in", "on", "at", "re", "it", "an", "he", "or", "er", "is", "The man", "One"}) {
        word = likeliest_word(tiny, text, 2);
        context = text;
        if (word[0] == ' ' && tiny.bpe.encode(word).size() == 2) break;
    }
    CAPTURE(context, word);
    if (word[0] == ' ') {
        const LambadaResult own =
            run_lambada(tiny.ctx, tiny.gpt, tiny.bpe, {{context, word.substr(1)}}, kNothing);
        REQUIRE(own.accuracy.right == 1);
    }
    const LambadaResult two = run_lambada(tiny.ctx, tiny.gpt, tiny.bpe,
                                          {{"The man in the", "house"}, {"The man in the", "an"}}, kNothing);
    REQUIRE(two.accuracy.right == 0);
    REQUIRE(two.accuracy.n == 2);
    REQUIRE(two.nats == Approx((28.563960633 + 12.596758693) / 2).epsilon(1e-5));
    REQUIRE(two.perplexity() == Approx(std::exp(two.nats)));
    // half of the difference, over sqrt(1): the standard error of two numbers
    REQUIRE(two.nats_error == Approx((28.563960633 - 12.596758693) / 2).epsilon(1e-5));
}

TEST_CASE("the standard error of a share", "[cpu]") {
    REQUIRE(Share{25, 101}.standard_error() == Approx(std::sqrt(25.0 / 101 * 76.0 / 101 / 100)));
    REQUIRE(Share{1, 1}.standard_error() == 0);
}

TEST_CASE("items that are no items are refused by their line", "[cpu]") {
    const std::string good = "{\"ctx\": \"A\", \"label\": 1, \"endings\": [\"b\", \"c\"], \"ind\": 7}\n";
    REQUIRE(with_lines(good, true).empty());
    REQUIRE(contains(with_lines(good + "\n{\"ctx\"", true), "line 3: it is no JSON object"));
    REQUIRE(contains(with_lines("{\"label\": 1, \"endings\": [\"b\", \"c\"]}", true),
                     "line 1: it has no \"ctx\""));
    REQUIRE(contains(with_lines("{\"ctx\": \"A\", \"label\": 2, \"endings\": [\"b\", \"c\"]}", true),
                     "\"label\" wants the number of an ending, 0 to 1"));
    REQUIRE(contains(with_lines("{\"ctx\": \"A\", \"label\": 0, \"endings\": [\"b\"]}", true),
                     "two texts or more"));
    REQUIRE(
        contains(with_lines("{\"ctx\": \"A\", \"label\": 0, \"endings\": [\"b\", 3]}", true), "an ending"));
    REQUIRE(contains(with_lines("", true), "no items"));

    REQUIRE(with_lines("{\"context\": \"A b\", \"continuation\": \"c\"}\n{\"text\": \"A b c\"}\n", false)
                .empty());
    REQUIRE(contains(with_lines("{\"text\": \"Word\"}", false), "line 1: \"text\" wants two words"));
    REQUIRE(contains(with_lines("{\"context\": \"A\"}", false), "it has no \"continuation\""));
    REQUIRE(contains(with_lines("7", false), "no JSON object"));
}
