// test_layernorm.cpp - cpu::layernorm_forward and _backward against the definition in plain double-precision
// loops.
#include <cmath>
#include <vector>

#include "kernels/kernels.h"
#include "tests/support/allclose.h"
#include "tests/support/arrays.h"
#include "tests/support/catch.h"

namespace {

constexpr double kRowTolerance = 2e-5;  // float sums over C of numbers around 1, and one division
// dweight and dbias are sums over N rows: their rounding grows like sqrt(N).
double column_tolerance(int64_t N) {
    return 4e-6 * (4 + std::sqrt(double(N)));
}

struct Problem {
    int64_t N, C;
    std::vector<float> inp, weight, bias, dout, dinp_before, dweight_before, dbias_before;

    Problem(int64_t N, int64_t C)
        : N(N),
          C(C),
          inp(random_floats(N * C, 1)),
          weight(random_floats(C, 2)),
          bias(random_floats(C, 3)),
          dout(random_floats(N * C, 4)),
          dinp_before(random_floats(N * C, 5)),
          dweight_before(random_floats(C, 6)),
          dbias_before(random_floats(C, 7)) {}
    std::string sizes() const { return format("N=%lld C=%lld", (long long)N, (long long)C); }
};

struct Result {
    std::vector<float> out, mean, rstd, dinp, dweight, dbias;

    std::vector<float> all() const {
        std::vector<float> joined;
        for (const auto* part : {&out, &mean, &rstd, &dinp, &dweight, &dbias})
            joined.insert(joined.end(), part->begin(), part->end());
        return joined;
    }
};

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

struct Reference {
    std::vector<double> out, mean, rstd, dinp, dweight, dbias;
};

Reference reference(const Problem& p, bool accumulate) {
    const int64_t C = p.C;
    Reference r{std::vector<double>(p.inp.size()),
                std::vector<double>(size_t(p.N)),
                std::vector<double>(size_t(p.N)),
                std::vector<double>(p.inp.size()),
                {p.dweight_before.begin(), p.dweight_before.end()},
                {p.dbias_before.begin(), p.dbias_before.end()}};
    for (int64_t i = 0; i < p.N; i++) {
        const float *x = &p.inp[size_t(i * C)], *dy = &p.dout[size_t(i * C)];
        double mean = 0, variance = 0;
        for (int64_t c = 0; c < C; c++) mean += double(x[c]) / double(C);
        for (int64_t c = 0; c < C; c++) variance += (double(x[c]) - mean) * (double(x[c]) - mean) / double(C);
        const double rstd = 1 / std::sqrt(variance + double(kLayerNormEpsilon));
        r.mean[size_t(i)] = mean, r.rstd[size_t(i)] = rstd;
        double dxhat_mean = 0, dxhat_xhat_mean = 0;
        for (int64_t c = 0; c < C; c++) {
            const double xhat = (double(x[c]) - mean) * rstd,
                         dxhat = double(dy[c]) * double(p.weight[size_t(c)]);
            r.out[size_t(i * C + c)] = xhat * double(p.weight[size_t(c)]) + double(p.bias[size_t(c)]);
            dxhat_mean += dxhat / double(C), dxhat_xhat_mean += dxhat * xhat / double(C);
            r.dweight[size_t(c)] += double(dy[c]) * xhat;
            r.dbias[size_t(c)] += double(dy[c]);
        }
        for (int64_t c = 0; c < C; c++) {
            const double xhat = (double(x[c]) - mean) * rstd,
                         dxhat = double(dy[c]) * double(p.weight[size_t(c)]);
            r.dinp[size_t(i * C + c)] = rstd * (dxhat - dxhat_mean - xhat * dxhat_xhat_mean) +
                                        (accumulate ? double(p.dinp_before[size_t(i * C + c)]) : 0);
        }
    }
    return r;
}

void require_close(const Problem& p, const char* what, const std::vector<float>& got,
                   const std::vector<double>& want, double tolerance) {
    REQUIRE(allclose(std::string("layernorm ") + what, p.sizes(), got.data(), want.data(),
                     int64_t(want.size()), tolerance, tolerance) == "");
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
