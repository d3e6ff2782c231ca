// test_run.cpp - what a run says before it begins: its findings, its cost, a learning rate for it; and how held-out text is
// measured.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "chapters/00_char_gpt/cost.h"
#include "chapters/01_bpe/trainer.h"
#include "chapters/02_small_gpt/evaluate.h"
#include "chapters/02_small_gpt/find_lr.h"
#include "chapters/02_small_gpt/findings.h"
#include "chapters/02_small_gpt/model_file.h"
#include "chapters/02_small_gpt/run_files.h"
#include "io/file.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/throwing_failures.h"

using namespace small_gpt;

namespace {

Config parsed(std::vector<std::string> words) {
    words.insert(words.begin(), "chapter02");
    std::vector<const char*> argv;
    for (const std::string& word : words) argv.push_back(word.c_str());
    Config config;
    std::vector<std::string> given;
    parse_command_line(int(argv.size()), argv.data(), &config, &given);
    return config;
}

// A run about which there is nothing to say.
RunFacts quiet_facts() {
    RunFacts facts;
    facts.vocabulary = 8192, facts.rare_tokens = 100, facts.train_tokens = 10000000;
    facts.steps_per_epoch = 5000, facts.planned_steps = 5000;
    facts.needed_bytes = 1e9, facts.present_bytes = 16e9;
    return facts;
}

bool says(const std::vector<std::string>& found, const std::string& what) {
    for (const std::string& finding : found)
        if (finding.find(what) != std::string::npos) return true;
    return false;
}

}  // namespace

TEST_CASE("findings: the original's two oddities, and none where there is none", "[cpu]") {
    const std::vector<std::string> original =
        findings(parsed({"train", "--preset", "original"}), quiet_facts());
    REQUIRE(original.size() == 2);
    REQUIRE(says(original, "--min-lr 0.0006 is above --lr 0.0005"));
    REQUIRE(says(original, "attention is 16 wide (4 heads of 4) inside 768 channels; try --head-size 192"));
    REQUIRE(findings(parsed({"train", "--preset", "fixed"}), quiet_facts()).empty());
    REQUIRE(findings(parsed({"train", "--preset", "gpt2-124M"}), quiet_facts()).empty());

    const Config laptop = parsed({"train", "--preset", "laptop"});
    REQUIRE(findings(laptop, quiet_facts()).empty());
    RunFacts facts = quiet_facts();
    facts.steps_per_epoch = laptop.warmup - 1;
    REQUIRE(says(findings(laptop, facts), "100 steps is longer than an epoch of 99; try --warmup 4"));
    facts.steps_per_epoch = laptop.warmup;
    REQUIRE(findings(laptop, facts).empty());
    facts = quiet_facts(), facts.planned_steps = 99;
    REQUIRE(says(findings(laptop, facts), "only 99 updates"));
    REQUIRE(says(findings(laptop, facts), "--stride 1"));
    facts.planned_steps = 100;
    REQUIRE(findings(laptop, facts).empty());
    facts = quiet_facts(), facts.vocabulary = 50257, facts.rare_tokens = 30000, facts.train_tokens = 1000000;
    REQUIRE(says(findings(laptop, facts), "30000 of the vocabulary's 50257 tokens"));
    REQUIRE(says(findings(laptop, facts), "bpe:2048"));
    facts.rare_tokens = 50257 / 4;  // a quarter is allowed
    REQUIRE(findings(laptop, facts).empty());
    facts = quiet_facts(), facts.needed_bytes = 15e9;
    REQUIRE(says(findings(laptop, facts), "training needs about 14 of 14.9 GiB"));
    REQUIRE(says(findings(laptop, facts), "smaller --batch with a larger --accumulate"));
    facts.needed_bytes = 12.7e9;
    REQUIRE(findings(laptop, facts).empty());
    Config rises = laptop;
    rises.min_lr = rises.lr;  // constant: it does not rise
    REQUIRE(findings(rises, quiet_facts()).empty());
    rises.min_lr = rises.lr * 1.01f;
    REQUIRE(says(findings(rises, quiet_facts()), "the learning rate rises"));
}

TEST_CASE("a batch that does not fit is refused with the arithmetic, the largest one that fits is not",
          "[cpu]") {
    const GptConfig shape = model_config(parsed({"train", "--preset", "gpt2-124M"}), 50257);
    const double present = memory_bytes();
    const double per_window = training_bytes(shape, 2, 1) - training_bytes(shape, 1, 1);
    const double rest = training_bytes(shape, 1, 1) - per_window;
    const int64_t fits = int64_t((present - rest) / per_window);
    // At least: 16 bytes for each weight, and the logits and their like, 4 bytes for each token of the vocabulary and row.
    REQUIRE(rest >= 16 * 124439808.0);
    REQUIRE(per_window >= 1024 * 4.0 * 50257);
    if (fits >= 1) check_training_memory(shape, fits, 1, "less");
    const Failure failure = failure_of([&] { check_training_memory(shape, fits + 2, 1, "take less"); });
    REQUIRE(failure.message.find(format("(%.4g bytes)", training_bytes(shape, fits + 2, 1))) !=
            std::string::npos);
    REQUIRE(failure.message.find(format("the machine has %.3g GiB\ntake less", present / (1 << 30))) !=
            std::string::npos);
}

