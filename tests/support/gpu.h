// gpu.h - what the tests of gpu:: share: every result is computed twice. On the CPU, where CUDA is emulated,
// "twice" is once with the threads and blocks in reverse order and with NaN in shared memory that nobody wrote:
// two threads that forgot to wait for each other have then changed places. On a GPU it is once more, for sums
// that depend on who comes first.
// Not here: comparing within a tolerance (allclose.h); memory of the device (device_memory.h). Only for builds
// that have gpu::.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "core/device.h"
#include "kernels/kernels.h"
#include "tests/support/arrays.h"
#include "tests/support/catch.h"
#include "tests/support/device_memory.h"

#ifdef GPT_WITH_GPU

// ThreadSanitizer pays for every CUDA thread as for one of the system's: there tests leave their larger sizes out. So they
// do when GPT_SMALL_TESTS is set, for a GPU under compute-sanitizer (tools/gpu-check).
#if defined(__SANITIZE_THREAD__)
constexpr bool kBuiltForTsan = true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
constexpr bool kBuiltForTsan = true;
#else
constexpr bool kBuiltForTsan = false;
#endif
#else
constexpr bool kBuiltForTsan = false;
#endif
inline const bool kUnderTsan = kBuiltForTsan || std::getenv("GPT_SMALL_TESTS") != nullptr;

// compute() launches kernels and returns what they wrote, an array for each output.
template <class F>
std::vector<std::vector<float>> in_any_order(F compute) {
    const std::vector<std::vector<float>> forward = compute();
    const ReverseOrder reverse;
    const std::vector<std::vector<float>> again = compute();
    REQUIRE(forward.size() == again.size());
    for (size_t output = 0; output < forward.size(); output++) {
        CAPTURE(output);
        REQUIRE(same_bytes(forward[output], again[output]));
    }
    return forward;
}

#endif
