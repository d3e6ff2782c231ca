// find_lr.cpp - see find_lr.h.
#include "chapters/02_small_gpt/find_lr.h"

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <string>

#include "chapters/00_char_gpt/training_step.h"
#include "chapters/02_small_gpt/prepare.h"
#include "chapters/02_small_gpt/run_files.h"
#include "chapters/02_small_gpt/shuffled_windows.h"
#include "chapters/02_small_gpt/train.h"
#include "io/file.h"
#include "io/html.h"
#include "io/interrupt.h"
#include "io/progress.h"

namespace small_gpt {

namespace {

constexpr double kMemory = 0.8;  // of the moving mean: about five steps
constexpr double kRisen = 1.25;  // times the lowest smoothed loss: the end
constexpr int64_t kShownRows = 20;

std::string csv_of(const RateSweep& sweep) {
    std::string csv = "step,lr,loss,smoothed_loss\n";
    for (size_t i = 0; i < sweep.rows().size(); i++) {
        const RateLoss& row = sweep.rows()[i];
        csv += format("%zu,%.9g,%.9g,%.9g\n", i + 1, double(row.lr), row.loss, row.smooth);
    }
    return csv;
}

void print_table(const RateSweep& sweep) {
    const int64_t rows = int64_t(sweep.rows().size()), each = std::max<int64_t>(1, rows / kShownRows);
    std::printf("%6s %12s %10s %14s\n", "step", "lr", "loss", "smoothed loss");
    for (int64_t i = 0; i < rows; i++) {
        const bool is_lowest = size_t(i) == sweep.lowest();
        if (i % each != 0 && i != rows - 1 && !is_lowest) continue;
        const RateLoss& row = sweep.rows()[size_t(i)];
        std::printf("%6" PRId64 " %12.3g %10.4f %14.4f%s\n", i + 1, double(row.lr), row.loss, row.smooth,
                    is_lowest ? "  lowest" : "");
    }
}

void print_suggestion(const RateSweep& sweep, float highest) {
    const float lr = sweep.suggestion();
    if (lr == 0)
        std::printf("the loss never fell: try a smaller --lowest-lr\n");
    else if (!sweep.has_diverged())
        std::printf("the loss has not risen up to %.3g: try a larger --highest-lr; so far: --lr %.2g\n",
                    double(highest), double(lr));
    else
        std::printf("suggestion: --lr %.2g, a tenth of the rate at the lowest loss, behind a warm-up\n",
                    double(lr));
}

}  // namespace

float rate_at(double lowest, double highest, int64_t step, int64_t steps) {
    if (steps == 1) return float(lowest);
    return float(lowest * std::pow(highest / lowest, double(step - 1) / double(steps - 1)));
}

bool RateSweep::add(float lr, double loss) {
    if (!std::isfinite(loss)) {
        has_diverged_ = true;
        return false;
    }
    mean_ = kMemory * mean_ + (1 - kMemory) * loss;
    // A moving mean begins at 0; this divides by the weight that it has been given so far (Kingma and Ba 2014, section 3).
    rows_.push_back({lr, loss, mean_ / (1 - std::pow(kMemory, double(rows_.size() + 1)))});
    has_diverged_ = rows_.back().smooth > kRisen * rows_[lowest()].smooth;
    return !has_diverged_;
}

size_t RateSweep::lowest() const {
    return size_t(std::min_element(rows_.begin(), rows_.end(),
                                   [](const RateLoss& a, const RateLoss& b) { return a.smooth < b.smooth; }) -
                  rows_.begin());
}

float RateSweep::suggestion() const {
    return rows_.empty() || lowest() == 0 ? 0.0f : rows_[lowest()].lr / 10;
}

int run_find_lr(const Config& config) {
    interrupt::watch();
    if (!(config.lowest_lr < config.highest_lr))
        usage_error("--lowest-lr %g is not below --highest-lr %g", double(config.lowest_lr),
                    double(config.highest_lr));
    const TrainingData data = open_training_data(config.data.empty() ? prepare_default(config) : config.data);
    const GptConfig shape = model_config(config, data.vocabulary.size());
    require_windows(data, config.context, {&data.train});
    require_memory(config, shape);
    if (is_interrupted()) return 130;
    for (const std::string& warning : data.warnings) std::fprintf(stderr, "WARNING: %s\n", warning.c_str());
    if (!config.out.empty()) write_file_atomically(config.out, csv_of({}));  // refused now, or never

    Context ctx(chosen_device(config));
    ctx.stream.rounds_products = rounds_products(config);
    ctx.seed = config.seed;
    Gpt gpt(ctx.device, shape);
    gpt.init(init_kind(config), config.seed);
    AdamW optimizer(ctx.device, gpt.params, optimizer_options(config));
    const ShuffledWindows windows(data.train, config.context, config.stride, config.batch * config.accumulate,
                                  config.seed);
    TrainingStep training_step(ctx, gpt, config.batch);
    ProgressOptions bar;
    bar.total = config.find_steps;
    bar.tokens_per_step = config.batch * config.accumulate * config.context;
    bar.quiet = config.quiet;
    Progress progress(bar);

    RateSweep sweep;
    bool goes_on = true;
    for (int64_t step = 1; step <= config.find_steps && goes_on && !is_interrupted(); step++) {
        const float lr = rate_at(config.lowest_lr, config.highest_lr, step, config.find_steps);
        ctx.step = step;
        gpt.params.zero_grad();
        training_step.run(windows.at(step - 1));
        const float grad_norm = optimizer.step(ctx, step, lr);
        const double loss = double(training_step.loss());
        ctx.end_step();
        goes_on = sweep.add(lr, std::isfinite(grad_norm) ? loss : double(NAN));
        progress.update(step, format("lr=%.2g loss=%.4f", double(lr), loss));
    }
    progress.finish();
    if (!config.out.empty()) write_file_atomically(config.out, csv_of(sweep));
    if (sweep.rows().empty()) user_error("the first loss is no number: these weights cannot be trained");
    print_table(sweep);
    if (is_interrupted()) return 130;
    print_suggestion(sweep, config.highest_lr);
    if (config.json)
        std::printf(
            "{\"steps\": %zu, \"lowest_loss_lr\": %.9g, \"lowest_loss\": %.9g, \"has_diverged\": %s, "
            "\"suggested_lr\": %.9g}\n",
            sweep.rows().size(), double(sweep.rows()[sweep.lowest()].lr), sweep.rows()[sweep.lowest()].smooth,
            sweep.has_diverged() ? "true" : "false", double(sweep.suggestion()));
    return 0;
}

}  // namespace small_gpt
