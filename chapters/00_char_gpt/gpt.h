// gpt.h - THE model: GPT-2's decoder, pre-LayerNorm, learned positions. Chapters 02 to 04 include this file.
// Not here: the loss's use (main.cpp), generation with a KV cache (chapter 02), the backward pass (each op's
// own).
// Source: Radford et al. 2019; names as in GPT-2's published weights. Weights are (out, in) as in nn.Linear;
// GPT-2's own files store c_attn, c_proj and c_fc transposed, (in, out).
#pragma once
#include <cmath>
#include <string>
#include <vector>

#include "nn/init.h"
#include "nn/parameters.h"
#include "ops/ops.h"

enum class Init { kGpt2, kNormal, kPytorch };

struct GptConfig {
    int64_t V = 65;          // vocabulary
    int64_t T = 64;          // context
    int64_t L = 4;           // layers
    int64_t NH = 4;          // heads
    int64_t HS = 32;         // head size; NH*HS may differ from C
    int64_t C = 128;         // channels
    bool tied = true;        // lm_head shares wte's weight
    bool qkv_bias = true;    // c_attn has a bias
    bool head_bias = false;  // lm_head has a bias (untied only)
    Activation activation = Activation::kGelu;
    float dropout = 0;  // of embeddings, attention probabilities and both residual branches
};

struct GptBlock {
    LayerNorm ln_1;
    Linear c_attn;       // (3*NH*HS, C): queries, keys, values
    Linear attn_c_proj;  // (C, NH*HS)
    LayerNorm ln_2;
    Linear c_fc;        // (4*C, C)
    Linear mlp_c_proj;  // (C, 4*C)
};

class Gpt {
  public:
    Gpt(Device device, const GptConfig& config) : config(config), params(device) {
        const int64_t C = config.C, D = config.NH * config.HS;
        h.resize(size_t(config.L));
        params.declare("wte.weight", {config.V, C}, &wte);
        params.declare("wpe.weight", {config.T, C}, &wpe);
        for (int64_t l = 0; l < config.L; l++) {
            const std::string block = "h." + std::to_string(l) + ".";
            GptBlock& b = h[size_t(l)];
            declare(block + "ln_1", b.ln_1);
            declare(block + "attn.c_attn", b.c_attn, 3 * D, C, config.qkv_bias);
            declare(block + "attn.c_proj", b.attn_c_proj, C, D, true);
            declare(block + "ln_2", b.ln_2);
            declare(block + "mlp.c_fc", b.c_fc, 4 * C, C, true);
            declare(block + "mlp.c_proj", b.mlp_c_proj, C, 4 * C, true);
        }
        declare("ln_f", ln_f);
        if (!config.tied) declare("lm_head", lm_head, config.V, C, config.head_bias);
        params.allocate();
        if (config.tied) lm_head.weight = wte;
    }

    // (B,T) ids -> (B,T,V) logits.
    Tensor forward(Context& ctx, const Tensor& ids) const {
        const float p = config.dropout;
        Tensor x = embedding(ctx, ids, wte, wpe);  // (B,T,C)
        x = dropout(ctx, x, p);
        for (const GptBlock& b : h) {
            Tensor a = layernorm(ctx, x, b.ln_1);                // (B,T,C)
            Tensor qkv = linear(ctx, a, b.c_attn);               // (B,T,3*NH*HS)
            Tensor att = attention(ctx, qkv, config.NH, p);      // (B,T,NH*HS)
            auto [y, m] = project_add_and_norm(ctx, att, b, x);  // (B,T,C) both: x + projection, its ln_2
            x = mlp_and_add(ctx, m, b, y);                       // (B,T,C)
        }
        x = layernorm(ctx, x, ln_f);     // (B,T,C)
        return linear(ctx, x, lm_head);  // (B,T,V)
    }

    // kGpt2: normal 0.02, the two projections into the residual stream 0.02 / sqrt(2L), biases 0 (Radford et
    // al. 2019, section 2.3). kNormal: the same without the scaling. kPytorch: what nn.Linear, nn.Embedding
    // and nn.LayerNorm do when nobody asks: uniform +-1/sqrt(in) for weights and biases, normal 1 for
    // embeddings.
    void init(Init how, uint64_t seed) {
        const float std = 0.02f;
        const float projection_std = how == Init::kGpt2 ? std / std::sqrt(2.0f * float(config.L)) : std;
        fill_normal(params, wte, how == Init::kPytorch ? 1.0f : std, seed);
        fill_normal(params, wpe, how == Init::kPytorch ? 1.0f : std, seed);
        for (const GptBlock& b : h) {
            init(b.ln_1);
            init(b.c_attn, how, std, seed);
            init(b.attn_c_proj, how, projection_std, seed);
            init(b.ln_2);
            init(b.c_fc, how, std, seed);
            init(b.mlp_c_proj, how, projection_std, seed);
        }
        init(ln_f);
        if (!config.tied) init(lm_head, how, std, seed);
    }

    const GptConfig config;
    Parameters params;
    Tensor wte, wpe;  // (V,C), (T,C)
    std::vector<GptBlock> h;
    LayerNorm ln_f;
    Linear lm_head;

  private:
    void declare(const std::string& name, LayerNorm& ln) {
        params.declare(name + ".weight", {config.C}, &ln.weight);
        params.declare(name + ".bias", {config.C}, &ln.bias);
    }
    void declare(const std::string& name, Linear& w, int64_t OC, int64_t IC, bool bias) {
        params.declare(name + ".weight", {OC, IC}, &w.weight);
        if (bias) params.declare(name + ".bias", {OC}, &w.bias);
    }

    void init(const LayerNorm& ln) {
        fill(params, ln.weight, 1.0f);
        fill(params, ln.bias, 0.0f);
    }
    void init(const Linear& w, Init how, float std, uint64_t seed) {
        const float bound = 1.0f / std::sqrt(float(w.weight.last()));
        if (how == Init::kPytorch)
            fill_uniform(params, w.weight, bound, seed);
        else
            fill_normal(params, w.weight, std, seed);
        if (w.bias.is_null()) return;
        if (how == Init::kPytorch)
            fill_uniform(params, w.bias, bound, seed);
        else
            fill(params, w.bias, 0.0f);
    }

    // Without dropout the projection and the addition are one kernel, with it the addition and the LayerNorm:
    // ops/add_layernorm.cpp counts why.
    SumAndNorm project_add_and_norm(Context& ctx, const Tensor& att, const GptBlock& b,
                                    const Tensor& residual) const {
        if (config.dropout > 0 && ctx.is_recording)
            return add_layernorm(ctx, residual, linear(ctx, att, b.attn_c_proj), b.ln_2, config.dropout);
        Tensor sum = linear_residual(ctx, att, b.attn_c_proj, residual);
        return {sum, layernorm(ctx, sum, b.ln_2)};
    }
    // What reads this sum is the next block's LayerNorm, or ln_f: not fused, as a block would have to know its
    // successor.
    Tensor mlp_and_add(Context& ctx, const Tensor& x, const GptBlock& b, const Tensor& residual) const {
        if (config.dropout == 0 || !ctx.is_recording)
            return mlp(ctx, x, b.c_fc, b.mlp_c_proj, config.activation, residual);
        Tensor y = mlp(ctx, x, b.c_fc, b.mlp_c_proj, config.activation, Tensor{});
        return add(ctx, residual, dropout(ctx, y, config.dropout));
    }
};
