// test_gemm.cpp - gpu:: matrix multiply and the kernels around it, against plain loops in double precision and
// against cpu::, in each form that it has: plain, on tensor cores, and on a GPU by cuBLASLt.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "kernels/cuda/gemm.h"
#include "kernels/kernels.h"
#include "tests/kernels/problems/gemm.h"
#include "tests/support/allclose.h"
#include "tests/support/gpu.h"
#include "tests/support/throwing_failures.h"

#ifdef GPT_WITH_GPU

#include "kernels/cuda/gemm_compare.cuh"

using gemm_problem::Sizes;

namespace {

// 1, odd, below and above a tile (64 x 64, 16 deep), not multiples of it; the last is a c_attn of the
// character model.
const std::vector<Sizes> kGpuSizes = {
    {1, 1, 1},     {1, 65, 128},   {2, 3, 5},      {7, 17, 9},    {13, 1, 31},
    {16, 16, 16},  {64, 64, 16},   {65, 63, 17},   {65, 129, 65}, {97, 33, 47},
    {48, 49, 515}, {101, 50, 769}, {130, 192, 96}, {20, 768, 33}, {256, 384, 128},
};

// 128 x 128 elements are a tile of the tensor cores' form; the next sizes are one and two more, and three steps of k.
const std::vector<Sizes> kTensorCoreSizes = {{128, 128, 32}, {129, 130, 33}, {136, 120, 96}};

enum class Form { kPlain, kTensorCores, kLibrary };

// For the life of a scope, all products take one form.
class InForm {
  public:
    explicit InForm(Form form)
        : library_(gemm_by_library(), form == Form::kLibrary),
          tensor_cores_(gemm_on_tensor_cores(), form == Form::kTensorCores) {}

  private:
    ForcedForm library_, tensor_cores_;
};

std::vector<Form> forms() {
    if (is_cuda_emulated()) return {Form::kPlain, Form::kTensorCores};
    if (sizeof(gpu::real) == sizeof(float)) return {Form::kPlain, Form::kLibrary};
    return {Form::kPlain, Form::kTensorCores, Form::kLibrary};
}

std::vector<Sizes> gpu_sizes() {
    std::vector<Sizes> sizes = kGpuSizes;
    sizes.insert(sizes.end(), kTensorCoreSizes.begin(), kTensorCoreSizes.end());
    return sizes;
}

// Ours adds in one order, whatever else happens to the sum; a library takes another kernel, and adds in another.
void require_same_sums(Form form, const char* what, Sizes s, const std::vector<float>& a,
                       const std::vector<float>& b) {
    if (form == Form::kLibrary)
        gemm_problem::require_close(what, s, a, b, kStorageRounding);
    else
        REQUIRE(same_bytes(a, b));
}

// Every 64 x 64 elements of a result are 256 CUDA threads.
#if defined(GPT_DEBUG)
const int64_t kMostElements = kUnderTsan ? 64 * 64 : 25000;
#else
const int64_t kMostElements = INT64_MAX;
#endif

bool is_too_slow(Sizes s) {
    return s.M * s.N > kMostElements;
}

// Numbers that bfloat16 holds, so that tensor cores multiply what everybody else does.
std::vector<float> numbers(int64_t n, uint64_t stream) {
    std::vector<float> x = stored(gemm_problem::random_floats(n, stream));
    for (float& value : x) value = float(__nv_bfloat16(value));
    return x;
}

}  // namespace

