// checker.h - what the exercises check themselves with: random inputs, and a verdict that says what is wrong.
#pragma once
#include <cmath>
#include <cstdio>
#include <vector>

#include "core/rng.h"

inline std::vector<float> random_vector(int64_t n, uint64_t stream) {
    RandomStream random{42, stream};
    std::vector<float> x(static_cast<size_t>(n));
    for (float& value : x) value = random.next_normal();
    return x;
}

// Prints what was checked; returns 0 when |got - want| / |want| is below the tolerance, 1 else: main's exit
// code.
inline int verdict(const char* what, const std::vector<double>& got, const std::vector<double>& want,
                   double tolerance) {
    double difference = 0, norm = 0;
    for (size_t i = 0; i < want.size(); i++) {
        difference += (got[i] - want[i]) * (got[i] - want[i]);
        norm += want[i] * want[i];
    }
    const double error = std::sqrt(difference / norm);
    if (error < tolerance) {
        std::printf("%s: right (relative error %.1e)\n", what, error);
        return 0;
    }
    size_t first = 0;
    while (first + 1 < want.size() &&
           std::fabs(got[first] - want[first]) <= tolerance * std::fabs(want[first]))
        first++;
    std::printf("%s: not yet. Relative error %.1e; the first that is off is element %zu: %g, should be %g\n",
                what, error, first, got[first], want[first]);
    return 1;
}
