// prepare.cpp - see prepare.h. The order of things: which vocabulary; then block after block of the sources, its documents
// parsed and encoded on all threads; a portion of shards whenever enough text has come together.
#include "chapters/02_small_gpt/prepare.h"

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>

#include "chapters/01_bpe/bpe.h"
#include "chapters/01_bpe/trainer.h"
#include "chapters/02_small_gpt/corpora.h"
#include "chapters/02_small_gpt/document_source.h"
#include "chapters/02_small_gpt/json_document.h"
#include "chapters/02_small_gpt/manifest.h"
#include "chapters/02_small_gpt/model_file.h"
#include "core/background.h"
#include "core/parallel.h"
#include "io/file.h"
#include "io/html.h"
#include "io/progress.h"
#include "io/utf8.h"
#include "io/xxhash64.h"

namespace small_gpt {

namespace {

constexpr size_t kTaskBytes = size_t(1) << 17;  // of lines, for one thread at a time
// A vocabulary is learned from at most so much text: beyond it the merges hardly change, and it is kept in memory.
constexpr size_t kMostToLearnFrom = size_t(256) << 20;

// ---- Documents of a block -------------------------------------------------------------------------------------------

struct Problem {
    size_t offset = 0;  // of the line in its block
    std::string what;
};

// A part of a block's bytes, whole lines, for one thread.
struct Task {
    size_t begin, end;
};

std::vector<Task> tasks_of(const SourceBlock& block) {
    if (!block.is_lines) return {{0, block.bytes.size()}};
    std::vector<Task> tasks;
    for (size_t begin = 0; begin < block.bytes.size();) {
        const size_t enough = std::min(begin + kTaskBytes, block.bytes.size());
        const size_t end = std::min(block.bytes.find('\n', enough), block.bytes.size() - 1) + 1;
        tasks.push_back({begin, end});
        begin = end;
    }
    return tasks;
}

// Calls visit(text) for each document of a task, in their order; lines that hold none go to `problems`.
template <class Visit>
void for_each_document(const SourceBlock& block, const Task& task, const std::string& key,
                       std::vector<Problem>* problems, Visit&& visit) {
    const std::string_view bytes = std::string_view(block.bytes).substr(task.begin, task.end - task.begin);
    std::string text;
    if (!block.is_lines) {  // texts with <|endoftext|> between them, or just one
        for (size_t begin = 0; begin <= bytes.size();) {
            const size_t end = std::min(bytes.find(kEndOfText, begin), bytes.size());
            text.assign(bytes.substr(begin, end - begin));
            if (text.find_first_not_of("\r\n") != std::string::npos) visit(text);
            begin = end == bytes.size() ? end + 1 : end + std::string_view(kEndOfText).size();
        }
        return;
    }
    for (size_t begin = 0; begin < bytes.size();) {
        const size_t end = std::min(bytes.find('\n', begin), bytes.size());
        std::string problem = parse_json_document(bytes.substr(begin, end - begin), key, &text);
        if (problem.empty() && text.empty()) problem = "its text is empty";
        if (problem.empty())
            visit(text);
        else
            problems->push_back({task.begin + begin, problem});
        begin = end + 1;
    }
}

// ---- The vocabulary -------------------------------------------------------------------------------------------------

// N of "bpe:N"; 0 for anything else.
int64_t size_to_learn(const std::string& vocab) {
    int64_t size = 0;
    if (vocab.compare(0, 4, "bpe:") != 0) return 0;
    if (!read_option(vocab.substr(4), &size) || size < 257 || size > 65536)
        usage_error("--vocab %s: bpe:N learns N tokens, 257 to 65536", utf8::printable(vocab).c_str());
    return size;
}

// Learned from the training documents alone: what is held out stays unseen by the tokenizer, too.
Vocabulary learn_vocabulary(const Config& config, const std::vector<std::string>& paths, int64_t size) {
    std::vector<std::string> texts;
    size_t bytes = 0;
    DocumentSource source(paths);
    for (SourceBlock block; bytes < kMostToLearnFrom && source.next(&block);) {
        std::vector<Problem> ignored;
        for (const Task& task : tasks_of(block))
            for_each_document(block, task, config.text_key, &ignored, [&](const std::string& text) {
                if (split_of(text, config.validation_percent, config.test_percent) != Split::kTrain) return;
                bytes += text.size();
                texts.push_back(text);
            });
    }
    if (texts.empty()) user_error("no training documents to learn a vocabulary from");
    TrainOptions options;
    options.vocab_size = int(size);
    options.specials = {kEndOfText};
    ProgressOptions bar;
    bar.total = size - 257;
    bar.quiet = config.quiet;
    Progress progress(bar);
    options.progress = [&](int64_t done, int64_t) { progress.update(done, "merges"); };
    const Vocabulary vocabulary = train_bpe({texts.begin(), texts.end()}, options);
    progress.clear();
    if (!config.quiet)
        std::fprintf(stderr, "vocabulary: %d tokens, learned from %zu training documents, %zu bytes\n",
                     vocabulary.size(), texts.size(), bytes);
    return vocabulary;
}

// The vocabulary as the folder keeps it. What is loaded from there must be what was saved there.
Vocabulary place_vocabulary(const Config& config, const std::vector<std::string>& paths,
                            const std::string& folder, bool is_resuming) {
    const std::string place = join_path(folder, kVocabFolder);
    if (is_resuming && folder_exists(place)) return load_vocabulary(place);
    const int64_t to_learn = size_to_learn(config.vocab);
    const Vocabulary made =
        to_learn > 0 ? learn_vocabulary(config, paths, to_learn) : load_vocabulary(config.vocab);
    end_of_text_id(made, config.vocab);
    if (made.whole_piece_first)
        user_error(
            "--vocab %s: a rank file's merges have no order that merges.txt could tell; use gpt2, bpe:N or a "
            "folder that chapter 01 wrote",
            utf8::printable(config.vocab).c_str());
    save_vocabulary(made, place);
    Vocabulary vocabulary = load_vocabulary(place);
    CHECK(vocabulary_hash(vocabulary) == vocabulary_hash(made),
          "[prepare] the vocabulary in %s reads back differently", place.c_str());
    return vocabulary;
}

// ---- Encoding -------------------------------------------------------------------------------------------------------

// What a task's documents became, per split.
struct Encoded {
    std::string ids;  // id_bytes each
    int64_t documents = 0, text_bytes = 0, tokens = 0;

