// scheme.h - what every tokenization scheme can do, so that explore can ask all of them the same questions.
// Not here: the schemes: bytes, characters and words (simple_schemes.h), WordPiece (wordpiece.h), Unigram (unigram.h),
// BPE (bpe.h).
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "chapters/01_bpe/pretokenize.h"

// A text in tokens. Tokens stand side by side and cover it: the sizes add up to the text's.
struct Tokens {
    std::vector<int> ids;
    std::vector<uint32_t> sizes;  // bytes of the text that each stands for

    void add(int id, size_t size) {
        ids.push_back(id);
        sizes.push_back(uint32_t(size));
    }
};

struct Scheme {
    std::string name;                 // "BPE 1024"
    std::vector<std::string> tokens;  // by id: the bytes, or for an unknown a name that is shown
    int unknown = -1;  // the id of what the scheme cannot express; -1 if it can express everything
    std::function<Tokens(std::string_view text)> encode;

    int size() const { return int(tokens.size()); }
};

// Encodes a text whose pieces are encoded one by one. Most pieces come again and again: each different one is encoded
// once. encode_piece(piece, &tokens) appends.
template <class EncodePiece>
Tokens encode_pieces(Pattern pattern, std::string_view text, EncodePiece&& encode_piece) {
    std::unordered_map<std::string_view, Tokens> seen;
    Tokens all;
    for_each_piece(pattern, text, [&](std::string_view piece) {
        const auto [entry, is_first] = seen.try_emplace(piece);
        Tokens& tokens = entry->second;
        if (is_first) encode_piece(piece, &tokens);
        all.ids.insert(all.ids.end(), tokens.ids.begin(), tokens.ids.end());
        all.sizes.insert(all.sizes.end(), tokens.sizes.begin(), tokens.sizes.end());
    });
    return all;
}
