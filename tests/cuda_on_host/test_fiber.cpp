// test_fiber.cpp - leaving a stack and entering another, with both implementations.
#include "cuda_on_host/fiber.h"

#include <cmath>
#include <memory>
#include <vector>

#include "cuda_on_host/sanitizers.h"
#include "tests/support/catch.h"

// The sanitizers are told of switches by cuda_machine.cpp only; here they would see one corrupted stack.
#if !defined(CUDA_ON_HOST_ASAN) && !defined(CUDA_ON_HOST_TSAN)

namespace {

using namespace cuda_on_host;

constexpr size_t kStackBytes = 64 << 10;

// Fibers that hand a number round: each adds its own to what the one before it left.
template <class F>
struct Ring {
    std::vector<F> fibers;
    std::vector<std::unique_ptr<char[]>> stacks;
    F test;
    size_t running = 0;
    double sum = 0;
    int rounds = 0;
};

template <class F>
Ring<F>* ring = nullptr;

template <class F>
void member() {
    Ring<F>& r = *ring<F>;
    const size_t me = r.running;
    double mine[16];  // lives on this fiber's stack
    for (int i = 0; i < 16; i++) mine[i] = double(me) + i;
    for (;;) {
        for (double& x : mine) x = std::sqrt(x * x);
        r.sum += mine[r.rounds % 16];
        const size_t next = me + 1 < r.fibers.size() ? me + 1 : 0;
        if (next == 0 && --r.rounds == 0) {
            switch_fiber(r.fibers[me], r.test);
        } else {
            r.running = next;
            switch_fiber(r.fibers[me], r.fibers[next]);
        }
    }
}

template <class F>
void check_ring(size_t size, int rounds) {
    Ring<F> r;
    r.fibers = std::vector<F>(size);
    for (F& fiber : r.fibers) {
        r.stacks.emplace_back(new char[kStackBytes]);
        fiber.prepare(r.stacks.back().get(), kStackBytes, member<F>);
    }
    r.rounds = rounds;
    ring<F> = &r;
    double expected = 0;
    for (int left = rounds; left > 0; left--)
        for (size_t i = 0; i < size; i++) expected += double(i) + left % 16;
    switch_fiber(r.test, r.fibers[0]);
    REQUIRE(r.rounds == 0);
    REQUIRE(r.sum == expected);
}

}  // namespace

#if defined(__x86_64__)
TEST_CASE("fibers in assembly keep their stacks and registers", "[cuda]") {
    check_ring<AssemblyFiber>(3, 3);
    check_ring<AssemblyFiber>(2, 1000);
    check_ring<AssemblyFiber>(100, 50);
}
#endif

TEST_CASE("fibers with ucontext do the same", "[cuda]") {
    check_ring<UcontextFiber>(3, 3);
    check_ring<UcontextFiber>(2, 1000);
    check_ring<UcontextFiber>(100, 50);
}

#endif
