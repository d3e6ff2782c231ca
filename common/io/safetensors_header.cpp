// safetensors_header.cpp - see safetensors_header.h.
#include "io/safetensors_header.h"

#include <algorithm>
#include <cinttypes>
#include <cstdarg>
#include <nlohmann/json.hpp>
#include <set>

#include "io/utf8.h"

namespace safetensors_header {

namespace {

constexpr size_t kMaxDimensions = 64;  // ours; a header of nothing but dimensions would eat memory

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

// Takes the JSON library's events one by one, and refuses at the first that does not belong into a header: so
// nothing is built from a hostile text (depth, duplicates), and nothing in it is passed over in silence.
//   { "__metadata__": { key: text ... },
//     name: { "dtype": text, "shape": [n ...], "data_offsets": [begin, end] } ... }
struct HeaderParser {
    using json = nlohmann::json;

    explicit HeaderParser(const std::string& file_path) : path(file_path) {}

    Header found;

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
            found.metadata[field] = text;
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
        found.names.push_back(name);
        found.entries[name] = tensor;
    }
};

}  // namespace

Header parse(const std::string& path, const std::string& text) {
    // subtle: the JSON library takes a zero byte for the end of the text, and would pass over what follows.
    if (text.empty() || text[0] != '{' || text.find('\0') != std::string::npos)
        refuse(path, "its header is not a JSON object: not a safetensors file, or damaged");
    HeaderParser parser(path);
    const bool is_parsed = nlohmann::json::sax_parse(text, &parser);
    CHECK(is_parsed, "[SafetensorsFile::open] the parser stopped without a refusal");
    return std::move(parser.found);
}

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

void refuse(const std::string& path, const char* fmt, ...) {
    va_list args;
    va_start(args, fmt);
    const std::string problem = format_v(fmt, args);
    va_end(args);
    user_error("%s: %s; use another copy or an earlier checkpoint, or train again",
               utf8::printable(path).c_str(), problem.c_str());
}

std::string printable(const std::string& text) {
    constexpr size_t kMaxShown = 60;
    return utf8::printable(text.substr(0, kMaxShown)) + (text.size() > kMaxShown ? "..." : "");
}

bool tensor_bytes(const std::vector<int64_t>& shape, uint64_t element_size, uint64_t* bytes) {
    // Sizes of 0 are left out of the product, so that no order of multiplying them overflows later.
    int64_t product = int64_t(element_size);
    bool is_empty = false;
    for (int64_t size : shape) {
        is_empty = is_empty || size == 0;
        if (size != 0 && __builtin_mul_overflow(product, size, &product)) return false;
    }
    *bytes = is_empty ? 0 : uint64_t(product);
    return true;
}

}  // namespace safetensors_header
