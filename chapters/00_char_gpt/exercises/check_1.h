// check_1.h - checks exercise 1 by finite differences of the forward formula.
#pragma once
#include "chapters/00_char_gpt/exercises/checker.h"

void layernorm_row_backward(double* dx, const double* dy, const double* x, const double* weight, double mean,
                            double rstd, int C);

int main() {
    constexpr int C = 37;
    const std::vector<float> xf = random_vector(C, 1), wf = random_vector(C, 2), dyf = random_vector(C, 3);
    std::vector<double> x(xf.begin(), xf.end()), w(wf.begin(), wf.end()), dy(dyf.begin(), dyf.end());
    double mean = 0, rstd = 0;
    // The sum of dy y, whose gradient is what the exercise computes.
    const auto forward = [&] {
        mean = 0;
        for (double value : x) mean += value / C;
        double variance = 0;
        for (double value : x) variance += (value - mean) * (value - mean) / C;
        rstd = 1 / std::sqrt(variance + 1e-5);
        double sum = 0;
        for (int j = 0; j < C; j++) sum += dy[size_t(j)] * (x[size_t(j)] - mean) * rstd * w[size_t(j)];
        return sum;
    };
    std::vector<double> want(C), got(C);
    for (int j = 0; j < C; j++) {
        const double before = x[size_t(j)], h = 1e-5;
        x[size_t(j)] = before + h;
        const double above = forward();
        x[size_t(j)] = before - h;
        want[size_t(j)] = (above - forward()) / (2 * h);
        x[size_t(j)] = before;
    }
    forward();
    layernorm_row_backward(got.data(), dy.data(), x.data(), w.data(), mean, rstd, C);
    return verdict("LayerNorm, backwards", got, want, 1e-6);
}
