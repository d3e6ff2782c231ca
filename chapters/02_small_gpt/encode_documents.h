// encode_documents.h - the documents of the sources as ids, split by split: parsed and encoded on all threads, handed on in
// their order.
// Not here: reading the files (document_source.h), a line of them (json_document.h), what becomes of the ids (prepare.cpp).
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "chapters/01_bpe/bpe.h"
#include "chapters/02_small_gpt/config.h"
#include "chapters/02_small_gpt/document_source.h"
#include "chapters/02_small_gpt/shards.h"
#include "core/check.h"

namespace small_gpt {

// Which split a document belongs to: a function of its bytes alone. So the same document is in the same split of every
// corpus, one that is there twice is never trained on and held out, and adding documents moves none.
Split split_of(const std::string& text, int64_t validation_percent, int64_t test_percent);

struct LineProblem {
    int64_t line = 0;  // of the stretch, from 0
    std::string what;
};

// Calls visit(text) for each document of `bytes`, in their order, and returns how many lines there are (0 where the text is
// not in lines). Lines that hold no document go to `problems`.
int64_t for_each_document(std::string_view bytes, bool is_lines, const std::string& key,
                          std::vector<LineProblem>* problems,
                          const std::function<void(const std::string& text)>& visit);

struct EncodedDocuments {
    std::string ids;  // id_bytes_for(vocabulary) each; <|endoftext|> behind each document
    int64_t documents = 0, text_bytes = 0, tokens = 0;
};

// What a stretch of a block became: whole lines for one thread at a time, or a whole text.
struct EncodedStretch {
    EncodedDocuments splits[kSplits];
    std::vector<LineProblem> problems;
    int64_t lines = 0;
    const SourceBlock* block = nullptr;
    bool is_last = false;  // of its block
};

// Encodes what the source still has. join() is called for every stretch in its order, one at a time, from whichever thread
// has just encoded. Returns what failed, if anything did: of several errors the one in join(), then the source's.
std::optional<BackgroundFailure> encode_documents(DocumentSource* source, const Bpe& bpe,
                                                  const Config& config,
                                                  const std::function<void(EncodedStretch* stretch)>& join);

}  // namespace small_gpt