TEST_CASE("gpu::gemm equals plain loops, and cpu::gemm", "[cuda]") {
    const Sizes s = GENERATE(from_range(gpu_sizes()));
    const Form form = GENERATE(from_range(forms()));
    const InForm in_form(form);
    const bool trans_a = GENERATE(false, true), trans_b = GENERATE(false, true);
    if (is_too_slow(s)) return;
    CAPTURE(int(form), s.M, s.N, s.K, trans_a, trans_b);
    const std::vector<float> a = numbers(s.M * s.K, 1), b = numbers(s.K * s.N, 2);
    const std::vector<float> bias = numbers(s.N, 3), before = numbers(s.M * s.N, 4);
    const auto results = in_any_order([&] {
        const RealArray a_d(a), b_d(b), bias_d(bias), out(s.M * s.N), with_bias(s.M * s.N),
            accumulated(before);
        gpu::gemm(out, a_d, b_d, nullptr, s.M, s.N, s.K, trans_a, trans_b, false, {});
        gpu::gemm(with_bias, a_d, b_d, bias_d, s.M, s.N, s.K, trans_a, trans_b, false, {});
        gpu::gemm(accumulated, a_d, b_d, nullptr, s.M, s.N, s.K, trans_a, trans_b, true, {});
        return std::vector<std::vector<float>>{out.host(), with_bias.host(), accumulated.host()};
    });

    const std::vector<double> product = gemm_problem::plain_product(a, b, s, trans_a, trans_b);
    std::vector<double> with_bias = product, accumulated = product;
    for (size_t i = 0; i < product.size(); i++) {
        with_bias[i] += double(bias[i % size_t(s.N)]);
        accumulated[i] += double(before[i]);
    }
    require_close("gemm", s, results[0], product, kStorageRounding);
    require_close("gemm + bias", s, results[1], with_bias, kStorageRounding);
    require_close("gemm, accumulated", s, results[2], accumulated, kStorageRounding);

    std::vector<float> cpu(product.size());
    cpu::gemm(cpu.data(), a.data(), b.data(), bias.data(), s.M, s.N, s.K, trans_a, trans_b, false, {});
    require_close("gemm + bias, cpu", s, results[1], cpu, kStorageRounding);
}

TEST_CASE("gpu::gemm of nothing", "[cuda]") {
    const InForm in_form(GENERATE(from_range(forms())));
    const std::vector<float> before = {1, 2, 3, 4, 5, 6};
    const RealArray out(before), bias(std::vector<float>{7, 8, 9});
    gpu::gemm(out, nullptr, nullptr, nullptr, 0, 3, 4, false, false, false, {});
    gpu::gemm(out, nullptr, nullptr, nullptr, 3, 0, 4, false, false, false, {});
    gpu::gemm(out, nullptr, nullptr, nullptr, 2, 3, 0, false, false, true, {});
    REQUIRE(out.host() == before);
    gpu::gemm(out, nullptr, nullptr, bias, 2, 3, 0, false, true, false, {});  // an empty sum is 0
    REQUIRE(out.host() == std::vector<float>{7, 8, 9, 7, 8, 9});
}

TEST_CASE("gpu::gemm refuses a bias when it accumulates", "[cuda]") {
    ThrowingFailures throwing;
    const RealArray x(1);
    REQUIRE_THROWS_WITH(gpu::gemm(x, x, x, x, 1, 1, 1, false, false, true, {}), contains("[gemm]"));
}

TEST_CASE("gpu::linear_residual_forward equals plain loops, in place too", "[cuda]") {
    const Sizes s = GENERATE(from_range(gpu_sizes()));
    const Form form = GENERATE(from_range(forms()));
    const InForm in_form(form);
    if (is_too_slow(s)) return;
    CAPTURE(int(form), s.M, s.N, s.K);
    const std::vector<float> inp = numbers(s.M * s.K, 1), weight = numbers(s.K * s.N, 2);
    const std::vector<float> bias = numbers(s.N, 3), residual = numbers(s.M * s.N, 4);
    const auto results = in_any_order([&] {
        const RealArray inp_d(inp), weight_d(weight), bias_d(bias), residual_d(residual), out(s.M * s.N);
        gpu::linear_residual_forward(out, inp_d, weight_d, bias_d, residual_d, s.M, s.K, s.N, {});
        gpu::linear_residual_forward(residual_d, inp_d, weight_d, bias_d, residual_d, s.M, s.K, s.N, {});
        return std::vector<std::vector<float>>{out.host(), residual_d.host()};
    });
    std::vector<double> want = gemm_problem::plain_product(inp, weight, s, false, true);
    for (size_t i = 0; i < want.size(); i++) want[i] += double(residual[i]) + double(bias[i % size_t(s.N)]);
    require_close("linear_residual_forward", s, results[0], want, kStorageRounding);
    require_same_sums(form, "linear_residual_forward, in place", s, results[1], results[0]);

    std::vector<float> cpu(want.size());
    cpu::linear_residual_forward(cpu.data(), inp.data(), weight.data(), bias.data(), residual.data(), s.M,
                                 s.K, s.N, {});
    require_close("linear_residual_forward, cpu", s, results[0], cpu, kStorageRounding);
}

