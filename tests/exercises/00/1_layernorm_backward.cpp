// 1_layernorm_backward.cpp - solution of the exercise: the gradient of one LayerNorm row, from the note's
// derivation.
#include "chapters/00_char_gpt/exercises/check_1.h"

// dx_j = rstd (g_j - mean_k(g_k) - xhat_j mean_k(g_k xhat_k)), with g = dy weight and xhat = (x - mean) rstd.
//   dx             (C)  out
//   dy, x, weight  (C)  in
//   mean, rstd          of the row x
void layernorm_row_backward(double* dx, const double* dy, const double* x, const double* weight, double mean,
                            double rstd, int C) {
    double sum_g = 0, sum_g_xhat = 0;
    for (int j = 0; j < C; j++) {
        const double g = dy[j] * weight[j];
        sum_g += g;
        sum_g_xhat += g * (x[j] - mean) * rstd;
    }
    for (int j = 0; j < C; j++)
        dx[j] = rstd * (dy[j] * weight[j] - sum_g / C - (x[j] - mean) * rstd * sum_g_xhat / C);
}
