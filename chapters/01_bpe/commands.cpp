// commands.cpp - train, encode and decode; see commands.h.
#include "chapters/01_bpe/commands.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>

#include "chapters/01_bpe/id_formats.h"
#include "chapters/01_bpe/json_lines.h"
#include "chapters/01_bpe/trainer.h"
#include "core/check.h"
#include "core/parallel.h"
#include "io/data_set.h"
#include "io/file.h"
#include "io/html.h"
#include "io/progress.h"
#include "io/standard_streams.h"
#include "io/utf8.h"

namespace {

constexpr const char* kRuns = "runs/chapter01";

// ---- Ctrl-C ---------------------------------------------------------------------------------------------------------

// Training writes nothing before its end, so that it can stop anywhere; only the files themselves are finished first.
std::atomic<bool> is_saving{false};

void on_interrupt(int) {
    if (is_saving) return;
    if (::isatty(STDERR_FILENO) && ::write(STDERR_FILENO, "\n", 1) < 0) _exit(130);  // below the progress bar
    _exit(130);
}

// ---- Texts ----------------------------------------------------------------------------------------------------------

bool is_stdin(const std::string& path) {
    return path.empty() || path == "-";
}

std::string read_input(const std::string& path) {
    return is_stdin(path) ? read_stdin() : read_file(path);
}

std::string name_of_input(const std::string& path) {
    return is_stdin(path) ? "stdin" : utf8::printable(path);
}

// ---- Encoding lines -------------------------------------------------------------------------------------------------

// Lines are encoded many at a time, so that threads have something to share; not all at a time, so that the memory does
// not grow with the file.
constexpr size_t kBatchBytes = size_t(8) << 20;
constexpr size_t kBatchLines = size_t(1) << 16;

class LineEncoder {
  public:
    LineEncoder(const Bpe& bpe, const Options& options)
        : bpe_(bpe), options_(options), writer_(IdFormat::kText) {}

    void add(std::string text) {
        bytes_ += text.size();
        texts_.push_back(std::move(text));
        if (bytes_ >= kBatchBytes || texts_.size() >= kBatchLines) encode_batch();
    }
    void finish() {
        encode_batch();
        writer_.flush();
    }

  private:
    void encode_batch() {
        std::vector<std::vector<int>> ids(texts_.size());
        if (options_.special)
            parallel_for(int64_t(texts_.size()),
                         [&](int64_t i) { ids[size_t(i)] = bpe_.encode_with_special(texts_[size_t(i)]); });
        else
            ids = bpe_.encode_batch({texts_.begin(), texts_.end()});
        for (const std::vector<int>& line : ids) {
            if (options_.offsets)
                writer_.ids_and_spans(bpe_, line, ' ');
            else
                writer_.ids(line);
            writer_.end_line();
        }
        texts_.clear();
        bytes_ = 0;
    }

    const Bpe& bpe_;
    const Options& options_;
    IdWriter writer_;
    std::vector<std::string> texts_;
    size_t bytes_ = 0;
};

void encode_json_lines(const Bpe& bpe, const Options& options, std::string_view input) {
    LineEncoder encoder(bpe, options);
    std::string text;
    size_t number = 1;
    for (size_t begin = 0; begin < input.size(); number++) {
        const size_t end = std::min(input.find('\n', begin), input.size());
        const std::string problem = parse_json_string(input.substr(begin, end - begin), &text);
        if (!problem.empty()) {
            encoder.finish();  // what came before is right
            user_error("%s, line %zu: %s", name_of_input(options.file).c_str(), number, problem.c_str());
        }
        encoder.add(text);
        begin = end + 1;
    }
    encoder.finish();
}

std::string quoted(std::string_view bytes) {
    return "'" + utf8::printable(std::string(bytes)) + "'";
}

// The tokens that `count` merges from `first` on have made, for a line of output.
std::string tokens_of_merges(const Vocabulary& vocabulary, size_t first, size_t count) {
    std::string text;
    for (size_t i = first; i < std::min(first + count, vocabulary.merges.size()); i++)
        text += " " + quoted(vocabulary.tokens[size_t(vocabulary.merges[i].token)]);
    return text;
}

}  // namespace

std::vector<NamedText> load_texts(const std::vector<std::string>& paths) {
    std::vector<NamedText> texts;
    for (const std::string& path : paths) texts.push_back({utf8::printable(path), read_file(path)});
    if (paths.empty()) {
        const auto shakespeare = find_data_file("tinyshakespeare", "input.txt");
        if (!shakespeare)
            user_error(
                "tiny Shakespeare is not here (data/tinyshakespeare.sh fetches it); name a text with --data "
                "FILE");
        texts.push_back({"tiny Shakespeare", read_file(*shakespeare)});
    }
    for (const NamedText& text : texts)
        if (text.text.empty()) user_error("%s is empty; --data wants a text", text.name.c_str());
    return texts;
}

