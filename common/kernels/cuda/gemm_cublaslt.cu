// gemm_cublaslt.cu - the matrix product by NVIDIA's library, with what happens to a sum done in the same kernel
// ("epilogue") where cuBLASLt can: bias, GELU with its input kept, GELU's derivative, the gradient of the bias.
// Where it cannot, the product alone, and a kernel of ours behind it. Where it refuses even that, false: our own
// product takes over. Which refuses what is the library's to know; we ask it (cublasLtMatmulAlgoGetHeuristic).
//
// derivation: the library stores matrices by columns, we by rows. Our (M,N) matrix is, read by columns, its own
// transpose (N,M). So we ask for out^T = op(b)^T op(a)^T: operands exchanged, m = N, n = M, leading dimensions our row
// lengths. What lies in memory as b (K,N) is, by columns, b^T: op N; as b (N,K): op T. What lies as a (M,K) is, by
// columns, a^T: op N; as a (K,M): op T. The library's bias goes along its rows, which are our columns: as it should.
// Its BGRADB sums its second operand over k: our a, dout^T, so a number for each of our rows: dbias.
//
// Numerics: float sums in both precisions. CUBLAS_COMPUTE_32F multiplies floats as floats: no TF32. GELU is the tanh
// form there as here (the first use on a new card compares). Sums that are split over k are added in float, in a
// workspace, in a fixed order: the other two schemes, in place or in the output's type, are masked out.
// Not here: how candidates are chosen (gemm_choice.h). No cuBLASLt where CUDA is emulated.
// Source: cuBLAS Library documentation, "Using the cuBLASLt API".
#if !defined(GPT_CUDA_ON_HOST) || \
    defined(GPT_FAKE_CUBLASLT)  // the second: tests/kernels/cuda/test_gemm_cublaslt.cpp
#if !defined(GPT_FAKE_CUBLASLT)
#include <cublasLt.h>
#endif

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <mutex>
#include <optional>
#include <type_traits>

#include "core/check.h"
#include "kernels/cuda/gemm.cuh"
#include "kernels/cuda/gemm_choice.h"
#include "kernels/cuda/launcher.cuh"

using namespace gemm_forms;

namespace {

constexpr size_t kWorkspaceBytes = size_t(32) << 20;  // what NVIDIA recommends for Hopper
constexpr int kMostCandidates = 8;
constexpr int kTimedRuns = 3;

template <class T>
constexpr cudaDataType_t kTypeOf = std::is_same<T, float>::value ? CUDA_R_32F : CUDA_R_16BF;

// One call of the library: D = epilogue(op(a) op(b) + C).
struct Call {
    Product p;
    const real *a, *b;
    const void* start = nullptr;  // C, (M,N) of D's type; nullptr for none
    void* out = nullptr;          // D, may be start
    cudaDataType_t out_type = kTypeOf<real>;
    size_t out_size = sizeof(real);
    cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    void* bias = nullptr;  // (N) in, or for BGRADB (M) out
    void* aux = nullptr;   // (M,N), what GELU was applied to: out, or for DGELU in

