// 3_bpe_dropout.cpp - exercise: BPE-dropout (Provilkov, Emelianenko, Voita 2020). While a model is trained, each merge that
// could be made is passed over with some probability, so that the model meets a word in several cuts and learns what it is
// made of.
// Fill in the gap, then: make exercise-01-3
#include "chapters/01_bpe/exercises/check_3.h"

// Ids of one piece. As plain::encode, but in every round each place where a merge could be made is left out with
// probability p; of those that remain the smallest rank is made, the leftmost of equals. It ends with a round in which no
// place remains. `random()` draws a number in [0, 1): below p the place is left out.
std::vector<int> encode_with_dropout(const Vocabulary& vocabulary, std::string_view piece, double p,
                                     const std::function<double()>& random) {
    // Your part. What is here makes no merge at all.
    const std::map<plain::Pair, Merge> merges = plain::merges_by_pair(vocabulary);
    (void)p;
    (void)random;
    return plain::bytes_as_ids(vocabulary, piece);
}
