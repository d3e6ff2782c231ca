// 2_online_softmax.cpp - exercise: the softmax of a row in one pass, tile by tile, as attention does it.
// Fill in the gap, then: make exercise-00-2
#include "chapters/00_char_gpt/exercises/check_2.h"

// One more tile of scores: brings the running maximum and the running sum of exp(score - maximum) up to date.
//   maximum, sum  in/out  of all scores so far; at first -infinity and 0
//   scores  (n)   in
void online_softmax_tile(double* maximum, double* sum, const double* scores, int n) {
    // Your part. What is here adds up exp(score) as it is: right for small scores, infinite for large ones.
    *maximum = 0;
    for (int j = 0; j < n; j++) *sum += std::exp(scores[j]);
}
