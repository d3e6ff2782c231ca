// check_3.h - checks exercise 3: the guesses, and that writing with them gives what writing without them gives.
#pragma once
#include "chapters/02_small_gpt/exercises/checker.h"

std::vector<int> guess_ahead(const std::vector<int>& text, int words, int most);
int guesses_that_hold(const std::vector<int>& guesses, const std::vector<int>& choices);

// A "model" that looks at the last two ids.
inline int next_of(const std::vector<int>& text) {
    const size_t n = text.size();
    return (text[n - 1] * 3 + text[n - 2] * 5 + 1) % 11;
}

int main() {
    Verdict verdict;
    verdict.same("behind 1 2 in [1 2 3 4 5 1 2]", guess_ahead({1, 2, 3, 4, 5, 1, 2}, 2, 3), {3, 4, 5});
    verdict.same("two at most", guess_ahead({1, 2, 3, 4, 5, 1, 2}, 2, 2), {3, 4});
    verdict.same("the latest occurrence", guess_ahead({1, 2, 3, 1, 2, 4, 1, 2}, 2, 1), {4});
    verdict.same("a text that ends", guess_ahead({9, 1, 2, 7, 1, 2}, 2, 10), {7, 1, 2});
    verdict.same("an occurrence that overlaps", guess_ahead({5, 5, 5, 5}, 3, 4), {5});
    verdict.same("none before", guess_ahead({1, 2, 3}, 2, 4), {});
    verdict.same("a text shorter than the words", guess_ahead({1}, 2, 4), {});
    verdict.right(guesses_that_hold({3, 4, 5}, {3, 4, 6, 9}) == 2,
                  "of 3 4 5 two hold where the model says 3 4 6");
    verdict.right(guesses_that_hold({3, 4, 5}, {1, 4, 5, 9}) == 0, "behind a wrong guess none holds");
    verdict.right(guesses_that_hold({3}, {3, 8}) == 1, "a right guess holds");
    verdict.right(guesses_that_hold({}, {8}) == 0, "no guesses, none that holds");

    std::vector<int> plain = {1, 2}, ahead = plain;
    while (plain.size() < 400) plain.push_back(next_of(plain));
    int passes = 0;
    while (ahead.size() < 400 && passes < 1000) {
        const std::vector<int> guesses = guess_ahead(ahead, 2, 4);
        std::vector<int> with_guesses = ahead, choices;  // what one pass over all guesses gives
        for (size_t i = 0; i <= guesses.size(); i++) {
            choices.push_back(next_of(with_guesses));
            if (i < guesses.size()) with_guesses.push_back(guesses[i]);
        }
        const int held = guesses_that_hold(guesses, choices);
        for (int i = 0; i <= held && i < int(choices.size()); i++) ahead.push_back(choices[size_t(i)]);
        passes++;
    }
    ahead.resize(400);
    verdict.same("writing with guesses", ahead, plain);
    verdict.right(passes < 200,
                  "400 tokens took " + std::to_string(passes) + " passes, should be fewer than 200");
    return verdict.finish("guessing ahead");
}
