// fake_cublaslt.h - the part of cuBLASLt that gemm_cublaslt.cu calls, as its documentation describes it, in plain
// loops over matrices that lie by columns. It stands in where there is no GPU: operands, layouts, epilogues, answers
// to refusals and the order of calls are then tested; speed and rounding are not. It refuses what the documentation
// forbids, and what a test tells it to.
// Not here: types other than float and bfloat16, batches, scaling.
// Source for names and meanings: cuBLAS Library documentation, "Using the cuBLASLt API".
#pragma once
#include <cmath>
#include <cstring>
#include <set>
#include <vector>

#include "core/device.h"

enum cublasStatus_t {
    CUBLAS_STATUS_SUCCESS = 0,
    CUBLAS_STATUS_INVALID_VALUE = 7,
    CUBLAS_STATUS_NOT_SUPPORTED = 15
};
enum cublasOperation_t { CUBLAS_OP_N = 0, CUBLAS_OP_T = 1 };
enum cublasComputeType_t { CUBLAS_COMPUTE_32F = 68 };
enum cudaDataType_t { CUDA_R_32F = 0, CUDA_R_16BF = 14 };
enum cublasLtEpilogue_t {
    CUBLASLT_EPILOGUE_DEFAULT = 1,
    CUBLASLT_EPILOGUE_BIAS = 4,
    CUBLASLT_EPILOGUE_GELU_AUX = 32 | 128,
    CUBLASLT_EPILOGUE_GELU_AUX_BIAS = 32 | 128 | 4,
    CUBLASLT_EPILOGUE_DGELU = 64 | 128,
    CUBLASLT_EPILOGUE_BGRADB = 512,
};
enum cublasLtReductionScheme_t { CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE = 2 };
enum cublasLtMatmulDescAttributes_t {
    CUBLASLT_MATMUL_DESC_TRANSA,
    CUBLASLT_MATMUL_DESC_TRANSB,
    CUBLASLT_MATMUL_DESC_EPILOGUE,
    CUBLASLT_MATMUL_DESC_BIAS_POINTER,
    CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER,
    CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD,
};
enum cublasLtMatmulPreferenceAttributes_t {
    CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
    CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
};

struct cublasLtMatmulDescOpaque_t {
    cublasOperation_t op_a, op_b;
    cublasLtEpilogue_t epilogue;
    void *bias, *aux;
    int64_t aux_ld;
};
struct cublasLtMatrixLayoutOpaque_t {
    cudaDataType_t type;
    uint64_t rows, columns;
    int64_t ld;
};
struct cublasLtMatmulPreferenceOpaque_t {
    uint64_t workspace;
    uint32_t reduction, alignment[4];
};
struct cublasLtMatmulAlgo_t {
    int number;
    uint32_t alignment[4];  // what the operands were said to have
};
struct cublasLtMatmulHeuristicResult_t {
    cublasLtMatmulAlgo_t algo;
    cublasStatus_t state;
};
using cublasLtHandle_t = int*;

enum cudaStreamCaptureStatus { cudaStreamCaptureStatusNone, cudaStreamCaptureStatusActive };

