// id_formats.cpp - see id_formats.h.
#include "chapters/01_bpe/id_formats.h"

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "core/check.h"
#include "io/standard_streams.h"
#include "io/utf8.h"

namespace {

constexpr size_t kBufferBytes = size_t(1) << 18;
constexpr int64_t kHuge = int64_t(1) << 40;  // any number from here on is outside every vocabulary

size_t bytes_per_id(IdFormat format) {
    return format == IdFormat::kU16 ? 2 : 4;
}

[[noreturn]] void refuse_id(const Bpe& bpe, int64_t id, size_t place, const std::string& where) {
    const std::string name = utf8::printable(bpe.vocabulary().name);
    if (id < bpe.vocabulary().size())
        user_error("%s: id %lld, at position %zu, is one that %s leaves unused", where.c_str(),
                   static_cast<long long>(id), place, name.c_str());
    user_error("%s: id %s, at position %zu, is no token of %s, whose ids are 0 to %d", where.c_str(),
               id >= kHuge ? "2^40 or more" : std::to_string(id).c_str(), place, name.c_str(),
               bpe.vocabulary().size() - 1);
}

// Positions count from 0. note: an id inside the range may still be none that a file names.
int checked_id(const Bpe& bpe, int64_t id, size_t place, const std::string& where) {
    if (id >= bpe.vocabulary().size() || bpe.bytes_of(int(id)).empty()) refuse_id(bpe, id, place, where);
    return int(id);
}

bool is_blank(char c) {
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}
bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

std::vector<int> parse_text(std::string_view text, const Bpe& bpe, const std::string& where) {
    std::vector<int> ids;
    for (size_t i = 0; i < text.size();) {
        if (is_blank(text[i])) {
            i++;
            continue;
        }
        const size_t begin = i;
        int64_t id = 0;
        for (; i < text.size() && is_digit(text[i]); i++)
            if (id < kHuge) id = id * 10 + (text[i] - '0');
        if (i == begin || (i < text.size() && !is_blank(text[i]))) {
            size_t end = begin;
            while (end < text.size() && !is_blank(text[end]) && end - begin < 20) end++;
            user_error("%s: '%s', at position %zu, is no id: it wants decimal numbers between blanks",
                       where.c_str(), utf8::printable(std::string(text.substr(begin, end - begin))).c_str(),
                       ids.size());
        }
        ids.push_back(checked_id(bpe, id, ids.size(), where));
    }
    return ids;
}

std::vector<int> parse_binary(std::string_view bytes, IdFormat format, const Bpe& bpe,
                              const std::string& where) {
    const size_t width = bytes_per_id(format);
    if (bytes.size() % width != 0)
        user_error("%s has %zu bytes, and each id takes %zu: it is cut off, or of another format",
                   where.c_str(), bytes.size(), width);
    std::vector<int> ids(bytes.size() / width);
    for (size_t i = 0; i < ids.size(); i++) {
        int64_t id = 0;
        for (size_t k = width; k-- > 0;) id = id << 8 | uint8_t(bytes[i * width + k]);
        ids[i] = checked_id(bpe, id, i, where);
    }
    return ids;
}

}  // namespace

IdFormat id_format(const std::string& name) {
    CHECK(name == "text" || name == "u16" || name == "u32", "[id_format] no format '%s'", name.c_str());
    return name == "text" ? IdFormat::kText : name == "u16" ? IdFormat::kU16 : IdFormat::kU32;
}

void IdWriter::flush() {
    const bool is_written = std::fwrite(buffer_.data(), 1, buffer_.size(), stdout) == buffer_.size();
    buffer_.clear();
    if (is_written) return;
    finish_stdout();  // says what is wrong, unless it is only that nobody reads any more
    std::exit(0);
}

void IdWriter::decimal(size_t number) {
    char digits[24];
    const char* end = std::to_chars(digits, digits + sizeof digits, number).ptr;
    buffer_.append(digits, size_t(end - digits));
}

void IdWriter::ids(const std::vector<int>& ids) {
    buffer_.reserve(kBufferBytes + 32);
    bool is_first = true;
    for (const int id : ids) {
        if (buffer_.size() >= kBufferBytes) flush();
        if (format_ == IdFormat::kText) {
            if (!is_first) buffer_ += ' ';
            decimal(size_t(id));
            is_first = false;
        } else {
            for (size_t k = 0; k < bytes_per_id(format_); k++) buffer_ += char(uint8_t(id >> 8 * k));
        }
    }
}

void IdWriter::ids_and_spans(const Bpe& bpe, const std::vector<int>& ids, char between) {
    size_t begin = 0;
    bool is_first = true;
    for (const int id : ids) {
        if (buffer_.size() >= kBufferBytes) flush();
        if (!is_first) buffer_ += between;
        is_first = false;
        const size_t end = begin + bpe.bytes_of(id).size();
        decimal(size_t(id));
        buffer_ += ' ';
        decimal(begin);
        buffer_ += ' ';
        decimal(end);
        begin = end;
    }
}

std::vector<int> parse_ids(std::string_view bytes, IdFormat format, const Bpe& bpe,
                           const std::string& where) {
    return format == IdFormat::kText ? parse_text(bytes, bpe, where)
                                     : parse_binary(bytes, format, bpe, where);
}
