// config.h - everything that a run of this chapter can be told: defaults, presets, flags, and what of it a
// checkpoint keeps.
// Not here: what the flags do (main.cpp).
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "chapters/00_char_gpt/gpt.h"
#include "io/option_text.h"

struct Config {
    // ---- model ----
    int64_t layers = 4;
    int64_t heads = 4;
    int64_t head_size = 0;  // 0: channels / heads
    int64_t channels = 128;
    int64_t context = 64;  // T, characters
    bool tied = false;
    bool qkv_bias = true;
    bool head_bias = false;
    std::string activation = "gelu";
    std::string init = "gpt2";
    float dropout = 0;

    // ---- training ----
    int64_t batch = 64;      // windows per micro-batch
    int64_t accumulate = 1;  // micro-batches per optimiser step
    int64_t epochs = 5;
    int64_t decay_steps = 0;  // length of the learning rate's cosine; 0: all epochs
    float lr = 5e-4f;
    float min_lr = 5e-4f;
    int64_t warmup = 0;
    float weight_decay = 0.01f;
    float beta2 = 0.999f;
    float clip = 0;
    uint64_t seed = 1337;

    // ---- the run: nothing here changes a result ----
    std::string preset;
    std::string device = "auto";
    std::string precision;  // "fp32", "bf16", or empty: a CPU's own fp32, or whatever the CUDA kernels store
    int threads = 1;
    std::string data;        // a text file; empty: tiny Shakespeare
    std::string out;         // empty: a new folder under runs/chapter00
    std::string resume;      // a folder to go on in
    int64_t max_steps = 0;   // stop here, counted from the start of training; 0: at the end of the last epoch
    int64_t eval_every = 0;  // steps; 0: after each epoch and at the end
    int64_t checkpoint_every = 1000;
    int64_t sample_tokens = 500;
    bool quiet = false;
    bool json = false;

    // ---- other verbs ----
    std::string checkpoint;  // a folder or a file; empty: this chapter's newest run
    std::string prompt = "\n";
    int64_t tokens = 500;
    float temperature = 1.0f;
    int top_k = 0;
    int64_t num_samples = 1;
};

// Calls visit(name, field) for every option that changes the result of a training run: what a checkpoint
// keeps.
template <class C, class F>
void for_each_result_option(C& config, F visit) {
    visit("layers", config.layers);
    visit("heads", config.heads);
    visit("head-size", config.head_size);
    visit("channels", config.channels);
    visit("context", config.context);
    visit("tied", config.tied);
    visit("qkv-bias", config.qkv_bias);
    visit("head-bias", config.head_bias);
    visit("activation", config.activation);
    visit("init", config.init);
    visit("dropout", config.dropout);
    visit("batch", config.batch);
    visit("accumulate", config.accumulate);
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

// Sets the options from a checkpoint's metadata. A flag in given_flags that says otherwise is refused by
// name, and so is an option that is missing or out of its range; `where` names the checkpoint in the message.
void restore_options(Config* config, const std::map<std::string, std::string>& metadata,
                     const std::vector<std::string>& given_flags, const std::string& where);

// The model that a configuration asks for, for a vocabulary of V characters.
GptConfig model_config(const Config& config, int64_t V);
Init init_kind(const Config& config);

// Where it computes, and in which precision (core/compute_options.h).
Device chosen_device(const Config& config);
const char* chosen_precision(const Config& config);
bool rounds_products(const Config& config);

// Stops with arithmetic when the machine has less memory than training needs.
void check_memory(const Config& config, int64_t V);
