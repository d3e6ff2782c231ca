// test_parallel.cpp - every index runs exactly once, whatever the number of threads, the nesting and the
// size.
#include "core/parallel.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include "tests/support/catch.h"

namespace {

// Puts the pool back to one thread, also when a REQUIRE throws.
struct Threads {
    explicit Threads(int n) { parallel::set_num_threads(n); }
    ~Threads() { parallel::set_num_threads(1); }
};

// How often each index of a loop of `count` was run. The bodies write only what is theirs: no atomics needed.
std::vector<int> visits(int64_t count) {
    std::vector<int> seen(size_t(count), 0);
    parallel_for(count, [&](int64_t i) { seen[size_t(i)]++; });
    return seen;
}

}  // namespace

TEST_CASE("parallel_for runs every index exactly once", "[core][cpu]") {
    const int threads = GENERATE(1, 2, 3, 4, 7);
    const int64_t count = GENERATE(0, 1, 2, 3, 17, 1000, 100003);
    CAPTURE(threads, count);
    Threads guard(threads);
    REQUIRE(parallel::num_threads() == threads);
    REQUIRE(visits(count) == std::vector<int>(size_t(count), 1));
}

TEST_CASE("a loop's body knows which thread runs it, and threads begin with their own share", "[core][cpu]") {
    constexpr int kThreads = 3;
    Threads guard(kThreads);
    REQUIRE(parallel::this_thread() == 0);
    // Each index waits until all threads have one, so that nobody can help the others.
    std::atomic<int> arrived{0};
    std::vector<int> ran_by(kThreads, -1);
    parallel_for(kThreads, [&](int64_t i) {
        ran_by[size_t(i)] = parallel::this_thread();
        arrived++;
        while (arrived < kThreads) std::this_thread::yield();
    });
    REQUIRE(ran_by == std::vector<int>{0, 1, 2});
    REQUIRE(parallel::this_thread() == 0);
}

TEST_CASE("parallel_ranges covers the count with ranges no longer than the grain", "[core][cpu]") {
    const int threads = GENERATE(1, 3);
    const int64_t count = GENERATE(0, 1, 7, 64, 65, 1000);
    const int64_t grain = GENERATE(1, 2, 64, 5000);
    CAPTURE(threads, count, grain);
    Threads guard(threads);
    std::vector<int> seen(size_t(count), 0);
    std::atomic<int> too_long{0};
    parallel_ranges(count, grain, [&](int64_t begin, int64_t end) {
        if (end - begin > grain || end <= begin) too_long++;
        for (int64_t i = begin; i < end; i++) seen[size_t(i)]++;
    });
    REQUIRE(too_long == 0);
    REQUIRE(seen == std::vector<int>(size_t(count), 1));
}

TEST_CASE("a loop inside a loop runs where it stands", "[core][cpu]") {
    Threads guard(4);
    constexpr int64_t kOuter = 37, kInner = 11;
    std::vector<int> seen(size_t(kOuter * kInner), 0);
    parallel_for(
        kOuter, [&](int64_t o) { parallel_for(kInner, [&](int64_t i) { seen[size_t(o * kInner + i)]++; }); });
    REQUIRE(seen == std::vector<int>(size_t(kOuter * kInner), 1));
}

TEST_CASE("the pool can be resized between loops", "[core][cpu]") {
    Threads guard(1);
    for (const int threads : {4, 1, 3, 3, 2, 4, 1}) {
        CAPTURE(threads);
        parallel::set_num_threads(threads);
        REQUIRE(parallel::num_threads() == threads);
        REQUIRE(visits(257) == std::vector<int>(257, 1));
    }
    parallel::set_num_threads(0);  // there is always the caller
    REQUIRE(parallel::num_threads() == 1);
    REQUIRE(visits(5) == std::vector<int>(5, 1));
}

TEST_CASE("many tiny loops: none is lost and none runs with the arguments of its neighbour", "[core][cpu]") {
    Threads guard(3);
    std::vector<int64_t> out(8, -1);
    for (int64_t loop = 0; loop < 20000; loop++) {
        const int64_t count = 2 + loop % 7;
        parallel_for(count, [&](int64_t i) { out[size_t(i)] = loop * 10 + i; });
        for (int64_t i = 0; i < count; i++)
            if (out[size_t(i)] != loop * 10 + i)
                FAIL("loop " << loop << ", index " << i << ": " << out[size_t(i)]);
    }
    SUCCEED();
}

TEST_CASE("threads that fell asleep wake up for the next loop", "[core][cpu]") {
    Threads guard(4);
    for (int round = 0; round < 20; round++) {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));  // far beyond the spin
        REQUIRE(visits(64) == std::vector<int>(64, 1));
    }
}