namespace fake_cublaslt {

struct Product {  // a call of cublasLtMatmul
    int algorithm;
    cublasLtEpilogue_t epilogue;
};
// What a test tells the library, and what it saw.
struct State {
    std::set<cublasLtEpilogue_t> refused;
    bool refuses_odd_rows = false, is_capturing = false;
    std::vector<Product> products;
    int proposals = 0;
};
inline State& state() {
    static State the_state;
    return the_state;
}

inline float read(const void* p, cudaDataType_t type, int64_t at) {
    return type == CUDA_R_32F ? static_cast<const float*>(p)[at]
                              : float(static_cast<const __nv_bfloat16*>(p)[at]);
}
inline void write(void* p, cudaDataType_t type, int64_t at, float x) {
    if (type == CUDA_R_32F)
        static_cast<float*>(p)[at] = x;
    else
        static_cast<__nv_bfloat16*>(p)[at] = __nv_bfloat16(x);
}
inline float gelu(float x) {
    return 0.5f * x * (1 + std::tanh(0.7978845608f * (x + 0.044715f * x * x * x)));
}
inline float gelu_derivative(float x) {
    const float t = std::tanh(0.7978845608f * (x + 0.044715f * x * x * x));
    return 0.5f * (1 + t) + 0.5f * x * (1 - t * t) * 0.7978845608f * (1 + 3 * 0.044715f * x * x);
}

// Whether the documentation allows it.
inline bool is_valid(const cublasLtMatmulDescOpaque_t& d, const cublasLtMatrixLayoutOpaque_t& a,
                     const cublasLtMatrixLayoutOpaque_t& b, const cublasLtMatrixLayoutOpaque_t& out) {
    const uint64_t m = d.op_a == CUBLAS_OP_N ? a.rows : a.columns,
                   k = d.op_a == CUBLAS_OP_N ? a.columns : a.rows;
    const uint64_t n = d.op_b == CUBLAS_OP_N ? b.columns : b.rows,
                   k_of_b = d.op_b == CUBLAS_OP_N ? b.rows : b.columns;
    for (const auto* layout : {&a, &b, &out})
        if (layout->ld < int64_t(layout->rows)) return false;
    if (m != out.rows || n != out.columns || k != k_of_b || a.type != b.type) return false;
    const bool has_aux = d.epilogue & 128;
    if (has_aux && (!d.aux || d.aux_ld % 8 != 0 || d.aux_ld < int64_t(m))) return false;
    const bool has_bias = (d.epilogue & 4) || d.epilogue == CUBLASLT_EPILOGUE_BGRADB;
    return !has_bias || d.bias;
}

}  // namespace fake_cublaslt

