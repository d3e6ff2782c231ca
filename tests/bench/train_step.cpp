// train_step.cpp - our GPT training step, served like tests/bench/torch_rival.py serves PyTorch's: "run N" on
// stdin takes N steps and answers with one line of JSON, for compare.py to let both take turns.
// Not here: the comparison and its bars (compare.py); dropout, evaluation, checkpoints, as the rival.
// Run: echo run 20 | build/cpu/bench/train_step a --threads 2 [--precision bf16] [--profile]
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "chapters/00_char_gpt/gpt.h"
#include "chapters/00_char_gpt/training_step.h"
#include "core/context.h"
#include "core/parallel.h"
#include "nn/adamw.h"
#include "tests/bench/peak.h"
#include "tests/support/golden.h"

namespace {

// The same table is in torch_rival.py, and so are these three constants.
struct BenchConfig {
    const char* name;
    int64_t B;
    GptConfig model;
};

GptConfig gpt(int64_t V, int64_t T, int64_t L, int64_t NH, int64_t HS, int64_t C) {
    GptConfig config;
    config.V = V, config.T = T, config.L = L, config.NH = NH, config.HS = HS, config.C = C;
    return config;
}

GptConfig untied_relu(GptConfig config) {
    config.tied = false;
    config.activation = Activation::kRelu;
    return config;
}

// clang-format off
const BenchConfig kConfigs[] = {  // V, T, L, NH, HS, C
    {"a", 64, gpt(65, 64, 4, 4, 32, 128)},
    {"b", 16, gpt(65, 256, 6, 6, 64, 384)},
    {"c",  4, gpt(50257, 512, 2, 4, 4, 768)},
    {"d",  4, gpt(50257, 64, 12, 12, 64, 768)},
    {"e", 64, untied_relu(gpt(65, 32, 4, 4, 16, 64))},
    {"f",  1, gpt(50257, 1024, 12, 12, 64, 768)},
};
// clang-format on
constexpr float kLr = 1e-4f, kWeightDecay = 0.01f, kWeightScale = 0x1p-5f;
constexpr int64_t kStreamBatches = 64;

double now_s() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Arithmetic that a step cannot avoid: three products per weight matrix (forward, and backward to input and
// weight), six per head of attention over its causal half. What is computed again is not counted.
double flops_per_step(const BenchConfig& bench) {
    const GptConfig& m = bench.model;
    const double N = double(bench.B * m.T), D = double(m.NH * m.HS), C = double(m.C);
    const double weights = double(m.L) * (4 * D * C + 8 * C * C) + double(m.V) * C;
    const double pairs = double(bench.B * m.L) * double(m.T) * double(m.T + 1) / 2;
    return 6 * N * weights + 6 * 2 * pairs * D;
}

struct Options {
    const BenchConfig* bench = nullptr;
    int threads = 2;
    std::string precision = "fp32";  // of the inputs of matrix products
    bool profile = false;
};

Options parse(int argc, char** argv) {
    Options options;
    for (int i = 1; i < argc; i++) {
        const std::string word = argv[i];
        if (word == "--profile") {
            options.profile = true;
        } else if (word == "--threads" && i + 1 < argc) {
            options.threads = std::atoi(argv[++i]);
        } else if (word == "--precision" && i + 1 < argc) {
            options.precision = argv[++i];
            if (options.precision != "fp32" && options.precision != "bf16")
                usage_error("--precision is fp32 or bf16, not '%s'", argv[i]);
        } else {
            for (const BenchConfig& bench : kConfigs)
                if (word == bench.name) options.bench = &bench;
            if (!options.bench) usage_error("unknown argument '%s'", word.c_str());
        }
    }
    if (!options.bench || options.threads < 1)
        usage_error("usage: train_step a|b|c|d|e|f [--threads N] [--precision fp32|bf16] [--profile]");
    return options;
}

class Trainer {
  public:
    explicit Trainer(const BenchConfig& bench)
        : bench_(bench),
          model_(ctx.device, bench.model),
          optimizer_(ctx.device, model_.params, optimizer_options()),
          training_step_(ctx, model_, bench.B) {
        for (size_t i = 0; i < model_.params.size(); i++) {
            const Tensor& parameter = model_.params[i];
            golden::fill_parameter(parameter.name, static_cast<float*>(parameter.memory),
                                   size_t(parameter.numel()), kWeightScale);
        }
        tokens_ =
            golden::token_stream(size_t(bench.B * bench.model.T * kStreamBatches + 1), int(bench.model.V));
    }

    float step() {
        const int64_t B = bench_.B, T = bench_.model.T;
        const auto begin = tokens_.begin() + (taken % kStreamBatches) * B * T;
        model_.params.zero_grad();
        training_step_.run({B, {begin, begin + B * T}, {begin + 1, begin + B * T + 1}});
        optimizer_.step(ctx, ++taken, kLr);
        const float loss = training_step_.loss();
        ctx.end_step();
        return loss;
    }

    Context ctx;
    int64_t taken = 0;

  private:
    static AdamWOptions optimizer_options() {
        AdamWOptions options;
        options.weight_decay = kWeightDecay;
        return options;
    }

    const BenchConfig& bench_;
    Gpt model_;
    AdamW optimizer_;
    TrainingStep training_step_;
    std::vector<int> tokens_;
};

int64_t peak_rss_mib() {
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss / 1024;
}

// Each kernel's share of the steps, most expensive first, and how much of the machine it uses.
void print_profile(const Profile& profile, const BenchConfig& bench, double seconds, int64_t steps,
                   int threads) {
    const double ceiling = peak::gflops(threads);
    std::fprintf(
        stderr, "(%s) %d threads: %.2f ms per step, %.1f GFLOP/s, %.0f %% of this width's FMA peak of %.0f\n",
        bench.name, threads, 1e3 * seconds / double(steps),
        flops_per_step(bench) * double(steps) / seconds * 1e-9,
        100 * flops_per_step(bench) * double(steps) / seconds * 1e-9 / ceiling, ceiling);
    std::vector<std::pair<std::string, Profile::Entry>> rows(profile.entries.begin(), profile.entries.end());
    std::sort(rows.begin(), rows.end(),
              [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
    double covered = 0;
    std::fprintf(stderr, "  %-58s %8s %7s %7s %8s %6s\n", "kernel", "ms/step", "share", "calls", "GFLOP/s",
                 "peak");
    for (const auto& [name, entry] : rows) {
        covered += entry.seconds;
        std::fprintf(stderr, "  %-58s %8.3f %6.1f%% %7.1f", name.c_str(), 1e3 * entry.seconds / double(steps),
                     100 * entry.seconds / seconds, double(entry.calls) / double(steps));
        if (entry.flops > 0)
            std::fprintf(stderr, " %8.1f %5.0f%%", entry.flops / entry.seconds * 1e-9,
                         100 * entry.flops / entry.seconds * 1e-9 / ceiling);
        std::fprintf(stderr, "\n");
    }
    std::fprintf(stderr, "  %-58s %8.3f %6.1f%%\n", "outside kernels",
                 1e3 * (seconds - covered) / double(steps), 100 * (1 - covered / seconds));
}

}  // namespace

int main(int argc, char** argv) {
    const Options options = parse(argc, argv);
    parallel::set_num_threads(options.threads);
    Trainer trainer(*options.bench);
    trainer.ctx.stream.rounds_products = options.precision == "bf16";
    Profile profile;
    double profiled_s = 0;
    int64_t profiled_steps = 0;

    char word[16];
    long long count = 0;
    while (std::scanf("%15s", word) == 1) {
        if (!std::strcmp(word, "peak")) {  // the ceiling, measured when the caller asks, between two turns
            std::printf("{\"fma_peak_gflops\": %.1f}\n", peak::gflops(options.threads));
            std::fflush(stdout);
            continue;
        }
        if (std::strcmp(word, "run") != 0 || std::scanf("%lld", &count) != 1 || count < 1)
            usage_error("expected 'run N' or 'peak' on stdin, got '%s'", word);
        // The first steps touch fresh memory and are not profiled.
        const bool is_profiled = options.profile && trainer.taken > 0;
        trainer.ctx.profile = is_profiled ? &profile : nullptr;
        const double begin = now_s();
        float loss = 0;
        for (long long i = 0; i < count; i++) loss = trainer.step();
        const double seconds = now_s() - begin;
        if (is_profiled) profiled_s += seconds, profiled_steps += count;
        std::printf(
            "{\"seconds\": %.9f, \"steps\": %lld, \"step\": %lld, \"loss\": %.9g, \"peak_rss_mib\": %lld, "
            "\"flops_per_step\": %.0f, \"version\": \"\"}\n",
            seconds, count, static_cast<long long>(trainer.taken), double(loss),
            static_cast<long long>(peak_rss_mib()), flops_per_step(*options.bench));
        std::fflush(stdout);
    }
    if (profiled_steps > 0)
        print_profile(profile, *options.bench, profiled_s, profiled_steps, options.threads);
}
