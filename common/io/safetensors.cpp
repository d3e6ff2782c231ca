// safetensors.cpp - the writer, and a reader that believes nothing it reads.
// Order of the file: helpers, writer, the header's parser, the reader.
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
#include "io/utf8.h"
#include "io/xxhash64.h"

namespace {

const char* const kMetadataKey = "__metadata__";
const char* const kChecksumKey = "checksum";
const char* const kHeaderChecksumKey = "header_checksum";
const char* const kZeroChecksum = "xxh64:0000000000000000";

// Our headers start with this and the checksum: its digits are found without parsing anything.
const char* const kOurHeaderStart = R"({"__metadata__":{"header_checksum":")";

constexpr uint64_t kLengthBytes = 8;             // the header's length, in front of it
constexpr uint64_t kMaxHeaderBytes = 100000000;  // the format's own limit
constexpr size_t kMaxDimensions = 64;            // ours; a header of nothing but dimensions would eat memory

struct StoredType {
    const char* name;
    uint64_t size;
};
const StoredType kStoredTypes[] = {{"F32", 4}, {"BF16", 2}, {"F16", 2}, {"I32", 4},
                                   {"I64", 8}, {"U8", 1},   {"BOOL", 1}};

const StoredType* find_stored_type(const std::string& name) {
    for (const StoredType& type : kStoredTypes)
        if (name == type.name) return &type;
    return nullptr;
}

const char* stored_name(DType dtype) {
    return dtype == DType::kFloat32 ? "F32" : dtype == DType::kBFloat16 ? "BF16" : "I32";
}

std::string checksum_text(uint64_t hash) {
    return format("xxh64:%016" PRIx64, hash);
}

// Text from a file as part of a message: one line, and not a long one.
std::string printable(const std::string& text) {
    constexpr size_t kMaxShown = 60;
    return utf8::printable(text.substr(0, kMaxShown)) + (text.size() > kMaxShown ? "..." : "");
}

std::string shape_text(const std::vector<int64_t>& shape) {
    std::string text = "(";
    for (size_t i = 0; i < shape.size(); i++) text += (i ? "," : "") + std::to_string(shape[i]);
    return printable(text + ")");
}