    void add(const std::vector<int>& more, int id_bytes, size_t bytes) {
        const size_t before = ids.size();
        ids.resize(before + more.size() * size_t(id_bytes));
        char* to = &ids[before];
        if (id_bytes == 2) {
            for (const int id : more) {
                const uint16_t narrow = uint16_t(id);
                std::memcpy(to, &narrow, 2), to += 2;
            }
        } else {
            for (const int id : more) std::memcpy(to, &id, 4), to += 4;
        }
        documents++;
        text_bytes += int64_t(bytes);
        tokens += int64_t(more.size());
    }
    void append(const Encoded& other) {
        ids += other.ids;
        documents += other.documents, text_bytes += other.text_bytes, tokens += other.tokens;
    }
};

struct EncodedTask {
    Encoded splits[kSplits];
    std::vector<Problem> problems;
};

// Encoders remember the pieces that they met: a thread takes one that is free, and gives it back.
class Encoders {
  public:
    explicit Encoders(const Bpe& bpe) : bpe_(bpe) {}
    std::unique_ptr<Encoder> take() {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            if (!free_.empty()) {
                std::unique_ptr<Encoder> encoder = std::move(free_.back());
                free_.pop_back();
                return encoder;
            }
        }
        return std::make_unique<Encoder>(bpe_);
    }
    void give_back(std::unique_ptr<Encoder> encoder) {
        const std::lock_guard<std::mutex> lock(mutex_);
        free_.push_back(std::move(encoder));
    }

  private:
    const Bpe& bpe_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<Encoder>> free_;
};

std::string hash_text(uint64_t hash) {
    return format("xxh64:%016" PRIx64, hash);
}

// "xxh64:0123..." as a number, for the shards' headers.
uint64_t hash_number(const std::string& text) {
    return std::strtoull(text.c_str() + 6, nullptr, 16);
}

// ---- The whole ------------------------------------------------------------------------------------------------------

class Preparation {
  public:
    Preparation(const Config& config, const std::vector<Corpus>& corpora, const std::string& folder)
        : config_(config), corpora_(corpora), folder_(folder) {
        for (const Corpus& corpus : corpora) paths_.push_back(corpus.path);
    }

