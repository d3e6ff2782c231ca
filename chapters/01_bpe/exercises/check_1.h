// check_1.h - checks exercise 1: the merges of a vocabulary are taken away, and must be found again.
#pragma once
#include "chapters/01_bpe/exercises/checker.h"

std::vector<plain::Pair> find_merges(const Vocabulary& vocabulary);

int main() {
    Verdict verdict;
    const Vocabulary whole = small_vocabulary();
    Vocabulary without = whole;
    without.merges.clear();
    const std::vector<plain::Pair> found = find_merges(without);
    verdict.right(found.size() == whole.merges.size(), std::to_string(found.size()) +
                                                           " merges were found, there were " +
                                                           std::to_string(whole.merges.size()));
    for (size_t i = 0; i < std::min(found.size(), whole.merges.size()); i++) {
        const Merge& merge = whole.merges[i];
        verdict.same("token " + std::to_string(merge.token), shown(whole, {found[i].first, found[i].second}),
                     shown(whole, {merge.left, merge.right}));
    }
    return verdict.finish("lost merges");
}
