// look_inside.h - what a model does with one text: where each head looks, what would be said if the model ended after
// each block, and what each head is worth.
// Not here: the page that shows it (attention_page.h).
// Source: the logit lens is nostalgebraist's, 2020; ablation of single heads: Michel, Levy, Neubig 2019.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "chapters/00_char_gpt/gpt.h"

namespace small_gpt {

struct Guess {
    int id;
    float probability;
};

struct Inside {
    int64_t n = 0;  // tokens
    std::vector<std::vector<float>>
        attention;  // [layer * NH + head]: rows i of i + 1 weights, one behind the other, as the kernel weighs
    // [block][position]: the likeliest next tokens if the model ended there, through its own last LayerNorm and output
    // layer; block 0 is the embedding, before any block.
    std::vector<std::vector<std::vector<Guess>>> lens;
    std::vector<double> nats;  // of each token but the first
    double loss() const;       // their mean
};

constexpr int kGuesses = 5;

// ids: at least two, at most the context. The model is on the CPU, whose memory is read between the kernels.
Inside look_inside(Context& ctx, const Gpt& gpt, const std::vector<int>& ids);

// How much the mean loss of the text grows, nats per token, when outputs of heads are zero.
struct Ablation {
    std::vector<double> heads;   // [layer * NH + head]: that of one head
    std::vector<double> layers;  // of all heads of a layer
    double all = 0;              // of all heads: no token knows of another
};
Ablation ablate_heads(Context& ctx, const Gpt& gpt, const std::vector<int>& ids);

// Takes heads out of a model for good, so that everything else can be asked of what is left: what attn.c_proj reads of them is
// multiplied by zeros from here on.
//   which  "all", a layer ("0") or a head of one ("0.3"); any other word, or one that the model lacks, is refused
void remove_heads(Gpt& gpt, const std::string& which);

}  // namespace small_gpt
