// main.cpp - chapter 00: a GPT over characters learns Shakespeare. This file is the story of a training run.
// Not here: the model (gpt.h), the command line (config.cpp), files (run.cpp), the other verbs (verbs.cpp).
// Build and run: make run-chapter00, or make chapter00 && build/chapter00 train --help
#include <cstdio>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <new>

#include "chapters/00_char_gpt/config.h"
#include "chapters/00_char_gpt/model.h"
#include "chapters/00_char_gpt/run.h"
#include "chapters/00_char_gpt/verbs.h"
#include "core/threads.h"
#include "io/file.h"
#include "io/html.h"
#include "io/interrupt.h"
#include "io/machine.h"
#include "io/progress.h"
#include "io/standard_streams.h"
#include "io/utf8.h"
#include "nn/non_finite.h"
#include "nn/schedule.h"

namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::string sample_text(Context& ctx, const Gpt& gpt, const CharTokenizer& tokenizer, const Config& config,
                        int64_t step) {
    Sampler sampler;
    sampler.random = {config.seed, uint64_t(1) << 61 | uint64_t(step)};
    const int line_break = tokenizer.id_of('\n');
    std::vector<int> text;
    generate(ctx, gpt, {line_break >= 0 ? line_break : 0}, config.sample_tokens, sampler,
             [&](int id) { text.push_back(id); });
    return tokenizer.decode(text);
}

void print_config(const Config& config, const Dataset& data, const Gpt& gpt, const Windows& windows,
                  const std::string& folder) {
    std::fprintf(stderr, "%s\n%s\n", machine_line().c_str(), compiler_line().c_str());
    for (const auto& [name, value] : result_options(config))
        std::fprintf(stderr, "  %-14s %s\n", name.c_str(), value.c_str());
    std::fprintf(stderr, "data: %s, %zu characters to train on, %zu held out, %d distinct\n",
                 data.corpus.name.c_str(), data.train.size(), data.held_out.size(),
                 data.tokenizer.vocabulary());
    // Windows at stride 1 overlap: an epoch reads the text about T times.
    const double epoch_characters = double(windows.count()) * double(config.context);
    const double epoch_passes = epoch_characters / double(data.train.size());
    std::fprintf(stderr,
                 "an epoch: %lld windows of %lld, %lld steps, %.0f characters, %.1f passes over the text\n",
                 static_cast<long long>(windows.count()), static_cast<long long>(config.context),
                 static_cast<long long>(windows.steps_per_epoch()), epoch_characters, epoch_passes);
    const double planned_epochs = double(config.max_steps) / double(windows.steps_per_epoch());
    std::fprintf(stderr, "this run: %lld steps, %.3g epochs, %.4g characters, %.3g passes over the text\n",
                 static_cast<long long>(config.max_steps), planned_epochs, planned_epochs * epoch_characters,
                 planned_epochs * epoch_passes);
    const std::string precision =
        rounds_products(config) ? format("products in %s", cpu::bf16_products()) : chosen_precision(config);
    const std::string where = where_computed(chosen_device(config), config.device == "auto", config.threads);
    std::fprintf(stderr, "model: %lld parameters, %s; %s; run in %s\n\n",
                 static_cast<long long>(gpt.params.numel()), precision.c_str(), where.c_str(),
                 utf8::printable(folder).c_str());
}

// What to type to go on with a run: its text is not in its checkpoint, whose bytes know no paths.
std::string resume_command(const Config& config, const std::string& folder) {
    const std::string data = config.data.empty() ? "" : " --data '" + utf8::printable(config.data) + "'";
    return "chapter00 --resume '" + utf8::printable(folder) + "'" + data;
}

