// config.h - everything that a run of this chapter can be told: defaults, presets, flags, and what of it a checkpoint
// keeps. The verbs that read a trained model have theirs in text_options.h.
// Not here: what the flags do (main.cpp names the verbs).
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "chapters/00_char_gpt/gpt.h"
#include "chapters/02_small_gpt/text_options.h"
#include "io/option_text.h"

class CliVerb;

namespace small_gpt {

struct Config {
    // ---- model ----
    int64_t layers = 4;
    int64_t heads = 4;
    int64_t head_size = 0;  // 0: channels / heads
    int64_t channels = 256;
    int64_t context = 256;  // T, tokens
    bool tied = true;
    bool qkv_bias = true;
    std::string activation = "gelu";
    std::string init = "gpt2";
    float dropout = 0;

    // ---- training ----
    int64_t batch = 8;       // windows per micro-batch
    int64_t accumulate = 1;  // micro-batches per optimiser step
    int64_t stride = 0;      // tokens from the start of one window to the next; 0: the context, no overlap
    int64_t epochs = 1;
    int64_t decay_steps = 0;  // length of the learning rate's cosine; 0: all epochs
    float lr = 1e-3f;
    float min_lr = 1e-4f;
    int64_t warmup = 0;
    float weight_decay = 0.1f;  // of matrices only, as in GPT-2's recipe
    float beta2 = 0.99f;
    float clip = 1;
    uint64_t seed = 1337;
    std::string precision = "fp32";  // of the inputs of matrix products on a CPU, "fp32" or "bf16"

    // ---- the run: nothing here changes a result ----
    std::string preset;
    std::string device = "auto";
    int threads = 1;
    std::string data;        // a folder that `prepare` wrote; empty: the preset's own
    std::string out;         // empty: a new folder under runs/chapter02
    std::string resume;      // a folder to go on in
    int64_t max_steps = 0;   // stop here, counted from the start of training; 0: at the end of the decay
    int64_t eval_every = 0;  // steps; 0: at the end only
    int64_t checkpoint_every = 500;
    int64_t keep_states = 0;  // earlier weights that stay in the folder (run_files.h); 0: none
    int64_t sample_tokens = 120;
    bool quiet = false;
    bool json = false;

    // ---- find-lr ----
    int64_t find_steps = 100;
    float lowest_lr = 1e-6f, highest_lr = 1;

    // ---- prepare ----
    std::vector<std::string> sources;  // jsonl, jsonl.xz or text; empty: openwebtext-1k
    std::string vocab = "bpe:4096";    // gpt2, bpe:N (learned from the training split), or a folder
    std::string text_key = "text";     // of a jsonl line
    bool strict = false;               // a bad line stops
    int64_t validation_percent = 5;    // of the documents
    int64_t test_percent = 5;
    int64_t shard_mb = 64;  // text per shard, in 10^6 bytes

    TextOptions text;  // sample, eval, attention ...
};

// Calls visit(name, field) for every option that changes the result of a training run: what a checkpoint keeps.
template <class C, class F>
void for_each_result_option(C& config, F visit) {
    visit("layers", config.layers);
    visit("heads", config.heads);
    visit("head-size", config.head_size);
    visit("channels", config.channels);
    visit("context", config.context);
    visit("tied", config.tied);
    visit("qkv-bias", config.qkv_bias);
    visit("activation", config.activation);
    visit("init", config.init);
    visit("dropout", config.dropout);
    visit("batch", config.batch);
    visit("accumulate", config.accumulate);
    visit("stride", config.stride);
    visit("epochs", config.epochs);
    visit("decay-steps", config.decay_steps);
    visit("lr", config.lr);
    visit("min-lr", config.min_lr);
    visit("warmup", config.warmup);
    visit("weight-decay", config.weight_decay);
    visit("beta2", config.beta2);
    visit("clip", config.clip);
    visit("seed", config.seed);
}

// Reads the command line; returns the verb. Bad usage does not return.
std::string parse_command_line(int argc, const char* const* argv, Config* config,
                               std::vector<std::string>* given_flags);

// The options as text, exact enough to be read back to the same bits.
Metadata result_options(const Config& config);

// Sets the options from a checkpoint's metadata. A flag in given_flags that says otherwise is refused by name, and so is
// an option that is missing or out of its range; `where` names the checkpoint in the message.
void restore_options(Config* config, const std::map<std::string, std::string>& metadata,
                     const std::vector<std::string>& given_flags, const std::string& where);

// --device, --threads, --quiet, --json: every verb has them.
void add_common_flags(CliVerb& verb, Config* config);

// The model that a configuration asks for, for a vocabulary of V tokens.
GptConfig model_config(const Config& config, int64_t V);
Init init_kind(const Config& config);

// Where it computes, and in which precision (core/compute_options.h).
Device chosen_device(const Config& config);
const char* chosen_precision(const Config& config);
bool rounds_products(const Config& config);

}  // namespace small_gpt
