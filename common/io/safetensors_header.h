// safetensors_header.h - the JSON text in front of a safetensors file, parsed with nothing in it taken for granted.
// Not here: the file around it (safetensors.h). Only safetensors.cpp includes this.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/check.h"
#include "io/safetensors.h"

namespace safetensors_header {

inline const char* const kMetadataKey = "__metadata__";

struct Header {
    std::vector<std::string> names;  // in the text's order
    std::map<std::string, SafetensorsEntry> entries;
    std::map<std::string, std::string> metadata;
};

// Refuses what is not exactly a header. path: of the file, for messages.
Header parse(const std::string& path, const std::string& text);

// Refuses tensors that do not cover the data section exactly: no gap, no overlap, nothing after them.
void check_layout(const std::string& path, const std::map<std::string, SafetensorsEntry>& entries,
                  uint64_t data_bytes);

// Every refusal of a file's content: a user_error that says what to do.
[[noreturn]] GPT_PRINTF_LIKE(2, 3) void refuse(const std::string& path, const char* fmt, ...);

// Text from a file as part of a message: one line, and not a long one.
std::string printable(const std::string& text);

// The number of bytes of a tensor; false when it does not fit into 63 bits.
bool tensor_bytes(const std::vector<int64_t>& shape, uint64_t element_size, uint64_t* bytes);

}  // namespace safetensors_header