    // Rows lie k by k, or column by column; of a single row the stride does not matter, but the library checks it.
    bool a_is_transposed() const { return p.a_k != 1; }
    bool b_is_transposed() const { return p.b_k == 1; }
    int64_t a_row() const { return a_is_transposed() ? std::max(p.a_k, p.M) : std::max(p.a_i, p.K); }
    int64_t b_row() const { return b_is_transposed() ? std::max(p.b_j, p.K) : std::max(p.b_k, p.N); }
    std::string text() const {
        return format("M=%lld N=%lld K=%lld%s%s, epilogue %d", (long long)p.M, (long long)p.N, (long long)p.K,
                      a_is_transposed() ? ", a transposed" : "", b_is_transposed() ? ", b transposed" : "",
                      int(epilogue));
    }
};

#define CUBLAS_CHECK(call, expression)                                                                \
    do {                                                                                              \
        const cublasStatus_t cublas_status = (expression);                                            \
        if (cublas_status != CUBLAS_STATUS_SUCCESS)                                                   \
            fail(FailureKind::kBug,                                                                   \
                 format("%s:%d: [gemm] %s: CUBLAS_CHECK(%s) failed: %s", __FILE__, __LINE__,          \
                        (call).text().c_str(), #expression, cublasLtGetStatusString(cublas_status))); \
    } while (0)

// The library's descriptions of a call. They are plain memory: nothing to free.
struct Description {
    cublasLtMatmulDescOpaque_t operation;
    cublasLtMatrixLayoutOpaque_t first, second, out;  // first: our b, second: our a

    explicit Description(const Call& c) {
        CUBLAS_CHECK(c, cublasLtMatmulDescInit(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F));
        set(c, CUBLASLT_MATMUL_DESC_TRANSA, c.b_is_transposed() ? CUBLAS_OP_T : CUBLAS_OP_N);
        set(c, CUBLASLT_MATMUL_DESC_TRANSB, c.a_is_transposed() ? CUBLAS_OP_T : CUBLAS_OP_N);
        set(c, CUBLASLT_MATMUL_DESC_EPILOGUE, c.epilogue);
        if (c.bias) set(c, CUBLASLT_MATMUL_DESC_BIAS_POINTER, c.bias);
        if (c.aux) {
            set(c, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, c.aux);
            set(c, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, c.p.N);
        }
        const Product& p = c.p;
        const auto layout = [&c](cublasLtMatrixLayoutOpaque_t& l, cudaDataType_t type, int64_t columns_there,
                                 int64_t rows_there, int64_t row) {
            CUBLAS_CHECK(
                c, cublasLtMatrixLayoutInit(&l, type, uint64_t(rows_there), uint64_t(columns_there), row));
        };
        layout(first, kTypeOf<real>, c.b_is_transposed() ? p.N : p.K, c.b_is_transposed() ? p.K : p.N,
               c.b_row());
        layout(second, kTypeOf<real>, c.a_is_transposed() ? p.K : p.M, c.a_is_transposed() ? p.M : p.K,
               c.a_row());
        layout(out, c.out_type, p.M, p.N, p.N);
    }
    template <class T>
    void set(const Call& c, cublasLtMatmulDescAttributes_t attribute, T value) {
        CUBLAS_CHECK(c, cublasLtMatmulDescSetAttribute(&operation, attribute, &value, sizeof value));
    }
};

// The largest power of two, up to the library's 256, that an address is a multiple of.
uint32_t alignment_of(const void* p) {
    uint32_t alignment = 256;
    while (reinterpret_cast<uintptr_t>(p) % alignment != 0) alignment /= 2;
    return alignment;
}
uint32_t alignment_of_out(const Call& c) {
    return c.start ? std::min(alignment_of(c.start), alignment_of(c.out)) : alignment_of(c.out);
}

// All that the choice of an algorithm may depend on.
using Key = std::array<int64_t, 13>;
Key key_of(const Call& c) {
    return {c.p.M,
            c.p.N,
            c.p.K,
            c.a_is_transposed(),
            c.b_is_transposed(),
            int64_t(c.epilogue),
            int64_t(c.out_type),
            c.start != nullptr,
            alignment_of(c.a),
            alignment_of(c.b),
            alignment_of_out(c),
            c.bias ? alignment_of(c.bias) : 0,
            c.aux ? alignment_of(c.aux) : 0};
}

// What lives as long as the program: the library's handle, a workspace for each stream (products of one stream come
// one after another), and the choices that were made.
struct Library {
    cublasLtHandle_t handle = nullptr;
    std::map<cudaStream_t, void*> workspaces;
    std::mutex mutex;
    FastestChoice<Key, cublasLtMatmulAlgo_t> choices;
    const bool may_time = may_time_products();

    Library() {
        const cublasStatus_t status = cublasLtCreate(&handle);
        CHECK(status == CUBLAS_STATUS_SUCCESS, "[gemm] cublasLtCreate failed: %s",
              cublasLtGetStatusString(status));
    }
    void* workspace(cudaStream_t stream) {
        const std::lock_guard<std::mutex> lock(mutex);
        void*& memory = workspaces[stream];
        if (!memory) CUDA_CHECK(cudaMalloc(&memory, kWorkspaceBytes));
        return memory;
    }
};
Library& library() {
    static Library* const the_library = new Library;  // never deleted: at exit the driver may be gone already
    return *the_library;
}

std::vector<cublasLtMatmulAlgo_t> propose(const Call& c, Description& d) {
    cublasLtMatmulPreferenceOpaque_t preference;
    CUBLAS_CHECK(c, cublasLtMatmulPreferenceInit(&preference));
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
        CUBLAS_CHECK(c, cublasLtMatmulPreferenceSetAttribute(&preference, attribute, &value, sizeof value));
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t(kWorkspaceBytes));
    prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, uint32_t(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
    // The library would take 256 bytes for granted. A bias of 65 numbers moves all that lies behind it.
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_of(c.b));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment_of(c.a));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment_of_out(c));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment_of_out(c));
    cublasLtMatmulHeuristicResult_t results[kMostCandidates];
    int count = 0;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(library().handle, &d.operation, &d.first, &d.second, &d.out, &d.out,
                                       &preference, kMostCandidates, results, &count);
    std::vector<cublasLtMatmulAlgo_t> algorithms;
    // Odd rows in bf16, an epilogue that does not go with these types: not an error, an answer.
    if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE) return algorithms;
    CUBLAS_CHECK(c, status);
    for (int r = 0; r < count; r++)
        if (results[r].state == CUBLAS_STATUS_SUCCESS) algorithms.push_back(results[r].algo);
    return algorithms;
}

