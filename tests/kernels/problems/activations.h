// activations.h - inputs for the activation kernels, and GELU's tanh form in double: for the tests of cpu:: and of
// gpu::.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/support/arrays.h"

namespace activations_problem {

// An exponential that is right to 5e-7, and a handful of operations; -O0 does not fuse, which costs a digit.
constexpr double kTolerance = 5e-6;

inline const double kSlope = std::sqrt(2 / M_PI), kCubic = 0.044715;

inline double gelu(double x) {
    return 0.5 * x * (1 + std::tanh(kSlope * (x + kCubic * x * x * x)));
}

inline double gelu_derivative(double x) {
    const double t = std::tanh(kSlope * (x + kCubic * x * x * x));
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * kSlope * (1 + 3 * kCubic * x * x);
}

// Random numbers, with the places where something could go wrong put in as far as they fit.
inline std::vector<float> inputs(int64_t n) {
    std::vector<float> x = random_floats(n, 1, 3);
    const float special[] = {0.0f, -0.0f, 1e-20f, -1e-20f, 0.75f, -0.75f, 8, -8, 20, -20, 1e4f, -1e4f};
    for (size_t i = 0; i < std::min(x.size(), std::size(special)); i++) x[x.size() - 1 - i] = special[i];
    return x;
}

}  // namespace activations_problem
