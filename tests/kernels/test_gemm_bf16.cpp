// test_gemm_bf16.cpp - the matrix multiply that rounds its inputs to bf16, against plain loops in double precision over the same
// rounded numbers: with every micro-kernel that this build and machine have, not only the fastest.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "core/bfloat16.h"
#include "core/parallel.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/gemm_bf16.h"
#include "kernels/kernels.h"
#include "tests/kernels/problems/gemm.h"
#include "tests/support/catch.h"
#include "tests/support/threads.h"

namespace {

using namespace gemm_problem;

constexpr Stream kRounds = [] {
    Stream s;
    s.rounds_products = true;
    return s;
}();

std::vector<float> rounded(std::vector<float> x) {
    for (float& value : x) value = bfloat16_to_float(bfloat16_nearest(value));
    return x;
}

template <class Kernel>
void require_products_of(Sizes s, bool trans_a, bool trans_b) {
    INFO(Kernel::name());
    const std::vector<float> a = random_floats(s.M * s.K, 1), b = random_floats(s.K * s.N, 2);
    const std::vector<float> bias = random_floats(s.N, 3), before = random_floats(s.M * s.N, 4);
    const std::vector<double> product = plain_product(rounded(a), rounded(b), s, trans_a, trans_b);
    std::vector<double> want = product, want_sums(size_t(s.M), 0.5);
    for (int64_t i = 0; i < s.M * s.N; i++) want[i] += bias[i % s.N];
    std::vector<float> out(s.M * s.N, NAN), sums(size_t(s.M), 0.5f);  // NAN: overwritten, not added to
    cpu::Product p{
        s.M,      s.N,       s.K, a.data(), trans_a ? s.M : s.K, !trans_a, b.data(), trans_b ? s.K : s.N,
        !trans_b, out.data()};
    p.bias = bias.data();
    cpu::multiply_bf16<Kernel>(p, cpu::NoEpilogue{});
    require_close("gemm + bias", s, out, want);

    for (int64_t i = 0; i < s.M * s.N; i++) want[i] = product[i] + before[i];
    out = before, p.bias = nullptr, p.start = out.data();
    if (trans_a) {  // the sums are of what was given, not of what it was rounded to
        for (int64_t i = 0; i < s.M * s.K; i++) want_sums[i % s.M] += a[i];
        p.row_sums = sums.data();
    }
    cpu::multiply_bf16<Kernel>(p, cpu::NoEpilogue{});
    require_close("gemm, accumulated", s, out, want);
    require_close("linear_backward_params, dbias", s, sums, want_sums);
}

// Calls f with each micro-kernel that can run here.
template <class F>
void for_each_micro_kernel(F&& f) {
    f(cpu::WidenWords{});
#if defined(__AVX512BF16__)
    f(cpu::DotPairs{});
#endif
#if defined(__AMX_BF16__) && defined(__linux__)
    if (cpu::AmxTiles::is_available()) f(cpu::AmxTiles{});
#endif
}

}  // namespace

TEST_CASE("products of rounded inputs equal plain loops over them", "[cpu]") {
    const Sizes s = GENERATE(from_range(kSizes));
    const bool trans_a = GENERATE(false, true), trans_b = GENERATE(false, true);
    Threads two(2);
    CAPTURE(s.M, s.N, s.K, trans_a, trans_b);
    for_each_micro_kernel([&](auto kernel) { require_products_of<decltype(kernel)>(s, trans_a, trans_b); });
}

TEST_CASE("b in several chunks of columns and of rows, at sampled elements", "[cpu][slow]") {
    const Sizes s = GENERATE(Sizes{130, 6100, 900}, Sizes{70, 768, 5000});
    const bool trans_a = GENERATE(false, true);
    CAPTURE(s.M, s.N, s.K, trans_a);
    Threads two(2);
    const std::vector<float> a = random_floats(s.M * s.K, 1), b = random_floats(s.K * s.N, 2);
    std::vector<float> out(s.M * s.N, NAN);
    cpu::gemm(out.data(), a.data(), b.data(), nullptr, s.M, s.N, s.K, trans_a, !trans_a, false, kRounds);
    require_close_at_samples(s, out, rounded(a), rounded(b), trans_a, !trans_a);
}

TEST_CASE("words are what bfloat16_nearest makes of each float", "[cpu]") {
    using simd::kWidth;
    std::vector<float> x = {0.f,
                            -0.f,
                            1.f,
                            std::nextafter(1.f + 0x1p-8f, 0.f),
                            1.f + 0x1p-8f,                      // halfway, down to an even last bit
                            1.f + 3 * 0x1p-8f,                  // halfway, up to one
                            std::numeric_limits<float>::max(),  // rounds to infinity
                            std::numeric_limits<float>::infinity(),
                            -std::numeric_limits<float>::infinity(),
                            std::numeric_limits<float>::denorm_min()};
    for (const uint32_t nan : {0x7fffffffu, 0xffffffffu, 0x7f800001u}) {
        float value;
        std::memcpy(&value, &nan, sizeof value);
        x.push_back(value);
    }
    while (x.size() % (2 * kWidth)) x.push_back(float(x.size()) / 3);
    for (size_t i = 0; i < x.size(); i += 2 * kWidth) {
        uint32_t along[kWidth], across[kWidth];
        cpu::store_words(along, cpu::words_along(x.data() + i, 2 * kWidth));
        cpu::store_words(across, cpu::words_across(x.data() + i, kWidth, 2, kWidth));
        for (size_t lane = 0; lane < size_t(kWidth); lane++) {
            CAPTURE(i, lane);
            REQUIRE((along[lane] & 0xffff) == bfloat16_nearest(x[i + 2 * lane]));
            REQUIRE(along[lane] >> 16 == bfloat16_nearest(x[i + 2 * lane + 1]));
            REQUIRE((across[lane] & 0xffff) == bfloat16_nearest(x[i + lane]));
            REQUIRE(across[lane] >> 16 == bfloat16_nearest(x[i + lane + size_t(kWidth)]));
        }
    }
}

