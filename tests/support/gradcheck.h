// gradcheck.h - is a gradient the gradient? Central differences against what a backward returned.
// Not here: the op under test, or the tape: f() is any function of a buffer that a test can run again.
// The bar of every op and every input: ||fd - g|| / ||g|| < 1e-3 at h = 1e-2.
#pragma once
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/rng.h"

// note: h is large, because float outputs carry noise of about 1e-7 that the division by 2h multiplies. The
// error of central differences itself is h^2 / 6 times the third derivative: 1.7e-5 here for functions as
// smooth as ours.
constexpr float kGradcheckStep = 1e-2f;
constexpr double kGradcheckBar = 1e-3;

struct GradcheckResult {
    double relative_error = 0;  // ||fd - g|| / ||g||; ||fd|| where g is 0 everywhere
    double fd_norm = 0, grad_norm = 0;
    int64_t worst_index = 0;  // where |fd - g| is largest, and both values there
    double worst_fd = 0, worst_grad = 0;

    bool passes(double bar = kGradcheckBar) const { return relative_error < bar; }  // false for NaN

    std::string message(const std::string& input) const {
        return format(
            "d%s: ||fd - g|| / ||g|| = %.3g (||fd|| %.6g, ||g|| %.6g), worst at %lld: fd %.9g, g %.9g",
            input.c_str(), relative_error, fd_norm, grad_norm, (long long)worst_index, worst_fd, worst_grad);
    }
};

// A random direction in which to weigh an op's outputs: sum_i w[i] out[i] is the scalar whose gradient is
// checked, and w is the dout to hand to the backward.
inline std::vector<float> random_weights(int64_t size, uint64_t seed = 1) {
    RandomStream random{seed, 0x6772616463686bu};  // a stream of its own: "gradchk"
    std::vector<float> w(size_t(size), 0.0f);
    for (float& value : w) value = random.next_normal();
    return w;
}

// sum_i w[i] out[i], in double: the sum must add no noise of its own.
inline double weighted_sum(const std::vector<float>& w, const float* out) {
    double sum = 0;
    for (size_t i = 0; i < w.size(); i++) sum += double(w[i]) * double(out[i]);
    return sum;
}

// f() reads x and returns the scalar; grad (n) is what the backward says df/dx is. x is restored. max_entries
// limits the work on large inputs: then only every (n / max_entries)-th element is tried and counted.
template <class F>
GradcheckResult gradcheck(F&& f, float* x, const float* grad, int64_t n, float h = kGradcheckStep,
                          int64_t max_entries = 4096) {
    CHECK(n > 0, "[gradcheck] wants elements, got %lld", (long long)n);
    const int64_t stride = (n + max_entries - 1) / max_entries;
    GradcheckResult result;
    double error_squared = 0, fd_squared = 0, grad_squared = 0, worst = -1;
    for (int64_t i = 0; i < n; i += stride) {
        const float before = x[i];
        // subtle: x + h is rounded, so that the step taken is not exactly 2h; divide by the one taken.
        const volatile float above = before + h, below = before - h;
        x[i] = above;
        const double f_above = f();
        x[i] = below;
        const double f_below = f();
        x[i] = before;
        const double fd = (f_above - f_below) / (double(above) - double(below)), g = grad[i];
        error_squared += (fd - g) * (fd - g), fd_squared += fd * fd, grad_squared += g * g;
        if (std::fabs(fd - g) > worst || std::isnan(fd - g)) {
            worst = std::fabs(fd - g);
            result.worst_index = i, result.worst_fd = fd, result.worst_grad = g;
        }
    }
    result.fd_norm = std::sqrt(fd_squared);
    result.grad_norm = std::sqrt(grad_squared);
    result.relative_error = std::sqrt(error_squared) / (grad_squared > 0 ? result.grad_norm : 1.0);
    return result;
}
