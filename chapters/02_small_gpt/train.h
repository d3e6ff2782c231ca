// train.h - `train`: the story of a training run.
#pragma once
#include <string>
#include <vector>

#include "chapters/02_small_gpt/config.h"
#include "chapters/02_small_gpt/run_files.h"
#include "nn/adamw.h"

namespace small_gpt {

// Returns the exit code: 0, or 130 when Ctrl-C ended the run. command: what was typed, for the report.
int run_train(Config config, const std::vector<std::string>& given_flags, const std::string& command);

// What any training wants, find-lr's too: a window in each of the splits; memory for model and batch, or a refusal with the
// arithmetic; the optimiser that the options ask for.
void require_windows(const TrainingData& data, int64_t T, const std::vector<const TokenShards*>& splits);
void require_memory(const Config& config, const GptConfig& shape);
AdamWOptions optimizer_options(const Config& config);

}  // namespace small_gpt
