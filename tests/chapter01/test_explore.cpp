// test_explore.cpp - bits per byte, and what explore says about schemes: arithmetic, refusals, and a page that no text can
// break out of.
// Not here: the schemes (test_schemes.cpp).
#include "chapters/01_bpe/explore.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "chapters/00_char_gpt/model.h"
#include "chapters/01_bpe/exploration.h"
#include "chapters/01_bpe/simple_schemes.h"
#include "chapters/01_bpe/trainer.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "tests/support/catch.h"
#include "tests/support/throwing_failures.h"

namespace {

SmallModelOptions tiny_model() {
    SmallModelOptions options;
    options.layers = 1, options.heads = 2, options.channels = 8, options.context = 8, options.batch = 2;
    options.flop = 0;  // one step
    return options;
}

std::string words(size_t size) {
    RandomStream random{1, 2};
    std::string text;
    while (text.size() < size) {
        text += random.next_below(3) == 0 ? "the cat" : random.next_below(2) == 0 ? "a rat" : "that mat";
        text += random.next_below(4) == 0 ? ".\n" : " ";
    }
    return text;
}

const auto no_progress = [](int64_t) {};

}  // namespace

TEST_CASE("bits per byte: the stated operations are those of the model's kernels", "[chapter01][cpu]") {
    SmallModelOptions options;
    options.batch = 4;
    const int64_t V = GENERATE(66, 256, 4096), T = options.context;
    GptConfig config;
    config.V = V, config.T = T, config.L = options.layers;
    config.NH = options.heads, config.HS = options.channels / options.heads, config.C = options.channels;
    Context ctx(Device::kCpu);
    Gpt gpt(ctx.device, config);
    gpt.init(Init::kGpt2, 1);
    Batch batch;
    batch.B = options.batch;
    batch.inputs.assign(size_t(batch.B * T), 1);
    batch.targets.assign(size_t(batch.B * T), 2);
    Profile profile;
    ctx.profile = &profile;
    gpt.params.zero_grad();
    forward_backward(ctx, gpt, batch, batch.B);
    double flops = 0;
    for (const auto& [name, entry] : profile.entries) flops += entry.flops;
    const double stated = training_flop_per_token(options, V) * double(batch.B * T);
    CAPTURE(V, flops / stated);
    // Attention's backward computes its scores again, and kernels count small things that the formula leaves out.
    REQUIRE(flops == Approx(stated).epsilon(0.05));
}

TEST_CASE("bits per byte: the budget gives the steps, at least one", "[chapter01][cpu]") {
    SmallModelOptions options;
    const double per_step = training_flop_per_token(options, 256) * double(options.batch * options.context);
    options.flop = per_step * 100.5;
    REQUIRE(steps_within(options, 256) == 100);
    REQUIRE(steps_within(options, 4096) < 100);
    options.flop = 0;
    REQUIRE(steps_within(options, 256) == 1);
}

TEST_CASE("bits per byte: nats per token become bits per byte", "[chapter01][cpu]") {
    const std::string train = words(3000), held_out = words(1000);
    TrainOptions bpe;
    bpe.vocab_size = 280;
    const Scheme scheme = bpe_scheme(train_bpe({train}, bpe), "BPE");
    const BitsPerByte result = bits_per_byte(scheme, train, held_out, tiny_model(), no_progress);
    const Tokens tokens = scheme.encode(held_out);
    const size_t counted = (tokens.ids.size() - 1) / 8 * 8;
    size_t bytes = 0;
    for (size_t i = 1; i <= counted; i++) bytes += tokens.sizes[i];
    REQUIRE(result.steps == 1);
    REQUIRE(result.model_bits ==
            Approx(result.nats_per_token * double(counted) / double(bytes) / std::log(2.0)));
    REQUIRE(result.nats_per_token == Approx(std::log(280.0)).epsilon(0.05));  // nothing learned yet
    REQUIRE(result.spelling_bits == 0);
    const BitsPerByte of_bytes = bits_per_byte(byte_scheme(), train, held_out, tiny_model(), no_progress);
    REQUIRE(of_bytes.total() == Approx(8).epsilon(0.05));
}