    Manifest run() {
        manifest_.options = options();
        std::optional<Manifest> earlier = read_manifest(folder_);
        if (earlier) {
            std::sort(earlier->options.begin(), earlier->options.end());
            refuse_other_options(*earlier);
            manifest_ = *earlier;
        }
        Vocabulary vocabulary = place_vocabulary(config_, paths_, folder_, earlier.has_value());
        const std::string hash = vocabulary_hash(vocabulary);
        vocabulary_hash_ = hash_number(hash);
        vocabulary_size_ = vocabulary.size();
        end_of_text_ = end_of_text_id(vocabulary, folder_);
        if (earlier) {
            compare_with_shards();
            if (earlier->is_complete) return manifest_;
            if (!config_.quiet)
                std::fprintf(stderr, "going on behind %zu portions\n", manifest_.portions.size());
        }
        manifest_.vocabulary = config_.vocab;
        manifest_.vocabulary_size = vocabulary_size_;
        write_manifest(folder_, manifest_);
        Bpe bpe(std::move(vocabulary));
        encode_all(bpe);
        return manifest_;
    }

  private:
    // What the shards are a function of, beside the sources' content. Sorted, as it is compared.
    Metadata options() const {
        std::string sources;
        for (const Corpus& corpus : corpora_) sources += (sources.empty() ? "" : " ") + corpus.name;
        Metadata all = {{"sources", utf8::printable(sources)},
                        {"vocab", utf8::printable(config_.vocab)},
                        {"text-key", utf8::printable(config_.text_key)},
                        {"strict", text_of(config_.strict)},
                        {"validation-percent", text_of(config_.validation_percent)},
                        {"test-percent", text_of(config_.test_percent)},
                        {"shard-mb", text_of(config_.shard_mb)}};
        std::sort(all.begin(), all.end());
        return all;
    }

    void refuse_other_options(const Manifest& earlier) const {
        for (size_t i = 0; i < manifest_.options.size(); i++) {
            const auto& [name, value] = manifest_.options[i];
            const bool is_there = i < earlier.options.size() && earlier.options[i].first == name;
            const std::string before = is_there ? earlier.options[i].second : "";
            if (before != value)
                user_error(
                    "%s was prepared with %s '%s', not '%s'; name another folder with --out, or remove it",
                    utf8::printable(folder_).c_str(), name.c_str(), utf8::printable(before).c_str(),
                    value.c_str());
        }
    }

    // The shards that the manifest names must be there and hold what it says.
    void compare_with_shards() const {
        for (size_t p = 0; p < manifest_.portions.size(); p++)
            for (int s = 0; s < kSplits; s++) {
                const std::string path = join_path(folder_, shard_name(Split(s), int(p)));
                const Shard shard(path, vocabulary_hash_, vocabulary_size_);
                const SplitCounts& expected = manifest_.portions[p].splits[s];
                if (shard.size() != expected.tokens ||
                    hash_text(shard.header().checksum) != expected.checksum)
                    user_error("%s is not the shard that %s names (%s); remove the folder and prepare again",
                               utf8::printable(path).c_str(), kManifestName, expected.checksum.c_str());
            }
    }

    void encode_all(const Bpe& bpe) {
        Encoders encoders(bpe);
        ProgressOptions bar;
        bar.quiet = config_.quiet;
        bar.total = 0;
        for (const std::string& path : paths_) bar.total += expected_bytes(path);
        bar.total = std::max<int64_t>(bar.total, 1);
        Progress progress(bar);
        DocumentSource source(paths_);
        XxHash64 content;
        const int64_t blocks_before = manifest_.blocks;
        for (int s = 0; s < kSplits; s++) documents_in_[s] = total(manifest_, Split(s)).documents;
        int64_t blocks = 0, bytes_read = 0;
        for (SourceBlock block; source.next(&block);) {
            content.add(block.bytes.data(), block.bytes.size());
            bytes_read += int64_t(block.bytes.size());
            bar.total = std::max(bar.total, bytes_read);
            if (++blocks <= blocks_before) {  // done by the run that was killed, if these are the same files
                if (blocks == blocks_before && hash_text(content.value()) != manifest_.content_hash)
                    user_error(
                        "the sources of %s have changed since it was begun; remove the folder and prepare "
                        "again",
                        utf8::printable(folder_).c_str());
                continue;
            }
            encode_block(block, encoders, progress);
            progress.update(std::min(bytes_read, bar.total),
                            format("documents=%" PRId64, manifest_.documents));
            int64_t waiting = 0;
            for (const Encoded& split : waiting_) waiting += split.text_bytes;
            if (waiting >= config_.shard_mb * 1000000) write_portion(blocks, content.value());
        }
        if (blocks < blocks_before)
            user_error(
                "the sources of %s are shorter than when it was begun; remove the folder and prepare again",
                utf8::printable(folder_).c_str());
        for (int s = 0; s < kSplits; s++)
            if (documents_in_[s] == 0) {
                progress.clear();
                user_error("none of %" PRId64
                           " documents falls into the split '%s'; more documents, or larger "
                           "--validation-percent and --test-percent, fill it",
                           manifest_.documents, split_name(Split(s)));
            }
        manifest_.is_complete = true;
        int64_t left = 0;
        for (const Encoded& split : waiting_) left += split.documents;
        if (left > 0) write_portion(blocks, content.value());
        writer_.wait();
        if (left == 0) write_manifest(folder_, manifest_);
        progress.clear();
    }

