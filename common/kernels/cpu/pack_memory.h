// pack_memory.h - where a matrix multiply keeps its packed copies, and how much of b it packs at once.
// Not here: what is written there (gemm.h, gemm_bf16.h).
#pragma once
#include <cstdint>
#include <cstdlib>

#include "core/check.h"
#include "core/large_pages.h"

namespace cpu {

// Floats of packed b (4 MiB), small enough that they are still in the L3 cache when they are used, and the
// fewest columns of it: with fewer, a would be read and packed too often.
constexpr int64_t kChunkFloats = 1 << 20, kChunkColumns = 768;

// Memory that is kept between calls, per thread, and grows to the largest that was asked for.
class Scratch {
  public:
    Scratch() = default;
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    ~Scratch() { std::free(memory_); }

    float* get(int64_t floats) {
        if (floats > capacity_) {
            std::free(memory_);
            memory_ = static_cast<float*>(allocate_on_large_pages(size_t(floats) * sizeof(float)));
            CHECK(memory_, "[gemm] no memory for %lld packed floats", static_cast<long long>(floats));
            capacity_ = floats;
        }
        return memory_;
    }

  private:
    float* memory_ = nullptr;
    int64_t capacity_ = 0;
};

// subtle: functions, so that all instances of the templates below share one buffer of each kind in a thread.
inline float* packed_a_memory(int64_t floats) {
    static thread_local Scratch scratch;
    return scratch.get(floats);
}
inline float* packed_b_memory(int64_t floats) {
    static thread_local Scratch scratch;
    return scratch.get(floats);
}

}  // namespace cpu