cublasStatus_t launch_product(const Call& c, Description& d, const cublasLtMatmulAlgo_t& algorithm,
                              cudaStream_t s) {
    const float alpha = 1, beta = c.start ? 1 : 0;
    return cublasLtMatmul(library().handle, &d.operation, &alpha, c.b, &d.first, c.a, &d.second, &beta,
                          c.start ? c.start : c.out, &d.out, c.out, &d.out, &algorithm,
                          library().workspace(s), kWorkspaceBytes, s);
}

// The fastest of a few runs, in seconds; below 0 where it does not run.
double time_product(const Call& c, Description& d, const cublasLtMatmulAlgo_t& algorithm, cudaStream_t s) {
    if (launch_product(c, d, algorithm, s) != CUBLAS_STATUS_SUCCESS) return -1;
    cudaEvent_t begin, end;
    CUDA_CHECK(cudaEventCreate(&begin));
    CUDA_CHECK(cudaEventCreate(&end));
    float best_ms = std::numeric_limits<float>::max();
    for (int run = 0; run < kTimedRuns; run++) {
        CUDA_CHECK(cudaEventRecord(begin, s));
        CUBLAS_CHECK(c, launch_product(c, d, algorithm, s));
        CUDA_CHECK(cudaEventRecord(end, s));
        CUDA_CHECK(cudaEventSynchronize(end));
        float ms = 0;
        CUDA_CHECK(cudaEventElapsedTime(&ms, begin, end));
        best_ms = std::min(best_ms, ms);
    }
    CUDA_CHECK(cudaEventDestroy(begin));
    CUDA_CHECK(cudaEventDestroy(end));
    return 1e-3 * double(best_ms);
}

// While a CUDA graph is being captured nothing runs, so nothing can be timed.
bool is_capturing(cudaStream_t s) {
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    const cudaError_t error = cudaStreamIsCapturing(s, &status);
    if (error != cudaSuccess) cudaGetLastError();  // the default stream, while another one is being captured
    return error != cudaSuccess || status != cudaStreamCaptureStatusNone;
}

// Where a product writes over what it reads, candidates are timed on memory of their own: it would change with each.
class TimingCall {
  public:
    TimingCall(const Call& c, bool may_time) : call_(c), may_time_(may_time) {
        if (!may_time_ || (c.out != c.start && c.out != c.aux)) return;
        const size_t bytes = size_t(c.p.M) * size_t(c.p.N) * c.out_size;
        if (cudaMalloc(&memory_, bytes) != cudaSuccess) {  // no room: then no timing
            cudaGetLastError();
            memory_ = nullptr, may_time_ = false;
            return;
        }
        CUDA_CHECK(cudaMemset(memory_, 0, bytes));
        call_.out = memory_;
        if (c.start == c.out) call_.start = memory_;
    }
    ~TimingCall() {
        if (memory_) CUDA_CHECK(cudaFree(memory_));
    }
    TimingCall(const TimingCall&) = delete;
    TimingCall& operator=(const TimingCall&) = delete;
    const Call& call() const { return call_; }
    bool may_time() const { return may_time_; }

  private:
    Call call_;
    void* memory_ = nullptr;
    bool may_time_;
};

// false: the library has no algorithm for this call.
bool run(const Call& c, cudaStream_t s) {
    Description d(c);
    std::optional<TimingCall> timing;
    const cublasLtMatmulAlgo_t* algorithm = library().choices.get(
        key_of(c), [&] { return propose(c, d); },
        [&] { return timing.emplace(c, library().may_time && !is_capturing(s)).may_time(); },
        [&](const cublasLtMatmulAlgo_t& a) { return time_product(timing->call(), d, a, s); });
    if (!algorithm) return false;
    CUBLAS_CHECK(c, launch_product(c, d, *algorithm, s));
    return true;
}

