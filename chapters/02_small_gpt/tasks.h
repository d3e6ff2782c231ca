// tasks.h - two benchmarks that a model answers by what it finds likely: HellaSwag (which of four endings goes on best)
// and LAMBADA (the last word of a passage).
// Not here: held-out loss (evaluate.h); the verb (eval.cpp).
// Source: Zellers et al. 2019; Paperno et al. 2016, in the form that GPT-2's authors made of it.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "chapters/00_char_gpt/gpt.h"
#include "chapters/01_bpe/bpe.h"

namespace small_gpt {

// ---- likelihood of a continuation -----------------------------------------------------------------------------------

struct Passage {
    std::vector<int> context, continuation;  // neither is empty
};

struct Likelihood {
    double nats = 0;  // -log p(continuation | context), all of its tokens together
    int64_t tokens =
        0;  // of the continuation that were scored: all, unless it is longer than the model's context
    bool is_likeliest = true;  // each token was the likeliest in its place
    std::vector<double> nats_of_tokens;
};

// Of all passages, in one batch. A passage longer than the model's context loses tokens at its beginning.
std::vector<Likelihood> likelihoods(Context& ctx, const Gpt& gpt, const std::vector<Passage>& passages);

// ---- the tasks ------------------------------------------------------------------------------------------------------

struct HellaSwagItem {
    std::string context;
    std::vector<std::string> endings;
    int label = 0;  // the right one
};

struct LambadaItem {
    std::string context, word;
};

// JSON lines, the first `limit` of them (0: all). Errors name the line: no JSON, a missing field, no such ending.
//   HellaSwag  {"ctx": text, "label": number, "endings": [texts]}, other fields ignored
//   LAMBADA    {"context": text, "continuation": word} or {"text": all of it}, whose last word is the question
std::vector<HellaSwagItem> read_hellaswag(const std::string& path, int64_t limit);
std::vector<LambadaItem> read_lambada(const std::string& path, int64_t limit);

// A share of n items, and the standard error of such a share.
struct Share {
    int64_t right = 0, n = 0;
    double value() const { return double(right) / double(n); }
    double standard_error() const;
};

// An ending is scored behind its context and a blank. Three rules to choose one of them by: the whole ending's
// likelihood, that per token, and that per byte of the ending. The second is the one to compare with.
struct HellaSwagResult {
    Share by_sum, by_token, by_byte;
};

struct LambadaResult {
    Share accuracy;             // the word's tokens were each the likeliest
    double nats = 0;            // of the word's tokens together, mean over items
    double nats_error = 0;      // its standard error
    double perplexity() const;  // of the word, whatever the number of its tokens
};

// done(items so far) is called after each.
HellaSwagResult run_hellaswag(Context& ctx, const Gpt& gpt, const Bpe& bpe,
                              const std::vector<HellaSwagItem>& items,
                              const std::function<void(int64_t)>& done);
LambadaResult run_lambada(Context& ctx, const Gpt& gpt, const Bpe& bpe, const std::vector<LambadaItem>& items,
                          const std::function<void(int64_t)>& done);

}  // namespace small_gpt
