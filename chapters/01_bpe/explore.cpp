// explore.cpp - what is compared, and in which order; see explore.h.
#include "chapters/01_bpe/explore.h"

#include <cmath>
#include <cstdio>

#include "chapters/01_bpe/commands.h"
#include "chapters/01_bpe/exploration.h"
#include "chapters/01_bpe/simple_schemes.h"
#include "chapters/01_bpe/trainer.h"
#include "chapters/01_bpe/unigram.h"
#include "chapters/01_bpe/wordpiece.h"
#include "core/check.h"
#include "io/file.h"
#include "io/machine.h"
#include "io/progress.h"
#include "io/standard_streams.h"
#include "io/utf8.h"

namespace {

constexpr size_t kLeastBytes = 10000;

// All texts as one, with a blank line between two.
std::string joined(const std::vector<NamedText>& texts) {
    std::string all;
    for (const NamedText& text : texts) all += (all.empty() ? "" : "\n\n") + text.text;
    return all;
}

// Where the last tenth begins, at a whole character.
size_t held_out_begin(std::string_view text) {
    size_t at = text.size() / 10 * 9;
    while (at < text.size() && (uint8_t(text[at]) & 0xc0) == 0x80) at++;
    return at;
}

Scheme trained_bpe(std::string_view train, int vocab_size, Pattern pattern) {
    TrainOptions options;
    options.vocab_size = vocab_size;
    options.pattern = pattern;
    std::string name = format("BPE %d", vocab_size);
    if (pattern == Pattern::kNone) name += ", no split";
    if (pattern == Pattern::kCl100k) name += ", cl100k's split";
    return bpe_scheme(train_bpe({train}, options), name);
}

// The sizes suit a small model: an output layer of 50,000 rows would be nearly all of it.
std::vector<Scheme> learn_schemes(std::string_view train) {
    std::vector<Scheme> schemes{byte_scheme(), character_scheme(train), word_scheme(train, 4096)};
    for (const int vocab_size : {512, 1024, 2048, 4096})
        schemes.push_back(trained_bpe(train, vocab_size, Pattern::kGpt2));
    schemes.push_back(trained_bpe(train, 1024, Pattern::kCl100k));
    schemes.push_back(trained_bpe(train, 1024, Pattern::kNone));
    // A text in many scripts has more characters than 1,024, and these schemes want room for all.
    const int parts = std::max(1024, 4 * schemes[1].size());
    for (const WordPieceScore score : {WordPieceScore::kLikelihood, WordPieceScore::kRatio}) {
        WordPieceOptions options;
        options.vocab_size = parts;
        options.score = score;
        schemes.push_back(wordpiece_scheme(train, options));
    }
    UnigramOptions options;
    options.vocab_size = parts;
    schemes.push_back(unigram_scheme(train, options));
    return schemes;
}

// Trains the small model on every scheme, under one progress bar.
void measure_bits(const std::vector<Scheme>& schemes, std::string_view train, std::string_view held_out,
                  const SmallModelOptions& model, bool quiet, std::vector<SchemeRow>* rows) {
    ProgressOptions bar;
    bar.quiet = quiet;
    for (const Scheme& scheme : schemes) bar.total += steps_within(model, scheme.size());
    Progress progress(bar);
    int64_t done = 0;
    for (size_t i = 0; i < schemes.size(); i++)
        (*rows)[i].bits = bits_per_byte(schemes[i], train, held_out, model,
                                        [&](int64_t) { progress.update(++done, schemes[i].name); });
    progress.finish();
}

void require_writable_place(const std::string& path) {
    const size_t slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    if (!folder_exists(folder))
        user_error("--html %s: there is no folder %s", utf8::printable(path).c_str(),
                   utf8::printable(folder).c_str());
    if (folder_exists(path)) user_error("--html %s: that is a folder", utf8::printable(path).c_str());
}

}  // namespace

void run_explore(const Options& options) {
    const std::vector<NamedText> texts = load_texts(options.data);
    const std::string all = joined(texts);
    const std::string_view text = all;
    if (text.size() < kLeastBytes)
        user_error("%zu bytes are too little to compare schemes on; --data wants at least %zu", text.size(),
                   kLeastBytes);
    if (!options.html.empty()) require_writable_place(options.html);
    const std::string_view train = text.substr(0, held_out_begin(text)), held_out = text.substr(train.size());

    Exploration found;
    found.text_name = texts.size() == 1 ? texts[0].name : format("%zu texts", texts.size());
    found.text_bytes = text.size(), found.held_out_bytes = held_out.size();
    found.model.flop = options.model_tflop * 1e12;
    found.model.seed = options.seed;
    found.machine =
        format("%s; %s; %d threads", machine_line().c_str(), compiler_line().c_str(), options.threads);
    found.command = format("chapter01 explore --model-tflop %g --seed %llu", options.model_tflop,
                           static_cast<unsigned long long>(options.seed));
    if (!options.data.empty()) found.command += " --data";
    for (const std::string& path : options.data) found.command += " '" + path + "'";

    const std::vector<Scheme> schemes = learn_schemes(train), published = published_schemes();
    for (const Scheme& scheme : schemes) found.schemes.push_back(measure(scheme, text, held_out));
    if (options.model_tflop > 0)
        measure_bits(schemes, train, held_out, found.model, options.quiet, &found.schemes);
    for (const Scheme& scheme : published) found.schemes.push_back(measure(scheme, text, held_out));
    found.languages = compare_languages(published);

    print_text(explore_tables(found));
    if (!options.html.empty()) write_file_atomically(options.html, explore_page(found));
    if (options.json) print_text(explore_json(found) + "\n");
}
