// 2_online_softmax.cpp - solution of the exercise: the softmax of a row in one pass, tile by tile, as
// attention does it.
#include "chapters/00_char_gpt/exercises/check_2.h"

// One more tile of scores: brings the running maximum and the running sum of exp(score - maximum) up to date.
//   maximum, sum  in/out  of all scores so far; at first -infinity and 0
//   scores  (n)   in
void online_softmax_tile(double* maximum, double* sum, const double* scores, int n) {
    double new_maximum = *maximum;
    for (int j = 0; j < n; j++) new_maximum = std::fmax(new_maximum, scores[j]);
    *sum *= std::exp(*maximum - new_maximum);  // 0 at first: exp(-infinity)
    for (int j = 0; j < n; j++) *sum += std::exp(scores[j] - new_maximum);
    *maximum = new_maximum;
}
