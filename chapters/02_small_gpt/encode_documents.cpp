// encode_documents.cpp - see encode_documents.h.
#include "chapters/02_small_gpt/encode_documents.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>

#include "chapters/02_small_gpt/json_document.h"
#include "chapters/02_small_gpt/model_file.h"
#include "core/in_order.h"
#include "core/parallel.h"
#include "io/xxhash64.h"

namespace small_gpt {

namespace {

constexpr size_t kStretchBytes = size_t(1) << 17;
constexpr size_t kStretchesPerThread = 8;  // at most, on their way

void append_ids(const std::vector<int>& ids, int id_bytes, std::string* bytes) {
    const size_t before = bytes->size();
    bytes->resize(before + ids.size() * size_t(id_bytes));
    char* to = &(*bytes)[before];
    if (id_bytes == 4) {
        std::memcpy(to, ids.data(), ids.size() * 4);
        return;
    }
    for (const int id : ids) {
        const uint16_t narrow = uint16_t(id);
        std::memcpy(to, &narrow, 2), to += 2;
    }
}

struct Stretch {
    std::shared_ptr<SourceBlock> block;
    std::string_view bytes;
    EncodedStretch encoded;
};

// Cuts what the source has into stretches. The next block is begun while those of the last one are still encoded.
class Cutter {
  public:
    explicit Cutter(DocumentSource* source) : source_(source) {}

    // False when there is none left.
    bool next(Stretch* stretch) {
        if (begin_ == block_bytes_ && !next_block()) return false;
        const std::string_view bytes = block_->bytes;
        size_t end = bytes.size();
        if (block_->is_lines && begin_ + kStretchBytes < end)
            end = std::min(bytes.find('\n', begin_ + kStretchBytes), end - 1) + 1;
        stretch->block = block_;
        stretch->bytes = bytes.substr(begin_, end - begin_);
        stretch->encoded.block = block_.get();
        stretch->encoded.is_last = end == bytes.size();
        begin_ = end;
        return true;
    }

    const std::optional<BackgroundFailure>& failure() const { return failure_; }

  private:
    bool next_block() {
        if (is_at_end_) return false;
        auto block = std::make_shared<SourceBlock>();
        try {
            is_at_end_ = !source_->next(block.get());
        } catch (const BackgroundFailure& failure) {
            failure_ = failure;
            is_at_end_ = true;
        }
        if (is_at_end_) return false;
        block_ = std::move(block);
        block_bytes_ = block_->bytes.size();
        begin_ = 0;
        return true;
    }

    DocumentSource* const source_;
    std::shared_ptr<SourceBlock> block_;
    size_t block_bytes_ = 0, begin_ = 0;  // begin_: of what was not cut off yet
    bool is_at_end_ = false;
    std::optional<BackgroundFailure> failure_;
};

}  // namespace

Split split_of(const std::string& text, int64_t validation_percent, int64_t test_percent) {
    const int64_t percent = int64_t(xxhash64(text.data(), text.size()) % 100);
    return percent < validation_percent                  ? Split::kValidation
           : percent < validation_percent + test_percent ? Split::kTest
                                                         : Split::kTrain;
}

int64_t for_each_document(std::string_view bytes, bool is_lines, const std::string& key,
                          std::vector<LineProblem>* problems,
                          const std::function<void(const std::string& text)>& visit) {
    std::string text;
    if (!is_lines) {  // texts with <|endoftext|> between them, or just one
        for (size_t begin = 0; begin <= bytes.size();) {
            const size_t end = std::min(bytes.find(kEndOfText, begin), bytes.size());
            text.assign(bytes.substr(begin, end - begin));
            if (text.find_first_not_of("\r\n") != std::string::npos) visit(text);
            begin = end == bytes.size() ? end + 1 : end + std::string_view(kEndOfText).size();
        }
        return 0;
    }
    int64_t line = 0;
    for (size_t begin = 0; begin < bytes.size(); line++) {
        const size_t end = std::min(bytes.find('\n', begin), bytes.size());
        std::string problem = parse_json_document(bytes.substr(begin, end - begin), key, &text);
        if (problem.empty() && text.empty()) problem = "its text is empty";
        if (problem.empty())
            visit(text);
        else
            problems->push_back({line, problem});
        begin = end + 1;
    }
    return line;
}

std::optional<BackgroundFailure> encode_documents(DocumentSource* source, const Bpe& bpe,
                                                  const Config& config,
                                                  const std::function<void(EncodedStretch* stretch)>& join) {
    const int threads = parallel::num_threads(), id_bytes = id_bytes_for(bpe.vocabulary().size());
    const int end_of_text = end_of_text_id(bpe.vocabulary(), config.vocab);
    const auto encode = [&](Stretch* stretch, Encoder* encoder, std::vector<int>* ids) {
        EncodedStretch& to = stretch->encoded;
        // Room for an id per four bytes: nearly always enough for all of them.
        to.splits[int(Split::kTrain)].ids.reserve(stretch->bytes.size() / 4 * size_t(id_bytes));
        to.lines = for_each_document(
            stretch->bytes, stretch->block->is_lines, config.text_key, &to.problems,
            [&](const std::string& text) {
                ids->clear();
                encoder->encode(text, ids);
                ids->push_back(end_of_text);
                EncodedDocuments& split =
                    to.splits[int(split_of(text, config.validation_percent, config.test_percent))];
                append_ids(*ids, id_bytes, &split.ids);
                split.documents++;
                split.text_bytes += int64_t(text.size());
                split.tokens += int64_t(ids->size());
            });
    };

    // note: the first one finds what all of them start with, here on all threads; inside the loop one would do it and
    // the others wait.
    Encoder first(bpe);
    Cutter cutter(source);
    const auto cut = [&](Stretch* stretch) { return cutter.next(stretch); };
    const auto join_and_free = [&](Stretch* stretch) {
        join(&stretch->encoded);
        // Nobody else looks at a block whose last stretch is joined.
        if (stretch->encoded.is_last) source->give_back(std::move(stretch->block->bytes));
        *stretch = Stretch();
    };
    std::optional<BackgroundFailure> failure;  // the first; of several threads
    std::mutex failing;
    InOrder<Stretch> stretches(kStretchesPerThread * size_t(threads));
    parallel_for(threads, [&](int64_t thread) {
        const bool was_in_background = is_in_background();
        is_in_background() = true;
        try {
            std::unique_ptr<Encoder> own;
            std::vector<int> ids;
            while (Stretch* const stretch = stretches.take(cut)) {
                if (thread > 0 && !own) own = std::make_unique<Encoder>(bpe);
                encode(stretch, own ? own.get() : &first, &ids);
                stretches.give_back(stretch, join_and_free);
            }
        } catch (const BackgroundFailure& what) {
            const std::lock_guard<std::mutex> lock(failing);
            if (!failure) failure = what;
            stretches.stop();
        }
        is_in_background() = was_in_background;
    });
    return failure ? failure : cutter.failure();
}

}  // namespace small_gpt
