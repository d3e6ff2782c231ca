// memorize.cpp - see memorize.h; and the verb memorize.
#include "chapters/02_small_gpt/memorize.h"

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <unordered_map>

#include "chapters/02_small_gpt/evaluate.h"
#include "chapters/02_small_gpt/generate.h"
#include "chapters/02_small_gpt/manifest.h"
#include "chapters/02_small_gpt/model_file.h"
#include "chapters/02_small_gpt/verbs.h"
#include "io/utf8.h"

namespace small_gpt {

std::vector<Copy> longest_copies(const std::vector<std::vector<int>>& texts, const TokenShards& data) {
    // All texts one behind the other, a gap between; run[j] is how long the copy is that ends at place j and at the token
    // of the split that was read last. Only places that hold this very token can end one: where they are is looked up.
    constexpr int kGap = -1;
    std::vector<int> all;
    std::vector<size_t> text_of, first_of;
    for (size_t i = 0; i < texts.size(); i++) {
        all.push_back(kGap), text_of.push_back(i);
        first_of.push_back(all.size());
        for (const int id : texts[i]) all.push_back(id), text_of.push_back(i);
    }
    std::unordered_map<int, std::vector<size_t>> places;  // of an id, the last first
    for (size_t j = all.size(); j-- > 0;)
        if (all[j] != kGap) places[all[j]].push_back(j);

    std::vector<Copy> longest(texts.size());
    std::vector<int64_t> run(all.size(), 0), time_of_run(all.size(), -1);
    int64_t time = 0;
    for (const Shard& shard : data.shards) {
        time++;  // nothing goes on from one shard to the next
        for (int64_t i = 0; i < shard.size(); i++, time++) {
            const auto found = places.find(shard[i]);
            if (found == places.end()) continue;
            for (const size_t j :
                 found->second) {  // the last first: run[j - 1] is still that of the token before
                run[j] = time_of_run[j - 1] == time - 1 ? run[j - 1] + 1 : 1;
                time_of_run[j] = time;
                const size_t text = text_of[j];
                const int64_t begin = int64_t(j + 1 - first_of[text]) - run[j];
                Copy& best = longest[text];
                if (run[j] > best.length || (run[j] == best.length && begin < best.begin))
                    best = {run[j], begin};
            }
        }
    }
    return longest;
}

std::vector<Passage> document_beginnings(const TokenShards& data, int end_of_text, int64_t count,
                                         int64_t context, int64_t continuation) {
    struct Document {
        const Shard* shard;
        int64_t begin;
    };
    std::vector<Document> documents;
    for (const Shard& shard : data.shards)
        for (int64_t i = 0, begin = 0; i < shard.size(); i++)
            if (shard[i] == end_of_text) {
                if (i - begin >= context + continuation) documents.push_back({&shard, begin});
                begin = i + 1;
            }
    const int64_t n = int64_t(documents.size());
    count = std::min(count, n);
    std::vector<Passage> passages;
    for (int64_t k = 0; k < count; k++) {
        const Document& document = documents[size_t(k * n / count)];
        Passage passage;
        passage.context.resize(size_t(context)), passage.continuation.resize(size_t(continuation));
        document.shard->copy(document.begin, context, passage.context.data());
        document.shard->copy(document.begin + context, continuation, passage.continuation.data());
        passages.push_back(passage);
    }
    return passages;
}

namespace {

// ---- the verb -------------------------------------------------------------------------------------------------------

constexpr int64_t kContext = 32;  // tokens of a document's beginning, about two sentences

struct Mean {
    double sum = 0, squares = 0;
    int64_t n = 0, most = 0;

    void add(double x) {
        sum += x, squares += x * x, n++;
        most = std::max(most, int64_t(x));
    }
    double value() const { return n ? sum / double(n) : 0; }
    double error() const {
        return n > 1 ? std::sqrt(std::max(0.0, squares / double(n) - value() * value()) / double(n - 1)) : 0;
    }
};

// One kind of sentence: those of the training text, or those held out.
struct Kind {
    const char* name;
    std::vector<Passage> passages;
    std::vector<Likelihood> likelihoods;
    std::vector<std::vector<int>>
        written;  // by the model, behind each context: the likeliest token each time
    std::vector<Copy> copied, copied_by_authors;  // of what the model wrote, and of the true continuation

