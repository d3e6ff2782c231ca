// train.h - `train`: the story of a training run.
#pragma once
#include <string>
#include <vector>

#include "chapters/02_small_gpt/config.h"

namespace small_gpt {

// Returns the exit code: 0, or 130 when Ctrl-C ended the run. command: what was typed, for the report.
int run_train(Config config, const std::vector<std::string>& given_flags, const std::string& command);

}  // namespace small_gpt
