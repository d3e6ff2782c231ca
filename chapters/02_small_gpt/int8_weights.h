// int8_weights.h - the matrices of a model in 8 bits, so that it writes faster: a token waits for all weights to come from
// memory, and these are a quarter of the bytes.
// Not here: how a weight is rounded (ops/int8_weight.cpp); who reads the codes (generate.h).
#pragma once
#include <deque>

#include "chapters/00_char_gpt/gpt.h"

namespace small_gpt {

struct Int8Weights {
    struct Block {
        Int8Weight c_attn, attn_c_proj, c_fc, mlp_c_proj;

        explicit Block(const GptBlock& b)
            : c_attn(b.c_attn.weight),
              attn_c_proj(b.attn_c_proj.weight),
              c_fc(b.c_fc.weight),
              mlp_c_proj(b.mlp_c_proj.weight) {}
    };
    std::deque<Block> h;
    Int8Weight lm_head;

    // Rounds the weights of `gpt`, too, to what the codes stand for: whichever of them a product reads, it is the same model.
    // (A GPU that stores bfloat16 rounds its own once more, to 8 significant bits.) Embeddings stay as they are, but for one
    // that lm_head shares.
    explicit Int8Weights(Gpt& gpt) : lm_head(gpt.lm_head.weight) {
        gpt.params.set(gpt.lm_head.weight, lm_head.floats());
        for (const GptBlock& block : gpt.h) {
            const Block& codes = h.emplace_back(block);
            gpt.params.set(block.c_attn.weight, codes.c_attn.floats());
            gpt.params.set(block.attn_c_proj.weight, codes.attn_c_proj.floats());
            gpt.params.set(block.c_fc.weight, codes.c_fc.floats());
            gpt.params.set(block.mlp_c_proj.weight, codes.mlp_c_proj.floats());
        }
    }
};

}  // namespace small_gpt
