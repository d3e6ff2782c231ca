// test_tensor_cores.cpp - wmma products and cooperative groups against plain loops.
#include <vector>

#include "core/device.h"
#include "core/rng.h"
#include "cuda_on_host/cooperative_groups.h"
#include "tests/cuda_on_host/device_array.h"
#include "tests/support/catch.h"

using cuda_on_host::Order;
namespace cg = cooperative_groups;

namespace {

// One warp per 16x16 tile of out = a b + c, with a (M,K) by rows and b (K,N) by columns.
__global__ void wmma_gemm_kernel(float* out, const __nv_bfloat16* a, const __nv_bfloat16* b, const float* c,
                                 int N, int K) {
    using namespace nvcuda::wmma;
    const int row = int(blockIdx.y) * 16, col = int(blockIdx.x) * 16;
    fragment<accumulator, 16, 16, 16, float> sum;
    load_matrix_sync(sum, c + row * N + col, unsigned(N), mem_row_major);
    for (int k = 0; k < K; k += 16) {
        fragment<matrix_a, 16, 16, 16, __nv_bfloat16, row_major> left;
        fragment<matrix_b, 16, 16, 16, __nv_bfloat16, col_major> right;
        load_matrix_sync(left, a + row * K + k, unsigned(K));
        load_matrix_sync(right, b + col * K + k, unsigned(K));
        mma_sync(sum, left, right, sum);
    }
    for (int e = 0; e < sum.num_elements; e++) sum.x[e] *= 2;
    store_matrix_sync(out + row * N + col, sum, unsigned(N), mem_row_major);
}

__global__ void groups_kernel(int* sums, int* most, int* neighbours) {
    const cg::thread_block block = cg::this_thread_block();
    const auto tile = cg::tiled_partition<8>(block);
    const int rank = int(block.thread_rank());
    sums[rank] = cg::reduce(tile, rank, cg::plus<int>());
    most[rank] = cg::reduce(tile, rank * 5 % 13, cg::greater<int>());
    neighbours[rank] = tile.shfl_xor(rank, 1);
    block.sync();
}

}  // namespace

TEST_CASE("wmma multiplies as a loop does", "[cuda]") {
    const InOrder in_order(GENERATE(Order::kForward, Order::kReverse));
    const int M = 32, N = 16, K = 48;
    RandomStream random{3, 1};
    std::vector<__nv_bfloat16> a(size_t(M * K)), b(size_t(K * N));
    std::vector<float> c(size_t(M * N));
    for (auto& x : a) x = __nv_bfloat16(random.next_uniform() - 0.5f);
    for (auto& x : b) x = __nv_bfloat16(random.next_uniform() - 0.5f);
    for (auto& x : c) x = random.next_uniform() - 0.5f;
    const DeviceArray<__nv_bfloat16> da(a), db(b);
    const DeviceArray<float> dc(c), out(c.size(), 0);
    launch(wmma_gemm_kernel, dim3(unsigned(N / 16), unsigned(M / 16)), 32, 0, nullptr, out.get(), da.get(),
           db.get(), dc.get(), N, K);
    const std::vector<float> got = out.host();
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++) {
            double sum = double(c[size_t(m * N + n)]);
            for (int k = 0; k < K; k++)
                sum += double(float(a[size_t(m * K + k)])) * double(float(b[size_t(n * K + k)]));
            REQUIRE(double(got[size_t(m * N + n)]) ==
                    Approx(2 * sum).margin(1e-5));  // float sums of 48 products
        }
}

TEST_CASE("cooperative groups reduce and shuffle within their tile", "[cuda]") {
    const InOrder in_order(GENERATE(Order::kForward, Order::kReverse));
    const DeviceArray<int> sums(64, 0), most(64, 0), neighbours(64, 0);
    launch(groups_kernel, 1, 64, 0, nullptr, sums.get(), most.get(), neighbours.get());
    for (int t = 0; t < 64; t++) {
        const int begin = t / 8 * 8;
        int largest = 0;
        for (int i = begin; i < begin + 8; i++) largest = std::max(largest, i * 5 % 13);
        REQUIRE(sums.host()[size_t(t)] == 8 * begin + 28);
        REQUIRE(most.host()[size_t(t)] == largest);
        REQUIRE(neighbours.host()[size_t(t)] == (t ^ 1));
    }
}
