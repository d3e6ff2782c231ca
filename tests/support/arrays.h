// arrays.h - what tests of kernels and ops share: random arrays, and the demand that a computation leaves the same bytes
// for any number of threads.
// Not here: comparing within a tolerance (allclose.h), finite differences (gradcheck.h).
#pragma once
#include <cstdint>
#include <cstring>
#include <vector>

#include "core/parallel.h"
#include "core/rng.h"
#include "tests/support/catch.h"
#include "tests/support/threads.h"

// n standard normal floats, times scale; different for each stream.
inline std::vector<float> random_floats(int64_t n, uint64_t stream, float scale = 1) {
    std::vector<float> x(static_cast<size_t>(n));
    RandomStream random{2718, stream};
    for (float& value : x) value = scale * random.next_normal();
    return x;
}

// n ids in [0, below).
inline std::vector<int> random_ids(int64_t n, int64_t below, uint64_t stream) {
    std::vector<int> ids(static_cast<size_t>(n));
    RandomStream random{3141, stream};
    for (int& id : ids) id = int(random.next_below(uint32_t(below)));
    return ids;
}

inline bool same_bytes(const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// compute() returns everything that it computed, as one vector.
template <class F>
void require_same_bytes_for_any_threads(F compute) {
    std::vector<float> alone;
    for (int threads = 1; threads <= 4; threads++) {
        const Threads guard(threads);
        const std::vector<float> got = compute();
        if (threads == 1) alone = got;
        CAPTURE(threads);
        REQUIRE(same_bytes(got, alone));
    }
}
