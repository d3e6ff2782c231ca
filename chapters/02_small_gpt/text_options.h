// text_options.h - flags of the verbs that read a trained model: eval, sample, attention, memorize, export, import.
// Not here: prepare and train (config.h).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

class Cli;

namespace small_gpt {

struct Config;

struct TextOptions {
    std::string checkpoint;         // a run's folder or a .safetensors file; empty: this chapter's newest run
    std::string weights = "float";  // sample, eval: or "int8"
    std::string prompt;
    bool has_prompt = false;
    int64_t tokens = 120;
    float temperature = 0.8f;
    int top_k = 0;    // 0: all
    float top_p = 1;  // 1: all
    float repetition_penalty = 1;
    std::vector<std::string> stop;
    int64_t num_samples = 1;
    uint64_t seed = 1337;                    // of the draws
    std::string data;                        // eval: a prepared folder, a text, hellaswag or lambada
    int64_t limit = 0;                       // eval: items; 0: all
    std::vector<std::string> without_heads;  // eval: "all", "LAYER" or "LAYER.HEAD"
    std::string out;                         // attention: the page; export and import: a folder
    std::string folder;                      // import: what to read
    std::vector<std::string> states;  // attention: earlier states of the model, in the order of training
};

// Declares the verbs with their flags; called once by parse_command_line.
void add_text_verbs(Cli& cli, Config* config);

}  // namespace small_gpt
