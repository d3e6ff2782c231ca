// arena.h - memory for one training step: allocation is an addition, and everything is given back at once.
// Not here: parameters and optimiser state, which live as long as the model (nn/parameters.h).
#pragma once
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "core/device.h"

class Arena {
  public:
    explicit Arena(Device device) : device_(device) {}
    ~Arena();
    Arena(const Arena&) = delete;
    Arena& operator=(const Arena&) = delete;

    // 64-byte aligned memory, not cleared. In debug builds a stamp lies in front of it, by which a tensor
    // later knows whether the memory is still its own.
    void* allocate(size_t bytes);

    // Gives one allocation back before the end of the step, for the next request of the same size. The
    // backward uses it for gradients that have been passed on: it keeps their memory few and in cache.
    void recycle(void* memory, size_t bytes);

    // Everything allocated since the mark is given back. Debug builds fill it with NaN.
    struct Mark {
        size_t chunk = 0, used = 0;
    };
    Mark mark() const { return {chunk_, used_}; }
    void rewind(Mark to);

    size_t bytes_reserved() const;
    size_t bytes_peak() const { return peak_; }

    // The stamp in front of an allocation (debug builds), 0 after it was given back.
    static uint64_t stamp(const void* memory, Device device = Device::kCpu);

  private:
    struct Chunk {
        char* memory;
        size_t bytes;
    };
    size_t bytes_before(size_t chunk) const;

    Device device_;
    std::vector<Chunk> chunks_;
    size_t chunk_ = 0, used_ = 0, peak_ = 0;
    uint64_t next_stamp_ = 1;
    std::unordered_map<size_t, std::vector<void*>> recycled_;
};
