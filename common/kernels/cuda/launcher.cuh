// launcher.cuh - what the host sides of the kernels share: how many blocks, on which stream, scratch memory.
#pragma once
#include <cstdint>

#include "core/check.h"
#include "core/device.h"

// Blocks that cover n, when each takes per_block.
inline unsigned blocks_for(int64_t n, int64_t per_block) {
    return unsigned((n + per_block - 1) / per_block);
}

// Threads for a block that works on one row of n columns: whole warps, and no more than there is work for.
inline unsigned threads_for_row(int64_t n, unsigned most) {
    const int64_t whole_warps = (n + 31) / 32 * 32;
    return whole_warps < most ? unsigned(whole_warps) : most;
}

// Whether each begins at a multiple of 16 bytes, as kernels want it that access 16 bytes at once; nullptr does.
template <class... P>
bool are_aligned(const P*... pointers) {
    return ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

inline cudaStream_t cuda_stream(Stream s) {
    return s.handle;
}

// Device memory for the time of one call, not cleared: device_scratch, for a scope.
template <class T>
class Scratch {
  public:
    Scratch(int64_t count, Stream s)
        : memory_(static_cast<T*>(device_scratch(size_t(count) * sizeof(T), s))), stream_(s) {}
    ~Scratch() { device_scratch_free(memory_, stream_); }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    T* get() const { return memory_; }

  private:
    T* memory_;
    Stream stream_;
};

// DCHECK for device code. A GPU cannot call the failure handler: there the kernel prints the message and
// stops, and the next CUDA call fails.
#if !defined(GPT_DEBUG)
#define KERNEL_DCHECK(condition, ...) \
    do {                              \
    } while (0)
#elif defined(__CUDACC__)
#define KERNEL_DCHECK(condition, ...)                 \
    do {                                              \
        if (!(condition)) {                           \
            printf("CHECK(%s) failed: ", #condition); \
            printf(__VA_ARGS__);                      \
            printf("\n");                             \
            __trap();                                 \
        }                                             \
    } while (0)
#else
#define KERNEL_DCHECK(condition, ...) CHECK(condition, __VA_ARGS__)
#endif
