// attention_verb.cpp - the verb attention: reads the states of a model and a prompt, writes the page.
#include <algorithm>
#include <cstdio>

#include "chapters/02_small_gpt/attention_page.h"
#include "chapters/02_small_gpt/model_file.h"
#include "chapters/02_small_gpt/verbs.h"
#include "io/file.h"
#include "io/html.h"

namespace small_gpt {

namespace {

constexpr size_t kMostTokens = 256;  // a page of more is no pleasure

// A token as text; one that holds a part of a character is shown by its bytes: \xe2.
std::vector<std::string> texts_of(const Bpe& bpe) {
    std::vector<std::string> texts;
    for (int id = 0; id < bpe.vocabulary().size(); id++) {
        const std::string bytes(bpe.bytes_of(id));
        bool is_whole = true;
        for (size_t at = 0; at < bytes.size();) is_whole &= utf8::decode_next(bytes, &at) != utf8::kInvalid;
        texts.push_back(is_whole ? bytes : utf8::printable(bytes));
    }
    return texts;
}

}  // namespace

AttentionReport attention_report(const std::string& checkpoint, std::vector<std::string> paths,
                                 const std::string& prompt) {
    if (paths.empty()) {
        size_t foreign = 0;
        paths = earlier_states(load_model(checkpoint, Device::kCpu), &foreign);
        if (foreign > 0)
            std::fprintf(stderr, "note: left out, for they are of another run: %zu states beside %s\n",
                         foreign, utf8::printable(checkpoint).c_str());
    }
    paths.push_back(checkpoint);
    AttentionReport report;
    std::string prompt_hash;
    Context ctx(Device::kCpu);
    for (size_t s = 0; s < paths.size(); s++) {
        const LoadedModel model = load_model(paths[s], Device::kCpu);
        const GptConfig& shape = model.gpt->config;
        const std::vector<int> ids = [&] {
            std::vector<int> all = model.bpe->encode(prompt);
            if (all.size() < 2) user_error("the prompt is a single token; attention wants two to look at");
            if (shape.T < 2) user_error("the model sees a single token; attention wants two to look at");
            const size_t most = std::min(kMostTokens, size_t(shape.T));
            if (all.size() > most) {
                if (s == 0)
                    std::fprintf(stderr, "note: the prompt has %zu tokens; the page shows the first %zu\n",
                                 all.size(), most);
                all.resize(most);
            }
            return all;
        }();
        const std::string hash = vocabulary_hash(model.bpe->vocabulary());
        if (s == 0) {
            prompt_hash = hash;
            report.layers = shape.L, report.heads = shape.NH;
            report.token_texts = texts_of(*model.bpe);
            for (const int id : ids) report.tokens.push_back(report.token_texts[size_t(id)]);
        } else if (hash != prompt_hash || shape.L != report.layers || shape.NH != report.heads ||
                   ids.size() != report.tokens.size()) {
            user_error("%s is no state of the same model as %s", utf8::printable(model.path).c_str(),
                       utf8::printable(paths[0]).c_str());
        }
        AttentionState state;
        state.name = format("step %lld", (long long)model.step);
        state.inside = look_inside(ctx, *model.gpt, ids);
        state.ablation = ablate_heads(ctx, *model.gpt, ids);
        report.states.push_back(std::move(state));
    }
    report.title = "Where the heads look";
    report.model = checkpoint;
    return report;
}

void run_attention(const Config& config) {
    const TextOptions& options = config.text;
    if (options.out.empty()) usage_error("attention wants --out FILE.html, the page to write");
    if (!options.has_prompt || options.prompt.empty())
        usage_error("attention wants --prompt, the text to look at");
    std::vector<std::string> states = options.states;
    for (std::string& path : states) path = find_model(path);
    const AttentionReport report = attention_report(find_model(options.checkpoint), states, options.prompt);
    PageSelection selection;
    const std::string page = fitting_attention_page(report, &selection);
    if (!selection.left_out.empty()) std::fprintf(stderr, "note: %s\n", selection.left_out.c_str());
    write_file_atomically(options.out, page);
    if (config.json)
        std::printf("{\"page\": %s, \"bytes\": %zu, \"tokens\": %zu, \"loss\": %.9g}\n",
                    html::json_string(options.out).c_str(), page.size(), report.tokens.size(),
                    report.states.back().inside.loss());
    else
        std::printf("%s: %zu tokens, %lld layers of %lld heads, %zu bytes\n",
                    utf8::printable(options.out).c_str(), report.tokens.size(), (long long)report.layers,
                    (long long)report.heads, page.size());
}

}  // namespace small_gpt
