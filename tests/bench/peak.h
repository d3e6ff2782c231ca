// peak.h - what the machine can do, measured: multiply-adds per second in registers, and bytes per second
// from memory, at a number of threads. A benchmark divides by these.
// Not here: what the data sheet says. Clocks, neighbours and virtual machines make that a number of no use.
#pragma once
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "kernels/cpu/simd.h"

namespace peak {

inline double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Runs work(thread) on `threads` threads that start together; returns the seconds until the last one is done,
// of the fastest of `repeats`.
inline double seconds_of(int threads, int repeats, const std::function<void(int)>& work) {
    double best = 1e30;
    for (int r = 0; r < repeats; r++) {
        std::atomic<int> ready{0};
        std::vector<double> begin(threads), end(threads);
        const auto run = [&](int t) {
            ready.fetch_add(1);
            while (ready.load() < threads) std::this_thread::yield();
            begin[t] = now();
            work(t);
            end[t] = now();
        };
        std::vector<std::thread> others;
        for (int t = 1; t < threads; t++) others.emplace_back(run, t);
        run(0);
        for (std::thread& other : others) other.join();
        best = std::min(
            best, *std::max_element(end.begin(), end.end()) - *std::min_element(begin.begin(), begin.end()));
    }
    return best;
}

// Multiply-adds on independent registers at the width that this file is compiled for: the ceiling of any
// matrix multiply. Two floating-point operations each.
inline double gflops(int threads, int repeats = 5) {
    constexpr int kSums =
        12;  // note: at least latency (4 or 5 cycles) x multiply-adds per cycle (2), with some to spare
    constexpr int64_t kSteps = 2'000'000;
    std::vector<float> result(threads * 64);  // 256 bytes apart, so that threads share no cache line
    const double seconds = seconds_of(threads, repeats, [&](int t) {
        simd::Vec sums[kSums], x = simd::broadcast(0.999f), y = simd::broadcast(1e-3f);
        GPT_UNROLL
        for (int i = 0; i < kSums; i++) sums[i] = simd::broadcast(float(i));
        for (int64_t step = 0; step < kSteps; step++) {
            asm volatile("" : "+m"(x), "+m"(y));  // keeps the compiler from computing the loop in advance
            GPT_UNROLL
            for (int i = 0; i < kSums; i++) sums[i] = sums[i] * x + y;
        }
        float total = 0;
        GPT_UNROLL
        for (int i = 0; i < kSums; i++) total += simd::sum(sums[i]);
        result[t * 64] = total;
    });
    return 2e-9 * double(kSteps) * kSums * simd::kWidth * threads / seconds;
}

constexpr int64_t kFloatsPerArray = 16 << 20;  // 64 MiB: more than most caches hold

// c = a + 0.5 b over arrays larger than any cache, GB/s of the 12 bytes per element that the program sees.
inline double triad_gbs(int threads, int repeats = 5) {
    std::vector<float> a(kFloatsPerArray, 1.f), b(kFloatsPerArray, 2.f), c(kFloatsPerArray, 3.f);
    const int64_t share = kFloatsPerArray / threads / 64 * 64;
    const double seconds = seconds_of(threads, repeats, [&](int t) {
        for (int64_t i = t * share; i < (t + 1) * share; i += simd::kWidth)
            simd::store(&c[i], simd::load(&a[i]) + 0.5f * simd::load(&b[i]));
    });
    return 12e-9 * double(share) * threads / seconds;
}

// The sum of an array that is read again and again, GB/s. Give it the size of what a program reads again and again: a
// server's cache may hold 64 MiB, and half of a model.
inline double read_gbs(int threads, int64_t floats = kFloatsPerArray, int repeats = 5) {
    std::vector<float> a(size_t(floats), 1.f);
    const int64_t share = floats / threads / 64 * 64;
    std::vector<float> result(threads * 64);
    const double seconds = seconds_of(threads, repeats, [&](int t) {
        simd::Vec sums[4] = {};
        for (int64_t i = t * share; i < (t + 1) * share; i += 4 * simd::kWidth) {
            GPT_UNROLL
            for (int j = 0; j < 4; j++) sums[j] += simd::load(&a[i + j * simd::kWidth]);
        }
        result[t * 64] = simd::sum(sums[0] + sums[1] + sums[2] + sums[3]);
    });
    return 4e-9 * double(share) * threads / seconds;
}

}  // namespace peak
