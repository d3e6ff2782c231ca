// safetensors.cpp - the writer, and a reader that believes nothing it reads.
// Order of the file: helpers, writer, reader. Not here: the parser of a header (safetensors_header.cpp).
#include "io/safetensors.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "core/bfloat16.h"
#include "core/check.h"
#include "io/file.h"
#include "io/safetensors_header.h"
#include "io/utf8.h"
#include "io/xxhash64.h"

using namespace safetensors_header;

namespace {

const char* const kChecksumKey = "checksum";
const char* const kHeaderChecksumKey = "header_checksum";
const char* const kZeroChecksum = "xxh64:0000000000000000";

// Our headers start with this and the checksum: its digits are found without parsing anything.
const char* const kOurHeaderStart = R"({"__metadata__":{"header_checksum":")";

constexpr uint64_t kLengthBytes = 8;             // the header's length, in front of it
constexpr uint64_t kMaxHeaderBytes = 100000000;  // the format's own limit

const char* stored_name(DType dtype) {
    return dtype == DType::kFloat32 ? "F32" : dtype == DType::kBFloat16 ? "BF16" : "I32";
}

std::string checksum_text(uint64_t hash) {
    return format("xxh64:%016" PRIx64, hash);
}

std::string shape_text(const std::vector<int64_t>& shape) {
    std::string text = "(";
    for (size_t i = 0; i < shape.size(); i++) text += (i ? "," : "") + std::to_string(shape[i]);
    return printable(text + ")");
}

// ---- Writer -----------------------------------------------------------------------------------------------

std::string json_string(const std::string& text) {
    using nlohmann::json;
    std::string quoted = json(text).dump(-1, ' ', false, json::error_handler_t::replace);
    CHECK(json::parse(quoted).get_ref<const std::string&>() == text, "[write_safetensors] not UTF-8: '%s'",
          printable(text).c_str());
    return quoted;
}

// The JSON text, its own checksum still zero. Checks what the caller passed while it walks through it.
std::string header_text(const std::vector<TensorInfo>& tensors, const std::vector<uint64_t>& sizes,
                        const std::vector<std::pair<std::string, std::string>>& metadata,
                        const std::string& data_checksum) {
    std::string text = std::string(kOurHeaderStart) + kZeroChecksum + "\"";
    text += std::string(",\"") + kChecksumKey + "\":\"" + data_checksum + "\"";
    std::set<std::string> seen = {kHeaderChecksumKey, kChecksumKey};
    for (const auto& [key, value] : metadata) {
        CHECK(seen.insert(key).second, "[write_safetensors] metadata key '%s' is there twice", key.c_str());
        text += "," + json_string(key) + ":" + json_string(value);
    }
    text += "}";

    seen = {kMetadataKey};
    uint64_t offset = 0;
    for (size_t i = 0; i < tensors.size(); i++) {
        const TensorInfo& tensor = tensors[i];
        CHECK(seen.insert(tensor.name).second, "[write_safetensors] two tensors are called '%s'",
              tensor.name.c_str());
        text +=
            "," + json_string(tensor.name) + ":{\"dtype\":\"" + stored_name(tensor.dtype) + "\",\"shape\":[";
        for (size_t d = 0; d < tensor.shape.size(); d++)
            text += (d ? "," : "") + std::to_string(tensor.shape[d]);
        text +=
            "],\"data_offsets\":[" + std::to_string(offset) + "," + std::to_string(offset + sizes[i]) + "]}";
        offset += sizes[i];
    }
    text += "}";
    text.resize((text.size() + 7) / 8 * 8, ' ');  // the data section starts at a multiple of 8
    return text;
}

}  // namespace

void write_safetensors(const std::string& path, const std::vector<TensorInfo>& tensors,
                       const std::vector<std::pair<std::string, std::string>>& metadata) {
    std::vector<uint64_t> sizes;
    XxHash64 data_hash;
    for (const TensorInfo& tensor : tensors) {
        const std::string shape = shape_text(tensor.shape);
        uint64_t bytes = 0;
        for (int64_t size : tensor.shape)
            CHECK(size >= 0, "[write_safetensors] %s has shape %s", tensor.name.c_str(), shape.c_str());
        CHECK(tensor_bytes(tensor.shape, dtype_size(tensor.dtype), &bytes),
              "[write_safetensors] %s has shape %s", tensor.name.c_str(), shape.c_str());
        CHECK(tensor.data != nullptr || bytes == 0, "[write_safetensors] %s has no data",
              tensor.name.c_str());
        data_hash.add(tensor.data, bytes);
        sizes.push_back(bytes);
    }

    std::string header = header_text(tensors, sizes, metadata, checksum_text(data_hash.value()));
    CHECK(header.size() <= kMaxHeaderBytes, "[write_safetensors] a header of %zu bytes", header.size());
    const std::string header_checksum = checksum_text(xxhash64(header.data(), header.size()));
    header.replace(std::strlen(kOurHeaderStart), header_checksum.size(), header_checksum);

    const uint64_t length = header.size();
    write_file_atomically(path, [&](FileWriter& file) {
        file.write(&length, sizeof length);
        file.write(header.data(), header.size());
        for (size_t i = 0; i < tensors.size(); i++) file.write(tensors[i].data, sizes[i]);
    });
}

// ---- Reader -----------------------------------------------------------------------------------------------

namespace {

// subtle: a file that carries a header_checksum anywhere else than at its start was not written by us in this
// form, and is refused too: a checksum that nobody can verify must not look like one that was.
void check_header_checksum(const std::string& path, const std::string& header, const std::string& expected) {
    std::string zeroed = header;
    const size_t at = std::strlen(kOurHeaderStart), length = std::strlen(kZeroChecksum);
    const bool is_ours =
        header.compare(0, at, kOurHeaderStart) == 0 && header.compare(at, length, expected) == 0;
    if (is_ours) zeroed.replace(at, length, kZeroChecksum);
    if (!is_ours || checksum_text(xxhash64(zeroed.data(), zeroed.size())) != expected)
        refuse(path, "its header does not match its checksum: the file is damaged");
}

}  // namespace

