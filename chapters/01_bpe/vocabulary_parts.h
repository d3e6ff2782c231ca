// vocabulary_parts.h - what reading any form of vocabulary file needs: limits, lines, places, and complaints that name the
// file, the line or entry, and the reason.
// For vocabulary_files.cpp, vocab_json.cpp and rank_file.cpp only.
#pragma once
#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "chapters/01_bpe/token_index.h"
#include "chapters/01_bpe/vocabulary.h"
#include "core/check.h"
#include "io/utf8.h"

namespace vocabulary_parts {

constexpr size_t kMaxFileBytes = size_t(256) << 20;
constexpr int kMaxIds =
    1 << 20;  // four times the largest vocabulary in use; merge_piece.h packs an id into 20 bits

// Text from a file as part of a message: one line, and not a long one.
inline std::string printable(std::string_view text) {
    constexpr size_t kMaxShown = 60;
    return utf8::printable(std::string(text.substr(0, kMaxShown))) + (text.size() > kMaxShown ? "..." : "");
}

[[noreturn]] inline void refuse(const std::string& path, const std::string& where,
                                const std::string& reason) {
    user_error("%s: %s: %s", utf8::printable(path).c_str(), where.c_str(), reason.c_str());
}

inline std::string line_name(size_t line) {
    return "line " + std::to_string(line);
}
inline std::string entry_name(std::string_view key) {
    return "entry \"" + printable(key) + "\"";
}

// Calls visit(line number from 1, line) for each line; a line may end in "\r\n", the last one in nothing.
template <class Visit>
void for_each_line(const std::string& text, Visit&& visit) {
    size_t number = 1;
    for (size_t begin = 0; begin < text.size(); number++) {
        const size_t end = std::min(text.find('\n', begin), text.size());
        std::string_view line(text.data() + begin, end - begin);
        if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
        visit(number, line);
        begin = end + 1;
    }
}

// Puts `text` at `id`, which must be free. Returns what is wrong with that, if something is.
inline std::string place_token(std::vector<std::string>* tokens, int64_t id, std::string text) {
    if (id < 0 || id >= kMaxIds) return format("id %lld is not in 0 ... %d", (long long)(id), kMaxIds - 1);
    if (text.empty()) return "a token has no text";
    if (size_t(id) >= tokens->size()) tokens->resize(size_t(id) + 1);
    std::string& place = (*tokens)[size_t(id)];
    if (!place.empty()) return format("id %lld is taken by another token", (long long)(id));
    place = std::move(text);
    return "";
}

// Special tokens get their places. One that a file lists among its tokens, with the same id, is there already.
inline void add_specials(Vocabulary* vocabulary, const std::vector<SpecialToken>& specials,
                         const std::string& path) {
    std::set<std::string_view> texts;
    for (const SpecialToken& special : specials) {
        const std::string where = "special token \"" + printable(special.text) + "\"";
        if (!texts.insert(special.text).second) refuse(path, where, "it is there twice");
        const std::string wrong = place_token(&vocabulary->tokens, special.id, special.text);
        if (!wrong.empty()) refuse(path, where, wrong);
        vocabulary->specials.push_back(special);
    }
}

// text_of(byte): how the file's tokens, which `index` knows, write that single byte.
template <class TextOf>
inline void find_bytes(Vocabulary* vocabulary, const TokenIndex& index, const std::string& path,
                       TextOf&& text_of) {
    for (int byte = 0; byte < 256; byte++) {
        const std::string text = text_of(char(byte));
        const int id = index.find(text);
        if (id == TokenIndex::kNone)
            refuse(path, "tokens", format("none is the single byte 0x%02x; all 256 are needed", byte));
        vocabulary->byte_ids[size_t(byte)] = id;
    }
}

}  // namespace vocabulary_parts
