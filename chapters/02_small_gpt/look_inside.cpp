// look_inside.cpp - see look_inside.h.
#include "chapters/02_small_gpt/look_inside.h"

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "core/check.h"
#include "io/utf8.h"

namespace small_gpt {

namespace {

Tensor embed(Context& ctx, const Gpt& gpt, const std::vector<int>& ids) {
    return embedding(ctx, ctx.ids(ids.data(), {1, int64_t(ids.size())}), gpt.wte, gpt.wpe);  // (1,n,C)
}

// Gpt::forward from block `first` on, with a look at what passes by. at_attention(layer, qkv, att) may change att, the
// heads' output (1,n,NH*HS); at_stream(block, x) sees the residual stream x (1,n,C) before `first` and behind each block.
template <class AtAttention, class AtStream>
Tensor forward(Context& ctx, const Gpt& gpt, Tensor x, int64_t first, AtAttention at_attention,
               AtStream at_stream) {
    at_stream(first, x);
    for (int64_t l = first; l < gpt.config.L; l++) {
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

// A map for each head of a layer, from the attention kernel itself. It keeps no weights, but tells them when asked with
// values that are unit vectors: where token j has the value e_d, channel d of a row's output is the row's weight of token
// j. HS channels ask for HS tokens at a time.
void add_maps(Context& ctx, const Tensor& qkv, int64_t NH, std::vector<std::vector<float>>* maps) {
    const int64_t n = qkv.shape[1], D = qkv.shape[2] / 3, HS = D / NH;
    const size_t first_map = maps->size();
    maps->resize(first_map + size_t(NH), std::vector<float>(size_t(n * (n + 1) / 2)));
    const ArenaScope scope(ctx);
    Tensor asking = ctx.make("asking", {1, n, 3 * D});  // queries and keys as they are
    float* const rows = asking.ptr();
    std::copy_n(static_cast<const float*>(qkv.ptr()), n * 3 * D, rows);
    for (int64_t first = 0; first < n; first += HS) {
        for (int64_t j = 0; j < n; j++)
            for (int64_t c = 0; c < D; c++) rows[j * 3 * D + 2 * D + c] = j - first == c % HS ? 1.0f : 0.0f;
        const ArenaScope of_answer(ctx);
        const Tensor answer = attention(ctx, asking, NH, 0);  // (1,n,NH*HS)
        const float* const out = answer.ptr();
        for (int64_t h = 0; h < NH; h++)
            for (int64_t i = 0; i < n; i++)
                for (int64_t j = first; j < std::min(n, first + HS); j++) {
                    const float weight = out[i * D + h * HS + j - first];
                    if (j <= i)
                        (*maps)[first_map + size_t(h)][size_t(i * (i + 1) / 2 + j)] = weight;
                    else
                        CHECK(weight == 0, "[look_inside] token %lld looks at the later token %lld",
                              (long long)i, (long long)j);
                }
    }
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
        add_maps(ctx, qkv, gpt.config.NH, &inside.attention);
    };
    const auto at_stream = [&](int64_t, const Tensor& x) {
        const ArenaScope of_lens(ctx);
        Tensor logits = linear(ctx, layernorm(ctx, x, gpt.ln_f), gpt.lm_head);  // (1,n,V)
        const float* rows = logits.ptr();
        inside.lens.emplace_back();
        for (int64_t t = 0; t < n; t++) inside.lens.back().push_back(likeliest(rows + t * V, V));
    };
    inside.nats = nats_of(ctx, forward(ctx, gpt, embed(ctx, gpt, ids), 0, at_attention, at_stream), ids, V);
    return inside;
}

Ablation ablate_heads(Context& ctx, const Gpt& gpt, const std::vector<int>& ids) {
    check_input(gpt, ids);
    const NoGrad no_grad(ctx);
    const ArenaScope scope(ctx);
    const int64_t L = gpt.config.L, NH = gpt.config.NH, HS = gpt.config.HS;
    // What goes into each block: a head's loss wants no earlier block again.
    std::vector<Tensor> streams;  // L + 1 of (1,n,C)
    const auto nothing = [](int64_t, const Tensor&, const Tensor&) {};
    const auto keep = [&](int64_t, const Tensor& x) { streams.push_back(x); };
    const double whole =
        mean(nats_of(ctx, forward(ctx, gpt, embed(ctx, gpt, ids), 0, nothing, keep), ids, gpt.config.V));
    // The change when heads [head, head + count) of layers [layer, last) say nothing.
    const auto change_without = [&](int64_t layer, int64_t last, int64_t head, int64_t count) {
        const ArenaScope of_run(ctx);
        const auto silence = [&](int64_t l, const Tensor&, const Tensor& att) {
            if (l >= last) return;
            float* const out = att.ptr();
            for (size_t t = 0; t < ids.size(); t++)
                std::fill_n(out + (int64_t(t) * NH + head) * HS, count * HS, 0.0f);
        };
        const auto pass = [](int64_t, const Tensor&) {};
        const Tensor logits = forward(ctx, gpt, streams[size_t(layer)], layer, silence, pass);
        return mean(nats_of(ctx, logits, ids, gpt.config.V)) - whole;
    };
    Ablation ablation;
    for (int64_t l = 0; l < L; l++) {
        for (int64_t h = 0; h < NH; h++) ablation.heads.push_back(change_without(l, l + 1, h, 1));
        ablation.layers.push_back(change_without(l, l + 1, 0, NH));
    }
    ablation.all = change_without(0, L, 0, NH);
    return ablation;
}

void remove_heads(Gpt& gpt, const std::string& which) {
    const int64_t L = gpt.config.L, NH = gpt.config.NH, HS = gpt.config.HS, D = NH * HS;
    int64_t layer = 0, head = 0;
    int read = 0;  // of the word, by the last %n that was reached
    const int numbers =
        std::sscanf(which.c_str(), "%4" SCNd64 "%n.%4" SCNd64 "%n", &layer, &read, &head, &read);
    const bool is_all = which == "all", is_layer = numbers == 1, is_head = numbers == 2;
    const bool is_word = is_all || ((is_layer || is_head) && read == int(which.size()));
    if (!is_word || layer < 0 || layer >= L || head < 0 || head >= NH)
        usage_error(
            "--without-heads %s: say all, a layer from 0 to %lld, or LAYER.HEAD with a head from 0 to %lld",
            utf8::printable(which).c_str(), static_cast<long long>(L - 1), static_cast<long long>(NH - 1));
    for (int64_t l = is_all ? 0 : layer; l < (is_all ? L : layer + 1); l++) {
        const Tensor& weight = gpt.h[size_t(l)].attn_c_proj.weight;  // (C, NH*HS)
        std::vector<float> rows = floats_on_host(gpt.params.device(), weight.ptr(), weight.numel());
        for (int64_t c = 0; c < gpt.config.C; c++)
            std::fill_n(rows.begin() + c * D + (is_head ? head * HS : 0), is_head ? HS : D, 0.0f);
        gpt.params.set(weight, rows);
    }
}

}  // namespace small_gpt
