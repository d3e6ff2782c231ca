// test_gemm.cpp - the matrix multiply and the kernels around it, against plain loops in double precision.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "core/parallel.h"
#include "core/rng.h"
#include "kernels/cpu/gemm.h"
#include "kernels/kernels.h"
#include "tests/kernels/problems/gemm.h"
#include "tests/support/allclose.h"
#include "tests/support/catch.h"
#include "tests/support/threads.h"
#include "tests/support/throwing_failures.h"

namespace {

using namespace gemm_problem;

}  // namespace

TEST_CASE("gemm equals plain loops", "[cpu]") {
    const Sizes s = GENERATE(from_range(kSizes));
    const bool trans_a = GENERATE(false, true), trans_b = GENERATE(false, true);
    Threads two(2);
    CAPTURE(s.M, s.N, s.K, trans_a, trans_b);
    const std::vector<float> a = random_floats(s.M * s.K, 1), b = random_floats(s.K * s.N, 2);
    const std::vector<float> bias = random_floats(s.N, 3), before = random_floats(s.M * s.N, 4);
    const std::vector<double> product = plain_product(a, b, s, trans_a, trans_b);

    std::vector<float> out(s.M * s.N, NAN);  // NAN: overwritten, not added to
    cpu::gemm(out.data(), a.data(), b.data(), nullptr, s.M, s.N, s.K, trans_a, trans_b, false, {});
    require_close("gemm", s, out, product);

    std::vector<double> want = product;
    for (int64_t i = 0; i < s.M * s.N; i++) want[i] += bias[i % s.N];
    std::fill(out.begin(), out.end(), NAN);
    cpu::gemm(out.data(), a.data(), b.data(), bias.data(), s.M, s.N, s.K, trans_a, trans_b, false, {});
    require_close("gemm + bias", s, out, want);

    want = product;
    for (int64_t i = 0; i < s.M * s.N; i++) want[i] += before[i];
    out = before;
    cpu::gemm(out.data(), a.data(), b.data(), nullptr, s.M, s.N, s.K, trans_a, trans_b, true, {});
    require_close("gemm, accumulated", s, out, want);
}

TEST_CASE("gemm of real sizes, at sampled elements", "[cpu][slow]") {
    // (M,N,K) of a forward of the (a) and (b) models, of a weight gradient, two whose threads share columns, and a
    // long one, whose b is packed in several chunks where threads share rows
    const Sizes s = GENERATE(Sizes{4096, 384, 128}, Sizes{1152, 384, 4096}, Sizes{130, 6100, 900},
                             Sizes{70, 768, 5000}, Sizes{1030, 1536, 800});
    const bool trans_a = s.K == 4096, trans_b = GENERATE(false, true);
    CAPTURE(s.M, s.N, s.K, trans_b);
    Threads two(2);
    const std::vector<float> a = random_floats(s.M * s.K, 1), b = random_floats(s.K * s.N, 2);
    std::vector<float> out(s.M * s.N, NAN);
    cpu::gemm(out.data(), a.data(), b.data(), nullptr, s.M, s.N, s.K, trans_a, trans_b, false, {});
    require_close_at_samples(s, out, a, b, trans_a, trans_b);
}

// Whether threads share the rows of a or the columns of b may depend on how many rows there are: no sum may.
TEST_CASE("the first rows of a product are the product of the first rows, bit for bit", "[cpu][slow]") {
    const int64_t M = 1025, N = 1536, K = 800;  // K: more than a block
    const bool trans_b = GENERATE(false, true);
    const int64_t fewer = GENERATE(1024, 200);
    CAPTURE(trans_b, fewer);
    Threads two(2);
    const std::vector<float> a = random_floats(M * K, 1), b = random_floats(K * N, 2);
    std::vector<float> all(M * N, NAN), first(fewer * N, NAN);
    cpu::gemm(all.data(), a.data(), b.data(), nullptr, M, N, K, false, trans_b, false, {});
    cpu::gemm(first.data(), a.data(), b.data(), nullptr, fewer, N, K, false, trans_b, false, {});
    REQUIRE(std::memcmp(all.data(), first.data(), first.size() * sizeof(float)) == 0);
}

