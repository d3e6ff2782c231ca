// 3_guess_ahead.cpp - solution of the exercise: several tokens for one reading of the weights. Four rows cost a matrix product hardly more
// time than one (the note, "Writing"), so guess the next tokens cheaply, let the model check all guesses in one pass, and
// keep those that it would have written itself. The cheapest guess: what stood behind the same words before.
// Source: Leviathan, Kalman, Matias 2023 (checking guesses); "prompt lookup decoding", Saxena 2023 (guessing from the text).
#include "chapters/02_small_gpt/exercises/check_3.h"

#include <algorithm>

std::vector<int> guess_ahead(const std::vector<int>& text, int words, int most) {
    const int n = int(text.size());
    for (int begin = n - words - 1; begin >= 0; begin--)
        if (std::equal(text.end() - words, text.end(), text.begin() + begin)) {
            const int from = begin + words, to = std::min(n, from + most);
            return {text.begin() + from, text.begin() + to};
        }
    return {};
}

int guesses_that_hold(const std::vector<int>& guesses, const std::vector<int>& choices) {
    int held = 0;
    while (held < int(guesses.size()) && guesses[size_t(held)] == choices[size_t(held)]) held++;
    return held;
}
