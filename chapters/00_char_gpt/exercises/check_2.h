// check_2.h - checks exercise 2 against the log-sum-exp of the whole row, with scores that overflow exp().
#pragma once
#include <algorithm>

#include "chapters/00_char_gpt/exercises/checker.h"

void online_softmax_tile(double* maximum, double* sum, const double* scores, int n);

int main() {
    std::vector<double> got, want;
    for (int tile : {1, 7, 64}) {
        for (double scale : {1.0, 300.0}) {
            const std::vector<float> random = random_vector(200, uint64_t(tile));
            std::vector<double> scores;
            for (float value : random) scores.push_back(scale * double(value) + 500);
            double maximum = -INFINITY, sum = 0;
            for (int j = 0; j < 200; j += tile)
                online_softmax_tile(&maximum, &sum, &scores[size_t(j)], std::min(tile, 200 - j));
            got.push_back(maximum + std::log(sum));
            double best = -INFINITY, exact = 0;
            for (double score : scores) best = std::fmax(best, score);
            for (double score : scores) exact += std::exp(score - best);
            want.push_back(best + std::log(exact));
        }
    }
    for (double& value : got)
        if (!std::isfinite(value)) value = 1e300;  // so that the verdict has a number to print
    return verdict("log-sum-exp, tile by tile", got, want, 1e-12);
}