TEST_CASE("gemm of nothing", "[cpu]") {
    std::vector<float> out = {1, 2, 3, 4, 5, 6}, bias = {7, 8, 9};
    cpu::gemm(out.data(), nullptr, nullptr, nullptr, 0, 3, 4, false, false, false, {});
    cpu::gemm(out.data(), nullptr, nullptr, nullptr, 3, 0, 4, false, false, false, {});
    cpu::gemm(out.data(), nullptr, nullptr, nullptr, 2, 3, 0, false, false, true, {});
    REQUIRE(out == std::vector<float>{1, 2, 3, 4, 5, 6});
    cpu::gemm(out.data(), nullptr, nullptr, bias.data(), 2, 3, 0, false, true, false,
              {});  // an empty sum is 0
    REQUIRE(out == std::vector<float>{7, 8, 9, 7, 8, 9});
}

TEST_CASE("gemm refuses a bias when it accumulates", "[cpu]") {
    ThrowingFailures throwing;
    float x = 1;
    REQUIRE_THROWS_WITH(cpu::gemm(&x, &x, &x, &x, 1, 1, 1, false, false, true, {}), contains("[gemm]"));
}

TEST_CASE("linear_residual_forward equals plain loops, in place too", "[cpu]") {
    const Sizes s = GENERATE(from_range(kSizes));
    CAPTURE(s.M, s.N, s.K);
    Threads two(2);
    const std::vector<float> inp = random_floats(s.M * s.K, 1), weight = random_floats(s.K * s.N, 2);
    const std::vector<float> bias = random_floats(s.N, 3), residual = random_floats(s.M * s.N, 4);
    std::vector<double> want = plain_product(inp, weight, s, false, true);
    for (int64_t i = 0; i < s.M * s.N; i++) want[i] += double(residual[i]) + bias[i % s.N];

    std::vector<float> out(s.M * s.N, NAN);
    cpu::linear_residual_forward(out.data(), inp.data(), weight.data(), bias.data(), residual.data(), s.M,
                                 s.K, s.N, {});
    require_close("linear_residual_forward", s, out, want);

    std::vector<float> in_place = residual;
    cpu::linear_residual_forward(in_place.data(), inp.data(), weight.data(), bias.data(), in_place.data(),
                                 s.M, s.K, s.N, {});
    REQUIRE(in_place == out);
}

TEST_CASE("linear_activation equals plain loops, and the two steps that it fuses", "[cpu]") {
    const Sizes s = GENERATE(from_range(kSizes));
    const Activation activation = GENERATE(Activation::kGelu, Activation::kRelu);
    CAPTURE(s.M, s.N, s.K, int(activation));
    Threads two(2);
    const std::vector<float> inp = random_floats(s.M * s.K, 1), weight = random_floats(s.K * s.N, 2);
    const std::vector<float> bias = random_floats(s.N, 3);

    std::vector<float> out(s.M * s.N, NAN), pre(s.M * s.N, NAN), unfused(s.M * s.N, NAN);
    cpu::linear_activation_forward(out.data(), pre.data(), inp.data(), weight.data(), bias.data(), s.M, s.K,
                                   s.N, activation, {});
    cpu::gemm(unfused.data(), inp.data(), weight.data(), bias.data(), s.M, s.N, s.K, false, true, false, {});
    REQUIRE(pre == unfused);  // bit for bit
    std::vector<double> want(s.M * s.N);
    for (int64_t i = 0; i < s.M * s.N; i++) want[i] = activation_of(pre[i], activation);
    require_close("linear_activation_forward", s, out, want);

    // backwards: dpre (M,K) from dout (M,N) and weight (N,K), where the forward had inp (M,K)
    const Sizes back{s.M, s.K, s.N};
    const std::vector<float> dout = random_floats(s.M * s.N, 5), pre_of_inp = random_floats(s.M * s.K, 6);
    std::vector<float> dpre(s.M * s.K, NAN);
    cpu::linear_activation_backward(dpre.data(), dout.data(), weight.data(), pre_of_inp.data(), s.M, s.K, s.N,
                                    activation, {});
    std::vector<double> dwant = plain_product(dout, weight, back, false, false);
    for (int64_t i = 0; i < s.M * s.K; i++) dwant[i] *= activation_derivative(pre_of_inp[i], activation);
    require_close("linear_activation_backward", back, dpre, dwant);
}

