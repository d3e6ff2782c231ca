// test_layernorm.cpp - gpu::layernorm_forward and _backward, in their plain and in their fast form, against the
// definition in plain double-precision loops, and against cpu::; gpu::add_layernorm against its parts.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/kernels.h"
#include "tests/kernels/problems/layernorm.h"
#include "tests/support/allclose.h"
#include "tests/support/gpu.h"

#ifdef GPT_WITH_GPU

#include "kernels/cuda/layernorm.cuh"

using namespace layernorm_problem;

namespace {

void round_inputs(Problem& p) {
    for (auto* x : {&p.inp, &p.weight, &p.bias, &p.dout, &p.dinp_before}) *x = stored(*x);
}

struct Form {
    const char* name;
    bool (*takes)(int64_t C);
    LayerNormForward* forward;
    LayerNormBackward* backward;
    LayerNormForwardOfSum* forward_of_sum;
    LayerNormBackwardOfSum* backward_of_sum;
};

const Form kPlain = {"plain",
                     [](int64_t) { return true; },
                     layernorm_plain::forward,
                     layernorm_plain::backward,
                     layernorm_plain::forward_of_sum,
                     layernorm_plain::backward_of_sum};
const Form kWarp = {"warp",
                    layernorm_warp::takes,
                    layernorm_warp::forward,
                    layernorm_warp::backward,
                    layernorm_warp::forward_of_sum,
                    layernorm_warp::backward_of_sum};

Result run(const Form& form, const Problem& p, bool accumulate) {
    const auto results = in_any_order([&] {
        const RealArray inp(p.inp), weight(p.weight), bias(p.bias), dout(p.dout), out(p.N * p.C);
        const RealArray dinp(accumulate ? p.dinp_before : std::vector<float>(p.inp.size(), NAN));
        const FloatArray mean(p.N), rstd(p.N), dweight(p.dweight_before), dbias(p.dbias_before);
        form.forward(out, mean, rstd, inp, weight, bias, p.N, p.C, {});
        form.backward(dinp, dweight, dbias, dout, inp, weight, mean, rstd, p.N, p.C, accumulate, {});
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
                                                          {256, 384},
                                                          {131, 8},
                                                          {9, 520},
                                                          {6, 768},
                                                          {5, 1024}}));
    const bool accumulate = GENERATE(false, true);
    const Form& form = *GENERATE(&kPlain, &kWarp);
    CAPTURE(form.name);
    if (!form.takes(C)) return;
    if (kUnderTsan && N * C > 2500) return;
    Problem p(N, C);
    round_inputs(p);
    const Result got = run(form, p, accumulate);
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
    const Form& form = *GENERATE(&kPlain, &kWarp);
    Problem p(3, 64);
    for (float& x : p.inp) x += 1000;  // the mean of squares minus the squared mean would keep no digit of it
    round_inputs(p);
    const Result got = run(form, p, false);
    const Reference want = reference(p, false);
    require_close(p, "out", got.out, want.out, 1e-3 + kStorageRounding);
    require_close(p, "rstd", got.rstd, want.rstd, 1e-4);
}

TEST_CASE("gpu::layernorm of equal numbers is the bias", "[cuda]") {
    const Form& form = *GENERATE(&kPlain, &kWarp);
    Problem p(2, 24);
    std::fill(p.inp.begin(), p.inp.end(), 0.5f);
    round_inputs(p);
    const Result got = run(form, p, false);
    for (int64_t i = 0; i < p.N; i++)
        REQUIRE(std::equal(p.bias.begin(), p.bias.end(), got.out.begin() + std::ptrdiff_t(i * p.C)));
    for (const float x : got.dinp) REQUIRE(std::isfinite(x));
}

namespace {

struct Arrays {  // what the fused kernels and their parts read and write
    RealArray residual, branch, weight, bias, dout, out, sum, dsum, dbranch;
    FloatArray mean, rstd, dweight, dbias;
    Arrays(const Problem& p, const std::vector<float>& branch)
        : residual(p.inp),
          branch(branch),
          weight(p.weight),
          bias(p.bias),
          dout(p.dout),
          out(p.N * p.C),
          sum(p.N * p.C),
          dsum(p.dinp_before),
          dbranch(p.N * p.C),
          mean(p.N),
          rstd(p.N),
          dweight(p.dweight_before),
          dbias(p.dbias_before) {}
    std::vector<std::vector<float>> results() const {
        return {out.host(),  sum.host(),     mean.host(),    rstd.host(),
                dsum.host(), dbranch.host(), dweight.host(), dbias.host()};
    }
};

}  // namespace

