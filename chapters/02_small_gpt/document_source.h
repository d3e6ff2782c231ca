// document_source.h - the files that `prepare` reads, as blocks of whole lines, read ahead by a thread of its own: a
// .jsonl or .jsonl.xz has a document per line, any other file is one document.
// Not here: what a line means (json_document.h).
// Why the program xz and not its library: a pipe from it decompresses on another core, and nothing has to be installed to
// compile this.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace small_gpt {

struct SourceBlock {
    std::string bytes;          // whole lines, or a whole text
    bool is_lines = false;      // else one document
    size_t source = 0;          // index of the file
    uint64_t content_hash = 0;  // XXH64 of all blocks up to this one, it included
    std::string error;          // not empty: reading ends here, and this is why
};

class DocumentSource {
  public:
    // block_bytes: blocks end at the first line end behind so many bytes. They depend on the files alone.
    explicit DocumentSource(std::vector<std::string> paths, size_t block_bytes = size_t(4) << 20);
    ~DocumentSource();
    DocumentSource(const DocumentSource&) = delete;
    DocumentSource& operator=(const DocumentSource&) = delete;

    // False at the end. Errors (a file that cannot be read, xz that fails or is not here) are user_errors.
    bool next(SourceBlock* block);

    // A block's memory, to be filled again: fresh memory costs as much as reading into it.
    void give_back(std::string&& bytes);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace small_gpt
