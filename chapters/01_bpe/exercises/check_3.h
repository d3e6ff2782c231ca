// check_3.h - checks exercise 3: nothing dropped is BPE, all dropped is bytes, and in between a word has several cuts.
#pragma once
#include <functional>
#include <set>

#include "chapters/01_bpe/exercises/checker.h"
#include "core/rng.h"

std::vector<int> encode_with_dropout(const Vocabulary& vocabulary, std::string_view piece, double p,
                                     const std::function<double()>& random);

int main() {
    Verdict verdict;
    const Vocabulary vocabulary = small_vocabulary();
    RandomStream stream{7, 0};
    const std::function<double()> random = [&] { return double(stream.next_word()) / 4294967296.0; };
    for (const std::string word : {"lowest", " towers", " the", "widening", "x", ""}) {
        const std::string bytes = shown(vocabulary, plain::bytes_as_ids(vocabulary, word));
        const std::string merged = shown(vocabulary, plain::encode(vocabulary, word));
        verdict.same("\"" + word + "\" with p = 0",
                     shown(vocabulary, encode_with_dropout(vocabulary, word, 0, random)), merged);
        verdict.same("\"" + word + "\" with p = 1",
                     shown(vocabulary, encode_with_dropout(vocabulary, word, 1, random)), bytes);
        std::set<std::string> cuts;
        for (int draw = 0; draw < 300; draw++) {
            const std::vector<int> ids = encode_with_dropout(vocabulary, word, 0.3, random);
            std::string back;
            for (const int id : ids)
                back += id >= 0 && id < vocabulary.size() ? vocabulary.tokens[size_t(id)] : "(no token)";
            verdict.right(back == word, "\"" + word + "\" with p = 0.3 gives " + shown(vocabulary, ids) +
                                            ", which is not the word's own bytes");
            cuts.insert(shown(vocabulary, ids));
        }
        const size_t expected = word.size() > 4 ? 4 : 1;
        verdict.right(cuts.size() >= expected, "\"" + word + "\" with p = 0.3 has " +
                                                   std::to_string(cuts.size()) +
                                                   " different cuts in 300 draws, should be several");
        verdict.right(cuts.count(merged) == 1,
                      "\"" + word + "\" with p = 0.3 never comes out as plain BPE's " + merged);
    }
    return verdict.finish("BPE-dropout");
}
