// verbs.cpp - sample, tape and gradcheck; see verbs.h.
#include "chapters/00_char_gpt/verbs.h"

#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "chapters/00_char_gpt/model.h"
#include "chapters/00_char_gpt/run.h"
#include "io/html.h"
#include "io/standard_streams.h"

void run_sample(const Config& asked) {
    const SafetensorsFile file =
        SafetensorsFile::open(find_checkpoint(asked.checkpoint, kRuns, kCheckpointName));
    const CharTokenizer tokenizer = restore_tokenizer(file.metadata(), file.path());
    Config config = asked;
    restore_options(&config, file.metadata(), {}, file.path());
    config.seed = asked.seed;  // of the draws; the run's own made the weights
    config.batch = config.accumulate = 1;
    check_memory(config, tokenizer.vocabulary());
    Context ctx(chosen_device(config));
    ctx.stream.rounds_products = rounds_products(asked);
    Gpt gpt(ctx.device, model_config(config, tokenizer.vocabulary()));
    load_weights(file, gpt.params);
    if (asked.prompt.empty())
        usage_error("--prompt is empty; the model continues a text of at least one character");
    const std::vector<int> prompt = tokenizer.encode(asked.prompt, "--prompt");
    if (asked.top_k > tokenizer.vocabulary())
        usage_error("--top-k %d is outside [1, %d], the model's characters", asked.top_k,
                    tokenizer.vocabulary());

    std::string json;
    for (int64_t i = 0; i < asked.num_samples; i++) {
        Sampler sampler;
        sampler.temperature = asked.temperature;
        sampler.top_k = asked.top_k;
        sampler.random = {asked.seed, uint64_t(1) << 60 | uint64_t(i)};
        std::string text = asked.prompt;
        if (!asked.json) print_text(asked.prompt);
        generate(ctx, gpt, prompt, asked.tokens, sampler, [&](int id) {
            const std::string character = tokenizer.decode({id});
            text += character;
            if (!asked.json) print_text(character);
        });
        if (!asked.json) print_text(i + 1 < asked.num_samples ? "\n---\n" : "\n");
        json += (i ? ", " : "") + html::json_string(text);
    }
    if (asked.json) std::printf("{\"samples\": [%s]}\n", json.c_str());
}

namespace {

// A model and one batch of the data, for the verbs that look inside one step.
struct OneStep {
    Dataset data;
    Context ctx;
    Gpt gpt;
    Batch batch;

    explicit OneStep(const Config& config)
        : data(load_and_check(config)),
          ctx(chosen_device(config)),
          gpt(ctx.device, model_config(config, data.tokenizer.vocabulary())) {
        ctx.seed = config.seed;
        ctx.stream.rounds_products = rounds_products(config);
        gpt.init(init_kind(config), config.seed);
        Windows windows(data.train.data(), int64_t(data.train.size()), config.context, config.batch,
                        config.seed);
        batch = windows.at(0);
    }

    static Dataset load_and_check(const Config& config) {
        Dataset data = load_dataset(config);
        check_memory(config, data.tokenizer.vocabulary());
        if (!data.corpus.warning.empty()) std::fprintf(stderr, "WARNING: %s\n", data.corpus.warning.c_str());
        return data;
    }

    Tensor loss() {
        const int64_t T = gpt.config.T;
        Tensor inputs = ctx.ids(batch.inputs.data(), {batch.B, T});
        Tensor targets = ctx.ids(batch.targets.data(), {batch.B, T});
        return cross_entropy_inplace(ctx, gpt.forward(ctx, inputs), targets, batch.B * T);
    }
};

}  // namespace

void run_tape(const Config& config) {
    OneStep step(config);
    step.loss();
    std::printf("%4s  %-22s %-20s %12s  %s\n", "#", "op", "output", "bytes", "from");
    size_t bytes = 0;
    for (size_t i = 0; i < step.ctx.tape.size(); i++) {
        const Node& node = *step.ctx.tape[i];
        std::string from;
        for (const Tensor& input : node.inputs())
            if (!input.is_null())
                from += std::string(from.empty() ? "" : ", ") + input.name + input.shape_text();
        std::printf("%4zu  %-22s %-20s %12zu  %s\n", i, node.op, node.y.shape_text().c_str(), node.y.bytes(),
                    from.c_str());
        bytes += node.y.bytes();
    }
    std::printf("%zu nodes, %zu bytes of outputs, %zu bytes of arena; backward walks the list from the end\n",
                step.ctx.tape.size(), bytes, step.ctx.arena.bytes_peak());
    if (config.json)
        std::printf("{\"nodes\": %zu, \"output_bytes\": %zu, \"arena_bytes\": %zu}\n", step.ctx.tape.size(),
                    bytes, step.ctx.arena.bytes_peak());
}

