// gemm_compare.cuh - a small product of each kind that training has, computed by a fast form and by the plain one:
// what rungs.h asks for on cards that docs/gpu has no record of.
#pragma once
#include <string>
#include <vector>

#include "kernels/cuda/compared_array.cuh"
#include "kernels/cuda/gemm.cuh"
#include "kernels/cuda/rungs.h"

namespace gemm_forms {

// Sizes with whole 16-byte rows, so that a library has no reason to refuse, and not a multiple of any tile.
constexpr int64_t kComparedM = 136, kComparedN = 200, kComparedK = 72;

// The five kinds of Finish, in turn; what each wrote, one after the other.
template <class MultiplyReal, class MultiplyFloat>
std::vector<std::vector<float>> products_of_each_kind(MultiplyReal multiply_real,
                                                      MultiplyFloat multiply_float) {
    constexpr int64_t M = kComparedM, N = kComparedN, K = kComparedK;
    const ComparedArray<real> a(M * K, 1), b(K * N, 2), bias(N, 3), before(M * N, 4);
    std::vector<std::vector<float>> results;
    const Product by_rows{M, N, K, K, 1, K, 1}, by_columns{M, N, K, 1, M, 1, N}, mixed{M, N, K, K, 1, 1, N};
    for (int kind = 0; kind < 4; kind++) {
        const ComparedArray<real> out(M * N, 5), activated(M * N, 6);
        Finish<real> finish;
        if (kind == 0 || kind == 2) finish.bias = bias;
        if (kind == 1) finish.start = before, finish.bias = bias;
        if (kind == 2) finish.activated = activated;
        if (kind == 3) finish.pre = before;
        multiply_real(static_cast<real*>(out), a, b, kind == 3 ? mixed : by_rows, finish);
        results.push_back(out.host());
        if (kind == 2) results.push_back(activated.host());
    }
    const ComparedArray<float> dweight(M * N, 7), dbias(M, 8);
    Finish<float> finish;
    finish.start = dweight, finish.row_sums = dbias;
    multiply_float(static_cast<float*>(dweight), a, b, by_columns, finish);
    results.push_back(dweight.host());
    results.push_back(dbias.host());
    return results;
}

inline const char* const kComparedNames[] = {
    "the product",           "product + residual",  "input of GELU",       "output of GELU",
    "gradient through GELU", "gradient of weights", "gradient of the bias"};

// "" where multiply_real and multiply_float compute what the plain kernel does.
template <class MultiplyReal, class MultiplyFloat>
std::string compare_with_plain(MultiplyReal multiply_real, MultiplyFloat multiply_float) {
    const auto plain = [](auto* out, const real* a, const real* b, const Product& p, const auto& finish) {
        multiply_plain(out, a, b, p, finish, {});
    };
    const auto want = products_of_each_kind(plain, plain);
    const auto got = products_of_each_kind(multiply_real, multiply_float);
    for (size_t i = 0; i < want.size(); i++) {
        // bf16 results are rounded, once or (GELU) twice; the two gradients are float everywhere.
        const double tolerance = i < 5 && sizeof(real) == 2 ? 1e-2 : 1e-5;
        const std::string difference = difference_of(kComparedNames[i], got[i], want[i], tolerance);
        if (!difference.empty()) return difference;
    }
    return "";
}

inline std::string compare_tensor_cores_with_plain() {
    const auto fast = [](auto* out, const real* a, const real* b, const Product& p, const auto& finish) {
        multiply_on_tensor_cores(out, a, b, p, finish, {});
    };
    return compare_with_plain(fast, fast);
}

// What cuBLASLt refuses, the plain kernel does, here as in training.
inline std::string compare_library_with_plain() {
    if constexpr (is_cuda_emulated()) {
        return "there is no library";
    } else {
        const auto fast = [](auto* out, const real* a, const real* b, const Product& p, const auto& finish) {
            if (!multiply_by_library(out, a, b, p, finish, {})) multiply_plain(out, a, b, p, finish, {});
        };
        return compare_with_plain(fast, fast);
    }
}

}  // namespace gemm_forms
