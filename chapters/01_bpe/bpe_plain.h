// bpe_plain.h - byte-pair encoding on a page: train and encode as the definition says, nothing remembered, nothing
// indexed. Read this first; everything faster (bpe.h, trainer.h) is tested to do exactly the same.
// Not here: speed. Encoding rescans the piece for each merge, training recounts the whole text for each merge.
// Source: Sennrich, Haddow, Birch 2016, algorithm 1, on bytes as in Radford et al. 2019, section 2.2.
#pragma once
#include <cstddef>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "chapters/01_bpe/vocabulary.h"

namespace plain {

using Pair = std::pair<int, int>;  // two neighbours; ordered by the left id, then the right one

// Every byte is a token of its own to begin with.
inline std::vector<int> bytes_as_ids(const Vocabulary& vocabulary, std::string_view text) {
    std::vector<int> ids;
    for (const char byte : text) ids.push_back(vocabulary.byte_ids[uint8_t(byte)]);
    return ids;
}

// Replaces each `pair`, from left to right, by `token`.
inline std::vector<int> merged(const std::vector<int>& ids, Pair pair, int token) {
    std::vector<int> result;
    for (size_t i = 0; i < ids.size(); i++) {
        if (i + 1 < ids.size() && Pair(ids[i], ids[i + 1]) == pair) {
            result.push_back(token);
            i++;  // the right half is used up: in "aaa" only one pair can become "aa"
        } else {
            result.push_back(ids[i]);
        }
    }
    return result;
}

// Ordinary text never becomes a special token, not even when it reads like one.
inline bool is_special(const Vocabulary& vocabulary, int id) {
    for (const SpecialToken& special : vocabulary.specials)
        if (special.id == id) return true;
    return false;
}

// The merges by their pair, as encode wants them.
inline std::map<Pair, Merge> merges_by_pair(const Vocabulary& vocabulary) {
    std::map<Pair, Merge> merges;
    for (const Merge& merge : vocabulary.merges) merges.insert({{merge.left, merge.right}, merge});
    return merges;
}

// Ids of ordinary text: in each piece, the merge of the smallest rank is made as long as there is one, the leftmost of
// equals first.
inline std::vector<int> encode(const Vocabulary& vocabulary, std::string_view text) {
    const std::map<Pair, Merge> merges = merges_by_pair(vocabulary);
    std::vector<int> all;
    for_each_piece(vocabulary.pattern, text, [&](std::string_view piece) {
        if (vocabulary.whole_piece_first)
            for (int id = 0; id < vocabulary.size(); id++)
                if (vocabulary.tokens[size_t(id)] == piece && !is_special(vocabulary, id))
                    return all.push_back(id);

        std::vector<int> ids = bytes_as_ids(vocabulary, piece);
        for (;;) {
            const Merge* best = nullptr;
            size_t place = 0;
            for (size_t i = 0; i + 1 < ids.size(); i++) {
                const auto found = merges.find({ids[i], ids[i + 1]});
                if (found == merges.end() || (best != nullptr && found->second.rank >= best->rank)) continue;
                best = &found->second;
                place = i;
            }
            if (best == nullptr) break;
            ids[place] = best->token;
            ids.erase(ids.begin() + ptrdiff_t(place) + 1);
        }
        all.insert(all.end(), ids.begin(), ids.end());
    });
    return all;
}

// Learns merges until the vocabulary has `vocab_size` tokens, or no pair occurs `min_frequency` times. Of equally
// frequent pairs the smallest is taken: any rule would do, this one is HuggingFace's.
inline Vocabulary train(std::string_view text, int vocab_size, int64_t min_frequency = 2,
                        Pattern pattern = Pattern::kGpt2) {
    Vocabulary vocabulary = byte_vocabulary(pattern);
    std::vector<std::vector<int>> pieces;
    for_each_piece(pattern, text,
                   [&](std::string_view piece) { pieces.push_back(bytes_as_ids(vocabulary, piece)); });
    while (vocabulary.size() < vocab_size) {
        std::map<Pair, int64_t> counts;
        for (const std::vector<int>& ids : pieces)
            for (size_t i = 0; i + 1 < ids.size(); i++) counts[{ids[i], ids[i + 1]}]++;

        Pair best;
        int64_t most = 0;
        for (const auto& [pair, count] : counts)  // in ascending order: the first of equals stays
            if (count > most) best = pair, most = count;
        if (most < min_frequency || most == 0) break;

        const int token = vocabulary.size();
        for (std::vector<int>& ids : pieces) ids = merged(ids, best, token);
        vocabulary.tokens.push_back(vocabulary.tokens[size_t(best.first)] +
                                    vocabulary.tokens[size_t(best.second)]);
        vocabulary.merges.push_back({best.first, best.second, token, int(vocabulary.merges.size())});
    }
    return vocabulary;
}

}  // namespace plain