// ---- train ----------------------------------------------------------------------------------------------------------

std::string train_and_save(const Options& options) {
    // ---- what can be refused is refused here ----
    TrainOptions train;
    train.vocab_size = options.vocab_size;
    train.min_frequency = options.min_frequency;
    train.specials = options.special_tokens;
    CHECK(pattern_from_name(options.pattern, &train.pattern), "[train] pattern %s", options.pattern.c_str());
    const std::vector<NamedText> texts = load_texts(options.data);
    make_run_folder(options.out.empty() ? kRuns : options.out);

    size_t bytes = 0;
    std::vector<std::string_view> views;
    for (const NamedText& text : texts) views.push_back(text.text), bytes += text.text.size();
    if (!options.quiet)
        std::fprintf(stderr, "%zu text%s, %zu bytes; pattern %s, at most %d tokens, %d threads\n",
                     texts.size(), texts.size() == 1 ? "" : "s", bytes, options.pattern.c_str(),
                     options.vocab_size, options.threads);

    // ---- learn ----
    ProgressOptions bar;
    bar.total = std::max(1, options.vocab_size - 256 - int(options.special_tokens.size()));
    bar.quiet = options.quiet;
    Progress progress(bar);
    train.progress = [&](int64_t done, int64_t) { progress.update(done, "merges"); };
    const auto start = std::chrono::steady_clock::now();
    const Vocabulary vocabulary = train_bpe(views, train);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    progress.clear();

    // ---- save ----
    is_saving = true;
    const std::string folder = options.out.empty() ? make_numbered_folder(kRuns) : options.out;
    save_vocabulary(vocabulary, folder);
    is_saving = false;

    if (vocabulary.size() < options.vocab_size && !options.quiet)
        std::fprintf(stderr, "no pair occurs %lld times any more: %d tokens instead of %d\n",
                     static_cast<long long>(options.min_frequency), vocabulary.size(), options.vocab_size);
    const size_t merges = vocabulary.merges.size();
    std::printf("%s: %d tokens: 256 bytes, %zu merges, %zu special; learned in %.2f s\n",
                utf8::printable(folder).c_str(), vocabulary.size(), merges, vocabulary.specials.size(),
                seconds);
    std::printf("first merges:%s\n", tokens_of_merges(vocabulary, 0, 12).c_str());
    std::printf("last merges: %s\n",
                tokens_of_merges(vocabulary, merges - std::min<size_t>(merges, 8), 8).c_str());
    if (options.json)
        std::printf(
            "{\"out\": %s, \"tokens\": %d, \"merges\": %zu, \"special\": %zu, \"bytes\": %zu, \"seconds\": "
            "%.6f}\n",
            html::json_string(folder).c_str(), vocabulary.size(), merges, vocabulary.specials.size(), bytes,
            seconds);
    return folder;
}

void run_train(const Options& options) {
    std::signal(SIGINT, on_interrupt);
    std::signal(SIGTERM, on_interrupt);
    outlive_stdout_reader();
    train_and_save(options);
}

// ---- encode, decode -------------------------------------------------------------------------------------------------

void run_encode(const Options& options) {
    const Bpe bpe(load_vocabulary(options.vocab));
    const IdFormat format = id_format(options.output_format);
    constexpr int kMostForU16 = 65536;
    if (format == IdFormat::kU16 && bpe.vocabulary().size() > kMostForU16)
        usage_error("--output-format u16 holds ids below %d, and %s has %d tokens; use u32", kMostForU16,
                    utf8::printable(options.vocab).c_str(), bpe.vocabulary().size());
    const std::string input = read_input(options.file);
    if (options.input_format == "jsonl") return encode_json_lines(bpe, options, input);

    const std::vector<int> ids = options.special ? bpe.encode_with_special(input) : bpe.encode(input);
    IdWriter writer(format);
    if (options.offsets)
        writer.ids_and_spans(bpe, ids, '\n');
    else
        writer.ids(ids);
    // No ids, no line for a list that has one line per token.
    if (format == IdFormat::kText && !(options.offsets && ids.empty())) writer.end_line();
    writer.flush();
}

void run_decode(const Options& options) {
    const Bpe bpe(load_vocabulary(options.vocab));
    const std::string input = read_input(options.file);
    print_text(
        bpe.decode(parse_ids(input, id_format(options.input_format), bpe, name_of_input(options.file))));
}
