// options.cpp - the command line of chapter 01; see options.h.
#include "chapters/01_bpe/options.h"

#include <algorithm>
#include <limits>

#include "core/check.h"
#include "core/parallel.h"
#include "io/cli.h"
#include "io/utf8.h"

namespace {

constexpr int kMostTokens = 1 << 20;

void add_vocab_flag(CliVerb& verb, Options* o) {
    verb.path("--vocab", &o->vocab, "gpt2, cl100k, or a folder that train wrote");
}

void add_common_flags(CliVerb& verb, Options* o) {
    verb.group("Machine");
    verb.count("--threads", &o->threads, 1, 1024, "cores to use; the results do not depend on them");
    verb.toggle("--quiet", &o->quiet, "nothing on stderr but errors");
}

void add_json_flag(CliVerb& verb, Options* o) {
    verb.toggle("--json", &o->json, "one JSON object as the last line of stdout");
}

void add_train_flags(CliVerb& verb, Options* o) {
    verb.example(
        "chapter01 train --data a.txt b.txt --vocab-size 8192 --special-tokens \"<|endoftext|>\" --out "
        "my-vocab");
    verb.group("Training");
    verb.list("--data", &o->data, "FILE",
              "texts, each file a document of its own; default: tiny Shakespeare");
    verb.count("--vocab-size", &o->vocab_size, 256, kMostTokens,
               "tokens: 256 bytes, special tokens, and merges for the rest");
    verb.count("--min-frequency", &o->min_frequency, 1, std::numeric_limits<int64_t>::max(),
               "stop when no pair is as frequent");
    verb.choice("--pattern", &o->pattern, {"gpt2", "cl100k", "none"}, "how text is cut into pieces first");
    verb.list("--special-tokens", &o->special_tokens, "TEXT",
              "tokens that get the last ids; one that begins with '-': --special-tokens=-x");
    verb.path("--out", &o->out, "folder for the vocabulary; default: the next one under runs/chapter01");
    add_common_flags(verb, o);
    add_json_flag(verb, o);
    verb.note("Writes vocab.json and merges.txt, in the form of GPT-2's, and tokenizer_config.json.");
}

void add_encode_flags(CliVerb& verb, Options* o) {
    verb.example("echo \"Hello world\" | chapter01 encode --vocab gpt2 --offsets");
    add_vocab_flag(verb, o);
    verb.toggle("--special", &o->special, "the text of a special token becomes that token");
    verb.choice("--input-format", &o->input_format, {"text", "jsonl"},
                "all bytes as one text, or a JSON string per line");
    verb.choice("--output-format", &o->output_format, {"text", "u16", "u32"},
                "decimal ids, or little-endian numbers of 2 or 4 bytes");
    verb.toggle("--offsets", &o->offsets,
                "'id begin end' for each token: the bytes [begin, end) it stands for");
    verb.argument("FILE", &o->file, "what to encode; without it, or '-': stdin");
    add_common_flags(verb, o);
    verb.note(
        "text: ids on one line; with --offsets a line for each token.\n"
        "jsonl: each line of input gives one line of output, an empty one for \"\"; with --offsets each "
        "token is\n"
        "three numbers. Half of a surrogate pair (\"\\ud83d\" alone) is no character: it counts as U+FFFD.");
}

void add_decode_flags(CliVerb& verb, Options* o) {
    verb.example("echo \"15496 995\" | chapter01 decode --vocab gpt2");
    add_vocab_flag(verb, o);
    verb.choice("--input-format", &o->input_format, {"text", "u16", "u32"},
                "decimal ids between blanks, or little-endian numbers of 2 or 4 bytes");
    verb.argument("FILE", &o->file, "ids to decode; without it, or '-': stdin");
    add_common_flags(verb, o);
}

void add_show_flags(CliVerb& verb, Options* o) {
    add_vocab_flag(verb, o);
    verb.path("--compare", &o->compare, "a second vocabulary, shown beside the first");
    verb.path("--file", &o->file, "show this file instead of TEXT; '-': stdin");
    verb.path("--html", &o->html, "also write a page: hover for id, bytes and rank");
    verb.toggle("--special", &o->special, "the text of a special token is that token");
    verb.choice("--colour", &o->colour, {"auto", "always", "never"},
                "auto: on a terminal, unless NO_COLOR is set");
    verb.argument("TEXT", &o->text, "what to show");
    add_common_flags(verb, o);
}

void add_trace_flags(CliVerb& verb, Options* o) {
    verb.example("chapter01 trace \" tokenization\" --vocab cl100k");
    add_vocab_flag(verb, o);
    verb.argument("TEXT", &o->text, "a word, or several: each piece is traced in turn");
    add_common_flags(verb, o);
}

void add_explore_flags(CliVerb& verb, Options* o) {
    verb.example("chapter01 explore --data my.txt --html schemes.html");
    verb.list("--data", &o->data, "FILE", "texts to compare the schemes on; default: tiny Shakespeare");
    verb.path("--html", &o->html, "also write a page with charts");
    verb.real("--model-tflop", &o->model_tflop, at_least(0), finite(),
              "10^12 operations for the small model that each scheme gets; 0: no model");
    verb.count("--seed", &o->seed, 0, std::numeric_limits<int64_t>::max(), "of the small model");
    add_common_flags(verb, o);
    add_json_flag(verb, o);
}

void add_bench_flags(CliVerb& verb, Options* o) {
    verb.example("chapter01 bench --vocab gpt2 --data my.txt --threads 2");
    add_vocab_flag(verb, o);
    verb.list("--data", &o->data, "FILE", "texts to measure with; default: tiny Shakespeare");
    verb.count("--repeat", &o->repeat, 1, 1000, "rounds; the median counts");
    add_common_flags(verb, o);
    add_json_flag(verb, o);
}

void add_stats_flags(CliVerb& verb, Options* o) {
    verb.example("chapter01 stats --vocab gpt2 --data my.txt --list 40");
    add_vocab_flag(verb, o);
    verb.list("--data", &o->data, "FILE", "texts: which tokens do they use, and which never?");
    verb.count("--list", &o->list, 0, kMostTokens, "tokens that each list shows");
    add_common_flags(verb, o);
    add_json_flag(verb, o);
}

void check_special_tokens(const Options& o) {
    for (size_t i = 0; i < o.special_tokens.size(); i++) {
        const std::string& token = o.special_tokens[i];
        if (token.empty()) usage_error("--special-tokens: an empty token would be everywhere in a text");
        if (token.size() == 1)
            usage_error("--special-tokens: '%s' is a single byte, which is an ordinary token already",
                        utf8::printable(token).c_str());
        for (size_t offset = 0; offset < token.size();)
            if (utf8::decode_next(token, &offset) == utf8::kInvalid)
                usage_error("--special-tokens: '%s' is not valid UTF-8", utf8::printable(token).c_str());
        if (std::find(o.special_tokens.begin(), o.special_tokens.begin() + std::ptrdiff_t(i), token) !=
            o.special_tokens.begin() + std::ptrdiff_t(i))
            usage_error("--special-tokens: '%s' is there twice", utf8::printable(token).c_str());
    }
    const size_t least = 256 + o.special_tokens.size();
    if (size_t(o.vocab_size) < least)
        usage_error("--vocab-size %d is too small: 256 bytes and %zu special token%s need %zu", o.vocab_size,
                    o.special_tokens.size(), o.special_tokens.size() == 1 ? "" : "s", least);
}

}  // namespace

