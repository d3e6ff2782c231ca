// check_4.h - checks exercise 4 against a search through all cuts.
#pragma once
#include <algorithm>
#include <set>

#include "chapters/01_bpe/exercises/checker.h"

std::vector<int> fewest_tokens(const Vocabulary& vocabulary, std::string_view piece);

// The fewest tokens for the piece, by trying every cut: exponential, for short words.
inline size_t fewest_by_trying(const std::set<std::string_view>& tokens, std::string_view piece) {
    if (piece.empty()) return 0;
    size_t fewest = piece.size();
    for (size_t length = 1; length <= piece.size(); length++)
        if (tokens.count(piece.substr(0, length)) > 0)
            fewest = std::min(fewest, 1 + fewest_by_trying(tokens, piece.substr(length)));
    return fewest;
}

int main() {
    Verdict verdict;
    // "ab" is learned first, so BPE cuts "abcd" into |ab|c|d|; |a|bcd| is shorter.
    Vocabulary small = byte_vocabulary(Pattern::kNone);
    const auto add_merge = [&](const std::string& left, const std::string& right) {
        const auto id_of = [&](const std::string& text) {
            return int(std::find(small.tokens.begin(), small.tokens.end(), text) - small.tokens.begin());
        };
        small.merges.push_back({id_of(left), id_of(right), small.size(), int(small.merges.size())});
        small.tokens.push_back(left + right);
    };
    add_merge("a", "b"), add_merge("c", "d"), add_merge("b", "cd"), add_merge("d", "e"),
        add_merge("bcd", "e");

    for (const Vocabulary& vocabulary : {small, small_vocabulary()}) {
        const std::set<std::string_view> tokens(vocabulary.tokens.begin(), vocabulary.tokens.end());
        for (const std::string word :
             {"abcd", "abcde", "ababcd", "lowest", " towers", "widest", " the", "zq", "a", ""}) {
            const std::vector<int> ids = fewest_tokens(vocabulary, word);
            std::string back;
            for (const int id : ids)
                back += id >= 0 && id < vocabulary.size() ? vocabulary.tokens[size_t(id)] : "(no token)";
            const size_t fewest = fewest_by_trying(tokens, word);
            verdict.right(back == word,
                          "\"" + word + "\" gives " + shown(vocabulary, ids) + ", which is another word");
            verdict.right(ids.size() == fewest, "\"" + word + "\" gives " + shown(vocabulary, ids) + ", " +
                                                    std::to_string(ids.size()) + " tokens; " +
                                                    std::to_string(fewest) + " are enough");
        }
    }
    return verdict.finish("the fewest tokens");
}
