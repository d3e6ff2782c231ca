// prepare.h - `prepare`: documents become shards of tokens, in three splits.
// Not here: reading the files (document_source.h), the lines (json_document.h), the shards (shards.h).
#pragma once
#include <string>

#include "chapters/02_small_gpt/config.h"
#include "chapters/02_small_gpt/shards.h"

namespace small_gpt {

// Which split a document belongs to: a function of its bytes alone. So the same document is in the same split of every
// corpus, one that is there twice is never trained on and held out, and adding documents moves none.
Split split_of(const std::string& text, int64_t validation_percent, int64_t test_percent);

void run_prepare(const Config& config);

// The prepared folder that `train` reads when nobody names one: the preset's vocabulary on the default corpus, prepared
// now if it is not there.
std::string prepare_default(const Config& config);

}  // namespace small_gpt
