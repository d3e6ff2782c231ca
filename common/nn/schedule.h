// schedule.h - the learning rate of each step: linear warm-up, then half a cosine down to min_lr.
// Source: Loshchilov and Hutter 2017, eq. 5, with one cycle. lr == min_lr and warmup 0 give a constant rate.
#pragma once
#include <cmath>
#include <cstdint>

struct CosineSchedule {
    float lr, min_lr;
    int64_t warmup, max_steps;

    // step counts from 1. The first step already moves; the last has min_lr.
    float at(int64_t step) const {
        if (step <= warmup) return lr * float(step) / float(warmup);
        if (step >= max_steps) return min_lr;
        const double progress = double(step - warmup) / double(max_steps - warmup);
        return float(double(min_lr) +
                     0.5 * (double(lr) - double(min_lr)) * (1.0 + std::cos(M_PI * progress)));
    }
};