// The number of bytes of a tensor; false when it does not fit into 63 bits. Sizes of 0 are left out of that
// check's product, so that no order of multiplying them overflows later.
bool tensor_bytes(const std::vector<int64_t>& shape, uint64_t element_size, uint64_t* bytes) {
    int64_t product = int64_t(element_size);
    bool is_empty = false;
    for (int64_t size : shape) {
        is_empty = is_empty || size == 0;
        if (size != 0 && __builtin_mul_overflow(product, size, &product)) return false;
    }
    *bytes = is_empty ? 0 : uint64_t(product);
    return true;
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

// ---- The header's parser ----------------------------------------------------------------------------------

namespace {

// Every refusal of a file's content ends here.
[[noreturn]] GPT_PRINTF_LIKE(2, 3) void refuse(const std::string& path, const char* fmt, ...) {
    va_list args;
    va_start(args, fmt);
    const std::string problem = format_v(fmt, args);
    va_end(args);
    user_error("%s: %s; use another copy or an earlier checkpoint, or train again",
               utf8::printable(path).c_str(), problem.c_str());
}

// Takes the JSON library's events one by one, and refuses at the first that does not belong into a header: so
// nothing is built from a hostile text (depth, duplicates), and nothing in it is passed over in silence.
//   { "__metadata__": { key: text ... },
//     name: { "dtype": text, "shape": [n ...], "data_offsets": [begin, end] } ... }
struct HeaderParser {
    using json = nlohmann::json;

    explicit HeaderParser(const std::string& file_path) : path(file_path) {}

    // What it finds.
    std::vector<std::string> names;
    std::map<std::string, SafetensorsEntry> entries;
    std::map<std::string, std::string> metadata;

    // Where it stands.
    const std::string& path;
    enum class Where { kStart, kRoot, kMetadata, kTensor, kShape, kOffsets, kEnd };
    Where where = Where::kStart;
    std::string name, field;  // the last key in kRoot, and in kMetadata or kTensor
    std::set<std::string> seen_names, seen_fields;
    SafetensorsEntry tensor;
    std::vector<uint64_t> offsets;

    bool start_object(size_t) {
        if (where == Where::kStart) {
            where = Where::kRoot;
        } else if (where == Where::kRoot) {
            where = name == kMetadataKey ? Where::kMetadata : Where::kTensor;
            seen_fields.clear();
            tensor = SafetensorsEntry();
            offsets.clear();
        } else {
            misplaced("an object");
        }
        return true;
    }

    bool key(json::string_t& text) {
        const bool is_name = where == Where::kRoot;
        (is_name ? name : field) = text;
        if (!(is_name ? seen_names : seen_fields).insert(text).second)
            refuse(path, "its header has '%s' twice", printable(text).c_str());
        if (where == Where::kTensor && text != "dtype" && text != "shape" && text != "data_offsets")
            refuse(path, "tensor '%s' has the unknown field '%s'", printable(name).c_str(),
                   printable(text).c_str());
        return true;
    }

    bool string(json::string_t& text) {
        if (where == Where::kMetadata) {
            metadata[field] = text;
        } else if (where == Where::kTensor && field == "dtype") {
            if (!find_stored_type(text))
                refuse(path, "tensor '%s' has the unknown dtype '%s' (known: F32 BF16 F16 I32 I64 U8 BOOL)",
                       printable(name).c_str(), printable(text).c_str());
            tensor.dtype = text;
        } else {
            misplaced("a text");
        }
        return true;
    }

    bool start_array(size_t) {
        if (where != Where::kTensor || field == "dtype") misplaced("a list");
        where = field == "shape" ? Where::kShape : Where::kOffsets;
        return true;
    }

    bool number_unsigned(json::number_unsigned_t number) {
        if (where != Where::kShape && where != Where::kOffsets) misplaced("a number");
        if (number > uint64_t(INT64_MAX)) bad_number();
        if (where == Where::kShape)
            tensor.shape.push_back(int64_t(number));
        else
            offsets.push_back(number);
        if (tensor.shape.size() > kMaxDimensions || offsets.size() > 2)
            refuse(path, "tensor '%s' has too many numbers in its %s", printable(name).c_str(),
                   field.c_str());
        return true;
    }

    bool end_array() {
        where = Where::kTensor;
        return true;
    }

    bool end_object() {
        if (where == Where::kTensor) finish_tensor();
        where = where == Where::kRoot ? Where::kEnd : Where::kRoot;
        return true;
    }

    // note: the library calls this one for numbers below zero only.
    bool number_integer(json::number_integer_t) { return bad_number(); }
    bool number_float(json::number_float_t, const std::string&) { return bad_number(); }
    bool boolean(bool) { return misplaced("true or false"); }
    bool null() { return misplaced("null"); }
    bool binary(json::binary_t&) { return misplaced("binary data"); }

    bool parse_error(size_t position, const std::string&, const json::exception&) {
        refuse(path, "its header is not valid JSON (at byte %zu of the header)", position);
    }

    [[noreturn]] bool misplaced(const char* what) const {
        if (where == Where::kStart) refuse(path, "its header is %s, not an object", what);
        if (where == Where::kMetadata)
            refuse(path, "its metadata '%s' is %s, not a text", printable(field).c_str(), what);
        if (where == Where::kRoot)
            refuse(path, "its header has %s for '%s', not an object", what, printable(name).c_str());
        refuse(path, "tensor '%s' has %s in its field '%s'", printable(name).c_str(), what,
               printable(field).c_str());
    }

    [[noreturn]] bool bad_number() const {
        if (where != Where::kShape && where != Where::kOffsets) misplaced("a number");
        refuse(path, "tensor '%s' has a number in its %s that is not whole and in [0, 2^63)",
               printable(name).c_str(), field.c_str());
    }

    void finish_tensor() {
        const std::string shown = printable(name);
        for (const char* needed : {"dtype", "shape", "data_offsets"})
            if (!seen_fields.count(needed)) refuse(path, "tensor '%s' has no %s", shown.c_str(), needed);
        if (offsets.size() != 2)
            refuse(path, "tensor '%s' has %zu data_offsets, not 2", shown.c_str(), offsets.size());
        if (offsets[0] > offsets[1])
            refuse(path, "tensor '%s' begins at byte %" PRIu64 " and ends before it, at %" PRIu64,
                   shown.c_str(), offsets[0], offsets[1]);
        if (!tensor_bytes(tensor.shape, find_stored_type(tensor.dtype)->size, &tensor.bytes))
            refuse(path, "tensor '%s' has a shape whose product overflows", shown.c_str());
        tensor.offset = offsets[0];
        if (offsets[1] - offsets[0] != tensor.bytes)
            refuse(path, "tensor '%s' has %" PRIu64 " bytes, its shape and dtype %s make %" PRIu64,
                   shown.c_str(), offsets[1] - offsets[0], tensor.dtype.c_str(), tensor.bytes);
        names.push_back(name);
        entries[name] = tensor;
    }
};

// The tensors must cover the data section exactly: no gap, no overlap, nothing after them.
void check_layout(const std::string& path, const std::map<std::string, SafetensorsEntry>& entries,
                  uint64_t data_bytes) {
    struct Span {
        uint64_t begin, end;
        const std::string* name;
    };
    std::vector<Span> spans;
    spans.reserve(entries.size());
    for (const auto& [name, entry] : entries)
        spans.push_back({entry.offset, entry.offset + entry.bytes, &name});
    std::sort(spans.begin(), spans.end(), [](const Span& a, const Span& b) {
        return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
    });
    for (const Span& span : spans)
        if (span.end > data_bytes)
            refuse(path,
                   "the file is truncated: tensor '%s' ends at byte %" PRIu64
                   " of its data, which has %" PRIu64,
                   printable(*span.name).c_str(), span.end, data_bytes);
    uint64_t covered = 0;
    for (const Span& span : spans) {
        if (span.begin != covered)
            refuse(path,
                   "tensor '%s' begins at byte %" PRIu64 " of the data, the one before it ends at %" PRIu64,
                   printable(*span.name).c_str(), span.begin, covered);
        covered = span.end;
    }
    if (covered != data_bytes)
        refuse(path, "%" PRIu64 " bytes follow the last tensor: damaged, or not a safetensors file",
               data_bytes - covered);
}

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

// ---- Reader -----------------------------------------------------------------------------------------------

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
    // subtle: the JSON library takes a zero byte for the end of the text, and would pass over what follows.
    if (header.empty() || header[0] != '{' || header.find('\0') != std::string::npos)
        refuse(path, "its header is not a JSON object: not a safetensors file, or damaged");
    HeaderParser parser(path);
    const bool is_parsed = nlohmann::json::sax_parse(header, &parser);
    CHECK(is_parsed, "[SafetensorsFile::open] the parser stopped without a refusal");
    result.names_ = std::move(parser.names);
    result.entries_ = std::move(parser.entries);
    result.metadata_ = std::move(parser.metadata);

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
