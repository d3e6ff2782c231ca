// id_formats.h - lists of ids as they leave and enter the program: decimal text, or numbers of 2 or 4 bytes.
// Not here: text (bpe.h).
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "chapters/01_bpe/bpe.h"

enum class IdFormat {
    kText,  // decimal, separated by blanks
    kU16,   // 2 bytes each, the low one first; for vocabularies of at most 65,536 tokens
    kU32,   // 4 bytes each, the low one first
};

IdFormat id_format(const std::string& name);  // "text", "u16", "u32"

// Writes ids to stdout, a large block at a time: formatting must not take longer than encoding.
class IdWriter {
  public:
    explicit IdWriter(IdFormat format) : format_(format) {}
    void ids(const std::vector<int>& ids);

    // "id begin end" for each token of a text: the bytes [begin, end) are its own. `between` stands behind each one but
    // the last. note: token_spans would need four times the memory of the ids.
    void ids_and_spans(const Bpe& bpe, const std::vector<int>& ids, char between);
    void end_line() { buffer_ += '\n'; }
    void flush();

  private:
    void decimal(size_t number);

    IdFormat format_;
    std::string buffer_;
};

// The ids in `bytes`, each checked to be a token. Errors name `where`, the place of the id and what is wrong with it.
std::vector<int> parse_ids(std::string_view bytes, IdFormat format, const Bpe& bpe, const std::string& where);