int train(Config config, const std::vector<std::string>& given_flags, const std::string& command) {
    // ---- configuration and data: everything that can be refused is refused here ----
    const bool is_resuming = !config.resume.empty();
    std::unique_ptr<SafetensorsFile> checkpoint;
    Progression at;
    if (is_resuming) {
        checkpoint = std::make_unique<SafetensorsFile>(open_for_resume(config.resume));
        at = restore_progression(checkpoint->metadata(), checkpoint->path());
        restore_options(&config, checkpoint->metadata(), given_flags, checkpoint->path());
    }
    const Dataset data = load_dataset(config);
    if (is_resuming) require_same_text(data, checkpoint->metadata(), checkpoint->path());
    if (is_interrupted()) return 130;  // while the text was being fetched: there is nothing to save yet
    check_memory(config, data.tokenizer.vocabulary());
    const std::string folder = is_resuming ? config.resume : new_run_folder(config.out, kRuns);
    if (is_resuming) make_run_folder(folder);
    if (!data.corpus.warning.empty()) std::fprintf(stderr, "WARNING: %s\n", data.corpus.warning.c_str());

    // ---- context, model, optimiser ----
    start_threads(config.threads);
    Context ctx(chosen_device(config));
    ctx.stream.rounds_products = rounds_products(config);
    ctx.seed = config.seed;
    Gpt gpt(ctx.device, model_config(config, data.tokenizer.vocabulary()));
    AdamWOptions adamw_options;
    adamw_options.beta2 = config.beta2;
    adamw_options.weight_decay = config.weight_decay;
    adamw_options.clip = config.clip;
    AdamW optimizer(ctx.device, gpt.params, adamw_options);
    Windows windows(data.train.data(), int64_t(data.train.size()), config.context,
                    config.batch * config.accumulate, config.seed);
    const int64_t steps_per_epoch = windows.steps_per_epoch();
    const int64_t all_epochs = config.epochs * steps_per_epoch;
    const int64_t planned = config.decay_steps ? config.decay_steps : all_epochs;
    if (config.max_steps == 0) config.max_steps = planned;
    TrainingStep training_step(ctx, gpt, config.batch);
    const CosineSchedule schedule = {config.lr, config.min_lr, config.warmup, planned};

    if (is_resuming) {
        load_training(ctx, *checkpoint, at.step, gpt.params, optimizer);
        if (at.step >= config.max_steps) {
            std::fprintf(stderr, "%s is finished: step %lld of %lld; --max-steps N trains on\n",
                         utf8::printable(folder).c_str(), static_cast<long long>(at.step),
                         static_cast<long long>(config.max_steps));
            // A run that was killed behind its last checkpoint lacks what comes after the loop.
            if (has_current_report(folder) && !config.json) return 0;
        } else if (!config.quiet) {
            std::fprintf(stderr, "resuming at step %lld\n", static_cast<long long>(at.step));
        }
    } else {
        gpt.init(init_kind(config), config.seed);
    }

    const auto save = [&] {
        if (!are_finite(gpt.params))
            stop_at_non_finite(ctx, gpt.params, at.step, folder,
                               [&] { forward_backward(ctx, gpt, windows.at(at.step - 1), config.batch); });
        save_checkpoint(join_path(folder, kCheckpointName), gpt.params, optimizer,
                        run_metadata(config, data, at));
    };
    write_config_json(folder, config, data, gpt.config, gpt.params.numel(), command);
    const std::string log_path = join_path(folder, kLogName);
    RunLog log = is_resuming ? RunLog::resume(log_path, at.step) : RunLog::create(log_path);
    if (!is_resuming) save();  // a run that is killed in its first seconds can be resumed, too
    if (!config.quiet) print_config(config, data, gpt, windows, folder);
    ProgressOptions bar;
    bar.total = config.max_steps;
    bar.first = at.step;
    bar.tokens_per_step = config.batch * config.accumulate * config.context;
    bar.quiet = config.quiet;
    Progress progress(bar);

    // ---- the loop ----
    std::string last_sample;
    double val_loss = 0, train_loss = 0;
    if (at.step >= config.max_steps) {
        const std::vector<LogRow> rows = read_run_log(log_path);
        if (!rows.empty()) train_loss = rows.back().loss;
        val_loss = held_out_loss(ctx, gpt, data.held_out);
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
        const auto stop_if_not_finite = [&](double value) {
            if (std::isfinite(value)) return;
            progress.clear();
            log.flush();
            stop_at_non_finite(ctx, gpt.params, step, folder,
                               [&] { forward_backward(ctx, gpt, batch, config.batch); });
        };
        stop_if_not_finite(double(loss));
        stop_if_not_finite(double(grad_norm));
        ctx.end_step();

        at.step = step;
        at.tokens += batch.B * config.context;
        at.epoch_loss_sum += double(loss);
        train_loss = double(loss);
        const double step_s = seconds_since(start);
        LogRow row{step,       at.tokens,         double(loss),
                   double(lr), double(grad_norm), double(batch.B * config.context) / step_s,
                   {}};

        const bool is_last = step == config.max_steps, ends_epoch = step % steps_per_epoch == 0;
        if (is_last || ends_epoch || (config.eval_every && step % config.eval_every == 0)) {
            val_loss = held_out_loss(ctx, gpt, data.held_out);
            stop_if_not_finite(val_loss);
            row.val_loss = val_loss;
            progress.print(format("step %lld: held-out loss %.4f", static_cast<long long>(step), val_loss));
        }
        log.add(row);
        if (ends_epoch) {
            at.epochs.push_back({at.epoch_loss_sum / double(steps_per_epoch), val_loss,
                                 sample_text(ctx, gpt, data.tokenizer, config, step)});
            at.epoch_loss_sum = 0;
            progress.clear();
            std::printf("Epoch %zu train loss: %.4f val loss: %.4f\n\n", at.epochs.size(),
                        at.epochs.back().train_loss, val_loss);
            print_text(at.epochs.back().sample + "\n\n");
        }
        if (is_last || ends_epoch || step % config.checkpoint_every == 0) {
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
        std::fprintf(stderr, "stopped at step %lld; go on with: %s\n", static_cast<long long>(at.step),
                     resume_command(config, folder).c_str());
        return 130;
    }
    if (at.step % steps_per_epoch != 0) {
        last_sample = sample_text(ctx, gpt, data.tokenizer, config, at.step);
        print_text(last_sample + "\n\n");
    }
    std::printf("Step %lld train loss: %.4f val loss: %.4f\n", static_cast<long long>(at.step), train_loss,
                val_loss);
    write_run_report(folder, config, data, gpt.params.numel(), at, val_loss, last_sample, command);
    if (config.json)
        std::printf(
            "{\"step\": %lld, \"train_loss\": %.9g, \"val_loss\": %.9g, \"parameters\": %lld, \"run\": %s}\n",
            static_cast<long long>(at.step), train_loss, val_loss, static_cast<long long>(gpt.params.numel()),
            html::json_string(folder).c_str());
    if (!config.quiet)
        std::fprintf(
            stderr,
            "checkpoint, log and report are in %s; sample more with: chapter00 sample --checkpoint '%s'\n",
            utf8::printable(folder).c_str(), utf8::printable(folder).c_str());
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    prepare_standard_streams();
    std::set_new_handler([] { user_error("not enough memory; smaller sizes or a shorter text need less"); });
    Config config;
    std::vector<std::string> given_flags;
    const std::string verb = parse_command_line(argc, argv, &config, &given_flags);
    std::string command = "chapter00";
    for (int i = 1; i < argc; i++) command += std::string(" ") + argv[i];

    if (verb == "train") {
        interrupt::watch();
        outlive_stdout_reader();
        const int exit_code = train(config, given_flags, command);
        finish_stdout();
        return exit_code;
    }
    start_threads(config.threads);
    if (verb == "sample") run_sample(config);
    if (verb == "tape") run_tape(config);
    if (verb == "gradcheck") run_gradcheck(config);
    finish_stdout();
    return 0;
}