    Mean nats, bits_per_byte, right, copy, copy_by_authors;
};

class MemorizeVerb {
  public:
    explicit MemorizeVerb(const Config& config)
        : config_(config),
          model_(load_model(find_model(config.text.checkpoint), chosen_device(config))),
          ctx_(model_.gpt->params.device()),
          token_bytes_(bytes_of_tokens(model_.bpe->vocabulary())) {
        const std::string& folder = config.text.data;
        if (folder.empty())
            usage_error("memorize wants --data, the prepared folder that the model was trained on");
        const Vocabulary& vocabulary = model_.bpe->vocabulary();
        const uint64_t hash = std::strtoull(vocabulary_hash(vocabulary).c_str() + 6, nullptr, 16);
        const Manifest manifest = read_finished_manifest(folder);
        train_ = open_split(folder, manifest, Split::kTrain, hash, vocabulary.size());
        test_ = open_split(folder, manifest, Split::kTest, hash, vocabulary.size());
        const int64_t T = model_.gpt->config.T;
        if (T < 4)
            user_error("a context of %lld tokens has no room for a beginning and an end", (long long)T);
        context_ = std::min(kContext, T / 2);
        continuation_ = std::min(config.text.tokens, T - context_);
        const int64_t count = config.text.limit > 0 ? config.text.limit : 40;
        kinds_[0].name = "training", kinds_[1].name = "unseen";
        kinds_[0].passages = document_beginnings(train_, model_.end_of_text, count, context_, continuation_);
        kinds_[1].passages = document_beginnings(test_, model_.end_of_text, count, context_, continuation_);
        for (const Kind& kind : kinds_)
            if (kind.passages.empty())
                user_error("%s: no %s document has %lld tokens; a smaller --tokens needs less",
                           folder.c_str(), kind.name, (long long)(context_ + continuation_));
    }

    void run() {
        for (Kind& kind : kinds_) compute(&kind);
        print_table();
        for (const Kind& kind : kinds_) print_samples(kind);
        if (!config_.text.prompt.empty()) print_own_prompt();
        if (config_.json) print_json();
    }

  private:
    std::vector<int> write(const std::vector<int>& context) {
        std::vector<Sampler> greedy(1);
        greedy[0].temperature = 0;
        std::vector<int> ids;
        generate(ctx_, *model_.gpt, context, continuation_, greedy, true, [&](size_t, int id) {
            ids.push_back(id);
            return true;
        });
        return ids;
    }

    void compute(Kind* kind) {
        std::vector<std::vector<int>> true_texts;
        for (const Passage& passage : kind->passages) {
            const Likelihood likelihood = likelihoods(ctx_, *model_.gpt, {passage})[0];
            kind->written.push_back(write(passage.context));
            true_texts.push_back(passage.continuation);
            int64_t bytes = 0, right = 0;
            for (const int id : passage.continuation) bytes += token_bytes_[size_t(id)];
            while (right < continuation_ &&
                   kind->written.back()[size_t(right)] == passage.continuation[size_t(right)])
                right++;
            kind->nats.add(likelihood.nats / double(likelihood.tokens));
            kind->bits_per_byte.add(likelihood.nats / 0.69314718055994530942 / double(bytes));
            kind->right.add(double(right));
            kind->likelihoods.push_back(likelihood);
        }
        kind->copied = longest_copies(kind->written, train_);
        for (const Copy& copy : kind->copied) kind->copy.add(double(copy.length));
        // A training sentence stands in the training text by itself; of an unseen one, this says how much any text repeats.
        kind->copied_by_authors = longest_copies(true_texts, train_);
        for (const Copy& copy : kind->copied_by_authors) kind->copy_by_authors.add(double(copy.length));
    }

