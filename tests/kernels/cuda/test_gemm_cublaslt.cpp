// test_gemm_cublaslt.cpp - how gpu:: calls cuBLASLt, against a library made of loops (fake_cublaslt.h): the exchange
// of rows and columns, every epilogue, what is done where one is refused, when candidates are timed.
// Not here: the real library; test_gemm.cpp asks it on a GPU.
#include "core/device.h"

#if defined(GPT_CUDA_ON_HOST)
#include "tests/kernels/cuda/fake_cublaslt.h"
#define GPT_FAKE_CUBLASLT
#include "kernels/cuda/gemm_compare.cuh"
#include "kernels/cuda/gemm_cublaslt.cu"
#include "tests/kernels/problems/gemm.h"
#include "tests/support/gpu.h"

using gemm_problem::Sizes;

namespace {

const auto by_library = [](auto* out, const real* a, const real* b, const Product& p, const auto& finish) {
    REQUIRE(multiply_by_library(out, a, b, p, finish, {}));
};

// A library that knows nothing and refuses `refused`. Choices are kept by the program, so each test has sizes, or
// refusals, of its own.
struct FreshLibrary {
    explicit FreshLibrary(std::set<cublasLtEpilogue_t> refused = {}) {
        fake_cublaslt::state() = {};
        fake_cublaslt::state().refused = std::move(refused);
        library().choices.forget();
    }
    ~FreshLibrary() { library().choices.forget(); }
    bool used(cublasLtEpilogue_t epilogue) const {
        for (const fake_cublaslt::Product& p : fake_cublaslt::state().products)
            if (p.epilogue == epilogue) return true;
        return false;
    }
};

}  // namespace

TEST_CASE("cuBLASLt is asked for every kind of product in one call each", "[cuda][cublaslt][slow]") {
    const FreshLibrary fake;
    REQUIRE(compare_with_plain(by_library, by_library) == "");
    for (const auto epilogue : {CUBLASLT_EPILOGUE_BIAS, CUBLASLT_EPILOGUE_GELU_AUX_BIAS,
                                CUBLASLT_EPILOGUE_DGELU, CUBLASLT_EPILOGUE_BGRADB})
        REQUIRE(fake.used(epilogue));
    REQUIRE_FALSE(fake.used(CUBLASLT_EPILOGUE_DEFAULT));
}

TEST_CASE("what cuBLASLt does not fuse is done by kernels of ours", "[cuda][cublaslt]") {
    const FreshLibrary fake(
        {CUBLASLT_EPILOGUE_GELU_AUX_BIAS, CUBLASLT_EPILOGUE_DGELU, CUBLASLT_EPILOGUE_BGRADB});
    REQUIRE(compare_with_plain(by_library, by_library) == "");
    REQUIRE(fake.used(CUBLASLT_EPILOGUE_DEFAULT));
}

TEST_CASE("a product that cuBLASLt refuses altogether is left to ours, untouched", "[cuda][cublaslt]") {
    const FreshLibrary fake;
    fake_cublaslt::state().refuses_odd_rows = true;
    const int64_t M = 5, N = 65, K = 16;
    const RealArray a(stored(random_floats(M * K, 1))), b(stored(random_floats(N * K, 2)));
    const std::vector<float> before = stored(random_floats(M * N, 3));
    const RealArray out(before);
    REQUIRE_FALSE(multiply_by_library<real>(out, a, b, {M, N, K, K, 1, K, 1}, {}, {}));
    REQUIRE_FALSE(multiply_by_library<real>(out, a, b, {M, N, K, K, 1, K, 1}, {}, {}));
    REQUIRE(fake_cublaslt::state().proposals == 1);  // the answer is remembered
    REQUIRE(out.host() == before);
}

