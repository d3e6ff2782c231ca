// 4_fewest_tokens.cpp - solution of the exercise: BPE makes its merges in the order it learned them and never looks ahead. How few tokens
// could a word have? Find a cut of it into as few tokens of the vocabulary as there can be, by dynamic programming: the
// Viterbi search of the unigram scheme (unigram.h) with the same cost for every token.
#include "chapters/01_bpe/exercises/check_4.h"

// Ids of tokens whose bytes, one after the other, are `piece`; no other list is shorter. Every byte is a token, so there
// always is one.
std::vector<int> fewest_tokens(const Vocabulary& vocabulary, std::string_view piece) {
    std::map<std::string_view, int> ids;
    for (int id = 0; id < vocabulary.size(); id++) ids.insert({vocabulary.tokens[size_t(id)], id});
    // best[end]: the fewest tokens for the first `end` bytes, and the last of them.
    struct Best {
        size_t count = 0, begin = 0;
        int last = -1;
    };
    std::vector<Best> best(piece.size() + 1);
    for (size_t end = 1; end <= piece.size(); end++) {
        best[end].count = end + 1;
        for (size_t begin = 0; begin < end; begin++) {
            const auto found = ids.find(piece.substr(begin, end - begin));
            if (found == ids.end() || best[begin].count + 1 >= best[end].count) continue;
            best[end] = {best[begin].count + 1, begin, found->second};
        }
    }
    std::vector<int> tokens;
    for (size_t end = piece.size(); end > 0; end = best[end].begin) tokens.push_back(best[end].last);
    std::reverse(tokens.begin(), tokens.end());
    return tokens;
}
