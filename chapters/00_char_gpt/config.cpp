// config.cpp - the command line of chapter 00, its presets, and options to and from a checkpoint; see
// config.h.
#include "chapters/00_char_gpt/config.h"

#include <algorithm>
#include <limits>

#include "chapters/00_char_gpt/cost.h"
#include "core/compute_options.h"
#include "core/parallel.h"
#include "io/cli.h"

namespace {

// The presets' reasons and what each reached are in this chapter's README.
void apply_preset(Config* c) {
    if (c->preset == "full") {
        // The loop of the original run and the model that explains its five means best.
        c->layers = 4, c->heads = 4, c->channels = 64, c->context = 32;
        c->activation = "relu", c->init = "pytorch", c->tied = false;
        c->batch = 64, c->epochs = 5, c->decay_steps = 0;
        c->lr = c->min_lr = 5e-4f, c->warmup = 0, c->weight_decay = 0;
    } else if (c->preset == "quick") {
        c->layers = 4, c->heads = 4, c->channels = 128, c->context = 64;
        c->activation = "gelu", c->init = "gpt2", c->tied = true;
        c->batch = 32, c->epochs = 1, c->decay_steps = 1800;
        c->lr = 4e-3f, c->min_lr = 2e-4f, c->warmup = 100, c->weight_decay = 0.1f, c->beta2 = 0.99f,
        c->clip = 1.0f;
        c->eval_every = 500;
    } else {  // tiny: seconds even in a debug build or under a sanitizer
        c->layers = 2, c->heads = 2, c->channels = 32, c->context = 32;
        c->batch = 4, c->epochs = 1, c->decay_steps = 0;
        c->lr = c->min_lr = 1e-3f;
        c->max_steps = 100, c->checkpoint_every = 50, c->sample_tokens = 100;
    }
}

#ifdef GPT_DEBUG
constexpr const char* kDefaultPreset = "tiny";
#else
constexpr const char* kDefaultPreset = "quick";
#endif

constexpr int64_t kMany = int64_t(1) << 40;  // steps, epochs

void add_common_flags(CliVerb& verb, Config* c) {
    verb.group("Machine");
    verb.choice("--device", &c->device, {"auto", "cpu", "cuda"},
                is_cuda_emulated()
                    ? "where to compute; cuda is emulated on the CPU, thread by thread, preset tiny"
                    : "where to compute");
    verb.choice(
        "--precision", &c->precision, {"fp32", "bf16"},
        "of matrix products' inputs: a CPU rounds them; CUDA's kernels store it, which the build decides");
    verb.count("--threads", &c->threads, 1, 1024, "cores to use");
    verb.toggle("--quiet", &c->quiet, "no configuration and no progress on stderr");
    verb.toggle("--json", &c->json, "one JSON object as the last line of stdout");
}

// preset: what --preset is unless it is given; training and the verbs that look inside one step differ in it.
// Where CUDA is emulated it is tiny: a CUDA thread costs a function call there.
void add_model_flags(const Cli& cli, CliVerb& verb, Config* c, std::string* preset) {
    const auto fill = [&cli, c, preset] {
        if (is_cuda_emulated() && c->device == "cuda" && !cli.given("--preset")) *preset = "tiny";
        c->preset = *preset;
        apply_preset(c);
    };
    verb.preset("--preset", preset, {"quick", "full", "tiny"}, fill,
                "sizes to start from; explicit flags win");
    verb.group("Model");
    verb.count("--layers", &c->layers, 1, 1000, "blocks");
    verb.count("--heads", &c->heads, 1, 1024, "attention heads");
    verb.count("--head-size", &c->head_size, 1, 1024, "channels of one head; default: channels / heads");
    verb.count("--channels", &c->channels, 1, 65536, "width of the residual stream");
    verb.count("--context", &c->context, 1, 1 << 20, "characters that the model sees");
    verb.choice("--activation", &c->activation, {"gelu", "relu"}, "of the MLP");
    verb.toggle("--tied", &c->tied, "the output layer shares the token embedding's weights");
    verb.toggle("--qkv-bias", &c->qkv_bias, "queries, keys and values have a bias");
    verb.toggle("--head-bias", &c->head_bias, "the output layer has a bias (not when tied)");
    verb.choice("--init", &c->init, {"gpt2", "normal", "pytorch"},
                "first weights: GPT-2's, plain 0.02, PyTorch's");
    verb.real("--dropout", &c->dropout, at_least(0), below(1), "share of activations set to zero");
    verb.group("Training");
    verb.count("--batch", &c->batch, 1, 1 << 20, "windows per micro-batch");
    verb.count("--accumulate", &c->accumulate, 1, 1 << 20, "micro-batches per optimiser step");
    verb.count("--epochs", &c->epochs, 1, kMany, "passes over all windows");
    verb.count("--decay-steps", &c->decay_steps, 1, kMany,
               "steps from --lr down to --min-lr; default: all epochs");
    verb.real("--lr", &c->lr, above(0), finite(), "learning rate after the warm-up");
    verb.real("--min-lr", &c->min_lr, above(0), finite(), "learning rate at the end of the decay");
    verb.count("--warmup", &c->warmup, 0, kMany, "steps up to --lr");
    verb.real("--weight-decay", &c->weight_decay, at_least(0), finite(), "decoupled, on every parameter");
    verb.real("--beta2", &c->beta2, at_least(0), below(1), "AdamW's memory of squared gradients");
    verb.real("--clip", &c->clip, at_least(0), finite(), "largest norm of the gradients; 0: no clipping");
    verb.count("--seed", &c->seed, 0, std::numeric_limits<int64_t>::max(), "of weights, order and dropout");
    verb.path("--data", &c->data, "any UTF-8 text; default: tiny Shakespeare");
}

void add_train_flags(const Cli& cli, CliVerb& verb, Config* c) {
    add_model_flags(cli, verb, c, &c->preset);
    verb.group("Run");
    verb.path("--out", &c->out, "folder for this run; default: the next one under runs/chapter00");
    verb.path("--resume", &c->resume, "folder of a run to go on with");
    verb.count("--max-steps", &c->max_steps, 1, kMany, "stop here, counted from the start of training");
    verb.count("--eval-every", &c->eval_every, 1, kMany,
               "steps between held-out losses; default: after each epoch");
    verb.count("--checkpoint-every", &c->checkpoint_every, 1, kMany, "steps between checkpoints");
    verb.count("--sample-tokens", &c->sample_tokens, 1, 1 << 16, "length of the samples on the way");
    add_common_flags(verb, c);
    verb.note(
        "Environment: GPT_TRACE=1 prints every op, GPT_NAN=1 stops at the first value that is not finite.");
}

void add_sample_flags(CliVerb& verb, Config* c) {
    verb.path("--checkpoint", &c->checkpoint,
              "a run's folder or a .safetensors file; default: the newest run");
    verb.text("--prompt", &c->prompt, "text to continue; default: a line break");
    verb.count("--tokens", &c->tokens, 1, 1 << 24, "characters to write");
    verb.real("--temperature", &c->temperature, at_least(0), finite(), "0: always the likeliest character");
    verb.count("--top-k", &c->top_k, 1, 1 << 20, "choose among the k likeliest; default: all");
    verb.count("--num-samples", &c->num_samples, 1, 1 << 20, "how many");
    verb.count("--seed", &c->seed, 0, std::numeric_limits<int64_t>::max(), "of the draws");
    add_common_flags(verb, c);
}

}  // namespace

