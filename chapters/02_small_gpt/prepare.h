// prepare.h - `prepare`: documents become shards of tokens.
#pragma once
#include "chapters/02_small_gpt/config.h"

namespace small_gpt {

void run_prepare(const Config& config);

}  // namespace small_gpt
