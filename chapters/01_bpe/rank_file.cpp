// rank_file.cpp - reads tiktoken's rank files: a token in base64 and its rank, which is its id, on each line.
#include <optional>

#include "chapters/01_bpe/token_index.h"
#include "chapters/01_bpe/vocabulary.h"
#include "chapters/01_bpe/vocabulary_parts.h"
#include "io/file.h"

using namespace vocabulary_parts;

namespace {

// Eight times the longest token in use. Each way to halve a token is tried: the time grows with the square of its size.
constexpr size_t kMaxTokenBytes = 1024;

// The bytes of a base64 text; nothing where it is none.
std::optional<std::string> base64_bytes(std::string_view text) {
    static const std::string kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static const std::array<int8_t, 256> value_of = [] {
        std::array<int8_t, 256> values;
        values.fill(-1);
        for (size_t i = 0; i < kDigits.size(); i++) values[uint8_t(kDigits[i])] = int8_t(i);
        return values;
    }();
    if (text.size() % 4 != 0) return std::nullopt;
    size_t padding = 0;
    while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') padding++;
    std::string bytes;
    uint32_t bits = 0;
    for (size_t i = 0; i < text.size(); i++) {
        const bool is_padding = i >= text.size() - padding;
        const int value = is_padding ? 0 : value_of[uint8_t(text[i])];
        if (value < 0) return std::nullopt;
        bits = bits << 6 | uint32_t(value);
        if (i % 4 == 3)
            for (int shift : {16, 8, 0}) bytes.push_back(char(bits >> shift));
    }
    bytes.resize(bytes.size() - padding);
    return bytes;
}

}  // namespace

Vocabulary load_rank_file(const std::string& path, Pattern pattern, std::vector<SpecialToken> specials) {
    const std::string file = read_file(path, kMaxFileBytes);
    Vocabulary vocabulary;
    vocabulary.name = path;
    vocabulary.pattern = pattern;
    vocabulary.whole_piece_first = true;
    std::vector<size_t> line_of;  // by id, for errors
    for_each_line(file, [&](size_t line, std::string_view text) {
        if (text.empty()) return;
        const size_t blank = text.find(' ');
        const std::string_view number = blank == std::string_view::npos ? "" : text.substr(blank + 1);
        const bool is_number =
            !number.empty() && number.find_first_not_of("0123456789") == std::string_view::npos;
        std::optional<std::string> bytes;
        if (is_number) bytes = base64_bytes(text.substr(0, blank));
        if (!bytes) refuse(path, line_name(line), "wants \"base64 rank\", not \"" + printable(text) + "\"");
        if (bytes->size() > kMaxTokenBytes)
            refuse(path, line_name(line),
                   format("a token has at most %zu bytes, not %zu", kMaxTokenBytes, bytes->size()));
        const int id = number.size() <= 7 ? std::stoi(std::string(number)) : kMaxIds;
        const std::string wrong = place_token(&vocabulary.tokens, id, std::move(*bytes));
        if (!wrong.empty()) refuse(path, line_name(line), wrong);
        line_of.resize(vocabulary.tokens.size());
        line_of[size_t(id)] = line;
    });

    TokenIndex index(vocabulary.tokens);
    for (size_t id = 0; id < vocabulary.tokens.size(); id++)
        if (!vocabulary.tokens[id].empty() && !index.add(int(id)))
            refuse(path, line_name(line_of[id]), "the same bytes are there twice");
    find_bytes(&vocabulary, index, path, [](char byte) { return std::string(1, byte); });

    // A rank file does not say how a token is made. tiktoken joins any two neighbours whose bytes together are a token,
    // so each way to halve a token into two tokens is a merge.
    for (size_t id = 0; id < vocabulary.tokens.size(); id++) {
        const std::string_view whole = vocabulary.tokens[id];
        for (size_t cut = 1; cut < whole.size(); cut++) {
            const int left = index.find(whole.substr(0, cut));
            const int right = left == TokenIndex::kNone ? left : index.find(whole.substr(cut));
            if (right != TokenIndex::kNone) vocabulary.merges.push_back({left, right, int(id), int(id)});
        }
    }
    add_specials(&vocabulary, specials, path);
    return vocabulary;
}
