// train.cpp - the story of a training run: what can be refused, what it will take, the loop, the end.
// Not here: the model (chapters/00_char_gpt/gpt.h), the data (prepare.cpp, shards.h), files (run_files.cpp).
#include "chapters/02_small_gpt/train.h"

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <memory>

#include "chapters/00_char_gpt/cost.h"
#include "chapters/00_char_gpt/model.h"
#include "chapters/00_char_gpt/training_step.h"
#include "chapters/02_small_gpt/attention_page.h"
#include "chapters/02_small_gpt/findings.h"
#include "chapters/02_small_gpt/generate.h"
#include "chapters/02_small_gpt/model_file.h"
#include "chapters/02_small_gpt/prepare.h"
#include "chapters/02_small_gpt/run_files.h"
#include "chapters/02_small_gpt/shuffled_windows.h"
#include "io/file.h"
#include "io/html.h"
#include "io/interrupt.h"
#include "io/machine.h"
#include "io/progress.h"
#include "io/run_log.h"
#include "io/standard_streams.h"
#include "io/utf8.h"
#include "nn/checkpoint.h"
#include "nn/non_finite.h"
#include "nn/run_folder.h"
#include "nn/schedule.h"

namespace small_gpt {

namespace {

constexpr int kFinalSamples = 3;
// An evaluation on the way looks at no more than these, spread evenly over the split: laptop's all, and of a corpus of
// gigabytes enough for the third digit. What is reported at the end is over all windows of the test split.
constexpr int64_t kValidationWindows = 1024;
constexpr const char* kAttentionName = "attention.html";
constexpr int64_t kAttentionTokens = 64;  // of held-out text: a few lines

bool has_window(const TokenShards& split, int64_t T) {
    return std::any_of(split.shards.begin(), split.shards.end(),
                       [T](const Shard& shard) { return windows_in(shard.size(), T, 1) > 0; });
}

double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// A document of the model's own, from its first word on.
std::string sample_text(Context& ctx, const Gpt& gpt, const Bpe& bpe, int end_of_text, const Config& config,
                        uint64_t number) {
    Sampler sampler;
    sampler.temperature = 0.8f;
    sampler.top_k = std::min(50, int(gpt.config.V));
    sampler.random = {config.seed, uint64_t(1) << 61 | number};
    StreamDecoder decoder(bpe);
    std::string text;
    std::vector<Sampler> samplers = {sampler};
    generate(ctx, gpt, {end_of_text}, config.sample_tokens, samplers, true, [&](size_t, int id) {
        text += decoder.add(id);
        return true;
    });
    return text + decoder.finish();
}

// Seconds for one micro-batch, forward and backward: the first one warms up, then as many as fit into a second.
double measure_micro_batch(Context& ctx, Gpt& gpt, const Batch& batch, int64_t micro_batch) {
    Batch one;
    one.B = std::min(micro_batch, batch.B);
    one.inputs.assign(batch.inputs.begin(), batch.inputs.begin() + one.B * gpt.config.T);
    one.targets.assign(batch.targets.begin(), batch.targets.begin() + one.B * gpt.config.T);
    double seconds = 0;
    int runs = -1;
    do {
        const auto start = std::chrono::steady_clock::now();
        forward_backward(ctx, gpt, one, one.B);
        if (runs++ >= 0) seconds += seconds_since(start);
    } while (seconds < 1 && runs < 100 && !is_interrupted());
    ctx.end_step();
    return seconds / std::max(runs, 1);
}

void print_config(const Config& config, const TrainingData& data, const std::string& folder) {
    std::fprintf(stderr, "%s\n%s\n", machine_line().c_str(), compiler_line().c_str());
    for (const auto& [name, value] : result_options(config))
        std::fprintf(stderr, "  %-14s %s\n", name.c_str(), value.c_str());
    std::fprintf(stderr, "data: %s, vocabulary %s of %d tokens\n", data.name.c_str(),
                 data.vocabulary.name.c_str(), data.vocabulary.size());
    const auto split = [](const char* name, const TokenShards& shards) {
        std::fprintf(stderr,
                     "  %-11s %8" PRId64 " documents, %11" PRId64 " bytes, %11" PRId64 " tokens, %s\n", name,
                     shards.documents(), shards.text_bytes(), shards.tokens(), shards.hash().c_str());
    };
    split("train", data.train), split("validation", data.validation), split("test", data.test);
    const std::string where = where_computed(chosen_device(config), config.device == "auto", config.threads);
    const std::string products =
        rounds_products(config) ? format(", products in %s", cpu::bf16_products()) : "";
    std::fprintf(stderr, "%s%s; run in %s\n", where.c_str(), products.c_str(),
                 utf8::printable(folder).c_str());
}

// What the run takes: parameters, memory, arithmetic and time.
void print_cost(const Config& config, const GptConfig& model, const ShuffledWindows& windows,
                const TrainingData& data, const RunFacts& facts, int64_t steps_left, double micro_batch_s) {
    const double tokens_per_step = double(config.batch) * double(config.accumulate) * double(config.context);
    const double flop = training_flop_per_token(model);
    const double step_s = micro_batch_s * double(config.accumulate);
    // Evaluation is the forward pass alone, about a third of the work.
    const double evaluations = config.eval_every ? double(steps_left / config.eval_every) + 2 : 2;
    const double evaluation_s =
        micro_batch_s / 3 *
        std::min(double(data.validation.tokens()) / double(config.context), double(kValidationWindows)) /
        double(config.batch);
    std::fprintf(stderr,
                 "an epoch: %" PRId64 " windows of %" PRId64 ", stride %" PRId64 ", %" PRId64
                 " steps of %.4g tokens\n",
                 windows.count(), config.context, config.stride, windows.steps_per_epoch(), tokens_per_step);
    std::fprintf(
        stderr,
        "model: %.0f parameters; training takes %.3g GiB of %.3g, %.4g floating-point operations a token\n",
        parameter_count(model), facts.needed_bytes / (1 << 30), facts.present_bytes / (1 << 30), flop);
    std::fprintf(stderr,
                 "this run: %" PRId64 " steps, %.3g passes over the training split, %.3g operations\n",
                 steps_left, double(steps_left) * tokens_per_step / double(data.train.tokens()),
                 double(steps_left) * tokens_per_step * flop);
    std::fprintf(stderr, "measured: %.4g ms a micro-batch, %.4g tokens/s, %.3g GFLOP/s; expected: %s\n\n",
                 micro_batch_s * 1e3, tokens_per_step / step_s, flop * tokens_per_step / step_s / 1e9,
                 format_duration(double(steps_left) * step_s + evaluations * evaluation_s).c_str());
}

// Where the heads look in the first tokens of the validation split, now and in the states that the run kept.
void write_attention_page(const std::string& folder, const TokenShards& split, const Bpe& bpe,
                          int64_t context) {
    const Shard& shard = split.shards.front();
    std::vector<int> ids(size_t(std::min({kAttentionTokens, context, shard.size()})));
    shard.copy(0, int64_t(ids.size()), ids.data());
    PageSelection selection;
    const AttentionReport report = attention_report(join_path(folder, kCheckpointName), {}, bpe.decode(ids));
    write_file_atomically(join_path(folder, kAttentionName), fitting_attention_page(report, &selection));
}

std::string resume_command(const Config& config, const std::string& folder) {
    const std::string data = config.data.empty() ? "" : " --data '" + utf8::printable(config.data) + "'";
    return "chapter02 --resume '" + utf8::printable(folder) + "'" + data;
}

// Weights alone, of the best step and of kept states: they are used, not gone on with.
void save_weights(const std::string& path, Parameters& params, const Metadata& metadata) {
    const OnHost values(params.device(), params.values(), params.count());
    write_safetensors(path, tensors_of(params, "", values.get()), metadata);
}

}  // namespace

void require_windows(const TrainingData& data, int64_t T, const std::vector<const TokenShards*>& splits) {
    for (const TokenShards* split : splits)
        if (!has_window(*split, T))
            user_error("a split of %s has no window of --context %" PRId64
                       " tokens and one more; choose a smaller "
                       "--context, or prepare more text",
                       utf8::printable(data.folder).c_str(), T);
}

void require_memory(const Config& config, const GptConfig& shape) {
    check_training_memory(
        shape, config.batch, config.accumulate,
        "a smaller --batch with a larger --accumulate takes the same steps in less; --context, "
        "--channels and --layers count, too",
        chosen_device(config));
}

AdamWOptions optimizer_options(const Config& config) {
    AdamWOptions options;
    options.beta2 = config.beta2;
    options.weight_decay = config.weight_decay;
    options.decay_vectors = false;
    options.clip = config.clip;
    return options;
}

int run_train(Config config, const std::vector<std::string>& given_flags, const std::string& command) {
    interrupt::watch();
    outlive_stdout_reader();

    // ---- configuration and data: everything that can be refused is refused here ----
    const bool is_resuming = !config.resume.empty();
    std::unique_ptr<SafetensorsFile> checkpoint;
    Progression at;
    if (is_resuming) {
        checkpoint = std::make_unique<SafetensorsFile>(open_for_resume(config.resume));
        at = restore_progression(checkpoint->metadata(), checkpoint->path());
        restore_options(&config, checkpoint->metadata(), given_flags, checkpoint->path());
    }
    const TrainingData data = open_training_data(config.data.empty() ? prepare_default(config) : config.data);
    if (is_resuming) require_same_data(data, checkpoint->metadata(), checkpoint->path());
    const GptConfig shape = model_config(config, data.vocabulary.size());
    require_windows(data, config.context, {&data.train, &data.validation, &data.test});
    require_memory(config, shape);
    if (is_interrupted()) return 130;  // while the data were prepared: there is nothing to save yet
    const std::string folder = is_resuming ? config.resume : new_run_folder(config.out, kRuns);
    if (is_resuming) make_run_folder(folder);
    for (const std::string& warning : data.warnings) std::fprintf(stderr, "WARNING: %s\n", warning.c_str());

    // ---- context, model, optimiser ----
    Context ctx(chosen_device(config));
    ctx.stream.rounds_products = rounds_products(config);
    ctx.seed = config.seed;
    Gpt gpt(ctx.device, shape);
    AdamW optimizer(ctx.device, gpt.params, optimizer_options(config));
    const ShuffledWindows windows(data.train, config.context, config.stride, config.batch * config.accumulate,
                                  config.seed);
    const int64_t planned =
        config.decay_steps ? config.decay_steps : config.epochs * windows.steps_per_epoch();
    if (config.max_steps == 0) config.max_steps = planned;
    TrainingStep training_step(ctx, gpt, config.batch);
    const CosineSchedule schedule = {config.lr, config.min_lr, config.warmup, planned};
    const Bpe bpe(data.vocabulary);
    const std::vector<uint32_t> token_bytes = bytes_of_tokens(data.vocabulary);

    if (is_resuming) {
        load_training(ctx, *checkpoint, at.step, gpt.params, optimizer);
        if (at.step >= config.max_steps) {
            std::fprintf(stderr, "%s is finished: step %" PRId64 " of %" PRId64 "; --max-steps N trains on\n",
                         utf8::printable(folder).c_str(), at.step, config.max_steps);
            // A run that was killed behind its last checkpoint lacks what comes after the loop.
            if (has_current_report(folder) && !config.json) return 0;
        } else if (!config.quiet) {
            std::fprintf(stderr, "resuming at step %" PRId64 "\n", at.step);
        }
    } else {
        gpt.init(init_kind(config), config.seed);
    }

    const auto again = [&] { forward_backward(ctx, gpt, windows.at(at.step), config.batch); };
    const auto save = [&] {
        if (!are_finite(gpt.params)) stop_at_non_finite(ctx, gpt.params, at.step, folder, again);
        save_checkpoint(join_path(folder, kCheckpointName), gpt.params, optimizer,
                        run_metadata(config, data, at));
    };
    const auto keep_state = [&] {
        Metadata metadata = weights_metadata(config, data.vocabulary_hash, at.step);
        metadata.emplace_back("data.hash", data.hash);
        save_weights(join_path(folder, state_name(at.step)), gpt.params, metadata);
    };
    write_config_json(folder, config, data, gpt.params.numel(), command);
    const std::string log_path = join_path(folder, kLogName);
    RunLog log = is_resuming ? RunLog::resume(log_path, at.step) : RunLog::create(log_path);
    if (!is_resuming) {
        // The vocabulary first: a folder with a checkpoint is complete.
        save_vocabulary(data.vocabulary, join_path(folder, kVocabFolder));
        if (is_kept(0, planned, config.keep_states)) keep_state();
        save();  // a run that is killed in its first seconds can be resumed, too
    }

    // ---- what is odd about this run, and what it takes ----
    RunFacts facts;
    facts.vocabulary = data.vocabulary.size();
    facts.rare_tokens = count_rare_tokens(data.train, facts.vocabulary);
    facts.train_tokens = data.train.tokens();
    facts.steps_per_epoch = windows.steps_per_epoch();
    facts.planned_steps = config.max_steps;
    facts.needed_bytes = training_bytes(shape, config.batch, config.accumulate, storage_dtype(ctx.device));
    facts.present_bytes = present_bytes(ctx.device);
    const std::vector<std::string> found = findings(config, facts);
    if (!config.quiet) {
        print_config(config, data, folder);
        for (const std::string& finding : found) std::fprintf(stderr, "finding: %s\n", finding.c_str());
        if (at.step < config.max_steps)
            print_cost(config, shape, windows, data, facts, config.max_steps - at.step,
                       measure_micro_batch(ctx, gpt, windows.at(at.step), config.batch));
    }
    ProgressOptions bar;
    bar.total = config.max_steps;
    bar.first = at.step;
    bar.tokens_per_step = config.batch * config.accumulate * config.context;
    bar.quiet = config.quiet;
    Progress progress(bar);

    // ---- the loop ----
    FinalNumbers numbers;
    const auto held_out = [&](const TokenShards& split, int64_t most_windows) {
        return evaluate(ctx, gpt, split, token_bytes, config.batch, most_windows);
    };
    if (at.step >= config.max_steps) {
        const std::vector<LogRow> rows = read_run_log(log_path);
        if (!rows.empty()) numbers.train_loss = rows.back().loss;
        numbers.validation = held_out(data.validation, kValidationWindows);
    }
    while (at.step < config.max_steps && !is_interrupted()) {
        const auto start = std::chrono::steady_clock::now();
        const int64_t step = at.step + 1;  // steps count from 1
        const Batch batch = windows.at(at.step);
        ctx.step = step;

        gpt.params.zero_grad();
        training_step.run(batch);
        const float lr = schedule.at(step);
        const float grad_norm = optimizer.step(ctx, step, lr);  // the step's one wait for a GPU
        const float loss = training_step.loss();
        if (!std::isfinite(grad_norm) || !std::isfinite(loss)) {
            progress.clear();
            log.flush();
            stop_at_non_finite(ctx, gpt.params, step, folder, again);
        }
        ctx.end_step();

        at.step = step;
        at.tokens += batch.B * config.context;
        numbers.train_loss = double(loss);
        LogRow row{step,       at.tokens,         double(loss),
                   double(lr), double(grad_norm), double(batch.B * config.context) / seconds_since(start),
                   {}};

        // Planned evaluations are part of the run's state; the one at a last step that is not planned is not, so that
        // a run in two parts ends with the bytes of one in a single part.
        const bool is_last = step == config.max_steps,
                   is_planned = config.eval_every && step % config.eval_every == 0;
        if (is_last || is_planned) {
            numbers.validation = held_out(data.validation, kValidationWindows);
            row.val_loss = numbers.validation.loss();
            progress.clear();
            std::printf("step %" PRId64 ": train loss %.4f, validation loss %.4f, %.4f bits per byte\n", step,
                        double(loss), numbers.validation.loss(), numbers.validation.bits_per_byte());
            std::fflush(stdout);
        }
        log.add(row);
        if (is_planned) {
            at.evaluations.push_back(
                {step, numbers.validation.loss(), numbers.validation.bits_per_byte(),
                 sample_text(ctx, gpt, bpe, data.end_of_text, config, uint64_t(step) << 8)});
            print_text(at.evaluations.back().sample + "\n\n");
            if (at.best_step() == step)
                save_weights(join_path(folder, kBestName), gpt.params, run_metadata(config, data, at));
        }
        if (is_kept(step, planned, config.keep_states)) keep_state();
        if (is_last || step % config.checkpoint_every == 0) {
            progress.clear();  // a full disk is reported on a line of its own
            log.flush();
            save();
        }
        progress.update(step, format("loss=%.4f", double(loss)));
    }
    progress.finish();
    log.flush();

    // ---- the end: interrupted, or done ----
    if (is_interrupted() && at.step < config.max_steps) {
        save();
        std::fprintf(stderr, "stopped at step %" PRId64 "; go on with: %s\n", at.step,
                     resume_command(config, folder).c_str());
        return 130;
    }
    numbers.test = held_out(data.test, 0);
    std::vector<std::string> samples;
    for (int s = 0; s < kFinalSamples; s++) {
        samples.push_back(
            sample_text(ctx, gpt, bpe, data.end_of_text, config, uint64_t(at.step) << 8 | uint64_t(s + 1)));
        print_text(samples.back() + "\n\n");
    }
    std::printf("step %" PRId64 ": test loss %.4f, perplexity %.2f, %.4f bits per byte (%" PRId64
                " tokens, %" PRId64 " bytes)\n",
                at.step, numbers.test.loss(), numbers.test.perplexity(), numbers.test.bits_per_byte(),
                numbers.test.tokens, numbers.test.bytes);
    const bool has_page = config.keep_states > 0 && config.context >= 8;  // fewer tokens show nothing
    if (has_page) write_attention_page(folder, data.validation, bpe, config.context);
    write_run_report(folder, config, data, gpt.params.numel(), at, numbers, found, samples, command);
    if (config.json)
        std::printf("{\"step\": %" PRId64
                    ", \"train_loss\": %.9g, \"val_loss\": %.9g, \"val_bits_per_byte\": %.9g, "
                    "\"test_loss\": %.9g, \"test_bits_per_byte\": %.9g, \"parameters\": %" PRId64
                    ", \"run\": %s}\n",
                    at.step, numbers.train_loss, numbers.validation.loss(),
                    numbers.validation.bits_per_byte(), numbers.test.loss(), numbers.test.bits_per_byte(),
                    gpt.params.numel(), html::json_string(folder).c_str());
    if (!config.quiet)
        std::fprintf(
            stderr,
            "checkpoint, log and report%s are in %s; sample more with: chapter02 sample --checkpoint '%s'\n",
            has_page ? ", and attention.html," : "", utf8::printable(folder).c_str(),
            utf8::printable(folder).c_str());
    return 0;
}

}  // namespace small_gpt
