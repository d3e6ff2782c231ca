// embedding.cpp - rows looked up and added, forward; rows added back, backward.
#include <algorithm>

#include "core/check.h"
#include "core/parallel.h"
#include "kernels/kernels.h"

void cpu::embedding_forward(float* out, const int* ids, const float* wte, const float* wpe, int64_t B,
                            int64_t T, int64_t C, [[maybe_unused]] int64_t V, Stream) {
    parallel_ranges(B * T, 64, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) {
            DCHECK(ids[i] >= 0 && ids[i] < V, "[embedding] id %d of row %lld is outside [0,%lld)", ids[i],
                   static_cast<long long>(i), static_cast<long long>(V));
            const float* token = wte + ids[i] * C;
            const float* position = wpe + (i % T) * C;
            for (int64_t c = 0; c < C; c++) out[i * C + c] = token[c] + position[c];
        }
    });
}

// Tasks are ranges of columns, not of rows: two rows with the same id write to the same place, and must do so
// in order.
void cpu::embedding_backward(float* dwte, float* dwpe, const float* dout, const int* ids, int64_t B,
                             int64_t T, int64_t C, int64_t, Stream) {
    parallel_ranges(C, 16, [&](int64_t begin, int64_t end) {
        for (int64_t i = 0; i < B * T; i++) {
            float* token = dwte + ids[i] * C;
            for (int64_t c = begin; c < end; c++) token[c] += dout[i * C + c];
        }
        for (int64_t b = 0; b < B; b++)
            for (int64_t t = 0; t < T; t++)
                for (int64_t c = begin; c < end; c++) dwpe[t * C + c] += dout[(b * T + t) * C + c];
    });
}
