// test_linear_int8.cpp - cpu::linear_int8_forward: rows times a weight of 8-bit integers, with every code, whatever is there
// of bias and residual.
#include <cmath>
#include <vector>

#include "kernels/kernels.h"
#include "tests/kernels/problems/linear_int8.h"
#include "tests/support/arrays.h"
#include "tests/support/catch.h"

namespace {

using int8_problem::Problem;

std::vector<float> run(const Problem& p, bool has_bias, bool has_residual) {
    std::vector<float> out(size_t(p.N * p.OC), NAN);
    cpu::linear_int8_forward(out.data(), p.inp.data(), p.codes.data(), p.scale.data(),
                             has_bias ? p.bias.data() : nullptr, has_residual ? p.residual.data() : nullptr,
                             p.N, p.IC, p.OC, {});
    return out;
}

}  // namespace

TEST_CASE("8-bit linear: against plain loops", "[cpu][gemm]") {
    // one, odd, around a vector of words (16, 32 or 64 codes) and more; a group of rows, a part of one, several
    const int64_t IC = GENERATE(1, 3, 15, 16, 17, 31, 32, 63, 64, 65, 127, 128, 200, 768);
    const int64_t N = GENERATE(1, 2, 3, 4, 5, 9), OC = 1 + IC * N % 70;
    const bool has_bias = GENERATE(false, true), has_residual = GENERATE(false, true);
    const Problem p(N, IC, OC);
    const std::vector<float> got = run(p, has_bias, has_residual);
    const std::vector<double> want = p.want(has_bias, has_residual);
    REQUIRE(allclose("linear_int8_forward", p.sizes(), got.data(), want.data(), int64_t(want.size()),
                     p.tolerance(), p.tolerance()) == "");
}

TEST_CASE("8-bit linear: as many outputs as GPT-2 has tokens", "[cpu][gemm][slow]") {
    const Problem p(2, 768, 50257);
    const std::vector<float> got = run(p, false, false);
    const std::vector<double> want = p.want(false, false);
    REQUIRE(allclose("linear_int8_forward", p.sizes(), got.data(), want.data(), int64_t(want.size()),
                     p.tolerance(), p.tolerance()) == "");
}

TEST_CASE("8-bit linear: every code in every place is exact", "[cpu][gemm]") {
    const int64_t IC = 130;  // whole vectors of words, and a rest
    Problem p(1, IC, 256);
    for (int64_t i = 0; i < IC; i++) {
        for (int64_t j = 0; j < IC; j++) p.inp[size_t(j)] = j == i ? 1.0f : 0.0f;
        for (int64_t o = 0; o < 256; o++) {
            p.scale[size_t(o)] = 1;
            for (int64_t j = 0; j < IC; j++) p.codes[size_t(o * IC + j)] = int8_t(j == i ? o - 128 : 77);
        }
        const std::vector<float> got = run(p, false, false);
        for (int64_t o = 0; o < 256; o++) {
            CAPTURE(i, o);
            REQUIRE(got[size_t(o)] == float(o - 128));
        }
    }
}

TEST_CASE("8-bit linear: a residual may be where the result is written", "[cpu][gemm]") {
    const Problem p(3, 40, 50);
    std::vector<float> in_place = p.residual;
    cpu::linear_int8_forward(in_place.data(), p.inp.data(), p.codes.data(), p.scale.data(), p.bias.data(),
                             in_place.data(), p.N, p.IC, p.OC, {});
    REQUIRE(same_bytes(in_place, run(p, true, true)));
}

TEST_CASE("8-bit linear: the same bytes for any number of threads, and whatever rows are beside a row",
          "[cpu][gemm]") {
    const Problem p(6, 200, 1500);
    require_same_bytes_for_any_threads([&] { return run(p, true, true); });
    const std::vector<float> all = run(p, true, true);
    for (int64_t n = 0; n < p.N; n++) {
        Problem row(1, p.IC, p.OC);
        row.inp.assign(p.inp.begin() + n * p.IC, p.inp.begin() + (n + 1) * p.IC);
        row.residual.assign(p.residual.begin() + n * p.OC, p.residual.begin() + (n + 1) * p.OC);
        row.codes = p.codes;
        const std::vector<float> got = run(row, true, true);
        REQUIRE(same_bytes(got, {all.begin() + n * p.OC, all.begin() + (n + 1) * p.OC}));
    }
}

TEST_CASE("8-bit linear: no rows, no outputs, no inputs", "[cpu][gemm]") {
    REQUIRE(run(Problem(0, 5, 3), true, true).empty());
    REQUIRE(run(Problem(3, 5, 0), true, true).empty());
    const Problem p(2, 0, 3);  // sums of nothing
    const std::vector<double> want = p.want(true, true);
    const std::vector<float> got = run(p, true, true);
    REQUIRE(allclose("linear_int8_forward", p.sizes(), got.data(), want.data(), 6, 1e-6, 0) == "");
}

TEST_CASE("8-bit linear hides no NaN", "[cpu][gemm]") {
    const int64_t at = GENERATE(0, 64, 129);
    Problem p(1, 130, 7);
    p.inp[size_t(at)] = NAN;
    for (const float y : run(p, true, true)) REQUIRE(std::isnan(y));
}
