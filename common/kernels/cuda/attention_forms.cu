// attention_forms.cu - gpu::attention_forward and _backward: on tensor cores or on CUDA cores; rungs.h has the rule.
#include "kernels/cuda/attention_forms.h"

#include <type_traits>
#include <vector>

#include "core/rng.h"
#include "kernels/cuda/launcher.cuh"

namespace {

using bf16 = __nv_bfloat16;

// Both forms on one small problem, which has more queries than a block of the fast one, a ragged end and a dropout.
// Probabilities rounded to bf16 cost less than 1e-2 of a result's norm; a lane in the wrong place costs all of it.
template <class Real>
std::string compare_at(int64_t HS) {
    const int64_t B = 1, T = 150, NH = 2, n = B * T * NH * HS;
    const DropoutMask mask{0.1f, 1, 2};
    std::vector<Real> numbers(size_t(4 * n));  // qkv, dout
    RandomStream random{5, uint64_t(HS)};
    for (Real& x : numbers) x = Real(random.next_normal());

    const Scratch<Real> inputs(4 * n, {}), out(2 * n, {}), dqkv(6 * n, {});
    const Scratch<float> lse(2 * B * NH * T, {});
    device_upload(Device::kCuda, inputs.get(), numbers.data(), numbers.size() * sizeof(Real));
    const Real *qkv = inputs.get(), *dout = inputs.get() + 3 * n;
    attention_plain::forward(out.get(), lse.get(), qkv, B, T, NH, HS, mask, {});
    attention_plain::backward(dqkv.get(), dout, qkv, out.get(), lse.get(), B, T, NH, HS, mask, {});
    Real *fast_out = out.get() + n, *fast_dqkv = dqkv.get() + 3 * n;
    float* fast_lse = lse.get() + B * NH * T;
    attention_mma::forward(fast_out, fast_lse, qkv, B, T, NH, HS, mask, {});
    attention_mma::backward(fast_dqkv, dout, qkv, fast_out, fast_lse, B, T, NH, HS, mask, {});

    // Both halves of an array: the plain form's, and the fast one's.
    const auto compare = [](const char* what, const auto* both, int64_t half) {
        using T = std::remove_cv_t<std::remove_pointer_t<decltype(both)>>;
        std::vector<T> values(size_t(2 * half));
        device_download(Device::kCuda, values.data(), both, values.size() * sizeof(T));
        const std::vector<float> plain(values.begin(), values.begin() + half);
        const std::vector<float> fast(values.begin() + half, values.end());
        return difference_of(what, fast, plain, 1e-2);
    };
    std::string difference = compare("out", out.get(), n);
    if (difference.empty()) difference = compare("lse", lse.get(), B * NH * T);
    if (difference.empty()) difference = compare("dqkv", dqkv.get(), 3 * n);
    return difference.empty() ? ""
                              : format("with heads of %lld channels, %s", (long long)HS, difference.c_str());
}

// Each width of row is a kernel of its own.
template <class Real>
std::string compare_all_widths() {
    std::string difference;
    if constexpr (std::is_same<Real, bf16>::value)
        for (const int64_t HS : {16, 32, 64, 128})
            if (difference.empty()) difference = compare_at<Real>(HS);
    return difference;
}

[[maybe_unused]] bool runs_on_tensor_cores(int64_t HS) {
    return attention_mma::has_head_size(HS) && attention_on_tensor_cores().is_chosen();
}

// Templates, so that builds that store float need not compile the call of a form that does not take it.
template <class Real>
void forward(Real* out, float* lse, const Real* qkv, int64_t B, int64_t T, int64_t NH, int64_t HS,
             DropoutMask mask, Stream s) {
    if constexpr (std::is_same<Real, bf16>::value)
        if (runs_on_tensor_cores(HS)) return attention_mma::forward(out, lse, qkv, B, T, NH, HS, mask, s);
    attention_plain::forward(out, lse, qkv, B, T, NH, HS, mask, s);
}

template <class Real>
void backward(Real* dqkv, const Real* dout, const Real* qkv, const Real* out, const float* lse, int64_t B,
              int64_t T, int64_t NH, int64_t HS, DropoutMask mask, Stream s) {
    if constexpr (std::is_same<Real, bf16>::value)
        if (runs_on_tensor_cores(HS))
            return attention_mma::backward(dqkv, dout, qkv, out, lse, B, T, NH, HS, mask, s);
    attention_plain::backward(dqkv, dout, qkv, out, lse, B, T, NH, HS, mask, s);
}

}  // namespace

std::string compare_attention_forms() {
    return compare_all_widths<gpu::real>();
}

FastForm& attention_on_tensor_cores() {
    static FastForm form("attention on tensor cores", compare_attention_forms);
    return form;
}

void gpu::attention_forward(real* out, float* lse, const real* qkv, int64_t B, int64_t T, int64_t NH,
                            int64_t HS, DropoutMask mask, Stream s) {
    forward(out, lse, qkv, B, T, NH, HS, mask, s);
}

void gpu::attention_backward(real* dqkv, const real* dout, const real* qkv, const real* out, const float* lse,
                             int64_t B, int64_t T, int64_t NH, int64_t HS, DropoutMask mask, Stream s) {
    backward(dqkv, dout, qkv, out, lse, B, T, NH, HS, mask, s);
}
