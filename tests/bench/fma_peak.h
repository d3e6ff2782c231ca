// fma_peak.h - the ceiling of this machine: float multiply-adds per second with nothing but multiply-adds to do.
// Measured with the vector width that this program was compiled for, so that MARCH=x86-64-v3 is held to its own peak.
#pragma once
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <vector>

#include "core/parallel.h"
#include "kernels/cpu/simd.h"

// GFLOP/s of all threads of the pool together; a multiply-add counts as two. The best of a few tries of about 10 ms.
inline double fma_peak_gflops() {
    constexpr int kChains = 12;  // two units, four or five cycles each: ten in flight keep them busy
    constexpr int64_t kRounds = 1 << 21;
    const int threads = parallel::num_threads();
    std::vector<float> results(size_t(threads), 0.0f);
    double best = 0;
    for (int attempt = 0; attempt < 8; attempt++) {
        const auto begin = std::chrono::steady_clock::now();
        parallel_for(threads, [&](int64_t i) {
            simd::Vec sum[kChains];
            for (int chain = 0; chain < kChains; chain++) sum[chain] = simd::broadcast(float(chain));
            const simd::Vec factor = simd::broadcast(0.999f), term = simd::broadcast(0.001f * float(i + 1));
            for (int64_t round = 0; round < kRounds; round++)
                for (simd::Vec& s : sum) s = s * factor + term;
            simd::Vec total{};
            for (const simd::Vec& s : sum) total += s;
            results[size_t(i)] = simd::sum(total);
        });
        const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
        best = std::max(best, 2.0 * kChains * simd::kWidth * double(kRounds) * threads / seconds * 1e-9);
    }
    // What nobody reads is not computed: look at the results.
    for (const float result : results)
        if (!std::isfinite(result)) return 0;
    return best;
}
