// check_3.h - checks exercise 3 on distributions whose nucleus is known.
#pragma once
#include "chapters/00_char_gpt/exercises/checker.h"

void keep_top_p(std::vector<double>& probabilities, double p);

int main() {
    struct Case {
        std::vector<double> probabilities;
        double p;
        std::vector<double> want;
    };
    const std::vector<Case> cases = {
        {{0.1, 0.5, 0.15, 0.25},
         0.7,
         {0, 2.0 / 3, 0, 1.0 / 3}},                   // 0.5 + 0.25 is the first sum that reaches 0.7
        {{0.1, 0.5, 0.15, 0.25}, 0.5, {0, 1, 0, 0}},  // 0.5 alone is enough
        {{0.1, 0.5, 0.15, 0.25}, 0.0, {0, 1, 0, 0}},  // one always stays
        {{0.1, 0.5, 0.15, 0.25}, 1.0, {0.1, 0.5, 0.15, 0.25}},  // all of them
    };
    std::vector<double> got, want;
    for (const Case& c : cases) {
        std::vector<double> probabilities = c.probabilities;
        keep_top_p(probabilities, c.p);
        probabilities.resize(c.want.size());
        got.insert(got.end(), probabilities.begin(), probabilities.end());
        want.insert(want.end(), c.want.begin(), c.want.end());
    }
    return verdict("top-p", got, want, 1e-12);
}
