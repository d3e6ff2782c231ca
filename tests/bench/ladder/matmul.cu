// matmul.cu - out = a b, from one thread an element upwards.
#include "kernels/cuda/launcher.cuh"
#include "tests/bench/ladder/ladder.h"

namespace {

void common_gemm(gpu::real* out, const gpu::real* a, const gpu::real* b, int64_t M, int64_t N, int64_t K,
                 Stream s) {
    gpu::gemm(out, a, b, nullptr, M, N, K, false, false, false, s);
}

}  // namespace

const std::vector<ladder::Rung<ladder::Matmul>> ladder::kMatmul = {
    {"common/", "the kernel that training uses", common_gemm},
};
