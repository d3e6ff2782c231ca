// 3_top_p.cpp - exercise: nucleus sampling (Holtzman et al. 2020), the other way to cut off unlikely
// characters. Fill in the gap, then: make exercise-00-3
#include "chapters/00_char_gpt/exercises/check_3.h"

// Keeps the fewest likeliest ids whose probabilities add up to at least p, sets the others to 0, and scales
// what is left to sum 1. At least one id stays.
//   probabilities  (V)  in/out
void keep_top_p(std::vector<double>& probabilities, double p) {
    // Your part. What is here keeps everything.
    (void)probabilities;
    (void)p;
}