TEST_CASE("gpu::linear_activation equals plain loops, and the steps that it fuses", "[cuda]") {
    const Sizes s = GENERATE(from_range(gpu_sizes()));
    const Form form = GENERATE(from_range(forms()));
    const InForm in_form(form);
    const Activation activation = GENERATE(Activation::kGelu, Activation::kRelu);
    if (is_too_slow(s)) return;
    CAPTURE(int(form), s.M, s.N, s.K, int(activation));
    const std::vector<float> inp = numbers(s.M * s.K, 1), weight = numbers(s.K * s.N, 2);
    const std::vector<float> bias = numbers(s.N, 3), dout = numbers(s.M * s.N, 5);
    const std::vector<float> pre_of_inp = numbers(s.M * s.K, 6);
    const auto results = in_any_order([&] {
        const RealArray inp_d(inp), weight_d(weight), bias_d(bias), dout_d(dout), pre_of_inp_d(pre_of_inp);
        const RealArray out(s.M * s.N), pre(s.M * s.N), unfused(s.M * s.N), dpre(s.M * s.K);
        gpu::linear_activation_forward(out, pre, inp_d, weight_d, bias_d, s.M, s.K, s.N, activation, {});
        gpu::gemm(unfused, inp_d, weight_d, bias_d, s.M, s.N, s.K, false, true, false, {});
        gpu::linear_activation_backward(dpre, dout_d, weight_d, pre_of_inp_d, s.M, s.K, s.N, activation, {});
        return std::vector<std::vector<float>>{out.host(), pre.host(), unfused.host(), dpre.host()};
    });
    require_same_sums(form, "linear_activation_forward, pre", s, results[1], results[2]);
    std::vector<double> want(results[1].begin(), results[1].end());
    for (double& x : want) x = gemm_problem::activation_of(x, activation);
    require_close("linear_activation_forward", s, results[0], want, kStorageRounding);

    // backwards: dpre (M,K) from dout (M,N) and weight (N,K), where the forward had inp (M,K)
    const Sizes back{s.M, s.K, s.N};
    std::vector<double> dwant = gemm_problem::plain_product(dout, weight, back, false, false);
    for (size_t i = 0; i < dwant.size(); i++)
        dwant[i] *= gemm_problem::activation_derivative(double(pre_of_inp[i]), activation);
    require_close("linear_activation_backward", back, results[3], dwant, kStorageRounding);

    std::vector<float> cpu_out(want.size()), cpu_pre(want.size()), cpu_dpre(dwant.size());
    cpu::linear_activation_forward(cpu_out.data(), cpu_pre.data(), inp.data(), weight.data(), bias.data(),
                                   s.M, s.K, s.N, activation, {});
    cpu::linear_activation_backward(cpu_dpre.data(), dout.data(), weight.data(), pre_of_inp.data(), s.M, s.K,
                                    s.N, activation, {});
    // the GPU's activation is that of pre as it was stored: rounded twice
    require_close("linear_activation_forward, cpu", s, results[0], cpu_out, 2 * kStorageRounding);
    require_close("linear_activation_forward pre, cpu", s, results[1], cpu_pre, kStorageRounding);
    require_close("linear_activation_backward, cpu", back, results[3], cpu_dpre, kStorageRounding);
}

