// 3_top_p.cpp - solution of the exercise: nucleus sampling (Holtzman et al. 2020), the other way to cut off
// unlikely characters.
#include <algorithm>

#include "chapters/00_char_gpt/exercises/check_3.h"

// Keeps the fewest likeliest ids whose probabilities add up to at least p, sets the others to 0, and scales
// what is left to sum 1. At least one id stays.
//   probabilities  (V)  in/out
void keep_top_p(std::vector<double>& probabilities, double p) {
    std::vector<size_t> order(probabilities.size());
    for (size_t i = 0; i < order.size(); i++) order[i] = i;
    std::sort(order.begin(), order.end(),
              [&](size_t i, size_t j) { return probabilities[i] > probabilities[j]; });
    double sum = 0;
    for (size_t rank = 0; rank < order.size(); rank++) {
        if (rank > 0 && sum >= p)
            probabilities[order[rank]] = 0;
        else
            sum += probabilities[order[rank]];
    }
    for (double& probability : probabilities) probability /= sum;
}