TEST_CASE("numbers that bf16 holds are multiplied as exactly as in float32", "[cpu]") {
    const Sizes s{37, 65, 129};
    std::vector<float> a = random_floats(s.M * s.K, 1), b = random_floats(s.K * s.N, 2);
    for (std::vector<float>* x : {&a, &b})
        for (float& value : *x) value = std::nearbyint(8 * value);
    std::vector<float> exact(s.M * s.N), out(s.M * s.N);
    cpu::gemm(exact.data(), a.data(), b.data(), nullptr, s.M, s.N, s.K, false, true, false, {});
    cpu::gemm(out.data(), a.data(), b.data(), nullptr, s.M, s.N, s.K, false, true, false, kRounds);
    REQUIRE(out == exact);
}

TEST_CASE("the kernels around a product of rounded inputs do what they do in float32", "[cpu]") {
    const Sizes s = GENERATE(Sizes{5, 48, 7}, Sizes{97, 33, 300}, Sizes{129, 48, 200});
    const Activation activation = GENERATE(Activation::kGelu, Activation::kRelu);
    CAPTURE(s.M, s.N, s.K, int(activation));
    const std::vector<float> inp = rounded(random_floats(s.M * s.K, 1)),
                             weight = rounded(random_floats(s.K * s.N, 2));
    const std::vector<float> bias = random_floats(s.N, 3), residual = random_floats(s.M * s.N, 4);
    // note: inputs that are bf16 already differ by the order of sums alone
    const auto everything = [&](Stream stream) {
        std::vector<float> all(3 * s.M * s.N + s.M * s.K + s.N * s.K + s.N, 0.25f);
        float* next = all.data();
        const auto take = [&](int64_t n) { return std::exchange(next, next + n); };
        cpu::linear_residual_forward(take(s.M * s.N), inp.data(), weight.data(), bias.data(), residual.data(),
                                     s.M, s.K, s.N, stream);
        float *out = take(s.M * s.N), *pre = take(s.M * s.N);
        cpu::linear_activation_forward(out, pre, inp.data(), weight.data(), bias.data(), s.M, s.K, s.N,
                                       activation, stream);
        const std::vector<float> dout = rounded(residual);
        cpu::linear_activation_backward(take(s.M * s.K), dout.data(), weight.data(), inp.data(), s.M, s.K,
                                        s.N, activation, stream);
        float *dweight = take(s.N * s.K), *dbias = take(s.N);
        cpu::linear_backward_params(dweight, dbias, dout.data(), inp.data(), s.M, s.K, s.N, true, stream);
        return all;
    };
    const std::vector<float> want = everything({}), got = everything(kRounds);
    REQUIRE(allclose("gemm", s.text(), got.data(), want.data(), int64_t(got.size()), 1e-5,
                     3 * tolerance(std::max({s.M, s.N, s.K}))) == "");
}

TEST_CASE("what is not finite stays so when it is rounded", "[cpu]") {
    const Sizes s{33, 40, 50};
    std::vector<float> a(s.M * s.K, 1.f), b(s.K * s.N, 1.f), out(s.M * s.N);
    a[7] = NAN, a[s.K + 3] = INFINITY;
    for_each_micro_kernel([&](auto kernel) {
        INFO(decltype(kernel)::name());
        const cpu::Product p{s.M, s.N, s.K, a.data(), s.K, true, b.data(), s.N, true, out.data()};
        cpu::multiply_bf16<decltype(kernel)>(p, cpu::NoEpilogue{});
        REQUIRE(std::isnan(out[0]));
        REQUIRE(out[s.N] == INFINITY);
        REQUIRE(out[2 * s.N] == 50.f);
    });
}

TEST_CASE("products of rounded inputs have the same bytes for any number of threads", "[cpu]") {
    const Sizes s =
        GENERATE(Sizes{5, 300, 65}, Sizes{257, 65, 129}, Sizes{300, 192, 1777}, Sizes{100, 3100, 900});
    CAPTURE(s.M, s.N, s.K);
    const std::vector<float> a = random_floats(s.M * s.K, 1), b = random_floats(s.K * s.N, 2);
    const auto everything = [&](int threads) {
        Threads scope(threads);
        std::vector<float> all(2 * s.M * s.N + s.M, 0.25f);
        cpu::gemm(all.data(), a.data(), b.data(), nullptr, s.M, s.N, s.K, false, true, false, kRounds);
        cpu::linear_backward_params(all.data() + s.M * s.N, all.data() + 2 * s.M * s.N, a.data(), b.data(),
                                    s.K, s.N, s.M, true, kRounds);
        return all;
    };
    const std::vector<float> want = everything(1);
    for (int threads : {2, 3, 7, 64}) {
        CAPTURE(threads);
        const std::vector<float> got = everything(threads);
        REQUIRE(std::memcmp(got.data(), want.data(), got.size() * sizeof(float)) == 0);
    }
}
