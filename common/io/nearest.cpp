// nearest.cpp - which word did the user mean? For every refusal of an unknown flag, verb or choice.
#include <algorithm>
#include <limits>

#include "io/cli.h"

std::string nearest(const std::string& word, const std::vector<std::string>& candidates) {
    std::string best;
    size_t fewest = std::numeric_limits<size_t>::max();
    for (const std::string& candidate : candidates) {
        // edits[i][j] turn the first i letters of word into the first j of candidate. An edit inserts,
        // deletes or replaces a letter or swaps two neighbours (Damerau's distance: swapped letters are the
        // commonest slip).
        std::vector<std::vector<size_t>> edits(word.size() + 1, std::vector<size_t>(candidate.size() + 1));
        for (size_t i = 0; i <= word.size(); i++) {
            for (size_t j = 0; j <= candidate.size(); j++) {
                if (i == 0 || j == 0) {
                    edits[i][j] = i + j;
                    continue;
                }
                const size_t replaced = edits[i - 1][j - 1] + (word[i - 1] == candidate[j - 1] ? 0 : 1);
                edits[i][j] = std::min({replaced, edits[i - 1][j] + 1, edits[i][j - 1] + 1});
                const bool is_swap =
                    i > 1 && j > 1 && word[i - 1] == candidate[j - 2] && word[i - 2] == candidate[j - 1];
                if (is_swap) edits[i][j] = std::min(edits[i][j], edits[i - 2][j - 2] + 1);
            }
        }
        // --check means --checkpoint-every rather than --threads: what is missing at the end counts once.
        const bool is_beginning = !word.empty() && candidate.compare(0, word.size(), word) == 0;
        const size_t distance = is_beginning ? std::min<size_t>(edits.back().back(), 1) : edits.back().back();
        if (distance < fewest) {
            fewest = distance;
            best = candidate;
        }
    }
    return best;
}
