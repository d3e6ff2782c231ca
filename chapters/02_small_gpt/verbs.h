// verbs.h - what the program can do besides preparing data and training.
#pragma once
#include "chapters/02_small_gpt/config.h"

namespace small_gpt {

void run_eval(const Config& config);
void run_sample(const Config& config);
void run_attention(const Config& config);
void run_memorize(const Config& config);
void run_export(const Config& config);
void run_import(const Config& config);

}  // namespace small_gpt