    void print_table() const {
        std::printf("Beginnings of documents, %" PRId64 " tokens, and the %" PRId64 " tokens behind them.\n",
                    context_, continuation_);
        std::printf("%-10s %10s %18s %18s %22s %24s %24s\n", "", "documents", "nats per token",
                    "bits per byte", "first tokens right", "longest copy, written",
                    "longest copy, true text");
        for (const Kind& kind : kinds_) {
            const auto with_error = [](const Mean& m) {
                return format("%.3f +- %.3f", m.value(), m.error());
            };
            const auto with_most = [](const Mean& m) {
                return format("%.1f, at most %" PRId64, m.value(), m.most);
            };
            std::printf("%-10s %10zu %18s %18s %22s %24s %24s\n", kind.name, kind.passages.size(),
                        with_error(kind.nats).c_str(), with_error(kind.bits_per_byte).c_str(),
                        with_most(kind.right).c_str(), with_most(kind.copy).c_str(),
                        &kind == &kinds_[0] ? "(itself)" : with_most(kind.copy_by_authors).c_str());
        }
        const double gap = kinds_[1].nats.value() - kinds_[0].nats.value();
        const double error = std::hypot(kinds_[0].nats.error(), kinds_[1].nats.error());
        std::printf("An unseen token costs %.3f +- %.3f nats more than one of the training text: %s\n", gap,
                    error,
                    gap > 3 * error ? "the model remembers more than the language"
                                    : "no memory that these documents show");
    }

    // Text for one line; what was copied from the training text stands in brackets.
    std::string line(const std::vector<int>& ids, const Copy& copy = {}) const {
        const auto part = [&](int64_t begin, int64_t end) {
            return model_.bpe->decode({ids.begin() + begin, ids.begin() + end});
        };
        const int64_t n = int64_t(ids.size()), end = copy.begin + copy.length;
        if (copy.length == 0) return utf8::printable(part(0, n));
        return utf8::printable(part(0, copy.begin) + "[" + part(copy.begin, end) + "]" + part(end, n));
    }

    void print_samples(const Kind& kind) const {
        const int64_t shown = std::min(config_.text.num_samples, int64_t(kind.passages.size()));
        for (int64_t i = 0; i < shown; i++) {
            const Passage& passage = kind.passages[size_t(i)];
            std::printf("\n%s %" PRId64 ": %s\n", kind.name, i + 1, line(passage.context).c_str());
            std::printf("  true     (%.2f nats per token): %s\n",
                        kind.likelihoods[size_t(i)].nats / double(continuation_),
                        line(passage.continuation).c_str());
            std::printf("  written  (%" PRId64 " tokens copied): %s\n", kind.copied[size_t(i)].length,
                        line(kind.written[size_t(i)], kind.copied[size_t(i)]).c_str());
        }
    }

    void print_own_prompt() {
        const std::vector<int> prompt = model_.bpe->encode(config_.text.prompt), written = write(prompt);
        const std::vector<Copy> copies = longest_copies({prompt, written}, train_);
        std::printf("\n--prompt: %s\n", line(prompt, copies[0]).c_str());
        std::printf("  %" PRId64 " of its %zu tokens stand in the training text together\n", copies[0].length,
                    prompt.size());
        std::printf("  written  (%" PRId64 " tokens copied): %s\n", copies[1].length,
                    line(written, copies[1]).c_str());
    }

    void print_json() const {
        std::string json = "{";
        for (const Kind& kind : kinds_)
            json += format(
                "%s\"%s\": {\"documents\": %zu, \"nats_per_token\": %.9g, \"nats_error\": %.9g, "
                "\"bits_per_byte\": %.9g, \"longest_copy_mean\": %.9g, \"longest_copy\": %" PRId64
                ", \"longest_copy_true_mean\": %.9g}",
                &kind == &kinds_[0] ? "" : ", ", kind.name, kind.passages.size(), kind.nats.value(),
                kind.nats.error(), kind.bits_per_byte.value(), kind.copy.value(), kind.copy.most,
                kind.copy_by_authors.value());
        std::printf("%s}\n", json.c_str());
    }

    const Config& config_;
    LoadedModel model_;
    Context ctx_;
    const std::vector<uint32_t> token_bytes_;
    TokenShards train_, test_;
    int64_t context_ = 0, continuation_ = 0;
    Kind kinds_[2];
};

}  // namespace

void run_memorize(const Config& config) {
    MemorizeVerb(config).run();
}

}  // namespace small_gpt