TEST_CASE("find-lr: rates rise by the same factor from one end to the other", "[cpu]") {
    REQUIRE(rate_at(1e-6, 1, 1, 100) == 1e-6f);
    REQUIRE(rate_at(1e-6, 1, 100, 100) == 1.0f);
    for (int64_t step = 2; step <= 100; step++)
        REQUIRE(double(rate_at(1e-6, 1, step, 100)) ==
                Approx(double(rate_at(1e-6, 1, step - 1, 100)) * std::pow(1e6, 1 / 99.0)).epsilon(1e-5));
}

TEST_CASE("find-lr: a tenth of the rate at the lowest loss, whatever single batches say", "[cpu]") {
    const auto swept = [](double lowest_at,
                          double noise) {  // a valley over log(lr), with batches above and below
        RateSweep sweep;
        for (int64_t step = 1; step <= 100; step++) {
            const float lr = rate_at(1e-6, 1, step, 100);
            const double distance = std::log10(double(lr)) - std::log10(lowest_at);
            const double loss = 4 + (distance < 0 ? 0.3 : 4) * distance * distance;
            if (!sweep.add(lr, loss + (step % 2 ? noise : -noise))) break;
        }
        return sweep;
    };
    for (const double lowest_at : {1e-4, 1e-2}) {
        CAPTURE(lowest_at);
        const RateSweep quiet = swept(lowest_at, 0), noisy = swept(lowest_at, 0.2);
        REQUIRE(quiet.has_diverged());
        REQUIRE(quiet.rows().size() < 100);  // it does not go on once the loss has risen
        // note: the moving mean sees the valley some steps late, each a factor of 1.15
        REQUIRE(double(quiet.suggestion()) > lowest_at / 10);
        REQUIRE(double(quiet.suggestion()) < lowest_at / 10 * 2.5);
        REQUIRE(double(noisy.suggestion()) > lowest_at / 10 / 1.5);
        REQUIRE(double(noisy.suggestion()) < lowest_at / 10 * 2.5);
    }
    REQUIRE(!swept(1, 0).has_diverged());  // still falling where it ends
    REQUIRE(swept(1, 0).rows().size() == 100);

    RateSweep rises, breaks;
    REQUIRE(rises.add(1, 5));
    REQUIRE(!rises.add(2, 50));
    REQUIRE(rises.suggestion() == 0);  // it never fell
    REQUIRE(!breaks.add(1, double(NAN)));
    REQUIRE(breaks.rows().empty());
    REQUIRE(breaks.suggestion() == 0);
}

TEST_CASE("findings: rare tokens are counted", "[cpu]") {
    const TemporaryFolder folder;
    std::vector<uint16_t> ids(25, 3);
    ids.insert(ids.end(), 9, 4);
    ids.insert(ids.end(), 10, 5);
    const std::string path = join_path(folder.path, shard_name(Split::kTrain, 0));
    write_shard(path, {std::string(reinterpret_cast<const char*>(ids.data()), ids.size() * 2)}, 2, 1, 1, 1);
    REQUIRE(count_rare_tokens(open_split(folder.path, Split::kTrain, 1, 8), 8) == 6);  // all but 3 and 5
}

TEST_CASE("the parameters that a shape promises are those that a model has", "[cpu]") {
    for (const char* preset : {"laptop", "tiny", "original"}) {
        CAPTURE(preset);
        for (const bool tied : {true, false}) {
            Config config = parsed({"train", "--preset", preset});
            config.tied = tied;
            const GptConfig shape = model_config(config, 1000);
            REQUIRE(parameter_count(shape) == double(Gpt(Device::kCpu, shape).params.numel()));
        }
    }
    // Radford et al. 2019, table 2, counted without a head of its own: "117M" there, 124M in fact.
    const Config gpt2 = parsed({"train", "--preset", "gpt2-124M"});
    REQUIRE(parameter_count(model_config(gpt2, 50257)) == 124439808);
    // The original's attention holds 0.2 % of its parameters.
    Config original = parsed({"train", "--preset", "original"});
    const double all = parameter_count(model_config(original, 50257));
    const double attention = 2 * (768.0 * 48 + 48 + 16 * 768.0 + 768);
    REQUIRE(attention / all > 0.0019);
    REQUIRE(attention / all < 0.0022);
}

