// tasks.cpp - see tasks.h.
#include "chapters/02_small_gpt/tasks.h"

#include <algorithm>
#include <cmath>

namespace small_gpt {

// ---- likelihood of a continuation -----------------------------------------------------------------------------------

std::vector<Likelihood> likelihoods(Context& ctx, const Gpt& gpt, const std::vector<Passage>& passages) {
    // A row of inputs is all of a passage but its last token, a row of targets all but its first, of which only those of
    // the continuation count.
    const int64_t B = int64_t(passages.size()), V = gpt.config.V;
    int64_t T = 0;
    for (const Passage& passage : passages) {
        CHECK(!passage.context.empty() && !passage.continuation.empty(),
              "[likelihoods] context and continuation want a token each");
        T = std::max(T, int64_t(passage.context.size() + passage.continuation.size()) - 1);
    }
    T = std::min(T, gpt.config.T);
    std::vector<int> inputs(size_t(B * T), 0), targets(size_t(B * T), kIgnore);
    for (int64_t b = 0; b < B; b++) {
        const Passage& passage = passages[size_t(b)];
        std::vector<int> ids = passage.context;
        ids.insert(ids.end(), passage.continuation.begin(), passage.continuation.end());
        const int64_t n = std::min(int64_t(ids.size()) - 1, T), first = int64_t(ids.size()) - 1 - n;
        const int64_t scored = std::min(n, int64_t(passage.continuation.size()));
        for (int64_t t = 0; t < n; t++) inputs[size_t(b * T + t)] = ids[size_t(first + t)];
        for (int64_t t = n - scored; t < n; t++) targets[size_t(b * T + t)] = ids[size_t(first + t + 1)];
    }

    const NoGrad no_grad(ctx);
    const ArenaScope scope(ctx);
    Tensor logits = gpt.forward(ctx, ctx.ids(inputs.data(), {B, T}));  // (B,T,V)
    Tensor losses = ctx.make("losses", {B * T}, DType::kFloat32);
    Tensor wanted = ctx.ids(targets.data(), {B * T});
    DISPATCH(ctx, cross_entropy_forward, losses.ptr(), logits.ptr(), wanted.ptr(), B * T, V);
    const std::vector<float> nats = floats_on_host(ctx.device, losses.ptr(), B * T);
    std::vector<Likelihood> result(passages.size());
    for (int64_t row = 0; row < B * T; row++) {
        const int target = targets[size_t(row)];
        if (target == kIgnore) continue;
        Likelihood& likelihood = result[size_t(row / T)];
        likelihood.tokens++;
        likelihood.nats += double(nats[size_t(row)]);
        likelihood.nats_of_tokens.push_back(double(nats[size_t(row)]));
        const std::vector<float> row_logits = floats_on_host(ctx.device, logits.ptr().at(row * V), V);
        likelihood.is_likeliest &=
            std::max_element(row_logits.begin(), row_logits.end()) - row_logits.begin() == target;
    }
    return result;
}

// ---- the tasks ------------------------------------------------------------------------------------------------------

double Share::standard_error() const {
    return n > 1 ? std::sqrt(value() * (1 - value()) / double(n - 1)) : 0;
}

double LambadaResult::perplexity() const {
    return std::exp(nats);
}

HellaSwagResult run_hellaswag(Context& ctx, const Gpt& gpt, const Bpe& bpe,
                              const std::vector<HellaSwagItem>& items,
                              const std::function<void(int64_t)>& done) {
    HellaSwagResult result;
    for (const HellaSwagItem& item : items) {
        std::vector<Passage> passages;
        for (const std::string& ending : item.endings)
            passages.push_back({bpe.encode(item.context), bpe.encode(" " + ending)});
        const std::vector<Likelihood> found = likelihoods(ctx, gpt, passages);
        const auto chosen = [&](auto cost) {  // the cheapest; of equals the first
            int best = 0;
            for (int i = 1; i < int(found.size()); i++)
                if (cost(i) < cost(best)) best = i;
            return best;
        };
        const auto nats = [&](int i) { return found[size_t(i)].nats; };
        const auto count = [&](Share* share, int choice) {
            share->n++, share->right += choice == item.label;
        };
        count(&result.by_sum, chosen(nats));
        count(&result.by_token, chosen([&](int i) { return nats(i) / double(found[size_t(i)].tokens); }));
        count(&result.by_byte,
              chosen([&](int i) { return nats(i) / double(item.endings[size_t(i)].size()); }));
        done(result.by_sum.n);
    }
    return result;
}

LambadaResult run_lambada(Context& ctx, const Gpt& gpt, const Bpe& bpe, const std::vector<LambadaItem>& items,
                          const std::function<void(int64_t)>& done) {
    LambadaResult result;
    std::vector<double> nats;
    for (const LambadaItem& item : items) {
        const Likelihood word =
            likelihoods(ctx, gpt, {{bpe.encode(item.context), bpe.encode(" " + item.word)}})[0];
        nats.push_back(word.nats);
        result.accuracy.n++;
        result.accuracy.right += word.is_likeliest;
        done(result.accuracy.n);
    }
    for (const double x : nats) result.nats += x / double(nats.size());
    double squares = 0;
    for (const double x : nats) squares += (x - result.nats) * (x - result.nats);
    const double n = double(nats.size());
    result.nats_error = nats.size() > 1 ? std::sqrt(squares / (n - 1) / n) : 0;
    return result;
}

}  // namespace small_gpt
