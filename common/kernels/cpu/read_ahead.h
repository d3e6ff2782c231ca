// read_ahead.h - the memory that a thread reads next, asked for a little at a time while it computes, so that it is in the
// cache when its turn comes. A processor does so by itself for one long piece; what a matrix multiply packs are many short
// ones.
#pragma once
#include <cstdint>

#include "kernels/cpu/product.h"
#include "kernels/cpu/simd.h"

namespace cpu {

class ReadAhead {
  public:
    ReadAhead() = default;  // asks for nothing
    // `pieces` contiguous pieces of `floats`, ld apart, all asked for in `steps` calls of step().
    ReadAhead(const float* piece, int64_t ld, int64_t pieces, int64_t floats, int64_t steps)
        : piece_(piece),
          ld_(ld),
          pieces_(pieces),
          lines_(ceil_div(floats, kLine)),
          lines_of_step_(ceil_div(pieces * lines_, steps)) {}

    GPT_INLINE void step() {
        for (int64_t i = 0; i < lines_of_step_ && pieces_ > 0; i++) {
            __builtin_prefetch(piece_ + line_ * kLine, 0, 2);  // 2: into the L2 cache; L1 is full of panels
            if (++line_ == lines_) line_ = 0, piece_ += ld_, pieces_--;
        }
    }

  private:
    static constexpr int64_t kLine = 16;  // floats of a cache line
    const float* piece_ = nullptr;
    int64_t ld_ = 0, pieces_ = 0, lines_ = 0, lines_of_step_ = 0;
    int64_t line_ = 0;  // the next one of this piece
};

}  // namespace cpu
