// attention_cached.h - the cached attention's problem: the positions of attention.h's problem, of which some are put
// into the cache at once and the others one by one, and the row that must come out.
#pragma once
#include <vector>

#include "tests/kernels/problems/attention.h"

namespace attention_problem {

// A cache larger than what is written to it; what is not written stays NaN and must not be read.
struct CachedProblem {
    Problem all;
    int64_t prefix, capacity;  // positions that are cached at once; positions of the cache

    CachedProblem(int64_t B, int64_t T, int64_t NH, int64_t HS, int64_t prefix, int64_t spare)
        : all(B, T, NH, HS), prefix(prefix), capacity(T + spare) {}
    int64_t C() const { return all.NH * all.HS; }
    int64_t cache_size() const { return all.B * capacity * C(); }

    // qkv of positions [begin, end) of every sequence: (B,end-begin,3*NH*HS).
    std::vector<float> positions(int64_t begin, int64_t end) const {
        std::vector<float> rows;
        for (int64_t b = 0; b < all.B; b++)
            rows.insert(rows.end(), all.qkv.begin() + (b * all.T + begin) * 3 * C(),
                        all.qkv.begin() + (b * all.T + end) * 3 * C());
        return rows;
    }

    // The last row of each sequence, in double.
    std::vector<double> want() const {
        const Reference full = reference(all);
        std::vector<double> rows;
        for (int64_t b = 0; b < all.B; b++)
            rows.insert(rows.end(), full.out.begin() + ((b + 1) * all.T - 1) * C(),
                        full.out.begin() + (b + 1) * all.T * C());
        return rows;
    }
};

}  // namespace attention_problem