    void encode_block(const SourceBlock& block, Encoders& encoders, Progress& progress) {
        const std::vector<Task> tasks = tasks_of(block);
        std::vector<EncodedTask> done(tasks.size());
        const int id_bytes = id_bytes_for(vocabulary_size_);
        parallel_for(int64_t(tasks.size()), [&](int64_t t) {
            std::unique_ptr<Encoder> encoder = encoders.take();
            EncodedTask& to = done[size_t(t)];
            std::vector<int> ids;
            for_each_document(
                block, tasks[size_t(t)], config_.text_key, &to.problems, [&](const std::string& text) {
                    ids.clear();
                    encoder->encode(text, &ids);
                    ids.push_back(end_of_text_);
                    const Split split = split_of(text, config_.validation_percent, config_.test_percent);
                    to.splits[int(split)].add(ids, id_bytes, text.size());
                });
            encoders.give_back(std::move(encoder));
        });
        for (const EncodedTask& task : done) {
            for (const Problem& problem : task.problems) report(block, problem, progress);
            for (int s = 0; s < kSplits; s++) {
                waiting_[s].append(task.splits[s]);
                documents_in_[s] += task.splits[s].documents;
                manifest_.documents += task.splits[s].documents;
            }
        }
    }

    void report(const SourceBlock& block, const Problem& problem, Progress& progress) {
        constexpr int64_t kMostShown = 10;
        const int64_t line =
            block.first_line +
            std::count(block.bytes.begin(), block.bytes.begin() + std::ptrdiff_t(problem.offset), '\n');
        const std::string where = format("%s, line %" PRId64 ": %s", corpora_[block.source].name.c_str(),
                                         line, problem.what.c_str());
        if (config_.strict) {
            progress.clear();
            user_error("%s", utf8::printable(where).c_str());
        }
        if (++manifest_.skipped <= kMostShown)
            progress.print("skipped " + utf8::printable(where) +
                           (manifest_.skipped == kMostShown ? "; more are only counted" : ""));
    }

    // Hands what is waiting to a thread that writes it while the next blocks are encoded.
    void write_portion(int64_t blocks, uint64_t content_hash) {
        writer_.wait();
        manifest_.portions.emplace_back();
        manifest_.blocks = blocks;
        manifest_.content_hash = hash_text(content_hash);
        struct Work {
            Encoded splits[kSplits];
            Manifest manifest;  // as it will be when these shards are there
        };
        auto work = std::make_shared<Work>();
        for (int s = 0; s < kSplits; s++) std::swap(work->splits[s], waiting_[s]);
        work->manifest = manifest_;
        // note: the thread fills in the last portion; nobody else looks at it before the next wait().
        Portion* const portion = &manifest_.portions.back();
        writer_.start([this, work, portion] {
            const int id_bytes = id_bytes_for(vocabulary_size_),
                      number = int(work->manifest.portions.size()) - 1;
            for (int s = 0; s < kSplits; s++) {
                const Encoded& from = work->splits[s];
                const uint64_t checksum =
                    write_shard(join_path(folder_, shard_name(Split(s), number)), from.ids, id_bytes,
                                vocabulary_hash_, from.documents, from.text_bytes);
                portion->splits[s] = {from.documents, from.text_bytes, from.tokens, hash_text(checksum)};
            }
            work->manifest.portions.back() = *portion;
            write_manifest(folder_, work->manifest);
        });
    }

