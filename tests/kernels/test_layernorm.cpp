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
using layernorm_problem::run_on_cpu;

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
    const Result got = run_on_cpu(p, accumulate);
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
    require_same_bytes_for_any_threads([&] { return run_on_cpu(p, true).all(); });
}

TEST_CASE("layernorm keeps the variance of numbers that are far from zero", "[cpu]") {
    Problem p(3, 65);
    for (float& x : p.inp) x += 1000;  // the mean of squares minus the squared mean would keep no digit of it
    const Result got = run_on_cpu(p, false);
    const Reference want = reference(p, false);
    require_close(p, "out", got.out, want.out, 1e-3);
    require_close(p, "rstd", got.rstd, want.rstd, 1e-4);
}

TEST_CASE("layernorm of equal numbers is the bias", "[cpu]") {
    Problem p(2, 19);
    std::fill(p.inp.begin(), p.inp.end(), 0.5f);
    const Result got = run_on_cpu(p, false);
    for (int64_t i = 0; i < p.N; i++)
        REQUIRE(std::equal(p.bias.begin(), p.bias.end(), got.out.begin() + std::ptrdiff_t(i * p.C)));
    for (const float x : got.dinp) REQUIRE(std::isfinite(x));
}
