// demo.cpp - the tour of the chapter in two minutes, for who starts the program without a word.
// Not here: anything that the other verbs do not do; each step prints the command that does the same.
#include <cstdio>

#include "chapters/01_bpe/commands.h"
#include "chapters/01_bpe/explore.h"
#include "chapters/01_bpe/show.h"
#include "chapters/01_bpe/stats.h"
#include "chapters/01_bpe/trace.h"
#include "core/check.h"
#include "io/data_set.h"
#include "io/file.h"
#include "io/standard_streams.h"
#include "io/utf8.h"

namespace {

constexpr const char* kSentence =
    "Wherefore tokenization? It is not enough to know characters: 12345 + 678 = 13023.";
constexpr int kVocabSize = 4096;
// An eighth of what `explore` takes by default: enough to tell most schemes apart, and the tour stays within its time.
constexpr double kModelTflop = 0.2;

void headline(const std::string& what, const std::string& command) {
    print_text("\n---- " + what + "\n     $ chapter01 " + utf8::printable(command) + "\n\n");
}

}  // namespace

void run_demo(const Options& given) {
    Options options = given;
    options.vocab_size = kVocabSize;
    headline("A vocabulary learned from tiny Shakespeare",
             "train --vocab-size " + std::to_string(kVocabSize));
    const std::string ours = train_and_save(options);

    // Without a network the tour goes on without GPT-2.
    const bool has_gpt2 = find_data_file("gpt2", "encoder.json") && find_data_file("gpt2", "vocab.bpe");
    if (!has_gpt2)
        std::fprintf(stderr, "WARNING: GPT-2's vocabulary is not here; the tour goes on without it\n");
    options.text = kSentence;
    options.has_text = true;
    options.vocab = ours;
    options.compare = has_gpt2 ? "gpt2" : "";
    options.html = join_path(ours, "tokens.html");
    headline("The same sentence in our tokens and in GPT-2's",
             "show \"...\" --vocab " + ours + " --compare gpt2 --html " + options.html);
    run_show(options);

    options.text = " tokenization";
    for (const std::string& vocab : {ours, std::string("gpt2")}) {
        if (vocab == "gpt2" && !has_gpt2) continue;
        options.vocab = vocab;
        headline("How a word becomes tokens, merge by merge", "trace \" tokenization\" --vocab " + vocab);
        run_trace(options);
    }

    options.list = 5;
    for (const std::string& vocab : {ours, std::string("gpt2")}) {
        if (vocab == "gpt2" && !has_gpt2) continue;
        options.vocab = vocab;
        options.data = {*find_data_file("tinyshakespeare", "input.txt")};
        headline("What the vocabulary holds, and what of it the plays use",
                 "stats --list 5 --vocab " + vocab + " --data data/tinyshakespeare/input.txt");
        run_stats(options);
    }

    Options explore = given;
    explore.html = join_path(ours, "explore.html");
    explore.model_tflop = kModelTflop;
    headline("Other ways to cut a text, side by side",
             format("explore --model-tflop %g --html ", kModelTflop) + explore.html);
    run_explore(explore);
    print_text("\nPages to open: " + utf8::printable(options.html) + " and " + utf8::printable(explore.html) +
               "\n");
}
