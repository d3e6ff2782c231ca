// softmax.cu - the softmax of each row, from one thread a row upwards.
// Not here: softmax inside of attention (attention.cu) and of the loss (kernels/cuda/cross_entropy.cu), which
// never store it.
#include "kernels/cuda/launcher.cuh"
#include "tests/bench/ladder/ladder.h"

using ladder::real;

namespace {

constexpr int kThreads = 256;

// A row belongs to one thread: three passes, and neighbouring threads read addresses that are a row apart.
__global__ void one_thread_a_row_kernel(real* out, const real* __restrict__ inp, int64_t N, int64_t C) {
    const int64_t n = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (n >= N) return;
    const real* x = inp + n * C;
    float most = -INFINITY, sum = 0;
    for (int64_t c = 0; c < C; c++) most = fmaxf(most, float(x[c]));
    for (int64_t c = 0; c < C; c++) sum += expf(float(x[c]) - most);
    for (int64_t c = 0; c < C; c++) out[n * C + c] = real(expf(float(x[c]) - most) / sum);
}

void one_thread_a_row(real* out, const real* inp, int64_t N, int64_t C, Stream s) {
    launch(one_thread_a_row_kernel, blocks_for(N, kThreads), kThreads, 0, cuda_stream(s), out, inp, N, C);
}

}  // namespace

const std::vector<ladder::Rung<ladder::Softmax>> ladder::kSoftmax = {
    {"one thread a row", "the loop that everybody would write first", one_thread_a_row},
};