TEST_CASE("gpu::add_layernorm equals dropout, add_forward and layernorm to the last bit", "[cuda]") {
    const auto size = GENERATE(table<int64_t, int64_t>({{1, 1}, {3, 19}, {67, 24}, {70, 264}, {4, 768}}));
    const int64_t N = std::get<0>(size), C = std::get<1>(size);
    const float probability = GENERATE(0.0f, 0.3f);
    const Form& form = *GENERATE(&kPlain, &kWarp);
    if (!form.takes(C) || (kUnderTsan && N * C > 2500)) return;
    CAPTURE(N, C, probability, form.name);
    const DropoutMask mask{probability, 42, 9};
    Problem p(N, C);
    round_inputs(p);
    const std::vector<float> branch = stored(random_floats(N * C, 8));

    const auto fused = in_any_order([&] {
        const Arrays a(p, branch);
        form.forward_of_sum(a.out, a.sum, a.mean, a.rstd, a.residual, a.branch, a.weight, a.bias, N, C, mask,
                            {});
        form.backward_of_sum(a.dsum, a.dbranch, a.dweight, a.dbias, a.dout, a.sum, a.weight, a.mean, a.rstd,
                             N, C, mask, true, false, {});
        return a.results();
    });
    const Arrays a(p, branch);
    const RealArray dropped(N * C);
    gpu::dropout(dropped, a.branch, N * C, mask, false, {});
    gpu::add_forward(a.sum, a.residual, dropped, N * C, {});
    form.forward(a.out, a.mean, a.rstd, a.sum, a.weight, a.bias, N, C, {});
    form.backward(a.dsum, a.dweight, a.dbias, a.dout, a.sum, a.weight, a.mean, a.rstd, N, C, true, {});
    gpu::dropout(a.dbranch, a.dsum, N * C, mask, false, {});
    const auto parts = a.results();
    for (size_t i = 0; i < parts.size(); i++) {
        CAPTURE(i);
        REQUIRE(same_bytes(fused[i], parts[i]));
    }

    // And the CPU's, which adds and rounds in float.
    std::vector<float> out(p.inp.size()), sum(out.size()), dsum(p.dinp_before), dbranch(out.size());
    std::vector<float> mean(static_cast<size_t>(N)), rstd(mean.size()), dweight(p.dweight_before),
        dbias(p.dbias_before);
    cpu::add_layernorm_forward(out.data(), sum.data(), mean.data(), rstd.data(), p.inp.data(), branch.data(),
                               p.weight.data(), p.bias.data(), N, C, mask, {});
    cpu::add_layernorm_backward(dsum.data(), dbranch.data(), dweight.data(), dbias.data(), p.dout.data(),
                                sum.data(), p.weight.data(), mean.data(), rstd.data(), N, C, mask, true,
                                false, {});
    // In bfloat16 sum is rounded before the statistics see it: what depends on it has two roundings.
    const double tolerance = kRowTolerance + 4 * kStorageRounding;
    const auto close = [&](const char* what, const std::vector<float>& got, const std::vector<float>& want,
                           double tol) {
        return allclose(std::string("add_layernorm ") + what, p.sizes(), got.data(), want.data(),
                        int64_t(want.size()), tol, tol);
    };
    REQUIRE(close("sum, cpu", fused[1], sum, 2e-7 + 2 * kStorageRounding) == "");
    REQUIRE(close("out, cpu", fused[0], out, tolerance) == "");
    REQUIRE(close("dsum, cpu", fused[4], dsum, tolerance) == "");
    REQUIRE(close("dbranch, cpu", fused[5], dbranch, tolerance) == "");
    // A column adds N products dout * xhat, and the two roundings of a number of 3 are three times those of 1.
    const double columns = column_tolerance(N) + 6 * kStorageRounding * std::sqrt(double(N));
    REQUIRE(close("dweight, cpu", fused[6], dweight, columns) == "");
    REQUIRE(close("dbias, cpu", fused[7], dbias, columns) == "");
}

TEST_CASE("gpu::add_layernorm_backward adds to a gradient of the branch that is there already", "[cuda]") {
    const Form& form = *GENERATE(&kPlain, &kWarp);
    Problem p(5, 24);
    round_inputs(p);
    const DropoutMask mask{0.3f, 42, 9};
    const std::vector<float> before = stored(random_floats(p.N * p.C, 9));
    std::vector<float> dbranch[2];
    for (const bool accumulate : {false, true}) {
        const Arrays a(p, before);  // a.branch serves as dbranch
        form.forward(a.out, a.mean, a.rstd, a.residual, a.weight, a.bias, p.N, p.C, {});
        form.backward_of_sum(a.dsum, a.branch, a.dweight, a.dbias, a.dout, a.residual, a.weight, a.mean,
                             a.rstd, p.N, p.C, mask, false, accumulate, {});
        dbranch[accumulate] = a.branch.host();
    }
    for (size_t i = 0; i < before.size(); i++) dbranch[0][i] += before[i];
    const double tolerance = 1e-6 + 2 * kStorageRounding;
    REQUIRE(allclose("add_layernorm dbranch, accumulated", p.sizes(), dbranch[1].data(), dbranch[0].data(),
                     p.N * p.C, tolerance, tolerance) == "");
}

TEST_CASE("gpu::layernorm calls the form that is chosen, and the plain one for odd rows", "[cuda]") {
    if (kUnderTsan) return;
    const auto outputs = [](const Form& form, int64_t C, bool is_aligned) {
        Problem p(20, C);  // so many that the forms' roundings show
        round_inputs(p);
        const size_t skip = is_aligned ? 0 : 1;
        std::vector<float> inp(skip);
        inp.insert(inp.end(), p.inp.begin(), p.inp.end());
        const RealArray inp_d(inp), weight(p.weight), bias(p.bias), out(p.N * C);
        const FloatArray mean(p.N), rstd(p.N);
        form.forward(out, mean, rstd, inp_d + skip, weight, bias, p.N, C, {});
        return rstd.host();
    };
    const Form chosen = {"", nullptr, gpu::layernorm_forward, nullptr, nullptr, nullptr};
    const int64_t C = 776;
    REQUIRE(!same_bytes(outputs(kPlain, C, true), outputs(kWarp, C, true)));  // or this test sees nothing
    for (const bool is_fast : {false, true}) {
        const ForcedForm form(layernorm_by_warps(), is_fast);
        REQUIRE(same_bytes(outputs(chosen, C, true), outputs(is_fast ? kWarp : kPlain, C, true)));
        REQUIRE(same_bytes(outputs(chosen, C, false), outputs(kPlain, C, false)));
        REQUIRE(same_bytes(outputs(chosen, C + 1, true), outputs(kPlain, C + 1, true)));
    }
}

#endif