std::string parse_command_line(int argc, const char* const* argv, Config* config,
                               std::vector<std::string>* given_flags) {
    config->preset = kDefaultPreset;
    config->threads = parallel::available_cores();
    Cli cli("chapter00", "A character GPT, trained from nothing on tiny Shakespeare.",
            "chapter00 train --preset quick --seed 7\n  chapter00 sample --prompt 'ROMEO:' --tokens 300");
    add_train_flags(cli, cli.verb("train", "trains a model, samples from it, writes a report"), config);
    add_sample_flags(cli.verb("sample", "continues a prompt with a trained model"), config);
    CliVerb& tape = cli.verb("tape", "prints the tape of one training step: ops, shapes, bytes");
    std::string inspected = "tiny";
    add_model_flags(cli, tape, config, &inspected);
    add_common_flags(tape, config);
    CliVerb& gradcheck = cli.verb("gradcheck", "checks every parameter's gradient by finite differences");
    add_model_flags(cli, gradcheck, config, &inspected);
    gradcheck.note(
        "Weights are drawn as PyTorch draws them: GPT-2's are so small that a step of 0.01 bends the loss.");
    add_common_flags(gradcheck, config);

    const std::string verb = cli.parse(argc, argv);
    if (verb == "gradcheck" && !cli.given("--init")) config->init = "pytorch";
    *given_flags = cli.given_flags();
    const auto given = [&](const char* flag) { return cli.given(flag); };
    if (given("--epochs") && !given("--decay-steps")) config->decay_steps = 0;
    if (given("--lr") && !given("--min-lr")) {  // a constant rate stays one
        Config preset;
        preset.preset = config->preset;
        apply_preset(&preset);
        config->min_lr = preset.lr == preset.min_lr ? config->lr : std::min(config->min_lr, config->lr);
    }
    if (given("--epochs") && config->preset == "tiny" && !given("--max-steps")) config->max_steps = 0;
    if (!given("--resume")) {
        if (config->head_size == 0) {
            if (config->channels % config->heads != 0)
                usage_error(
                    "--channels %lld is no multiple of --heads %lld; choose others, or say --head-size",
                    static_cast<long long>(config->channels), static_cast<long long>(config->heads));
            config->head_size = config->channels / config->heads;
        }
        if (config->tied && config->head_bias)
            usage_error("--head-bias needs --no-tied: a tied output layer has none");
        if (config->min_lr > config->lr)
            usage_error("--min-lr %g is above --lr %g; the learning rate goes from --lr down to --min-lr",
                        double(config->min_lr), double(config->lr));
    }
    if (given("--resume") && given("--out"))
        usage_error("--out and --resume exclude each other: a run goes on in its folder");
    check_compute_options(config->device, config->precision, "chapter00");
    return verb;
}

