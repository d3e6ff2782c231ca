// simple_schemes.cpp - see simple_schemes.h.
#include "chapters/01_bpe/simple_schemes.h"

#include <algorithm>
#include <memory>
#include <set>

#include "chapters/01_bpe/piece_counts.h"
#include "core/check.h"
#include "io/utf8.h"

namespace {

using Ids = std::unordered_map<std::string_view, int>;

// The scheme looks its tokens up in here; id 0 is <unk>.
struct List {
    std::vector<std::string> tokens{"<unk>"};
    Ids ids;

    int id_of(std::string_view token) const {
        const auto found = ids.find(token);
        return found == ids.end() ? 0 : found->second;
    }
};

std::shared_ptr<const List> list_of(const std::vector<std::string_view>& tokens) {
    auto list = std::make_shared<List>();
    list->tokens.insert(list->tokens.end(), tokens.begin(), tokens.end());
    for (size_t id = 1; id < list->tokens.size(); id++) list->ids[list->tokens[id]] = int(id);
    return list;
}

}  // namespace

Scheme byte_scheme() {
    Scheme scheme;
    scheme.name = "bytes";
    for (int byte = 0; byte < 256; byte++) scheme.tokens.push_back(std::string(1, char(byte)));
    scheme.encode = [](std::string_view text) {
        Tokens tokens;
        for (const char byte : text) tokens.add(uint8_t(byte), 1);
        return tokens;
    };
    return scheme;
}

Scheme character_scheme(std::string_view training_text) {
    std::set<std::string_view> alphabet;
    for (size_t end = 0, begin = 0; begin < training_text.size(); begin = end) {
        utf8::decode_next(training_text, &end);
        alphabet.insert(training_text.substr(begin, end - begin));
    }
    const auto list = list_of({alphabet.begin(), alphabet.end()});
    Scheme scheme;
    scheme.name = "characters";
    scheme.tokens = list->tokens;
    scheme.unknown = 0;
    scheme.encode = [list](std::string_view text) {
        Tokens tokens;
        for (size_t end = 0, begin = 0; begin < text.size(); begin = end) {
            utf8::decode_next(text, &end);
            tokens.add(list->id_of(text.substr(begin, end - begin)), end - begin);
        }
        return tokens;
    };
    return scheme;
}

Scheme word_scheme(std::string_view training_text, int vocab_size) {
    CHECK(vocab_size >= 2, "[word_scheme] a vocabulary of %d has no room for a word", vocab_size);
    std::vector<PieceCount> pieces = count_pieces({training_text}, Pattern::kGpt2, /*sorted=*/true);
    std::stable_sort(pieces.begin(), pieces.end(),
                     [](const PieceCount& a, const PieceCount& b) { return a.count > b.count; });
    pieces.resize(std::min(pieces.size(), size_t(vocab_size - 1)));
    std::vector<std::string_view> words;
    for (const PieceCount& piece : pieces) words.push_back(piece.piece);
    const auto list = list_of(words);
    Scheme scheme;
    scheme.name = "words";
    scheme.tokens = list->tokens;
    scheme.unknown = 0;
    scheme.encode = [list](std::string_view text) {
        Tokens tokens;
        for_each_piece(Pattern::kGpt2, text,
                       [&](std::string_view piece) { tokens.add(list->id_of(piece), piece.size()); });
        return tokens;
    };
    return scheme;
}