inline const char* cublasLtGetStatusString(cublasStatus_t status) {
    return status == CUBLAS_STATUS_SUCCESS         ? "success"
           : status == CUBLAS_STATUS_INVALID_VALUE ? "an unsupported value"
                                                   : "not supported";
}
inline cublasStatus_t cublasLtCreate(cublasLtHandle_t*) {
    return CUBLAS_STATUS_SUCCESS;
}
inline cudaError_t cudaStreamIsCapturing(cudaStream_t, cudaStreamCaptureStatus* status) {
    *status =
        fake_cublaslt::state().is_capturing ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    return cudaSuccess;
}
inline cublasStatus_t cublasLtMatmulDescInit(cublasLtMatmulDescOpaque_t* d, cublasComputeType_t,
                                             cudaDataType_t) {
    *d = {CUBLAS_OP_N, CUBLAS_OP_N, CUBLASLT_EPILOGUE_DEFAULT, nullptr, nullptr, 0};
    return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDescOpaque_t* d,
                                                     cublasLtMatmulDescAttributes_t attribute,
                                                     const void* value, size_t bytes) {
    const auto set = [&](auto& field) {
        if (bytes != sizeof field) return CUBLAS_STATUS_INVALID_VALUE;
        std::memcpy(&field, value, bytes);
        return CUBLAS_STATUS_SUCCESS;
    };
    switch (attribute) {
        case CUBLASLT_MATMUL_DESC_TRANSA:
            return set(d->op_a);
        case CUBLASLT_MATMUL_DESC_TRANSB:
            return set(d->op_b);
        case CUBLASLT_MATMUL_DESC_EPILOGUE:
            return set(d->epilogue);
        case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
            return set(d->bias);
        case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
            return set(d->aux);
        case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD:
            return set(d->aux_ld);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}
inline cublasStatus_t cublasLtMatrixLayoutInit(cublasLtMatrixLayoutOpaque_t* layout, cudaDataType_t type,
                                               uint64_t rows, uint64_t columns, int64_t ld) {
    *layout = {type, rows, columns, ld};
    return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulPreferenceInit(cublasLtMatmulPreferenceOpaque_t* p) {
    *p = {0, 7, {256, 256, 256, 256}};
    return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreferenceOpaque_t* p,
                                                           cublasLtMatmulPreferenceAttributes_t attribute,
                                                           const void* value, size_t bytes) {
    void* const field = attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES
                            ? static_cast<void*>(&p->workspace)
                        : attribute == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK
                            ? &p->reduction
                            : &p->alignment[attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES];
    if (bytes !=
        (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES ? sizeof(uint64_t) : sizeof(uint32_t)))
        return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(field, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

// Three algorithms, of which the first does not run.
inline cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDescOpaque_t* d,
                                                     cublasLtMatrixLayoutOpaque_t* a,
                                                     cublasLtMatrixLayoutOpaque_t* b,
                                                     cublasLtMatrixLayoutOpaque_t* c,
                                                     cublasLtMatrixLayoutOpaque_t*,
                                                     cublasLtMatmulPreferenceOpaque_t* preference, int most,
                                                     cublasLtMatmulHeuristicResult_t* results, int* count) {
    fake_cublaslt::State& state = fake_cublaslt::state();
    state.proposals++;
    *count = 0;
    if (!fake_cublaslt::is_valid(*d, *a, *b, *c)) return CUBLAS_STATUS_INVALID_VALUE;
    if (state.refused.count(d->epilogue)) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (state.refuses_odd_rows && (a->ld % 8 != 0 || b->ld % 8 != 0 || c->ld % 8 != 0))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    for (; *count < 3 && *count < most; ++*count) {
        cublasLtMatmulAlgo_t algorithm{*count, {}};
        std::memcpy(algorithm.alignment, preference->alignment, sizeof algorithm.alignment);
        results[*count] = {algorithm, CUBLAS_STATUS_SUCCESS};
    }
    return CUBLAS_STATUS_SUCCESS;
}

inline cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDescOpaque_t* d, const void* alpha,
                                     const void* a, cublasLtMatrixLayoutOpaque_t* a_layout, const void* b,
                                     cublasLtMatrixLayoutOpaque_t* b_layout, const void* beta, const void* c,
                                     cublasLtMatrixLayoutOpaque_t*, void* out,
                                     cublasLtMatrixLayoutOpaque_t* out_layout,
                                     const cublasLtMatmulAlgo_t* algorithm, void* workspace, size_t,
                                     cudaStream_t) {
    using namespace fake_cublaslt;
    if (!is_valid(*d, *a_layout, *b_layout, *out_layout) || !workspace) return CUBLAS_STATUS_INVALID_VALUE;
    const void* const operands[] = {a, b, c, out};
    for (int i = 0; i < 4; i++)
        if (reinterpret_cast<uintptr_t>(operands[i]) % algorithm->alignment[i] != 0)
            return CUBLAS_STATUS_INVALID_VALUE;
    if (algorithm->number == 0) return CUBLAS_STATUS_NOT_SUPPORTED;
    state().products.push_back({algorithm->number, d->epilogue});

    const cuda_on_host::DeviceMemoryAccess access;  // host code that plays a kernel
    const float alpha_value = *static_cast<const float*>(alpha),
                beta_value = *static_cast<const float*>(beta);
    const int64_t m = int64_t(out_layout->rows), n = int64_t(out_layout->columns);
    const int64_t k_end = int64_t(d->op_a == CUBLAS_OP_N ? a_layout->columns : a_layout->rows);
    const cudaDataType_t type = out_layout->type;
    const auto at = [](const cublasLtMatrixLayoutOpaque_t& layout, cublasOperation_t op, int64_t row,
                       int64_t column) {
        return op == CUBLAS_OP_N ? column * layout.ld + row : row * layout.ld + column;
    };
    for (int64_t j = 0; j < n; j++) {
        for (int64_t i = 0; i < m; i++) {
            float sum = 0;
            for (int64_t k = 0; k < k_end; k++)
                sum += read(a, a_layout->type, at(*a_layout, d->op_a, i, k)) *
                       read(b, b_layout->type, at(*b_layout, d->op_b, k, j));
            float y = alpha_value * sum;
            if (beta_value != 0) y += beta_value * read(c, type, j * out_layout->ld + i);
            if (d->epilogue & 4) y += read(d->bias, type, i);  // along the rows
            if (d->epilogue == CUBLASLT_EPILOGUE_GELU_AUX || d->epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS) {
                write(d->aux, type, j * d->aux_ld + i, y);
                y = gelu(y);
            }
            if (d->epilogue == CUBLASLT_EPILOGUE_DGELU)
                y *= gelu_derivative(read(d->aux, type, j * d->aux_ld + i));
            write(out, type, j * out_layout->ld + i, y);
        }
        if (d->epilogue == CUBLASLT_EPILOGUE_BGRADB) {  // of the second operand's columns, over k
            float sum = 0;
            for (int64_t k = 0; k < k_end; k++) sum += read(b, b_layout->type, at(*b_layout, d->op_b, k, j));
            write(d->bias, type, j, sum);
        }
    }
    return CUBLAS_STATUS_SUCCESS;
}
