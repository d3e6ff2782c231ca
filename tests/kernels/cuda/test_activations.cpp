// test_activations.cpp - gpu::gelu and gpu::relu against the definitions in double and against cpu::.
// Not here: the kernels that a product is fused with (test_gemm.cpp).
#include "tests/kernels/problems/activations.h"

#include <cmath>
#include <cstdio>
#include <vector>

#include "kernels/kernels.h"
#include "tests/support/allclose.h"
#include "tests/support/gpu.h"

#ifdef GPT_WITH_GPU

using namespace activations_problem;

namespace {

struct Kernels {
    const char* name;
    void (*forward)(gpu::real*, const gpu::real*, int64_t, Stream);
    void (*backward)(gpu::real*, const gpu::real*, const gpu::real*, int64_t, bool, Stream);
    void (*cpu_forward)(float*, const float*, int64_t, Stream);
    void (*cpu_backward)(float*, const float*, const float*, int64_t, bool, Stream);
    double (*f)(double);
    double (*derivative)(double);
    double tolerance;
};

void compare(const Kernels& kernels) {
    // note: 1024 floats are a block's; 4 (of bfloat16 8) a thread's, of which the last may have fewer
    const int64_t n = GENERATE(1, 3, 4, 5, 7, 8, 9, 1000, 1024, 1025, 50001);
    if (kUnderTsan && n > 1025) return;
    const std::vector<float> x = stored(inputs(n)), dout = stored(random_floats(n, 2)),
                             before = stored(random_floats(n, 3));
    const auto results = in_any_order([&] {
        const RealArray x_d(x), dout_d(dout), out(n), in_place(x), dinp(n), accumulated(before);
        kernels.forward(out, x_d, n, {});
        kernels.forward(in_place, in_place, n, {});
        kernels.backward(dinp, dout_d, x_d, n, false, {});
        kernels.backward(accumulated, dout_d, x_d, n, true, {});
        return std::vector<std::vector<float>>{out.host(), in_place.host(), dinp.host(), accumulated.host()};
    });

    const size_t size = size_t(n);
    std::vector<double> out(size), dinp(size), accumulated(size);
    for (size_t i = 0; i < size; i++) {
        out[i] = kernels.f(double(x[i]));
        dinp[i] = double(dout[i]) * kernels.derivative(double(x[i]));
        accumulated[i] = double(before[i]) + dinp[i];
    }
    const double tolerance = kernels.tolerance + kStorageRounding;
    const auto close = [&](const char* what, const std::vector<float>& got, const auto& want) {
        return allclose(std::string(kernels.name) + what, format("n=%lld", (long long)n), got.data(),
                        want.data(), n, tolerance, tolerance);
    };
    REQUIRE(close("_forward", results[0], out) == "");
    REQUIRE(same_bytes(results[1], results[0]));
    REQUIRE(close("_backward", results[2], dinp) == "");
    REQUIRE(close("_backward, accumulated", results[3], accumulated) == "");

    std::vector<float> cpu(size);
    kernels.cpu_forward(cpu.data(), x.data(), n, {});
    REQUIRE(close("_forward, cpu", results[0], cpu) == "");
    kernels.cpu_backward(cpu.data(), dout.data(), x.data(), n, false, {});
    REQUIRE(close("_backward, cpu", results[2], cpu) == "");
}

}  // namespace

TEST_CASE("gpu::gelu equals its tanh form in double, and cpu::gelu", "[cuda]") {
    compare({"gelu", gpu::gelu_forward, gpu::gelu_backward, cpu::gelu_forward, cpu::gelu_backward, gelu,
             gelu_derivative, kTolerance});
}

TEST_CASE("gpu::relu equals its definition, and cpu::relu", "[cuda]") {
    compare({"relu", gpu::relu_forward, gpu::relu_backward, cpu::relu_forward, cpu::relu_backward,
             [](double x) { return x > 0 ? x : 0.0; }, [](double x) { return x > 0 ? 1.0 : 0.0; }, 1e-7});
}

TEST_CASE("an activation on the GPU hides no NaN", "[cuda]") {
    const RealArray x(19), gelu(19), relu(19);  // new memory is full of NaN
    gpu::gelu_forward(gelu, x, 19, {});
    gpu::relu_forward(relu, x, 19, {});
    for (const float value : gelu.host()) REQUIRE(std::isnan(value));
    for (const float value : relu.host()) REQUIRE(std::isnan(value));
}

TEST_CASE("gpu:: kernels take arrays that begin anywhere", "[cuda]") {
    // 16-byte accesses would be misaligned: one element after the other then, for the same result
    constexpr int64_t n = 37;
    const std::vector<float> x = stored(random_floats(n, 1));
    const RealArray from(x), to(n);
    for (int64_t offset = 0; offset < 4; offset++) {
        gpu::relu_forward(to + offset, from + offset, n - offset, {});
        const std::vector<float> got = to.host();
        CAPTURE(offset);
        for (size_t i = size_t(offset); i < x.size(); i++) REQUIRE(got[i] == std::max(x[i], 0.0f));
    }
}

#else

TEST_CASE("gpu:: kernels are tested in builds that have them", "[cuda]") {
    std::puts("skipped: the CUDA kernels' tests; BUILD=host has them, and debug, asan and tsan");
}

#endif
