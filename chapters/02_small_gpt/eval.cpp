// eval.cpp - the verb eval: how good a trained model is, on held-out text, HellaSwag or LAMBADA.
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "chapters/02_small_gpt/evaluate.h"
#include "chapters/02_small_gpt/int8_weights.h"
#include "chapters/02_small_gpt/look_inside.h"
#include "chapters/02_small_gpt/manifest.h"
#include "chapters/02_small_gpt/model_file.h"
#include "chapters/02_small_gpt/tasks.h"
#include "chapters/02_small_gpt/verbs.h"
#include "core/check.h"
#include "io/data_set.h"
#include "io/file.h"
#include "io/progress.h"
#include "io/utf8.h"

namespace small_gpt {

namespace {

constexpr size_t kMaxTextBytes = size_t(1) << 30;

// Windows at once: few, since each needs T rows of V logits.
int64_t rows_at_once(const GptConfig& config) {
    return std::max<int64_t>(1, std::min<int64_t>(16, (int64_t(1) << 24) / (config.T * config.V)));
}

void print_held_out(const HeldOut& sum, const std::string& what, bool json) {
    const double error = sum.loss_error(),
                 per_byte = sum.bits_per_byte() / sum.loss();  // bits per byte are loss times this
    std::printf("%s: %" PRId64 " tokens in %" PRId64 " windows, %" PRId64 " bytes\n", what.c_str(),
                sum.tokens, sum.windows, sum.bytes);
    std::printf("  loss           %.4f +- %.4f nats per token\n", sum.loss(), error);
    std::printf("  perplexity     %.2f +- %.2f\n", sum.perplexity(), sum.perplexity() * error);
    std::printf("  bits per byte  %.4f +- %.4f\n", sum.bits_per_byte(), error * per_byte);
    if (json)
        std::printf(
            "{\"tokens\": %" PRId64 ", \"windows\": %" PRId64 ", \"bytes\": %" PRId64
            ", \"loss\": %.9g, \"loss_error\": %.9g, \"perplexity\": %.9g, \"bits_per_byte\": %.9g}\n",
            sum.tokens, sum.windows, sum.bytes, sum.loss(), error, sum.perplexity(), sum.bits_per_byte());
}

std::string share_text(const Share& share) {
    return format("%.2f %% +- %.2f", 100 * share.value(), 100 * share.standard_error());
}

void print_hellaswag(const HellaSwagResult& r, bool json) {
    std::printf("HellaSwag, %" PRId64 " items; guessing gives 25 %%\n", r.by_token.n);
    std::printf("  accuracy, likelihood per token  %s\n", share_text(r.by_token).c_str());
    std::printf("  per byte                        %s\n", share_text(r.by_byte).c_str());
    std::printf("  of the whole ending             %s\n", share_text(r.by_sum).c_str());
    if (json)
        std::printf("{\"items\": %" PRId64
                    ", \"accuracy\": %.9g, \"accuracy_error\": %.9g, \"accuracy_by_byte\": %.9g, "
                    "\"accuracy_by_sum\": %.9g}\n",
                    r.by_token.n, r.by_token.value(), r.by_token.standard_error(), r.by_byte.value(),
                    r.by_sum.value());
}

void print_lambada(const LambadaResult& r, bool json) {
    std::printf("LAMBADA, %" PRId64 " items\n", r.accuracy.n);
    std::printf("  accuracy    %s\n", share_text(r.accuracy).c_str());
    std::printf("  perplexity  %.2f +- %.2f per word\n", r.perplexity(), r.perplexity() * r.nats_error);
    if (json)
        std::printf("{\"items\": %" PRId64
                    ", \"accuracy\": %.9g, \"accuracy_error\": %.9g, \"perplexity\": %.9g}\n",
                    r.accuracy.n, r.accuracy.value(), r.accuracy.standard_error(), r.perplexity());
}

std::string need_data_file(const char* set, const char* file) {
    const std::optional<std::string> path = find_data_file(set, file);
    if (!path) user_error("no %s: data/%s.sh could not get it (its messages are above)", file, set);
    return *path;
}

}  // namespace

void run_eval(const Config& config) {
    const std::string& data = config.text.data;
    if (data.empty()) usage_error("eval wants --data: a prepared folder, a text file, hellaswag or lambada");
    const bool is_hellaswag = data == "hellaswag", is_lambada = data == "lambada";
    // All that can be wrong comes before the model is loaded and anything is printed.
    std::vector<HellaSwagItem> hellaswag;
    std::vector<LambadaItem> lambada;
    if (is_hellaswag)
        hellaswag = read_hellaswag(need_data_file("hellaswag", "hellaswag_val.jsonl"), config.text.limit);
    if (is_lambada)
        lambada = read_lambada(need_data_file("lambada", "lambada_openai.jsonl"), config.text.limit);
    LoadedModel model = load_model(find_model(config.text.checkpoint), chosen_device(config));
    for (const std::string& heads : config.text.without_heads) remove_heads(*model.gpt, heads);
    if (config.text.weights == "int8") Int8Weights rounded(*model.gpt);  // the model's floats, too
    Context ctx(model.gpt->params.device());
    const Gpt& gpt = *model.gpt;
    if (is_hellaswag || is_lambada) {
        ProgressOptions options;
        options.total = int64_t(is_hellaswag ? hellaswag.size() : lambada.size());
        options.quiet = config.quiet;
        Progress progress(options);
        const auto done = [&](int64_t items) { progress.update(items, ""); };
        if (is_hellaswag) {
            const HellaSwagResult result = run_hellaswag(ctx, gpt, *model.bpe, hellaswag, done);
            progress.finish();
            print_hellaswag(result, config.json);
        } else {
            const LambadaResult result = run_lambada(ctx, gpt, *model.bpe, lambada, done);
            progress.finish();
            print_lambada(result, config.json);
        }
        return;
    }
    const Vocabulary& vocabulary = model.bpe->vocabulary();
    const std::vector<uint32_t> token_bytes = bytes_of_tokens(vocabulary);
    const int64_t rows = rows_at_once(gpt.config);
    if (folder_exists(data)) {
        const uint64_t hash = std::strtoull(vocabulary_hash(vocabulary).c_str() + 6, nullptr, 16);
        const TokenShards test =
            open_split(data, read_finished_manifest(data), Split::kTest, hash, vocabulary.size());
        const HeldOut sum = evaluate(ctx, gpt, test, token_bytes, rows, config.text.limit);
        print_held_out(sum, "test split of " + utf8::printable(data), config.json);
    } else {
        const std::string text = read_file(data, kMaxTextBytes);
        if (text.empty()) user_error("%s is empty", utf8::printable(data).c_str());
        const std::vector<int> ids = model.bpe->encode(text);
        print_held_out(evaluate_text(ctx, gpt, ids, model.end_of_text, token_bytes, rows, config.text.limit),
                       utf8::printable(data), config.json);
    }
}

}  // namespace small_gpt
