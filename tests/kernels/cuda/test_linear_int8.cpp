// test_linear_int8.cpp - gpu::linear_int8_forward: rows times a weight of 8-bit integers.
#include <vector>

#include "kernels/kernels.h"
#include "tests/kernels/problems/linear_int8.h"
#include "tests/support/gpu.h"

#ifdef GPT_WITH_GPU

TEST_CASE("gpu::linear_int8_forward against plain loops", "[cuda][gemm]") {
    // rows that begin at whole words, and others; less than a warp reads at once, as much, more
    const int64_t IC = GENERATE(1, 3, 4, 36, 127, 128, 260), N = GENERATE(1, 3), OC = 1 + IC * N % 19;
    const bool has_bias = GENERATE(false, true), has_residual = GENERATE(false, true);
    int8_problem::Problem p(N, IC, OC);
    p.inp = stored(p.inp), p.bias = stored(p.bias), p.residual = stored(p.residual);
    const std::vector<float> got = in_any_order([&] {
        RealArray out(std::vector<float>(size_t(N * OC), NAN));
        const RealArray inp(p.inp), bias(p.bias), residual(p.residual);
        const DeviceArray<int8_t> codes(p.codes);
        const FloatArray scale(p.scale);
        gpu::linear_int8_forward(out, inp, codes, scale, has_bias ? (const gpu::real*)bias : nullptr,
                                 has_residual ? (const gpu::real*)residual : nullptr, N, IC, OC, {});
        return std::vector<std::vector<float>>{out.host()};
    })[0];
    const std::vector<double> want = p.want(has_bias, has_residual);
    const double tolerance = p.tolerance() + kStorageRounding;
    REQUIRE(allclose("linear_int8_forward", p.sizes(), got.data(), want.data(), int64_t(want.size()),
                     tolerance, tolerance) == "");
}

TEST_CASE("gpu::linear_int8_forward of no rows writes nothing", "[cuda][gemm]") {
    const FloatArray scale(std::vector<float>{1, 2, 3});
    const RealArray out(std::vector<float>{7});
    gpu::linear_int8_forward(out, nullptr, nullptr, scale, nullptr, nullptr, 0, 5, 3, {});
    REQUIRE(out.host()[0] == 7);
}

#endif
