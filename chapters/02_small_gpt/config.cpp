// config.cpp - the command line of chapter 02, its presets, and options to and from a checkpoint; see config.h.
#include "chapters/02_small_gpt/config.h"

#include <algorithm>
#include <limits>

#include "core/compute_options.h"
#include "core/parallel.h"
#include "io/cli.h"
#include "io/utf8.h"

namespace small_gpt {

namespace {

// The presets' reasons and what each reached are in this chapter's README.
void apply_preset(Config* c) {
    if (c->preset == "original" || c->preset == "fixed") {
        // Two blocks over GPT-2's vocabulary, 512 windows a step. `original` has heads of 4 channels (16 wide inside 768)
        // and a learning rate that rises from 5e-4 to 6e-4; `fixed` has what was probably meant.
        const bool is_fixed = c->preset == "fixed";
        c->layers = 2, c->heads = 4, c->head_size = is_fixed ? 0 : 4, c->channels = 768, c->context = 512;
        c->batch = 32, c->accumulate = 16;
        c->lr = 5e-4f, c->min_lr = is_fixed ? 5e-5f : 6e-4f, c->warmup = is_fixed ? 10 : 0;
        c->weight_decay = 0.01f, c->beta2 = 0.999f, c->clip = is_fixed ? 1.0f : 0.0f;
        c->vocab = "gpt2";
    } else if (c->preset == "gpt2-124M") {
        // Radford et al. 2019's smallest; steps of 2^19 tokens and the learning rate of Brown et al. 2020, table 2.1.
        c->layers = 12, c->heads = 12, c->head_size = 0, c->channels = 768, c->context = 1024;
        c->batch = 32, c->accumulate = 16;
        c->lr = 6e-4f, c->min_lr = 6e-5f, c->warmup = 700;
        c->weight_decay = 0.1f, c->beta2 = 0.95f, c->clip = 1;
        c->vocab = "gpt2";
        c->eval_every = 250;
    } else if (c->preset == "laptop") {
        c->layers = 2, c->heads = 4, c->head_size = 0, c->channels = 128, c->context = 64;
        c->batch = 16, c->accumulate = 1, c->stride = 1, c->decay_steps = 7000;
        c->lr = 2e-3f, c->min_lr = 1e-4f, c->warmup = 100;
        c->weight_decay = 0.1f, c->beta2 = 0.99f, c->clip = 1;
        c->vocab = "bpe:4096";
        c->eval_every = 1000, c->keep_states = 6;
    } else {  // tiny: seconds even in a debug build or under a sanitizer
        c->layers = 2, c->heads = 2, c->channels = 32, c->context = 32;
        c->batch = 4, c->stride = 1, c->decay_steps = 100;
        c->lr = 2e-3f, c->min_lr = 2e-4f, c->warmup = 10;
        c->vocab = "bpe:512";
        c->max_steps = 100, c->checkpoint_every = 50, c->eval_every = 50, c->sample_tokens = 40;
    }
}

const std::vector<std::string> kPresets = {"laptop", "original", "fixed", "gpt2-124M", "tiny"};

#ifdef GPT_DEBUG
constexpr const char* kDefaultPreset = "tiny";
#else
constexpr const char* kDefaultPreset = "laptop";
#endif

constexpr int64_t kMany = int64_t(1) << 40;  // steps, epochs

// What train and find-lr share: the preset, the model, and of the training what has nothing to do with its length.
void add_model_flags(const Cli& cli, CliVerb& verb, Config* c) {
    const auto fill = [&cli, c] {
        if (is_cuda_emulated() && c->device == "cuda" && !cli.given("--preset")) c->preset = "tiny";
        apply_preset(c);
    };
    verb.preset("--preset", &c->preset, kPresets, fill, "sizes to start from; explicit flags win");
    verb.group("Model");
    verb.count("--layers", &c->layers, 1, 1000, "blocks");
    verb.count("--heads", &c->heads, 1, 1024, "attention heads");
    verb.count("--head-size", &c->head_size, 1, 1024, "channels of one head; default: channels / heads");
    verb.count("--channels", &c->channels, 1, 65536, "width of the residual stream");
    verb.count("--context", &c->context, 1, 1 << 20, "tokens that the model sees");
    verb.choice("--activation", &c->activation, {"gelu", "relu"}, "of the MLP");
    verb.toggle("--tied", &c->tied, "the output layer shares the token embedding's weights");
    verb.toggle("--qkv-bias", &c->qkv_bias, "queries, keys and values have a bias");
    verb.choice("--init", &c->init, {"gpt2", "normal", "pytorch"},
                "first weights: GPT-2's, plain 0.02, PyTorch's");
    verb.real("--dropout", &c->dropout, at_least(0), below(1), "share of activations set to zero");
    verb.group("Training");
    verb.count("--batch", &c->batch, 1, 1 << 20, "windows per micro-batch");
    verb.count("--accumulate", &c->accumulate, 1, 1 << 20, "micro-batches per optimiser step");
    verb.count("--stride", &c->stride, 1, 1 << 20,
               "tokens from one window's start to the next; default: the context, no overlap");
    verb.real("--weight-decay", &c->weight_decay, at_least(0), finite(), "decoupled, on matrices only");
    verb.real("--beta2", &c->beta2, at_least(0), below(1), "AdamW's memory of squared gradients");
    verb.real("--clip", &c->clip, at_least(0), finite(), "largest norm of the gradients; 0: no clipping");
    verb.count("--seed", &c->seed, 0, std::numeric_limits<int64_t>::max(), "of weights, order and dropout");
    verb.choice("--precision", &c->precision, {"fp32", "bf16"},
                "of matrix products' inputs on a CPU; bf16 is fast where the CPU has instructions for it");
}

void add_train_flags(const Cli& cli, CliVerb& verb, Config* c) {
    add_model_flags(cli, verb, c);
    verb.count("--epochs", &c->epochs, 1, kMany, "passes over all windows");
    verb.count("--decay-steps", &c->decay_steps, 1, kMany,
               "steps from --lr down to --min-lr; default: all epochs");
    verb.real("--lr", &c->lr, above(0), finite(), "learning rate after the warm-up");
    verb.real("--min-lr", &c->min_lr, above(0), finite(), "learning rate at the end of the cosine");
    verb.count("--warmup", &c->warmup, 0, kMany, "steps up to --lr");
    verb.group("Run");
    verb.path("--data", &c->data, "a folder that `prepare` wrote; default: the preset's own, prepared now");
    verb.path("--out", &c->out, "folder for this run; default: the next one under runs/chapter02");
    verb.path("--resume", &c->resume, "folder of a run to go on with");
    verb.count("--max-steps", &c->max_steps, 1, kMany, "stop here, counted from the start of training");
    verb.count("--eval-every", &c->eval_every, 1, kMany,
               "steps between validation losses; default: at the end");
    verb.count("--checkpoint-every", &c->checkpoint_every, 1, kMany, "steps between checkpoints");
    verb.count(
        "--keep-states", &c->keep_states, 0, 40,
        "earlier weights to keep for the verb attention: of step 0, of half of the steps, a quarter ...");
    verb.count("--sample-tokens", &c->sample_tokens, 1, 1 << 16, "length of the samples on the way");
    add_common_flags(verb, c);
    verb.note(
        "Environment: GPT_TRACE=1 prints every op, GPT_NAN=1 stops at the first value that is not finite.");
}

void add_find_lr_flags(const Cli& cli, CliVerb& verb, Config* c) {
    verb.example("chapter02 find-lr --preset fixed --batch 4 --accumulate 1 --out rates.csv");
    add_model_flags(cli, verb, c);
    verb.group("Rates");
    verb.count("--steps", &c->find_steps, 2, 1 << 20, "from the lowest rate to the highest");
    verb.real("--lowest-lr", &c->lowest_lr, above(0), finite(), "of the first step");
    verb.real("--highest-lr", &c->highest_lr, above(0), finite(),
              "of the last step, if the loss lets it come");
    verb.path("--data", &c->data, "a folder that `prepare` wrote; default: the preset's own, prepared now");
    verb.path("--out", &c->out, "write every step's rate and loss to this .csv; default: only the table");
    add_common_flags(verb, c);
}

void add_prepare_flags(CliVerb& verb, Config* c) {
    verb.example("chapter02 prepare --data texts.jsonl.xz --vocab bpe:8192 --out data/mine");
    verb.group("Data");
    verb.list(
        "--data", &c->sources, "FILE",
        "documents: a .jsonl or .jsonl.xz has one per line, any other file is one; default: openwebtext-1k");
    verb.text("--text-key", &c->text_key, "where a line of jsonl has its text");
    verb.toggle("--strict", &c->strict, "a line that is no JSON or has no text stops; else it is skipped");
    verb.path("--vocab", &c->vocab, "gpt2, a folder, or bpe:N: N tokens learned from the training documents");
    verb.path("--out", &c->out, "folder for the shards; an unfinished one is gone on with");
    verb.group("Split");
    verb.count("--validation-percent", &c->validation_percent, 1, 40, "documents held out for choosing");
    verb.count("--test-percent", &c->test_percent, 1, 40,
               "documents held out for the number that is reported");
    verb.count("--shard-mb", &c->shard_mb, 1, 1 << 20, "millions of bytes of text per shard");
    add_common_flags(verb, c);
}

}  // namespace

void add_common_flags(CliVerb& verb, Config* c) {
    verb.group("Machine");
    verb.choice("--device", &c->device, {"auto", "cpu", "cuda"},
                is_cuda_emulated()
                    ? "where to compute; cuda is emulated on the CPU, thread by thread, preset tiny"
                    : "where to compute");
    verb.count("--threads", &c->threads, 1, 1024, "cores to use");
    verb.toggle("--quiet", &c->quiet, "no configuration and no progress on stderr");
    verb.toggle("--json", &c->json, "one JSON object as the last line of stdout");
}

std::string parse_command_line(int argc, const char* const* argv, Config* config,
                               std::vector<std::string>* given_flags) {
    config->preset = kDefaultPreset;
    config->threads = parallel::available_cores();
    Cli cli("chapter02", "A small GPT, pretrained on web text.",
            "chapter02 train --preset laptop --seed 7\n  chapter02 sample --prompt 'The data' --tokens 100");
    add_train_flags(cli, cli.verb("train", "trains a model, samples from it, writes a report"), config);
    add_find_lr_flags(cli, cli.verb("find-lr", "which learning rate? a short run whose rate rises"), config);
    add_prepare_flags(cli.verb("prepare", "turns documents into shards of tokens"), config);
    add_text_verbs(cli, config);

    const std::string verb = cli.parse(argc, argv);
    *given_flags = cli.given_flags();
    const auto given = [&](const char* flag) { return cli.given(flag); };
    config->text.has_prompt = given("--prompt");
    if (verb == "find-lr" || (verb == "train" && !given("--resume"))) {
        if (given("--epochs") && !given("--decay-steps")) config->decay_steps = 0;
        if (given("--channels") || given("--heads")) {
            if (!given("--head-size") && config->preset != "original") config->head_size = 0;
        }
        if (config->head_size == 0) {
            if (config->channels % config->heads != 0)
                usage_error(
                    "--channels %lld is no multiple of --heads %lld; choose others, or say --head-size",
                    static_cast<long long>(config->channels), static_cast<long long>(config->heads));
            config->head_size = config->channels / config->heads;
        }
        if (config->stride == 0) config->stride = config->context;
    }
    if (verb == "train" && given("--resume") && given("--out"))
        usage_error("--out and --resume exclude each other: a run goes on in its folder");
    check_compute_options(config->device, given("--precision") ? config->precision : "", "chapter02");
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
    config->vocab = fresh.vocab;  // of the data that the preset prepares when --data names none
    restorer.run_option("max-steps", &config->max_steps, fresh.max_steps);
    restorer.run_option("eval-every", &config->eval_every, fresh.eval_every);
    restorer.run_option("sample-tokens", &config->sample_tokens, fresh.sample_tokens);
    restorer.run_option("keep-states", &config->keep_states, fresh.keep_states);
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
    restorer.in_range("stride", config->stride, 1 << 20);
    restorer.in_range("epochs", config->epochs, kMany);
    restorer.in_range("max-steps", std::max<int64_t>(config->max_steps, 1), kMany);    // 0: all of the decay
    restorer.in_range("eval-every", std::max<int64_t>(config->eval_every, 1), kMany);  // 0: at the end only
    restorer.in_range("keep-states", std::max<int64_t>(config->keep_states, 1), 40);   // 0: none
    restorer.in_range("checkpoint-every", config->checkpoint_every, kMany);
    restorer.in_range("sample-tokens", config->sample_tokens, 1 << 16);
    if (!(config->dropout < 1))
        user_error("%s: option 'dropout' is %g", where.c_str(), double(config->dropout));
    if (!(config->beta2 < 1)) user_error("%s: option 'beta2' is %g", where.c_str(), double(config->beta2));
    restorer.one_of("activation", config->activation, {"gelu", "relu"});
    restorer.one_of("init", config->init, {"gpt2", "normal", "pytorch"});
    restorer.one_of("precision", config->precision, {"fp32", "bf16"});
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
    model.activation = config.activation == "relu" ? Activation::kRelu : Activation::kGelu;
    model.dropout = config.dropout;
    return model;
}

Init init_kind(const Config& config) {
    return config.init == "gpt2" ? Init::kGpt2 : config.init == "normal" ? Init::kNormal : Init::kPytorch;
}

Device chosen_device(const Config& config) {
    return ::chosen_device(config.device);
}

const char* chosen_precision(const Config& config) {
    return ::chosen_precision(chosen_device(config), config.precision);
}

bool rounds_products(const Config& config) {
    return ::rounds_products(chosen_device(config), config.precision);
}

}  // namespace small_gpt
