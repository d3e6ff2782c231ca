// attention_page.h - one page that shows where a model's heads look in a text: all of them as maps, one at a time by
// token, over training, what each is worth, and what the model would say after each block. It needs no network.
// Not here: the numbers (look_inside.h).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "chapters/02_small_gpt/look_inside.h"

namespace small_gpt {

// One state of the model.
struct AttentionState {
    std::string name;  // "step 500"
    Inside inside;
    Ablation ablation;
};

struct AttentionReport {
    std::string title;
    std::string model;                     // which one, for people
    std::vector<std::string> tokens;       // of the prompt, as text
    std::vector<std::string> token_texts;  // by id: for the guesses
    int64_t layers = 0, heads = 0;
    std::vector<AttentionState> states;  // in the order of training
};

// What the model in `checkpoint` and its earlier states in `paths` do with a text; no paths: the states that the run kept.
AttentionReport attention_report(const std::string& checkpoint, std::vector<std::string> paths,
                                 const std::string& prompt);

// A map's lower triangle as 16-bit numbers, probability * 65535 rounded, little-endian, in base64.
std::string encode_map(const std::vector<float>& rows);

constexpr int64_t kPageBytes = 10'000'000;  // at most

// Of which states, layers and heads a page holds the maps: first to last, evenly spread where not all fit into `bytes`.
struct PageSelection {
    std::vector<int64_t> states, layers, heads;
    std::string left_out;  // for people; empty: nothing
};
PageSelection select_maps(int64_t tokens, int64_t states, int64_t layers, int64_t heads, int64_t bytes);

std::string attention_page(const AttentionReport& report, const PageSelection& selection);

// The page with as many maps as its size allows.
std::string fitting_attention_page(const AttentionReport& report, PageSelection* selection);

}  // namespace small_gpt