TEST_CASE("gpu::linear_backward_params adds to both gradients, or sets the weight's", "[cuda]") {
    const Form form = GENERATE(from_range(forms()));
    const InForm in_form(form);
    const Sizes s = GENERATE(from_range(gpu_sizes()));  // M = OC, N = IC, K = rows
    if (is_too_slow(s)) return;
    CAPTURE(int(form), s.M, s.N, s.K);
    const std::vector<float> dout = numbers(s.K * s.M, 1), inp = numbers(s.K * s.N, 2);
    const std::vector<float> dweight_before = gemm_problem::random_floats(s.M * s.N, 3);
    const std::vector<float> dbias_before = gemm_problem::random_floats(s.M, 4);
    const auto results = in_any_order([&] {
        const RealArray dout_d(dout), inp_d(inp);
        const FloatArray dweight(dweight_before), dbias(dbias_before), without_dbias(dweight_before);
        const FloatArray added(std::vector<float>(dweight_before.size(), 0.0f)), set(dweight_before);
        gpu::linear_backward_params(dweight, dbias, dout_d, inp_d, s.K, s.N, s.M, true, {});
        gpu::linear_backward_params(without_dbias, nullptr, dout_d, inp_d, s.K, s.N, s.M, true, {});
        gpu::linear_backward_params(added, nullptr, dout_d, inp_d, s.K, s.N, s.M, true, {});
        gpu::linear_backward_params(set, nullptr, dout_d, inp_d, s.K, s.N, s.M, false, {});
        return std::vector<std::vector<float>>{dweight.host(), dbias.host(), without_dbias.host(),
                                               added.host(), set.host()};
    });
    std::vector<double> want = gemm_problem::plain_product(dout, inp, s, true, false);
    std::vector<double> dbias_want(dbias_before.begin(), dbias_before.end());
    for (size_t i = 0; i < want.size(); i++) want[i] += double(dweight_before[i]);
    for (size_t i = 0; i < dout.size(); i++) dbias_want[i % size_t(s.M)] += double(dout[i]);
    require_close("linear_backward_params, dweight", s, results[0], want);
    require_close("linear_backward_params, dbias", s, results[1], dbias_want);
    require_same_sums(form, "linear_backward_params without dbias", s, results[2], results[0]);
    require_same_sums(form, "linear_backward_params that sets", s, results[4], results[3]);

    std::vector<float> cpu_dweight = dweight_before, cpu_dbias = dbias_before;
    cpu::linear_backward_params(cpu_dweight.data(), cpu_dbias.data(), dout.data(), inp.data(), s.K, s.N, s.M,
                                true, {});
    require_close("linear_backward_params dweight, cpu", s, results[0], cpu_dweight);
    require_close("linear_backward_params dbias, cpu", s, results[1], cpu_dbias);
}

TEST_CASE("what cards without a record compare finds the tensor cores' form right, and a wrong one wrong",
          "[cuda]") {
    using namespace gemm_forms;
    if (kUnderTsan) return;
    REQUIRE(compare_tensor_cores_with_plain() == "");
    // One that forgets the last step of k.
    const auto forgets = [](auto* out, const gpu::real* a, const gpu::real* b, Product p,
                            const auto& finish) {
        p.K--;
        multiply_plain(out, a, b, p, finish, {});
    };
    REQUIRE(compare_with_plain(forgets, forgets).find("the product differs by") == 0);
    // One that forgets the bias' gradient alone.
    const auto plain = [](auto* out, const gpu::real* a, const gpu::real* b, const Product& p,
                          const auto& finish) { multiply_plain(out, a, b, p, finish, {}); };
    const auto without_dbias = [](float* out, const gpu::real* a, const gpu::real* b, const Product& p,
                                  Finish<float> finish) {
        finish.row_sums = nullptr;
        multiply_plain(out, a, b, p, finish, {});
    };
    REQUIRE(compare_with_plain(plain, without_dbias).find("gradient of the bias differs by") == 0);
}

#endif
