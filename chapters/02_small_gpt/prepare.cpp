// prepare.cpp - see prepare.h. The order of things: which vocabulary; then the documents as ids, stretch after stretch; a
// portion of shards whenever enough text has come together.
#include "chapters/02_small_gpt/prepare.h"

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <memory>

#include "chapters/01_bpe/bpe.h"
#include "chapters/01_bpe/trainer.h"
#include "chapters/02_small_gpt/corpora.h"
#include "chapters/02_small_gpt/document_source.h"
#include "chapters/02_small_gpt/encode_documents.h"
#include "chapters/02_small_gpt/manifest.h"
#include "chapters/02_small_gpt/model_file.h"
#include "core/background.h"
#include "io/file.h"
#include "io/html.h"
#include "io/progress.h"
#include "io/utf8.h"

namespace small_gpt {

namespace {

// A vocabulary is learned from at most so much text: beyond it the merges hardly change, and it is kept in memory.
constexpr size_t kMostToLearnFrom = size_t(256) << 20;

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
        std::vector<LineProblem> ignored;
        for_each_document(
            block.bytes, block.is_lines, config.text_key, &ignored, [&](const std::string& text) {
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

Vocabulary make_vocabulary(const Config& config, const std::vector<std::string>& paths) {
    const int64_t to_learn = size_to_learn(config.vocab);
    Vocabulary made =
        to_learn > 0 ? learn_vocabulary(config, paths, to_learn) : load_vocabulary(config.vocab);
    end_of_text_id(made, config.vocab);
    if (made.whole_piece_first)
        user_error(
            "--vocab %s: a rank file's merges have no order that merges.txt could tell; use gpt2, bpe:N or a "
            "folder that chapter 01 wrote",
            utf8::printable(config.vocab).c_str());
    return made;
}

// ---- The whole ------------------------------------------------------------------------------------------------------

// What one split will have in the next portion of shards.
struct Waiting {
    std::vector<std::string> ids;  // as they came from the stretches
    int64_t documents = 0, text_bytes = 0, tokens = 0;

    void append(EncodedDocuments&& more) {
        if (more.documents > 0) ids.push_back(std::move(more.ids));
        documents += more.documents, text_bytes += more.text_bytes, tokens += more.tokens;
    }
};

// "xxh64:0123..." as a number, for the shards' headers.
uint64_t hash_number(const std::string& text) {
    return std::strtoull(text.c_str() + 6, nullptr, 16);
}

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
        const std::string place = join_path(folder_, kVocabFolder);
        const bool has_vocabulary = earlier && folder_exists(place);
        Vocabulary vocabulary = has_vocabulary ? load_vocabulary(place) : make_vocabulary(config_, paths_);
        const std::string hash = vocabulary_hash(vocabulary);
        vocabulary_hash_ = hash_number(hash);
        vocabulary_size_ = vocabulary.size();
        if (earlier) {
            compare_with_shards();
            if (earlier->is_complete && has_vocabulary) return manifest_;
            if (!config_.quiet)
                std::fprintf(stderr, "going on behind %zu portions\n", manifest_.portions.size());
        }
        if (!config_.quiet)
            for (const Corpus& corpus : corpora_)
                std::fprintf(stderr, "corpus: %s\n", utf8::printable(corpus.name).c_str());
        manifest_.vocabulary = config_.vocab;
        manifest_.vocabulary_size = vocabulary_size_;
        bpe_ = std::make_unique<Bpe>(std::move(vocabulary));
        // While the first documents are encoded; the journal says that a vocabulary is there when one is.
        writer_.start([this, place, hash, has_vocabulary, journal = manifest_] {
            if (!has_vocabulary) place_vocabulary(bpe_->vocabulary(), hash, place);
            write_manifest(folder_, journal);
        });
        encode_all(*bpe_);
        return manifest_;
    }

  private:
    // What will be loaded from there must be what was saved there.
    static void place_vocabulary(const Vocabulary& vocabulary, const std::string& hash,
                                 const std::string& place) {
        save_vocabulary(vocabulary, place);
        CHECK(vocabulary_hash(load_vocabulary(place)) == hash,
              "[prepare] the vocabulary in %s reads back differently", place.c_str());
    }

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
                require_as_named(shard, path, manifest_.portions[p].splits[s]);
            }
    }