Metadata result_options(const Config& config) {
    Metadata options;
    for_each_result_option(
        config, [&](const char* name, const auto& value) { options.emplace_back(name, text_of(value)); });
    return options;
}

void restore_options(Config* config, const std::map<std::string, std::string>& metadata,
                     const std::vector<std::string>& given_flags, const std::string& where) {
    const OptionRestorer restorer(metadata, given_flags, where);
    for_each_result_option(*config,
                           [&](const char* name, auto& value) { restorer.result_option(name, &value); });
    const auto preset = metadata.find("preset");
    Config fresh;
    fresh.preset = preset == metadata.end() ? "" : preset->second;
    if (restorer.is_given("preset") && config->preset != fresh.preset)
        restorer.contradicts("preset", config->preset);
    config->preset = fresh.preset;
    apply_preset(&fresh);
    restorer.run_option("max-steps", &config->max_steps, fresh.max_steps);
    restorer.run_option("eval-every", &config->eval_every, fresh.eval_every);
    restorer.run_option("sample-tokens", &config->sample_tokens, fresh.sample_tokens);
    restorer.run_option("checkpoint-every", &config->checkpoint_every, fresh.checkpoint_every);
    if (chosen_device(*config) == Device::kCpu)
        restorer.newer_result_option<std::string>("precision", &config->precision, "fp32");

    restorer.in_range("layers", config->layers, 1000);
    restorer.in_range("heads", config->heads, 1024);
    restorer.in_range("head-size", config->head_size, 1024);
    restorer.in_range("channels", config->channels, 65536);
    restorer.in_range("context", config->context, 1 << 20);
    restorer.in_range("batch", config->batch, 1 << 20);
    restorer.in_range("accumulate", config->accumulate, 1 << 20);
    restorer.in_range("epochs", config->epochs, kMany);
    restorer.in_range("max-steps", std::max<int64_t>(config->max_steps, 1), kMany);  // 0: all epochs
    restorer.in_range("sample-tokens", config->sample_tokens, 1 << 16);
    if (!(config->dropout < 1))
        user_error("%s: option 'dropout' is %g", where.c_str(), double(config->dropout));
    if (!(config->beta2 < 1)) user_error("%s: option 'beta2' is %g", where.c_str(), double(config->beta2));
    if (config->tied && config->head_bias)
        user_error("%s: options 'tied' and 'head-bias' exclude each other", where.c_str());
    restorer.one_of("activation", config->activation, {"gelu", "relu"});
    restorer.one_of("init", config->init, {"gpt2", "normal", "pytorch"});
    restorer.one_of("precision", config->precision, {"", "fp32", "bf16"});
}

GptConfig model_config(const Config& config, int64_t V) {
    GptConfig model;
    model.V = V;
    model.T = config.context;
    model.L = config.layers;
    model.NH = config.heads;
    model.HS = config.head_size;
    model.C = config.channels;
    model.tied = config.tied;
    model.qkv_bias = config.qkv_bias;
    model.head_bias = config.head_bias;
    model.activation = config.activation == "relu" ? Activation::kRelu : Activation::kGelu;
    model.dropout = config.dropout;
    return model;
}

Init init_kind(const Config& config) {
    return config.init == "gpt2" ? Init::kGpt2 : config.init == "normal" ? Init::kNormal : Init::kPytorch;
}

Device chosen_device(const Config& config) {
    return chosen_device(config.device);
}

const char* chosen_precision(const Config& config) {
    return chosen_precision(chosen_device(config), config.precision);
}

bool rounds_products(const Config& config) {
    return rounds_products(chosen_device(config), config.precision);
}

void check_memory(const Config& config, int64_t V) {
    check_training_memory(model_config(config, V), config.batch, config.accumulate,
                          "smaller --batch, --context, --channels or --layers need less",
                          chosen_device(config));
}