// ---- what the library leaves to us ------------------------------------------------------------------------

constexpr int kThreads = 256;

__global__ void add_kernel(float* __restrict__ sum, const float* __restrict__ x, int64_t n) {
    const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
    if (i < n) sum[i] += x[i];
}

constexpr int kSumColumns = 32, kSumRows = 8;  // a warp reads 32 neighbours; eight warps share the rows

// row_sums[i] += sum over k of a(i,k), where a lies with i contiguous: the gradient of the bias by a pass of its own.
__global__ void row_sums_kernel(float* row_sums, const real* __restrict__ a, Product p) {
    __shared__ float part[kSumRows][kSumColumns];
    const int64_t i = int64_t(blockIdx.x) * kSumColumns + threadIdx.x;
    float sum = 0;
    if (i < p.M)
        for (int64_t k = threadIdx.y; k < p.K; k += kSumRows) sum += float(a[i * p.a_i + k * p.a_k]);
    part[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || i >= p.M) return;
    float total = 0;
    for (int r = 0; r < kSumRows; r++) total += part[r][threadIdx.x];  // in a fixed order
    row_sums[i] += total;
}

void activate_forward(real* out, const real* pre, int64_t n, Activation kind, Stream s) {
    if (kind == Activation::kGelu)
        gpu::gelu_forward(out, pre, n, s);
    else
        gpu::relu_forward(out, pre, n, s);
}
void activate_in_place_backward(real* dout, const real* pre, int64_t n, Activation kind, Stream s) {
    if (kind == Activation::kGelu)
        gpu::gelu_backward(dout, dout, pre, n, false, s);
    else
        gpu::relu_backward(dout, dout, pre, n, false, s);
}

}  // namespace

template <class Out>
bool gemm_forms::multiply_by_library(Out* out, const real* a, const real* b, const Product& p,
                                     const Finish<Out>& finish, Stream s) {
    const cudaStream_t stream = cuda_stream(s);
    Call plain{p, a, b};
    plain.start = finish.start, plain.out = out;
    plain.out_type = kTypeOf<Out>, plain.out_size = sizeof(Out);
    plain.bias = const_cast<real*>(finish.bias);  // read only, by this epilogue
    if (finish.bias) plain.epilogue = CUBLASLT_EPILOGUE_BIAS;

    // note: the library's ReLU keeps one bit of its input, ours the whole; and it wants rows of whole 16 bytes.
    const bool has_gelu = finish.activation == Activation::kGelu && p.N % 8 == 0;
    Call fused = plain;
    if (finish.activated && has_gelu) {
        fused.epilogue = finish.bias ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX;
        fused.aux = out, fused.out = finish.activated;
        if (run(fused, stream)) return true;
    } else if (finish.pre && has_gelu) {
        fused.epilogue = CUBLASLT_EPILOGUE_DGELU;
        fused.aux = const_cast<real*>(finish.pre);
        if (run(fused, stream)) return true;
    } else if (finish.row_sums) {
        const Scratch<Out> sums(p.M, s);  // the library writes, we add
        fused.epilogue = CUBLASLT_EPILOGUE_BGRADB;
        fused.bias = sums.get();
        if (std::is_same<Out, float>::value && run(fused, stream)) {
            launch(add_kernel, blocks_for(p.M, kThreads), kThreads, 0, stream, finish.row_sums,
                   reinterpret_cast<const float*>(sums.get()), p.M);
            return true;
        }
    }

    if (!run(plain, stream)) return false;
    if constexpr (std::is_same<Out, real>::value) {
        if (finish.activated) activate_forward(finish.activated, out, p.M * p.N, finish.activation, s);
        if (finish.pre) activate_in_place_backward(out, finish.pre, p.M * p.N, finish.activation, s);
    }
    if (finish.row_sums)
        launch(row_sums_kernel, blocks_for(p.M, kSumColumns), dim3(kSumColumns, kSumRows), 0, stream,
               finish.row_sums, a, p);
    return true;
}

template bool gemm_forms::multiply_by_library(real*, const real*, const real*, const Product&,
                                              const Finish<real>&, Stream);
#if defined(GPT_PRECISION_BF16)  // else float is real
template bool gemm_forms::multiply_by_library(float*, const real*, const real*, const Product&,
                                              const Finish<float>&, Stream);
#endif
#endif
