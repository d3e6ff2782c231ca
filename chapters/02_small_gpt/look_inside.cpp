// look_inside.cpp - see look_inside.h.
#include "chapters/02_small_gpt/look_inside.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace small_gpt {

namespace {

// Gpt::forward, block by block, with a look at what passes by. at_attention(layer, qkv, att) may change att, the heads'
// output (1,n,NH*HS); at_stream(block, x) sees the residual stream before the first block and behind each.
template <class AtAttention, class AtStream>
Tensor forward(Context& ctx, const Gpt& gpt, const std::vector<int>& ids, AtAttention at_attention,
               AtStream at_stream) {
    Tensor x = embedding(ctx, ctx.ids(ids.data(), {1, int64_t(ids.size())}), gpt.wte, gpt.wpe);  // (1,n,C)
    at_stream(0, x);
    for (int64_t l = 0; l < gpt.config.L; l++) {
        const GptBlock& block = gpt.h[size_t(l)];
        Tensor a = layernorm(ctx, x, block.ln_1);            // (1,n,C)
        Tensor qkv = linear(ctx, a, block.c_attn);           // (1,n,3*NH*HS)
        Tensor att = attention(ctx, qkv, gpt.config.NH, 0);  // (1,n,NH*HS)
        at_attention(l, qkv, att);
        x = linear_residual(ctx, att, block.attn_c_proj, x);  // (1,n,C)
        Tensor m = layernorm(ctx, x, block.ln_2);             // (1,n,C)
        x = mlp(ctx, m, block.c_fc, block.mlp_c_proj, gpt.config.activation, x);
        at_stream(l + 1, x);
    }
    return linear(ctx, layernorm(ctx, x, gpt.ln_f), gpt.lm_head);  // (1,n,V)
}

void check_input(const Gpt& gpt, const std::vector<int>& ids) {
    CHECK(gpt.params.device() == Device::kCpu, "[look_inside] wants a model on the CPU");
    CHECK(ids.size() >= 2 && int64_t(ids.size()) <= gpt.config.T, "[look_inside] %zu tokens, wants 2 to %lld",
          ids.size(), (long long)gpt.config.T);
}

// What the attention kernel weighs the values with, and keeps no trace of: computed again from its queries and keys.
std::vector<float> probabilities(const float* qkv, int64_t n, int64_t NH, int64_t HS, int64_t h) {
    std::vector<float> rows;
    std::vector<double> scores;
    const int64_t D = NH * HS;
    for (int64_t i = 0; i < n; i++) {
        const float* q = qkv + i * 3 * D + h * HS;
        scores.assign(size_t(i + 1), 0);
        for (int64_t j = 0; j <= i; j++) {
            const float* k = qkv + j * 3 * D + D + h * HS;
            for (int64_t d = 0; d < HS; d++) scores[size_t(j)] += double(q[d]) * double(k[d]);
            scores[size_t(j)] /= std::sqrt(double(HS));
        }
        const double max = *std::max_element(scores.begin(), scores.end());
        double sum = 0;
        for (double& s : scores) sum += s = std::exp(s - max);
        for (const double s : scores) rows.push_back(float(s / sum));
    }
    return rows;
}

std::vector<Guess> likeliest(const float* logits, int64_t V) {
    std::vector<int> ids(static_cast<size_t>(V));
    std::iota(ids.begin(), ids.end(), 0);
    const size_t count = std::min<size_t>(kGuesses, ids.size());
    std::partial_sort(ids.begin(), ids.begin() + int64_t(count), ids.end(), [&](int a, int b) {
        return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
    });
    double sum = 0;
    for (int64_t v = 0; v < V; v++) sum += std::exp(double(logits[v] - logits[ids[0]]));
    std::vector<Guess> guesses;
    for (size_t g = 0; g < count; g++)
        guesses.push_back({ids[g], float(std::exp(double(logits[ids[g]] - logits[ids[0]])) / sum)});
    return guesses;
}

// Of each token but the first.
std::vector<double> nats_of(Context& ctx, const Tensor& logits, const std::vector<int>& ids, int64_t V) {
    const int64_t n = int64_t(ids.size()) - 1;
    Tensor losses = ctx.make("losses", {n}, DType::kFloat32);
    Tensor targets = ctx.ids(ids.data() + 1, {n});
    DISPATCH(ctx, cross_entropy_forward, losses.ptr(), logits.ptr(), targets.ptr(), n, V);
    const std::vector<float> nats = floats_on_host(ctx.device, losses.ptr(), n);
    return {nats.begin(), nats.end()};
}

double mean(const std::vector<double>& x) {
    return std::accumulate(x.begin(), x.end(), 0.0) / double(x.size());
}

}  // namespace

double Inside::loss() const {
    return mean(nats);
}

Inside look_inside(Context& ctx, const Gpt& gpt, const std::vector<int>& ids) {
    check_input(gpt, ids);
    const NoGrad no_grad(ctx);
    const ArenaScope scope(ctx);
    const int64_t n = int64_t(ids.size()), V = gpt.config.V;
    Inside inside;
    inside.n = n;
    const auto at_attention = [&](int64_t, const Tensor& qkv, const Tensor&) {
        for (int64_t h = 0; h < gpt.config.NH; h++)
            inside.attention.push_back(probabilities(qkv.ptr(), n, gpt.config.NH, gpt.config.HS, h));
    };
    const auto at_stream = [&](int64_t, const Tensor& x) {
        const ArenaScope of_lens(ctx);
        Tensor logits = linear(ctx, layernorm(ctx, x, gpt.ln_f), gpt.lm_head);  // (1,n,V)
        const float* rows = logits.ptr();
        inside.lens.emplace_back();
        for (int64_t t = 0; t < n; t++) inside.lens.back().push_back(likeliest(rows + t * V, V));
    };
    inside.nats = nats_of(ctx, forward(ctx, gpt, ids, at_attention, at_stream), ids, V);
    return inside;
}

std::vector<double> ablate_heads(Context& ctx, const Gpt& gpt, const std::vector<int>& ids) {
    check_input(gpt, ids);
    const NoGrad no_grad(ctx);
    const int64_t NH = gpt.config.NH, HS = gpt.config.HS;
    const auto loss_without = [&](int64_t layer, int64_t head) {
        const ArenaScope scope(ctx);
        const auto silence = [&](int64_t l, const Tensor&, const Tensor& att) {
            if (l != layer) return;
            float* const out = att.ptr();
            for (size_t t = 0; t < ids.size(); t++)
                std::fill_n(out + (int64_t(t) * NH + head) * HS, HS, 0.0f);
        };
        const auto nothing = [](int64_t, const Tensor&) {};
        return mean(nats_of(ctx, forward(ctx, gpt, ids, silence, nothing), ids, gpt.config.V));
    };
    const double whole = loss_without(-1, 0);
    std::vector<double> changes;
    for (int64_t l = 0; l < gpt.config.L; l++)
        for (int64_t h = 0; h < NH; h++) changes.push_back(loss_without(l, h) - whole);
    return changes;
}

}  // namespace small_gpt
