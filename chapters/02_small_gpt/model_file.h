// model_file.h - a trained model and all that is needed to use it, from one path: weights and options from the checkpoint,
// the vocabulary from the folder `vocab` beside it.
// A run's folder holds checkpoint.safetensors (the last state), best.safetensors (the lowest validation loss) and vocab/.
// The checkpoint knows its vocabulary by a hash of its tokens and merges, never by a path: a folder can be moved, and a
// vocabulary that was exchanged is refused.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "chapters/00_char_gpt/gpt.h"
#include "chapters/01_bpe/bpe.h"
#include "chapters/02_small_gpt/config.h"
#include "io/safetensors.h"

namespace small_gpt {

constexpr const char* kFormat = "gpt-from-scratch chapter02 1";  // `format` in a checkpoint's metadata
constexpr const char* kRuns = "runs/chapter02";
constexpr const char* kVocabFolder = "vocab";
constexpr const char* kBestName = "best.safetensors";
constexpr const char* kEndOfText = "<|endoftext|>";

// "xxh64:" and 16 digits: of pattern, tokens, merges and special tokens, not of the files' spelling or names.
std::string vocabulary_hash(const Vocabulary& vocabulary);

// The id of <|endoftext|>; user_error when the vocabulary has none. `where` names it in the message.
int end_of_text_id(const Vocabulary& vocabulary, const std::string& where);

struct LoadedModel {
    std::string path;                             // of the checkpoint
    std::map<std::string, std::string> metadata;  // of the checkpoint
    Config config;                                // the options that it was trained with
    std::unique_ptr<Bpe> bpe;
    int end_of_text = 0;
    int64_t step = 0;
    std::unique_ptr<Gpt> gpt;
};

// What a file says that has weights alone, no optimiser state: it can be used, not resumed.
Metadata weights_metadata(const Config& config, const std::string& vocabulary_hash, int64_t step);

// An earlier state of a run, in the run's folder: weights alone. Zeros in front, so that names sort as steps do.
std::string state_name(int64_t step);

// The states in the folder of `model` that are earlier than it, in the order of training. Those of another run, which a
// reused folder may have, are left out, and counted in `foreign`.
std::vector<std::string> earlier_states(const LoadedModel& model, size_t* foreign);

// The checkpoint that a verb reads: FILE, DIR/checkpoint.safetensors (the last step, whose numbers a run reports), or
// without a name the newest run's. The best step is a file to be named: DIR/best.safetensors.
std::string find_model(const std::string& path);

// Reads the model onto `device`. Errors: no checkpoint of this chapter's, a vocabulary that is missing or another.
LoadedModel load_model(const std::string& path, Device device);

// Writes folder/checkpoint.safetensors (weights alone, no optimiser state: it can be used, not resumed) and folder/vocab:
// for `import`.
void save_model(const std::string& folder, Gpt& gpt, const Config& config, const Vocabulary& vocabulary);

}  // namespace small_gpt
