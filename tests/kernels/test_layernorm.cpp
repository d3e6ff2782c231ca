// test_layernorm.cpp - cpu::layernorm_forward and _backward against the definition in plain double-precision
// loops.
#include <cmath>
#include <vector>

#include "kernels/kernels.h"
#include "tests/kernels/problems/layernorm.h"
#include "tests/support/arrays.h"
#include "tests/support/catch.h"

namespace {

using layernorm_problem::column_tolerance;
using layernorm_problem::kRowTolerance;
using layernorm_problem::Problem;
using layernorm_problem::Reference;
using layernorm_problem::require_close;
using layernorm_problem::Result;

Result run(const Problem& p, bool accumulate) {
    const size_t elements = p.inp.size(), rows = size_t(p.N);
    Result r{std::vector<float>(elements, NAN),
             std::vector<float>(rows, NAN),
             std::vector<float>(rows, NAN),
             accumulate ? p.dinp_before : std::vector<float>(elements, NAN),
             p.dweight_before,
             p.dbias_before};
    cpu::layernorm_forward(r.out.data(), r.mean.data(), r.rstd.data(), p.inp.data(), p.weight.data(),
                           p.bias.data(), p.N, p.C, {});
    cpu::layernorm_backward(r.dinp.data(), r.dweight.data(), r.dbias.data(), p.dout.data(), p.inp.data(),
                            p.weight.data(), r.mean.data(), r.rstd.data(), p.N, p.C, accumulate, {});
    return r;
}

}  // namespace

TEST_CASE("layernorm equals plain loops", "[cpu]") {
    const auto [N, C] = GENERATE(table<int64_t, int64_t>({{1, 1},
                                                          {4, 1},
                                                          {1, 7},
                                                          {2, 2},
                                                          {5, 16},
                                                          {3, 17},
                                                          {33, 65},
                                                          {32, 31},
                                                          {65, 100},
                                                          {2049, 48},
                                                          {4096, 384}}));
    const bool accumulate = GENERATE(false, true);
    const Threads two(2);
    const Problem p(N, C);
    const Result got = run(p, accumulate);
    const Reference want = reference(p, accumulate);
    // Two numbers may lie so close together that rstd multiplies their rounding, up to 1/sqrt(1e-5) = 316.
    const double tolerance = C == 2 ? 1e-3 : kRowTolerance;
    require_close(p, "out", got.out, want.out, tolerance);
    require_close(p, "mean", got.mean, want.mean, tolerance);
    require_close(p, "rstd", got.rstd, want.rstd, tolerance);
    require_close(p, accumulate ? "dinp, accumulated" : "dinp", got.dinp, want.dinp, tolerance);
    require_close(p, "dweight", got.dweight, want.dweight, column_tolerance(N));
    require_close(p, "dbias", got.dbias, want.dbias, column_tolerance(N));
}

TEST_CASE("layernorm leaves the same bytes for any number of threads", "[cpu]") {
    const Problem p(GENERATE(1, 65, 1000), 77);
    require_same_bytes_for_any_threads([&] { return run(p, true).all(); });
}

TEST_CASE("layernorm keeps the variance of numbers that are far from zero", "[cpu]") {
    Problem p(3, 65);
    for (float& x : p.inp) x += 1000;  // the mean of squares minus the squared mean would keep no digit of it
    const Result got = run(p, false);
    const Reference want = reference(p, false);
    require_close(p, "out", got.out, want.out, 1e-3);
    require_close(p, "rstd", got.rstd, want.rstd, 1e-4);
}

TEST_CASE("layernorm of equal numbers is the bias", "[cpu]") {
    Problem p(2, 19);
    std::fill(p.inp.begin(), p.inp.end(), 0.5f);
    const Result got = run(p, false);
    for (int64_t i = 0; i < p.N; i++)
        REQUIRE(std::equal(p.bias.begin(), p.bias.end(), got.out.begin() + std::ptrdiff_t(i * p.C)));
    for (const float x : got.dinp) REQUIRE(std::isfinite(x));
}