    static int64_t expected_bytes(const std::string& path) {
        // note: xz does not say how much it will give without reading the end of the file; text shrinks to about a third.
        const int64_t bytes = file_bytes(path);
        return path.size() > 3 && path.compare(path.size() - 3, 3, ".xz") == 0 ? bytes * 7 / 2 : bytes;
    }

    const Config& config_;
    const std::vector<Corpus>& corpora_;
    const std::string folder_;
    std::vector<std::string> paths_;
    Manifest manifest_;
    Encoded waiting_[kSplits];
    int64_t documents_in_[kSplits] = {};  // all of them, for the check that no split is empty
    uint64_t vocabulary_hash_ = 0;
    int64_t vocabulary_size_ = 0;
    int end_of_text_ = 0;
    Background writer_;  // last: it ends before what it uses
};

void print_manifest(const Manifest& manifest, const std::string& folder, double seconds, bool is_json) {
    std::printf(
        "%s: %" PRId64 " documents, %" PRId64 " skipped; content %s; vocabulary %s, %" PRId64 " tokens\n",
        utf8::printable(folder).c_str(), manifest.documents, manifest.skipped, manifest.content_hash.c_str(),
        utf8::printable(manifest.vocabulary).c_str(), manifest.vocabulary_size);
    std::printf("%-11s %10s %14s %14s %8s  %s\n", "split", "documents", "bytes of text", "tokens", "B/token",
                "checksum");
    std::string json;
    for (int s = 0; s < kSplits; s++) {
        const SplitCounts counts = total(manifest, Split(s));
        std::printf("%-11s %10" PRId64 " %14" PRId64 " %14" PRId64 " %8.3f  %s\n", split_name(Split(s)),
                    counts.documents, counts.text_bytes, counts.tokens,
                    double(counts.text_bytes) / double(std::max<int64_t>(counts.tokens, 1)),
                    counts.checksum.empty() ? "per shard, in manifest.json" : counts.checksum.c_str());
        json += format(", \"%s_tokens\": %" PRId64, split_name(Split(s)), counts.tokens);
    }
    if (is_json)
        std::printf(
            "{\"out\": %s, \"documents\": %" PRId64 ", \"skipped\": %" PRId64 "%s, \"seconds\": %.6f}\n",
            html::json_string(folder).c_str(), manifest.documents, manifest.skipped, json.c_str(), seconds);
}

Manifest prepare_into(const Config& config, const std::vector<Corpus>& corpora, const std::string& folder) {
    for (const Corpus& corpus : corpora)
        if (!corpus.warning.empty()) std::fprintf(stderr, "WARNING: %s\n", corpus.warning.c_str());
    make_run_folder(folder);
    return Preparation(config, corpora, folder).run();
}

}  // namespace

Split split_of(const std::string& text, int64_t validation_percent, int64_t test_percent) {
    const int64_t percent = int64_t(xxhash64(text.data(), text.size()) % 100);
    return percent < validation_percent                  ? Split::kValidation
           : percent < validation_percent + test_percent ? Split::kTest
                                                         : Split::kTrain;
}

void run_prepare(const Config& config) {
    std::vector<std::string> names = config.sources;
    if (names.empty()) names = {kDefaultCorpus};
    size_to_learn(config.vocab);
    std::string folder = config.out;
    if (folder.empty() && names.size() == 1) folder = default_prepared_folder(names[0], config.vocab);
    if (folder.empty())
        usage_error("--out is missing: where shall the shards of %s go?", utf8::printable(names[0]).c_str());
    std::vector<Corpus> corpora;
    for (const std::string& name : names) corpora.push_back(find_corpus(name));
    for (const Corpus& corpus : corpora) require_readable(corpus.path);
    const auto start = std::chrono::steady_clock::now();
    const Manifest manifest = prepare_into(config, corpora, folder);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    print_manifest(manifest, folder, seconds, config.json);
}

std::string prepare_default(const Config& config) {
    const std::string folder = default_prepared_folder(kDefaultCorpus, config.vocab);
    if (folder.empty())
        user_error(
            "no data: the repository with data/%s.sh cannot be found from here; prepare some and name it "
            "with --data",
            kDefaultCorpus);
    const std::optional<Manifest> manifest = read_manifest(folder);
    if (!manifest || !manifest->is_complete) prepare_into(config, {find_corpus(kDefaultCorpus)}, folder);
    return folder;
}

}  // namespace small_gpt
