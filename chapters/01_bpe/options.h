// options.h - everything that this chapter's program can be told: defaults and flags of each verb.
// Not here: what the verbs do (main.cpp names them all).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

struct Options {
    // ---- which vocabulary ----
    std::string vocab = "gpt2";  // gpt2, cl100k, or a folder
    std::string compare;         // show: a second one beside it; empty: none

    // ---- train ----
    std::vector<std::string> data;  // text files, each a document; train: empty for tiny Shakespeare
    int vocab_size = 8192;          // bytes, merges and special tokens together
    int64_t min_frequency = 2;
    std::string pattern = "gpt2";
    std::vector<std::string> special_tokens;
    std::string out;  // folder; empty: the next one under runs/chapter01

    // ---- encode, decode ----
    std::string file;  // empty or "-": stdin
    std::string input_format = "text";
    std::string output_format = "text";
    bool special = false;  // the text of a special token is that token
    bool offsets = false;

    // ---- show, trace ----
    std::string text;
    bool has_text = false;  // "" is a text, too
    std::string html;       // where the page goes; empty: no page
    std::string colour = "auto";

    // ---- explore, bench, stats ----
    double model_tflop = 1.5;  // 10^12 operations that the small model gets per scheme; 0: no model
    uint64_t seed = 1337;      // of that model
    int repeat = 5;
    int list = 20;  // how many tokens a list of them shows

    // ---- every verb ----
    int threads = 1;
    bool quiet = false;
    bool json = false;
};

// Reads the command line; returns the verb, "demo" where none is named. Bad usage does not return.
std::string parse_command_line(int argc, const char* const* argv, Options* options);
