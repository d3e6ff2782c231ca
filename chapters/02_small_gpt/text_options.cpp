// text_options.cpp - see text_options.h.
#include "chapters/02_small_gpt/text_options.h"

#include <limits>

#include "chapters/02_small_gpt/config.h"
#include "io/cli.h"

namespace small_gpt {

namespace {

constexpr const char* kCheckpointHelp = "a run's folder or a .safetensors file; default: the newest run";

void add_weights_flag(CliVerb& verb, TextOptions* o) {
    verb.choice("--weights", &o->weights, {"float", "int8"},
                "of the model's matrices: as trained, or rounded to 8 bits, which are read faster");
}

void add_draw_flags(CliVerb& verb, TextOptions* o) {
    verb.real("--temperature", &o->temperature, at_least(0), finite(), "0: always the likeliest token");
    verb.count("--top-k", &o->top_k, 1, 1 << 20, "choose among the k likeliest; default: all");
    verb.real("--top-p", &o->top_p, above(0), at_most(1),
              "choose among the likeliest that hold this probability");
    verb.real("--repetition-penalty", &o->repetition_penalty, above(0), finite(),
              "divides the logits of tokens that were there; 1: none");
    verb.count("--seed", &o->seed, 0, std::numeric_limits<int64_t>::max(), "of the draws");
}

}  // namespace

void add_text_verbs(Cli& cli, Config* config) {
    TextOptions* const o = &config->text;
    CliVerb& sample = cli.verb("sample", "continues a prompt with a trained model");
    sample.path("--checkpoint", &o->checkpoint, kCheckpointHelp);
    add_weights_flag(sample, o);
    sample.text("--prompt", &o->prompt, "text to continue; default: the beginning of a document");
    sample.count("--tokens", &o->tokens, 1, 1 << 24, "tokens to write");
    add_draw_flags(sample, o);
    sample.list("--stop", &o->stop, "TEXT", "end a sample when it has written one of these");
    sample.count("--num-samples", &o->num_samples, 1, 1 << 20, "how many");
    add_common_flags(sample, config);

    CliVerb& eval = cli.verb("eval", "measures a trained model: held-out text, HellaSwag, LAMBADA");
    eval.path("--checkpoint", &o->checkpoint, kCheckpointHelp);
    add_weights_flag(eval, o);
    eval.path("--data", &o->data, "a prepared folder, a text file, hellaswag or lambada");
    eval.count("--limit", &o->limit, 1, int64_t(1) << 40, "windows or items; default: all");
    eval.list("--without-heads", &o->without_heads, "HEAD",
              "measure the model without these attention heads: all, LAYER or LAYER.HEAD, counted from 0");
    add_common_flags(eval, config);

    CliVerb& attention = cli.verb("attention", "writes a page that shows where each head looks");
    attention.path("--checkpoint", &o->checkpoint, kCheckpointHelp);
    attention.text("--prompt", &o->prompt, "the text to look at");
    attention.list(
        "--earlier", &o->states, "DIR",
        "earlier states of the same model, for the slider over training; default: those that the run kept");
    attention.path("--out", &o->out, "the page");
    add_common_flags(attention, config);

    CliVerb& memorize =
        cli.verb("memorize", "is it memory or language? sentences of the training set and unseen ones");
    memorize.path("--checkpoint", &o->checkpoint, kCheckpointHelp);
    memorize.path("--data", &o->data, "the prepared folder that the model was trained on");
    memorize.text("--prompt", &o->prompt, "a sentence of your own to look for as well");
    memorize.count("--limit", &o->limit, 1, 1 << 20, "documents of each kind; default: 40");
    memorize.count("--tokens", &o->tokens, 1, 1 << 20, "tokens of a continuation, at most");
    memorize.count("--num-samples", &o->num_samples, 1, 1 << 20, "how many of each kind are shown");
    add_common_flags(memorize, config);

    CliVerb& save = cli.verb("export", "writes the files that other GPT-2 programs load");
    save.path("--checkpoint", &o->checkpoint, kCheckpointHelp);
    save.path("--out", &o->out, "folder for them");
    add_common_flags(save, config);

    CliVerb& load = cli.verb("import", "reads such files as a model of this chapter");
    load.argument("DIR", &o->folder, "folder with config.json, model.safetensors, vocab.json and merges.txt");
    load.path("--out", &o->out, "folder for the model; default: the next one under runs/chapter02");
    add_common_flags(load, config);
}

}  // namespace small_gpt
