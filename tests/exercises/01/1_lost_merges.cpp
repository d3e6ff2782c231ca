// 1_lost_merges.cpp - solution of the exercise: tiktoken's files list tokens in the order in which they were learned, and not the merges
// that made them. Find the merges again.
#include "chapters/01_bpe/exercises/check_1.h"
#include "core/check.h"

// The two halves of every token that is longer than a byte, in the order of the tokens. When a token was learned, its
// halves were tokens already, and stood side by side once the merges learned before had been made in its bytes.
//   vocabulary  tokens and byte_ids are there, merges is empty
std::vector<plain::Pair> find_merges(const Vocabulary& vocabulary) {
    Vocabulary known = vocabulary;  // gets its merges one by one
    std::vector<plain::Pair> merges;
    for (int id = 0; id < vocabulary.size(); id++) {
        const std::string& bytes = vocabulary.tokens[size_t(id)];
        if (bytes.size() < 2) continue;
        const std::vector<int> halves = plain::encode(known, bytes);
        CHECK(halves.size() == 2, "token %d has %zu parts", id, halves.size());
        merges.push_back({halves[0], halves[1]});
        known.merges.push_back({halves[0], halves[1], id, int(known.merges.size())});
    }
    return merges;
}