    void encode_all(const Bpe& bpe) {
        ProgressOptions bar;
        bar.quiet = config_.quiet;
        for (const std::string& path : paths_) bar.total += expected_bytes(path);
        bar.total = std::max<int64_t>(bar.total, 1);
        Progress progress(bar);
        DocumentSource source(paths_);
        for (int s = 0; s < kSplits; s++) documents_in_[s] = total(manifest_, Split(s)).documents;
        skip_encoded_blocks(&source);
        const auto failure = encode_documents(&source, bpe, config_, [&](EncodedStretch* stretch) {
            join(stretch, progress);
            if (!stretch->is_last) return;
            end_block(*stretch->block);
            int64_t waiting = 0;
            for (const Waiting& split : waiting_) waiting += split.text_bytes;
            if (waiting >= config_.shard_mb * 1000000) write_portion();
            progress.update(std::min(bytes_read_, bar.total),
                            format("documents=%" PRId64, manifest_.documents));
        });
        if (failure) {
            progress.clear();
            writer_.wait();  // the program ends, and would end it half way
            fail(failure->kind, failure->message);
        }
        for (int s = 0; s < kSplits; s++)
            if (documents_in_[s] == 0) {
                progress.clear();
                writer_.wait();
                user_error("none of %" PRId64
                           " documents falls into the split '%s'; more documents, or larger "
                           "--validation-percent and --test-percent, fill it",
                           manifest_.documents, split_name(Split(s)));
            }
        manifest_.is_complete = true;
        int64_t left = 0;
        for (const Waiting& split : waiting_) left += split.documents;
        if (left > 0) write_portion();
        writer_.wait();
        if (left == 0) write_manifest(folder_, manifest_);
        progress.clear();
    }

    // Those that became shards in the run that was killed, if these are the same files.
    void skip_encoded_blocks(DocumentSource* source) {
        for (SourceBlock block; blocks_ < manifest_.blocks;) {
            if (!source->next(&block))
                user_error(
                    "the sources of %s are shorter than when it was begun; remove the folder and prepare "
                    "again",
                    utf8::printable(folder_).c_str());
            if (block.source != source_) source_ = block.source, lines_ = 0;
            lines_ += std::count(block.bytes.begin(), block.bytes.end(), '\n');
            end_block(block);
            source->give_back(std::move(block.bytes));
        }
        if (blocks_ > 0 && hash_text(content_hash_) != manifest_.content_hash)
            user_error(
                "the sources of %s have changed since it was begun; remove the folder and prepare again",
                utf8::printable(folder_).c_str());
    }

    void end_block(const SourceBlock& block) {
        blocks_++;
        bytes_read_ += int64_t(block.bytes.size());
        content_hash_ = block.content_hash;
    }

    void join(EncodedStretch* stretch, Progress& progress) {
        if (stretch->block->source != source_) source_ = stretch->block->source, lines_ = 0;
        for (const LineProblem& problem : stretch->problems) report(problem, progress);
        lines_ += stretch->lines;
        for (int s = 0; s < kSplits; s++) {
            documents_in_[s] += stretch->splits[s].documents;
            manifest_.documents += stretch->splits[s].documents;
            waiting_[s].append(std::move(stretch->splits[s]));
        }
    }

    void report(const LineProblem& problem, Progress& progress) {
        constexpr int64_t kMostShown = 10;
        const std::string where = format("%s, line %" PRId64 ": %s", corpora_[source_].name.c_str(),
                                         lines_ + problem.line + 1, problem.what.c_str());
        if (config_.strict) user_error("%s", utf8::printable(where).c_str());
        if (++manifest_.skipped <= kMostShown)
            progress.print("skipped " + utf8::printable(where) +
                           (manifest_.skipped == kMostShown ? "; more are only counted" : ""));
    }

    // Hands what is waiting to a thread that writes it while the next blocks are encoded.
    void write_portion() {
        writer_.wait();
        manifest_.portions.emplace_back();
        manifest_.blocks = blocks_;
        manifest_.content_hash = hash_text(content_hash_);
        struct Work {
            Waiting splits[kSplits];
            Manifest manifest;  // as it will be when these shards are there
        };
        auto work = std::make_shared<Work>();
        for (int s = 0; s < kSplits; s++) std::swap(work->splits[s], waiting_[s]);
        work->manifest = manifest_;
        // note: the thread fills in the last portion; nobody else looks at it before the next wait().
        Portion* const portion = &manifest_.portions.back();
        writer_.start([this, work, portion] {
            const int number = int(work->manifest.portions.size()) - 1;
            // All at once: a disk takes about as long to sync three files as one.
            Background splits[kSplits];
            for (int s = 0; s < kSplits; s++)
                splits[s].start([this, number, s, &from = work->splits[s], &counts = portion->splits[s]] {
                    const uint64_t checksum = write_shard(join_path(folder_, shard_name(Split(s), number)),
                                                          from.ids, id_bytes_for(vocabulary_size_),
                                                          vocabulary_hash_, from.documents, from.text_bytes);
                    counts = {from.documents, from.text_bytes, from.tokens, hash_text(checksum)};
                });
            for (Background& split : splits) split.wait();
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
    Waiting waiting_[kSplits];
    int64_t documents_in_[kSplits] = {};  // all of them, for the check that no split is empty
    int64_t blocks_ = 0, bytes_read_ = 0;
    uint64_t content_hash_ = 0;  // of these blocks
    size_t source_ = 0;
    int64_t lines_ = 0;  // of this source, so far
    uint64_t vocabulary_hash_ = 0;
    int64_t vocabulary_size_ = 0;
    std::unique_ptr<Bpe> bpe_;
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
