// prepare.h - `prepare`: documents become shards of tokens, in three splits.
// Not here: reading the files (document_source.h), documents to ids (encode_documents.h), the shards (shards.h).
#pragma once
#include <string>

#include "chapters/02_small_gpt/config.h"

namespace small_gpt {

void run_prepare(const Config& config);

// The prepared folder that `train` reads when nobody names one: the preset's vocabulary on the default corpus, prepared
// now if it is not there.
std::string prepare_default(const Config& config);

}  // namespace small_gpt