TEST_CASE("bits per byte: training helps, and threads change nothing", "[chapter01][cpu][threads]") {
    const std::string train = words(4000), held_out = words(1000);
    SmallModelOptions options = tiny_model();
    options.batch = 8;
    options.flop = training_flop_per_token(options, 256) * 64 * 60.5;
    const int before = parallel::num_threads();
    parallel::set_num_threads(1);
    int64_t last = 0;
    const BitsPerByte one =
        bits_per_byte(byte_scheme(), train, held_out, options, [&](int64_t step) { last = step; });
    parallel::set_num_threads(3);
    const BitsPerByte three = bits_per_byte(byte_scheme(), train, held_out, options, no_progress);
    parallel::set_num_threads(before);
    REQUIRE(last == 60);
    REQUIRE(one.total() < 5.5);
    REQUIRE(one.total() == three.total());
}

TEST_CASE("bits per byte: what is unknown is charged for its spelling", "[chapter01][cpu]") {
    const Scheme scheme = word_scheme("a a a", 2);  // <unk> and " a"
    const auto charge = [&](std::string_view train, std::string_view held_out) {
        return spelling_bits(scheme, train, scheme.encode(train), held_out, scheme.encode(held_out));
    };
    REQUIRE(charge(" a a", " a a a") == 0);
    // Nothing was learned: each of the two bytes and the end is one of 257.
    REQUIRE(charge(" a a", " b") == Approx(3 * std::log2(257.0)));
    REQUIRE(charge(" a a", " b b") == Approx(6 * std::log2(257.0)));
    // One " b" was seen: each step of the chain had 1 + 1 of 257 + 1.
    REQUIRE(charge(" b a", " b") == Approx(3 * std::log2(258.0 / 2)));
}

TEST_CASE("bits per byte: too short a text is refused", "[chapter01][cpu]") {
    const Failure failure =
        failure_of([] { bits_per_byte(byte_scheme(), words(500), "ab", tiny_model(), no_progress); });
    REQUIRE(failure.kind == FailureKind::kUser);
    REQUIRE_THAT(failure.message, contains("held-out text has 2 tokens"));
}

TEST_CASE("explore: a row says what the scheme does to the text", "[chapter01][cpu]") {
    const std::string text = "a bb a bb\nccc a zz";
    const Scheme scheme = word_scheme("a bb a bb\nccc a", 4);  // <unk>, " a", " bb", "\n" or such
    const SchemeRow row = measure(scheme, text, text.substr(9));
    const Tokens tokens = scheme.encode(text.substr(9));  // "\n" "ccc" " a" " zz"
    REQUIRE(tokens.ids.size() == 4);
    REQUIRE(row.vocabulary == 4);
    REQUIRE(row.bytes_per_token == Approx(9.0 / 4));
    REQUIRE(row.tokens_per_word == Approx(4.0 / 3));
    REQUIRE(row.can_be_unknown);
    REQUIRE(row.unknown_share == Approx(double(std::count(tokens.ids.begin(), tokens.ids.end(), 0)) / 4));
    REQUIRE(row.longest == " bb");
}

TEST_CASE("explore: no text can break out of the page", "[chapter01][cpu]") {
    const std::string evil = "</script><img onerror=alert(1)>";
    Exploration found;
    found.text_name = evil;
    found.command = evil;
    found.model.flop = 1e12;
    SchemeRow row;
    row.name = evil;
    row.longest = evil;
    row.bits = BitsPerByte{};
    row.bits->model_bits = 2;
    found.schemes = {row, row};
    found.schemes[1].bits.reset();
    found.languages.vocabularies = {"bytes", "characters", evil};
    found.languages.rows = {{"English", 10, {10, 10, 5}}, {evil, 20, {20, 10, 10}}};
    const std::string page = explore_page(found);
    REQUIRE(page.find("<img") == std::string::npos);
    REQUIRE(page.find("</script>") == std::string::npos);
    REQUIRE_THAT(page, contains("&lt;img onerror=alert(1)&gt;"));
    REQUIRE_THAT(explore_tables(found), contains("2.00"));
    REQUIRE(explore_json(found).find("<img") == std::string::npos);
}

TEST_CASE("explore: text that is too short, and a page that has no place, are refused", "[chapter01][cpu]") {
    Options options;
    options.data = {"tests/chapter01/no_such_file.txt"};
    REQUIRE(failure_of([&] { run_explore(options); }).kind == FailureKind::kUser);
    options.data = {"tests/golden/formula.py"};  // any short text
    REQUIRE_THAT(failure_of([&] { run_explore(options); }).message, contains("too little"));
    options.data = {"tests/golden/tokenizer_merges.txt"};
    options.html = "no/such/folder/page.html";
    REQUIRE_THAT(failure_of([&] { run_explore(options); }).message, contains("there is no folder"));
}
