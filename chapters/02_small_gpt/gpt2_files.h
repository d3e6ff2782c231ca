// gpt2_files.h - the files in which other programs keep a GPT-2: config.json, model.safetensors, vocab.json and
// merges.txt, as transformers' GPT2LMHeadModel and GPT2TokenizerFast read and write them. GPT-2's own are of this form.
// What differs from ours: every name begins with "transformer." (older files: with nothing), and c_attn, c_proj and c_fc
// are transposed, (in, out), as the layers of the original program kept them.
// Not here: a checkpoint that training can go on from (model_file.h); pytorch_model.bin, which is a program in disguise.
#pragma once
#include <memory>
#include <string>

#include "chapters/00_char_gpt/gpt.h"
#include "chapters/01_bpe/vocabulary.h"
#include "chapters/02_small_gpt/config.h"

namespace small_gpt {

constexpr const char* kWeightsName = "model.safetensors";
constexpr const char* kConfigName = "config.json";

// Writes the four files (and tokenizer_config.json) into `folder`, which is made if it is not there. Refused, with the
// reason, is what the format has no word for: heads whose width is not channels / heads, a bias of the output layer,
// another split into pieces than GPT-2's.
void write_gpt2_files(const std::string& folder, const Gpt& gpt, const Vocabulary& vocabulary);

struct Gpt2Files {
    Config config;  // the model's shape as options of ours
    Vocabulary vocabulary;
    std::unique_ptr<Gpt> gpt;  // on the CPU
};

// Reads them. Errors: a missing file, JSON that is none, another architecture or one of its variants that we do not
// compute, sizes that the weights' file does not have.
Gpt2Files read_gpt2_files(const std::string& folder);

}  // namespace small_gpt