TEST_CASE("evaluate: an untrained model is as good as chance, per token and per byte", "[cpu]") {
    const TemporaryFolder folder;
    TrainOptions options;
    options.vocab_size = 300;
    options.specials = {kEndOfText};
    const std::string text = "the cat and the hat and the bat sat on the mat, and that was that. ";
    const Vocabulary vocabulary = train_bpe({text}, options);
    const std::vector<uint32_t> bytes = bytes_of_tokens(vocabulary);
    REQUIRE(bytes[size_t(end_of_text_id(vocabulary, "test"))] == 0);
    const Bpe bpe(vocabulary);
    std::vector<int> ids;
    for (int i = 0; i < 20; i++) {
        const std::vector<int> more = bpe.encode(text);
        ids.insert(ids.end(), more.begin(), more.end());
    }
    std::string packed;
    for (const int id : ids) {
        const uint16_t narrow = uint16_t(id);
        packed.append(reinterpret_cast<const char*>(&narrow), 2);
    }
    write_shard(join_path(folder.path, shard_name(Split::kTest, 0)), {packed}, 2, 1, 1,
                int64_t(text.size() * 20));
    const TokenShards data = open_split(folder.path, Split::kTest, 1, vocabulary.size());
    Config config = parsed({"train", "--preset", "tiny"});
    Context ctx(Device::kCpu);
    Gpt gpt(Device::kCpu, model_config(config, vocabulary.size()));
    std::fill_n(gpt.params.values(), gpt.params.count(), 0.0f);
    const HeldOut all = evaluate(ctx, gpt, data, bytes, 3);
    const int64_t windows = (int64_t(ids.size()) - 1) / config.context;
    REQUIRE(all.tokens == windows * config.context);
    REQUIRE(all.loss() == Approx(std::log(double(vocabulary.size()))).epsilon(1e-5));
    size_t expected_bytes = 0;
    for (int64_t i = 1; i <= all.tokens; i++) expected_bytes += bpe.bytes_of(ids[size_t(i)]).size();
    REQUIRE(all.bytes == int64_t(expected_bytes));
    REQUIRE(all.bits_per_byte() ==
            Approx(std::log2(double(vocabulary.size())) * double(all.tokens) / double(expected_bytes))
                .epsilon(1e-5));
    // The number of rows at once changes nothing; fewer windows are a part of them.
    REQUIRE(evaluate(ctx, gpt, data, bytes, 1).nats == Approx(all.nats));
    REQUIRE(evaluate(ctx, gpt, data, bytes, 2, 4).tokens == 4 * config.context);
}

TEST_CASE("a model is found with its vocabulary, and not with another", "[cpu]") {
    const TemporaryFolder folder;
    TrainOptions options;
    options.vocab_size = 270;
    options.specials = {kEndOfText};
    const std::string text = "the cat and the hat and the bat sat on the mat, and that was that. ";
    const Vocabulary vocabulary = train_bpe({text}, options);
    const Config config = parsed({"train", "--preset", "tiny"});
    {
        Gpt gpt(Device::kCpu, model_config(config, vocabulary.size()));
        gpt.init(Init::kGpt2, 5);
        save_model(folder.path, gpt, config, vocabulary);
        const LoadedModel model = load_model(find_model(folder.path), Device::kCpu);
        REQUIRE(model.config.channels == config.channels);
        REQUIRE(model.bpe->vocabulary().size() == vocabulary.size());
        REQUIRE(model.end_of_text == vocabulary.size() - 1);
        REQUIRE(floats_on_host(Device::kCpu, model.gpt->params.values(), model.gpt->params.count()) ==
                floats_on_host(Device::kCpu, gpt.params.values(), gpt.params.count()));
    }
    options.vocab_size = 262;
    std::filesystem::remove_all(join_path(folder.path, kVocabFolder));
    save_vocabulary(train_bpe({text}, options), join_path(folder.path, kVocabFolder));
    const Failure failure = failure_of([&] { load_model(find_model(folder.path), Device::kCpu); });
    REQUIRE(failure.message.find("is another") != std::string::npos);
}

TEST_CASE("run: states are kept before the first step and at halves of the planned ones", "[cpu][run]") {
    const auto kept = [](int64_t planned, int64_t states) {
        std::vector<int64_t> steps;
        for (int64_t step = 0; step <= 2 * planned; step++)
            if (is_kept(step, planned, states)) steps.push_back(step);
        return steps;
    };
    REQUIRE(kept(1500, 0).empty());
    REQUIRE(kept(1500, 1) == std::vector<int64_t>{0});
    REQUIRE(kept(1500, 6) == std::vector<int64_t>{0, 46, 93, 187, 375, 750});
    REQUIRE(kept(3, 40) == std::vector<int64_t>{0, 1});
}