TEST_CASE("operands of every layout and size reach cuBLASLt as it wants them", "[cuda][cublaslt]") {
    const FreshLibrary fake;
    const auto [M, N, K] = GENERATE(table<int64_t, int64_t, int64_t>(
        {{1, 1, 1}, {1, 7, 5}, {6, 1, 4}, {3, 5, 1}, {7, 17, 9}, {16, 65, 24}}));
    const bool trans_a = GENERATE(false, true), trans_b = GENERATE(false, true);
    CAPTURE(M, N, K, trans_a, trans_b);
    const Sizes s{M, N, K};
    const std::vector<float> a = stored(random_floats(M * K, 1)), b = stored(random_floats(K * N, 2));
    const RealArray a_d(a), b_d(b), out(M * N);
    const Product p{M, N, K, trans_a ? 1 : K, trans_a ? M : 1, trans_b ? K : 1, trans_b ? 1 : N};
    REQUIRE(multiply_by_library<real>(out, a_d, b_d, p, {}, {}));
    std::vector<float> product = out.host();
    gemm_problem::require_close("cuBLASLt's arguments", s, product,
                                gemm_problem::plain_product(a, b, s, trans_a, trans_b), kStorageRounding);
}

TEST_CASE("rows that are no multiple of eight have GELU in a kernel of its own", "[cuda][cublaslt]") {
    const FreshLibrary fake;
    const int64_t M = 5, N = 63, K = 16;
    const auto activation = GENERATE(Activation::kGelu, Activation::kRelu);
    const RealArray a(stored(random_floats(M * K, 1))), b(stored(random_floats(N * K, 2)));
    const RealArray pre(M * N), out(M * N), plain_pre(M * N), plain_out(M * N), dout(M * N),
        plain_dout(M * N);
    Finish<real> forward, backward;
    forward.activated = out, forward.activation = backward.activation = activation;
    REQUIRE(multiply_by_library<real>(pre, a, b, {M, N, K, K, 1, K, 1}, forward, {}));
    forward.activated = plain_out;
    multiply_plain<real>(plain_pre, a, b, {M, N, K, K, 1, K, 1}, forward, {});
    REQUIRE(difference_of("out", out.host(), plain_out.host(), 1e-5 + kStorageRounding) == "");
    backward.pre = plain_pre;
    REQUIRE(multiply_by_library<real>(dout, a, b, {M, N, K, K, 1, K, 1}, backward, {}));
    multiply_plain<real>(plain_dout, a, b, {M, N, K, K, 1, K, 1}, backward, {});
    REQUIRE(difference_of("dout", dout.host(), plain_dout.host(), 1e-5 + 2 * kStorageRounding) == "");
    REQUIRE(fake.used(CUBLASLT_EPILOGUE_DEFAULT));
}

TEST_CASE("timing the candidates adds nothing to a sum in place, and happens once", "[cuda][cublaslt]") {
    const FreshLibrary fake;
    const int64_t M = 16, N = 24, K = 8;
    const RealArray a(std::vector<float>(size_t(M * K), 1)), b(std::vector<float>(size_t(K * N), 1));
    const RealArray out(std::vector<float>(size_t(M * N), 100));
    Finish<real> finish;
    finish.start = out;
    for (int call = 1; call <= 2; call++) {
        REQUIRE(multiply_by_library<real>(out, a, b, {M, N, K, K, 1, K, 1}, finish, {}));
        REQUIRE(out.host() == std::vector<float>(size_t(M * N), 100 + 8 * float(call)));
    }
    REQUIRE(fake_cublaslt::state().proposals == 1);
    REQUIRE(fake_cublaslt::state().products.size() ==
            2 * (1 + kTimedRuns) + 2);  // two candidates run; two calls
}

TEST_CASE("while a graph is captured nothing is timed", "[cuda][cublaslt]") {
    const FreshLibrary fake;
    fake_cublaslt::state().is_capturing = true;
    const TimingCall timing({{8, 8, 8, 8, 1, 8, 1}, nullptr, nullptr},
                            library().may_time && !is_capturing(nullptr));
    REQUIRE_FALSE(timing.may_time());
}

TEST_CASE("an address that is less aligned is said to be so", "[cuda][cublaslt]") {
    const FreshLibrary fake;
    const int64_t M = 8, N = 16, K = 8;
    const RealArray memory(stored(random_floats(1 + M * K, 1))), b(stored(random_floats(N * K, 2))),
        out(M * N);
    REQUIRE(multiply_by_library<real>(out, memory, b, {M, N, K, K, 1, K, 1}, {}, {}));
    REQUIRE(multiply_by_library<real>(out, memory + 1, b, {M, N, K, K, 1, K, 1}, {}, {}));
    REQUIRE(fake_cublaslt::state().proposals == 2);  // another address, another question
}

#endif