void run_gradcheck(const Config& config) {
    if (config.dropout > 0)
        usage_error("gradcheck wants --dropout 0: a loss that draws anew has no difference quotient");
    if (chosen_precision(config) != std::string("fp32"))
        usage_error(
            "gradcheck wants float32: between neighbours of bfloat16 a loss has no difference quotient; use "
            "--device cpu, or make chapter00 BUILD=host for CUDA");
    OneStep step(config);
    step.gpt.params.zero_grad();
    step.ctx.backward(step.loss());
    step.ctx.end_step();

    // The mean over the batch, summed in double from the rows' losses: float would drown the difference in
    // rounding.
    const auto loss = [&] {
        const NoGrad no_grad(step.ctx);
        const ArenaScope scope(step.ctx);
        const int64_t N = step.batch.B * step.gpt.config.T;
        Tensor inputs = step.ctx.ids(step.batch.inputs.data(), {step.batch.B, step.gpt.config.T});
        Tensor targets = step.ctx.ids(step.batch.targets.data(), {N});
        Tensor logits = step.gpt.forward(step.ctx, inputs);
        Tensor losses = step.ctx.make("losses", {N}, DType::kFloat32);
        DISPATCH(step.ctx, cross_entropy_forward, losses.ptr(), logits.ptr(), targets.ptr(), N,
                 logits.last());
        const std::vector<float> rows = floats_on_host(step.ctx.device, losses.ptr(), N);
        return std::accumulate(rows.begin(), rows.end(), 0.0) / double(N);
    };
    constexpr int64_t kChecked = 64;  // elements per parameter, spread evenly
    // note: a step across the kink of a ReLU changes a slope; a shorter step crosses fewer, and what is left
    // is allowed.
    const bool has_kinks = config.activation == "relu";
    const double h = has_kinks ? 3e-3 : 1e-2, tolerance = has_kinks ? 0.1 : 1e-2;
    std::printf("%-28s %-12s %8s %12s %12s  %s\n", "parameter", "shape", "checked", "|gradient|",
                "|fd-g|/|g|", "verdict");
    int failures = 0;
    for (size_t p = 0; p < step.gpt.params.size(); p++) {
        const Tensor& parameter = step.gpt.params[p];
        const int64_t n = parameter.numel(), checked = std::min(n, kChecked);
        float* const weights = parameter.ptr();  // on the device
        const std::vector<float> values = floats_on_host(step.ctx.device, weights, n);
        const std::vector<float> gradient =
            floats_on_host(step.ctx.device, step.ctx.param_grad(parameter), n);
        double difference2 = 0, gradient2 = 0;
        for (int64_t k = 0; k < checked; k++) {
            const size_t i = size_t(k * n / checked);
            const auto set_weight = [&](float value) {
                device_upload(step.ctx.device, weights + i, &value, sizeof value);
            };
            const auto at = [&](double offset) {
                set_weight(float(double(values[i]) + offset));
                const double value = loss();
                set_weight(values[i]);
                return value;
            };
            // fourth-order central differences: the model's curvature is large at first
            const double fd = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
            difference2 += (fd - double(gradient[i])) * (fd - double(gradient[i]));
            gradient2 += double(gradient[i]) * double(gradient[i]);
        }
        // A gradient that is zero (a key's bias changes no softmax) is held against the step's own noise.
        const double norm = std::sqrt(gradient2), error = std::sqrt(difference2) / std::max(norm, 1e-3);
        const bool ok = error < tolerance;
        failures += !ok;
        std::printf("%-28s %-12s %8" PRId64 " %12.4e %12.2e  %s\n", parameter.name,
                    parameter.shape_text().c_str(), checked, norm, error, ok ? "ok" : "WRONG");
    }
    if (failures > 0)
        user_error("%d of %zu parameters have a wrong gradient", failures, step.gpt.params.size());
    std::printf("all %zu parameters agree with finite differences\n", step.gpt.params.size());
    if (config.json) std::printf("{\"parameters\": %zu, \"wrong\": 0}\n", step.gpt.params.size());
}