SafetensorsFile SafetensorsFile::open(const std::string& path, Checksum checksum) {
    const std::string shown = utf8::printable(path);
    struct stat info;
    if (stat(path.c_str(), &info) != 0)
        user_error("%s: cannot be opened (%s); check the path", shown.c_str(), std::strerror(errno));
    // Asked before opening: opening a pipe would wait for its writer.
    if (S_ISDIR(info.st_mode)) user_error("%s: is a folder; name a .safetensors file", shown.c_str());
    if (!S_ISREG(info.st_mode))
        user_error("%s: is not a regular file; name a .safetensors file", shown.c_str());
    const uint64_t file_bytes = uint64_t(info.st_size);

    SafetensorsFile result;
    result.path_ = path;
    result.file_.reset(std::fopen(path.c_str(), "rb"));
    if (!result.file_)
        user_error("%s: cannot be opened (%s); check its permissions", shown.c_str(), std::strerror(errno));
    std::FILE* const file = result.file_.get();
    const auto read_next = [&](void* dst, size_t bytes) {
        if (std::fread(dst, 1, bytes, file) != bytes)
            refuse(path, "reading it failed: a bad disk, or it changed");
    };

    if (file_bytes == 0) refuse(path, "the file is empty");
    uint64_t header_bytes = 0;
    if (file_bytes < kLengthBytes)
        refuse(path, "the file has %" PRIu64 " bytes: truncated, or not a safetensors file", file_bytes);
    read_next(&header_bytes, kLengthBytes);
    if (header_bytes > kMaxHeaderBytes)
        refuse(path,
               "its header claims %" PRIu64 " bytes (at most %" PRIu64
               "): not a safetensors file, or damaged",
               header_bytes, kMaxHeaderBytes);
    if (header_bytes > file_bytes - kLengthBytes)
        refuse(path,
               "its header claims %" PRIu64 " bytes and %" PRIu64
               " follow: truncated, or not a safetensors file",
               header_bytes, file_bytes - kLengthBytes);
    result.data_begin_ = kLengthBytes + header_bytes;

    std::string header(header_bytes, '\0');
    read_next(header.data(), header.size());
    Header found = parse(path, header);
    result.names_ = std::move(found.names);
    result.entries_ = std::move(found.entries);
    result.metadata_ = std::move(found.metadata);

    const auto data_sum = result.metadata_.find(kChecksumKey),
               header_sum = result.metadata_.find(kHeaderChecksumKey);
    const bool has_data_sum = data_sum != result.metadata_.end(),
               has_header_sum = header_sum != result.metadata_.end();
    if (checksum == Checksum::kRequired && !(has_data_sum && has_header_sum))
        refuse(path, "it carries no checksums: it is not a checkpoint written by this program");
    if (has_header_sum) check_header_checksum(path, header, header_sum->second);
    check_layout(path, result.entries_, file_bytes - result.data_begin_);
    if (has_data_sum) {
        XxHash64 hash;
        std::vector<char> piece(size_t(1) << 20);
        for (uint64_t left = file_bytes - result.data_begin_; left > 0;) {
            const size_t bytes = size_t(std::min<uint64_t>(left, piece.size()));
            read_next(piece.data(), bytes);
            hash.add(piece.data(), bytes);
            left -= bytes;
        }
        if (checksum_text(hash.value()) != data_sum->second)
            refuse(path, "its data does not match its checksum '%s': the file is damaged",
                   printable(data_sum->second).c_str());
    }
    return result;
}

const SafetensorsEntry& SafetensorsFile::entry(const std::string& name) const {
    const auto found = entries_.find(name);
    if (found == entries_.end())
        user_error("%s: it has no tensor '%s'; use a checkpoint of this model",
                   utf8::printable(path_).c_str(), printable(name).c_str());
    return found->second;
}

void SafetensorsFile::read(const std::string& name, void* dst, size_t bytes) const {
    const Entry& found = entry(name);
    CHECK(bytes == found.bytes, "[SafetensorsFile::read] '%s' has %" PRIu64 " bytes, not %zu",
          printable(name).c_str(), found.bytes, bytes);
    if (bytes == 0) return;
    if (fseeko(file_.get(), off_t(data_begin_ + found.offset), SEEK_SET) != 0 ||
        std::fread(dst, 1, bytes, file_.get()) != bytes)
        refuse(path_, "reading tensor '%s' failed: the file changed while it was read",
               printable(name).c_str());
}

void SafetensorsFile::read_floats(const std::string& name, const std::vector<int64_t>& shape,
                                  float* dst) const {
    const Entry& found = entry(name);
    if (found.shape != shape)
        user_error("%s: tensor '%s' has shape %s, the model wants %s; use a checkpoint of this model",
                   utf8::printable(path_).c_str(), printable(name).c_str(), shape_text(found.shape).c_str(),
                   shape_text(shape).c_str());
    if (found.dtype == "F32") {
        read(name, dst, found.bytes);
    } else if (found.dtype == "BF16") {
        std::vector<uint16_t> halves(found.bytes / 2);
        read(name, halves.data(), found.bytes);
        for (size_t i = 0; i < halves.size(); i++) dst[i] = bfloat16_to_float(halves[i]);
    } else {
        user_error("%s: tensor '%s' has dtype %s, only F32 and BF16 are read as floats; convert it to F32",
                   utf8::printable(path_).c_str(), printable(name).c_str(), found.dtype.c_str());
    }
}
