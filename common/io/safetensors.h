// safetensors.h - named tensors in one file: how checkpoints are kept, and how weights come in from outside.
// The format: 8 bytes with the header's length n (little-endian), n bytes of JSON (names, dtypes, shapes,
// offsets, text metadata), then the tensors' bytes back to back.
// Not here: what belongs in a checkpoint (the chapters' business); memory mapping (a file cut short while it
// is mapped kills the process, a read reports it).
// Source: the format's description, github.com/huggingface/safetensors, "Format".
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/dtype.h"

// A tensor to write: a name, and the caller's memory.
struct TensorInfo {
    std::string name;
    DType dtype;
    std::vector<int64_t> shape;
    const void* data;  // product(shape) * dtype_size(dtype) bytes
};

// Writes a file whole or not at all: after a crash, a kill or a full disk `path` is the old file or the new.
//   tensors   written in this order; names are unique
//   metadata  written in this order; keys are unique; the writer adds checksum and header_checksum
// The bytes are a function of the arguments' values alone, never of time, host, path or threads.
// Checksums: XXH64 with seed 0, written as "xxh64:" and 16 hexadecimal digits. `checksum` is that of the data
// section; `header_checksum` is that of the header's text, padding included, with its own 16 digits replaced
// by zeros: so a changed step or shape is noticed as well as a changed weight.
// Errors: user_error when the folder is missing, not writable or full (the old file is kept, the new one's
// leftovers are removed). A killed writer leaves PATH.tmp behind, which the next one overwrites.
void write_safetensors(const std::string& path, const std::vector<TensorInfo>& tensors,
                       const std::vector<std::pair<std::string, std::string>>& metadata);

// What a file says of one tensor.
struct SafetensorsEntry {
    std::string dtype;           // the format's own name: F32, BF16, F16, I32, I64, U8 or BOOL
    std::vector<int64_t> shape;  // empty for a scalar; sizes may be 0
    uint64_t offset = 0;         // of its first byte, from the start of the data section
    uint64_t bytes = 0;          // product(shape) * size of dtype, checked
};

// Files of ours must carry both checksums; files from elsewhere usually carry none.
enum class Checksum { kOptional, kRequired };

// A file open for reading. Everything in it is taken to be hostile until open() has returned: it refuses,
// with a user_error of one line (file, what is wrong, what to do), whatever is not exactly a safetensors
// file.
// Names inside the file are only ever looked up; they never become paths.
class SafetensorsFile {
  public:
    using Entry = SafetensorsEntry;

    // Reads and checks the header and the table of tensors, and the data section against its checksum.
    //   checksum  kRequired: the file must come from write_safetensors; then every damage is found, in the
    //             header too. kOptional: a checksum is verified where there is one
    static SafetensorsFile open(const std::string& path, Checksum checksum = Checksum::kOptional);

    const std::string& path() const { return path_; }
    const std::vector<std::string>& names() const { return names_; }  // in the header's order
    const std::map<std::string, std::string>& metadata() const { return metadata_; }

    bool has(const std::string& name) const { return entries_.count(name) > 0; }
    const Entry& entry(const std::string& name) const;  // user_error when there is none

    // Copies the tensor's bytes, whatever their dtype; `bytes` must be entry(name).bytes.
    // Not for two threads at once: they share the file's position.
    void read(const std::string& name, void* dst, size_t bytes) const;

    // Copies a tensor of this shape as floats: F32 as it is, BF16 widened (exact). A tensor that is missing,
    // has another shape or another dtype is a user_error that says which.
    void read_floats(const std::string& name, const std::vector<int64_t>& shape, float* dst) const;

  private:
    struct CloseFile {
        void operator()(std::FILE* file) const { std::fclose(file); }
    };

    SafetensorsFile() = default;

    std::string path_;
    std::unique_ptr<std::FILE, CloseFile> file_;
    uint64_t data_begin_ = 0;  // where the data section starts in the file
    std::vector<std::string> names_;
    std::map<std::string, Entry> entries_;
    std::map<std::string, std::string> metadata_;
};
