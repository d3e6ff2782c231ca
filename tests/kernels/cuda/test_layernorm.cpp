// test_layernorm.cpp - gpu::layernorm_forward and _backward against the definition in plain double-precision
// loops, and against cpu::.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/kernels.h"
#include "tests/kernels/problems/layernorm.h"
#include "tests/support/allclose.h"
#include "tests/support/gpu.h"

#ifdef GPT_WITH_GPU

using namespace layernorm_problem;

namespace {

void round_inputs(Problem& p) {
    for (auto* x : {&p.inp, &p.weight, &p.bias, &p.dout, &p.dinp_before}) *x = stored(*x);
}

Result run(const Problem& p, bool accumulate) {
    const auto results = in_any_order([&] {
        const RealArray inp(p.inp), weight(p.weight), bias(p.bias), dout(p.dout), out(p.N * p.C);
        const RealArray dinp(accumulate ? p.dinp_before : std::vector<float>(p.inp.size(), NAN));
        const FloatArray mean(p.N), rstd(p.N), dweight(p.dweight_before), dbias(p.dbias_before);
        gpu::layernorm_forward(out, mean, rstd, inp, weight, bias, p.N, p.C, {});
        gpu::layernorm_backward(dinp, dweight, dbias, dout, inp, weight, mean, rstd, p.N, p.C, accumulate,
                                {});
        return std::vector<std::vector<float>>{out.host(),  mean.host(),    rstd.host(),
                                               dinp.host(), dweight.host(), dbias.host()};
    });
    return {results[0], results[1], results[2], results[3], results[4], results[5]};
}

}  // namespace

TEST_CASE("gpu::layernorm equals plain loops, and cpu::layernorm", "[cuda]") {
    // 256 columns: as many threads as a block has; 128 rows: a range of the column sums
    const auto [N, C] = GENERATE(table<int64_t, int64_t>({{1, 1},
                                                          {4, 1},
                                                          {1, 7},
                                                          {2, 2},
                                                          {5, 16},
                                                          {3, 17},
                                                          {33, 65},
                                                          {32, 31},
                                                          {65, 100},
                                                          {3, 256},
                                                          {2, 257},
                                                          {127, 33},
                                                          {129, 32},
                                                          {515, 48},
                                                          {256, 384}}));
    const bool accumulate = GENERATE(false, true);
    if (kUnderTsan && N * C > 2500) return;
    Problem p(N, C);
    round_inputs(p);
    const Result got = run(p, accumulate);
    const Reference want = reference(p, accumulate);
    // Two numbers may lie so close together that rstd multiplies their rounding, up to 1/sqrt(1e-5) = 316.
    const double tolerance = C == 2 ? 1e-3 : kRowTolerance, in_storage = tolerance + kStorageRounding;
    require_close(p, "out", got.out, want.out, in_storage);
    require_close(p, "mean", got.mean, want.mean, tolerance);
    require_close(p, "rstd", got.rstd, want.rstd, tolerance);
    require_close(p, accumulate ? "dinp, accumulated" : "dinp", got.dinp, want.dinp, in_storage);
    require_close(p, "dweight", got.dweight, want.dweight, column_tolerance(N));
    require_close(p, "dbias", got.dbias, want.dbias, column_tolerance(N));

    const Result cpu = run_on_cpu(p, accumulate);
    const auto close = [&](const char* what, const std::vector<float>& a, const std::vector<float>& b,
                           double tol) {
        return allclose(what, p.sizes(), a.data(), b.data(), int64_t(b.size()), tol, tol);
    };
    REQUIRE(close("layernorm out, cpu", got.out, cpu.out, in_storage) == "");
    REQUIRE(close("layernorm dinp, cpu", got.dinp, cpu.dinp, in_storage) == "");
    REQUIRE(close("layernorm dweight, cpu", got.dweight, cpu.dweight, column_tolerance(N)) == "");
    REQUIRE(close("layernorm dbias, cpu", got.dbias, cpu.dbias, column_tolerance(N)) == "");
}

TEST_CASE("gpu::layernorm keeps the variance of numbers that are far from zero", "[cuda]") {
    Problem p(3, 65);
    for (float& x : p.inp) x += 1000;  // the mean of squares minus the squared mean would keep no digit of it
    round_inputs(p);
    const Result got = run(p, false);
    const Reference want = reference(p, false);
    require_close(p, "out", got.out, want.out, 1e-3 + kStorageRounding);
    require_close(p, "rstd", got.rstd, want.rstd, 1e-4);
}

TEST_CASE("gpu::layernorm of equal numbers is the bias", "[cuda]") {
    Problem p(2, 19);
    std::fill(p.inp.begin(), p.inp.end(), 0.5f);
    round_inputs(p);
    const Result got = run(p, false);
    for (int64_t i = 0; i < p.N; i++)
        REQUIRE(std::equal(p.bias.begin(), p.bias.end(), got.out.begin() + std::ptrdiff_t(i * p.C)));
    for (const float x : got.dinp) REQUIRE(std::isfinite(x));
}

#endif
