// test_elementwise.cpp - gpu::add_forward, accumulate and dropout: the CPU's results to the last bit.
#include <vector>

#include "kernels/kernels.h"
#include "tests/support/gpu.h"

#ifdef GPT_WITH_GPU

namespace {

const std::vector<int64_t> kSizes = {1, 3, 4, 5, 8, 9, 1023, 1024, 1025, 50001};  // 1024: a block, of floats

}  // namespace

TEST_CASE("gpu::add_forward and accumulate are float additions, exactly", "[cuda]") {
    const int64_t n = GENERATE(from_range(kSizes));
    if (kUnderTsan && n > 1025) return;
    CAPTURE(n);
    const std::vector<float> a = stored(random_floats(n, 1)), b = stored(random_floats(n, 2));
    std::vector<float> want(a.size());
    for (size_t i = 0; i < a.size(); i++) want[i] = a[i] + b[i];
    want = stored(want);
    const auto results = in_any_order([&] {
        const RealArray a_d(a), b_d(b), out(n), accumulated(a);
        gpu::add_forward(out, a_d, b_d, n, {});
        gpu::accumulate(accumulated, b_d, n, {});
        return std::vector<std::vector<float>>{out.host(), accumulated.host()};
    });
    REQUIRE(results[0] == want);
    REQUIRE(results[1] == want);
}

TEST_CASE("gpu::dropout multiplies by the mask's scale of each index", "[cuda]") {
    const int64_t n = GENERATE(from_range(kSizes));
    const float p = GENERATE(0.0f, 0.1f, 0.75f);
    if (kUnderTsan && n > 1025) return;
    CAPTURE(n, p);
    const DropoutMask mask{p, 42, 9};
    const std::vector<float> x = stored(random_floats(n, 1)), before = stored(random_floats(n, 2));
    std::vector<float> want(x.size());
    for (size_t i = 0; i < x.size(); i++) want[i] = x[i] * (p > 0 ? mask.scale(i) : 1.0f);
    const auto results = in_any_order([&] {
        const RealArray x_d(x), out(n), in_place(x), added(before);
        gpu::dropout(out, x_d, n, mask, false, {});
        gpu::dropout(in_place, in_place, n, mask, false, {});
        gpu::dropout(added, x_d, n, mask, true, {});
        return std::vector<std::vector<float>>{out.host(), in_place.host(), added.host()};
    });
    REQUIRE(results[0] == stored(want));
    REQUIRE(results[1] == stored(want));
    double largest = 0;  // the addition may be fused, which rounds once instead of twice
    for (size_t i = 0; i < x.size(); i++) {
        const double sum = double(before[i]) + double(want[i]);
        largest = std::max(largest, std::fabs(double(results[2][i]) - sum) / (1 + std::fabs(sum)));
    }
    REQUIRE(largest < 1e-6 + kStorageRounding);
}

TEST_CASE("gpu:: elementwise kernels do nothing for no elements", "[cuda]") {
    gpu::add_forward(nullptr, nullptr, nullptr, 0, {});
    gpu::accumulate(nullptr, nullptr, 0, {});
    gpu::dropout(nullptr, nullptr, 0, {0.5f, 1, 2}, false, {});
    gpu::gelu_forward(nullptr, nullptr, 0, {});
    gpu::relu_backward(nullptr, nullptr, nullptr, 0, true, {});
}

#endif