std::string parse_command_line(int argc, const char* const* argv, Options* options) {
    Options& o = *options;
    o.threads = parallel::available_cores();
    Cli cli("chapter01",
            "byte-pair encoding, exactly GPT-2's: learns vocabularies, turns text into ids and back.",
            "chapter01 show \"Let's tokenize this.\" --compare cl100k --html tokens.html");
    add_common_flags(cli.verb("demo", "the tour: a vocabulary, what it makes of a text, and other schemes"),
                     &o);
    add_train_flags(cli.verb("train", "learns a vocabulary from text"), &o);
    add_encode_flags(cli.verb("encode", "turns text into ids"), &o);
    add_decode_flags(cli.verb("decode", "turns ids into text"), &o);
    add_show_flags(cli.verb("show", "prints a text's tokens in colours, with ids and byte ranges"), &o);
    add_trace_flags(cli.verb("trace", "prints every merge that makes a word's tokens"), &o);
    add_explore_flags(cli.verb("explore", "compares tokenization schemes on a text"), &o);
    add_stats_flags(cli.verb("stats", "what a vocabulary holds, and what of it a text uses"), &o);
    add_bench_flags(cli.verb("bench", "measures encoding and decoding on this machine"), &o);

    const std::string verb = cli.parse(argc, argv);
    o.has_text = cli.given("TEXT");
    if (verb == "train") check_special_tokens(o);
    if (verb == "encode" && o.input_format == "jsonl" && o.output_format != "text")
        usage_error("--input-format jsonl goes with --output-format text: %s has no lines",
                    o.output_format.c_str());
    if (verb == "encode" && o.offsets && o.output_format != "text")
        usage_error("--offsets goes with --output-format text, not %s", o.output_format.c_str());
    if (verb == "show" && o.has_text == !o.file.empty())
        usage_error("show wants a text, or a file: show \"some text\", or show --file FILE");
    if (verb == "trace" && !o.has_text) usage_error("trace wants a word: trace \"tokenization\"");
    return verb;
}