TEST_CASE("linear_backward_params adds to both gradients, or sets the weight's", "[cpu]") {
    const Sizes s = GENERATE(from_range(kSizes));  // M = OC, N = IC, K = rows
    CAPTURE(s.M, s.N, s.K);
    Threads two(2);
    const std::vector<float> dout = random_floats(s.K * s.M, 1), inp = random_floats(s.K * s.N, 2);
    std::vector<float> dweight = random_floats(s.M * s.N, 3), dbias = random_floats(s.M, 4);
    std::vector<double> want = plain_product(dout, inp, s, true, false),
                        dbias_want(dbias.begin(), dbias.end());
    for (int64_t i = 0; i < s.M * s.N; i++) want[i] += dweight[i];
    for (int64_t i = 0; i < s.K * s.M; i++) dbias_want[i % s.M] += dout[i];
    std::vector<float> without_dbias = dweight;
    cpu::linear_backward_params(dweight.data(), dbias.data(), dout.data(), inp.data(), s.K, s.N, s.M, true,
                                {});
    require_close("linear_backward_params, dweight", s, dweight, want);
    require_close("linear_backward_params, dbias", s, dbias, dbias_want);
    cpu::linear_backward_params(without_dbias.data(), nullptr, dout.data(), inp.data(), s.K, s.N, s.M, true,
                                {});
    REQUIRE(without_dbias == dweight);

    // To set is to add to zeros, to the bit.
    std::vector<float> added(s.M * s.N, 0.0f), set(s.M * s.N, NAN);
    cpu::linear_backward_params(added.data(), nullptr, dout.data(), inp.data(), s.K, s.N, s.M, true, {});
    cpu::linear_backward_params(set.data(), nullptr, dout.data(), inp.data(), s.K, s.N, s.M, false, {});
    REQUIRE(std::memcmp(set.data(), added.data(), set.size() * sizeof(float)) == 0);
}

TEST_CASE("products have the same bytes for any number of threads", "[cpu]") {
    const Sizes s = GENERATE(Sizes{1, 65, 700}, Sizes{3, 300, 65}, Sizes{257, 65, 129}, Sizes{65, 128, 1000},
                             Sizes{300, 192, 777}, Sizes{100, 3060, 900});
    CAPTURE(s.M, s.N, s.K);
    const std::vector<float> a = random_floats(s.M * s.K, 1), b = random_floats(s.K * s.N, 2);
    const std::vector<float> bias = random_floats(s.N, 3), pre = random_floats(s.M * s.N, 4);
    const auto everything = [&](int threads) {
        Threads scope(threads);
        std::vector<float> all(6 * s.M * s.N + s.M, 0.25f);
        float* out = all.data();
        const auto next = [&] { return std::exchange(out, out + s.M * s.N); };
        cpu::gemm(next(), a.data(), b.data(), bias.data(), s.M, s.N, s.K, false, true, false, {});
        cpu::gemm(next(), a.data(), b.data(), nullptr, s.M, s.N, s.K, true, false, true, {});
        cpu::linear_residual_forward(next(), a.data(), b.data(), nullptr, pre.data(), s.M, s.K, s.N, {});
        float* kept = next();
        cpu::linear_activation_forward(next(), kept, a.data(), b.data(), bias.data(), s.M, s.K, s.N,
                                       Activation::kGelu, {});
        float* dbias = all.data() + 6 * s.M * s.N;
        cpu::linear_backward_params(next(), dbias, a.data(), b.data(), s.K, s.N, s.M, true, {});
        return all;
    };
    const std::vector<float> want = everything(1);
    for (int threads : {2, 3, 4, 7, 64}) {
        CAPTURE(threads);
        const std::vector<float> got = everything(threads);
        REQUIRE(std::memcmp(got.data(), want.data(), got.size() * sizeof(float)) == 0);
    }
}

TEST_CASE("small_gemm equals plain loops and stays inside its matrices", "[cpu]") {
    const int M = GENERATE(1, 5, 6, 8, 13, 64), N = GENERATE(1, 4, 8, 16, 23, 48, 65),
              K = GENERATE(1, 3, 64, 130);
    const bool a_by_rows = GENERATE(true, false), accumulate = GENERATE(true, false);
    CAPTURE(M, N, K, a_by_rows, accumulate);
    const Sizes s{M, N, K};
    const std::vector<float> a = random_floats(M * K, 1), b = random_floats(K * N, 2);
    const int ldc = N + 3;  // the last three columns are not c's
    std::vector<float> c = random_floats(M * ldc, 3);
    std::vector<double> want(c.begin(), c.end());
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++)
            want[i * ldc + j] =
                product_at(a, b, s, !a_by_rows, false, i, j) + (accumulate ? c[i * ldc + j] : 0.f);
    if (a_by_rows)
        cpu::small_gemm<true>(M, N, K, a.data(), K, b.data(), N, c.data(), ldc, accumulate);
    else
        cpu::small_gemm<false>(M, N, K, a.data(), M, b.data(), N, c.data(), ldc, accumulate);
    require_close("small_gemm", s, c, want);
}
