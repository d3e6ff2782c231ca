// 3_guess_ahead.cpp - exercise: several tokens for one reading of the weights. Four rows cost a matrix product hardly more
// time than one (the note, "Writing"), so guess the next tokens cheaply, let the model check all guesses in one pass, and
// keep those that it would have written itself. The cheapest guess: what stood behind the same words before.
// Source: Leviathan, Kalman, Matias 2023 (checking guesses); "prompt lookup decoding", Saxena 2023 (guessing from the text).
// Fill in the gap, then: make exercise-02-3
#include "chapters/02_small_gpt/exercises/check_3.h"

// Up to `most` ids that stood behind the latest earlier occurrence of the last `words` ids of the text; none where there
// was none. The occurrence may overlap the end, and the guess ends where the text does.
std::vector<int> guess_ahead(const std::vector<int>& text, int words, int most) {
    // Your part.
    (void)text, (void)words, (void)most;
    return {};
}

// How many of the guesses hold: choices[i] is the model's own token in the place of guess i, given that all guesses before
// it are right. choices has one more than guesses: the pass also gives the token behind the last.
int guesses_that_hold(const std::vector<int>& guesses, const std::vector<int>& choices) {
    // Your part.
    (void)choices;
    return int(guesses.size());
}
