// ladder.h - what a ladder is: several kernels for one task, from the one that everybody would write first to a
// fast one, each an idea better than the one before. A family is a task with its signature; a rung is a kernel
// with its launcher. Each FAMILY.cu here defines the rungs of its families, slowest first.
// To add a rung: one line in its family's table. To add a family: a struct and a table here, its problem in
// problems.h, and one line in ../ladder.cpp.
// Not here: how rungs are checked and timed (../ladder.cpp, problems.h).
#pragma once
#include <cstdint>
#include <vector>

#include "core/check.h"
#include "kernels/kernels.h"

namespace ladder {

using gpu::real;

// Which of the GPU's two ceilings a family runs into: a rung's speed is printed as a share of that one.
enum class Ceiling { kArithmetic, kMemory };

// out (M,N) = a (M,K) b (K,N).
struct Matmul {
    static constexpr const char* kName = "matmul";
    static constexpr Ceiling kCeiling = Ceiling::kArithmetic;
    struct Sizes {
        int64_t M, N, K;
        std::string text() const {
            return format("M=%lld N=%lld K=%lld", (long long)M, (long long)N, (long long)K);
        }
    };
    using Function = void(real* out, const real* a, const real* b, int64_t M, int64_t N, int64_t K, Stream s);
};

// N rows of C columns.
struct RowSizes {
    int64_t N, C;
    std::string text() const { return format("N=%lld C=%lld", (long long)N, (long long)C); }
};

// out[n,:] = softmax(inp[n,:]), both (N,C).
struct Softmax {
    static constexpr const char* kName = "softmax";
    static constexpr Ceiling kCeiling = Ceiling::kMemory;
    using Sizes = RowSizes;
    using Function = void(real* out, const real* inp, int64_t N, int64_t C, Stream s);
};

// layernorm_forward of signatures.h.
struct LayerNorm {
    static constexpr const char* kName = "layernorm";
    static constexpr Ceiling kCeiling = Ceiling::kMemory;
    using Sizes = RowSizes;
    using Function = void(real* out, float* mean, float* rstd, const real* inp, const real* weight,
                          const real* bias, int64_t N, int64_t C, Stream s);
};

// layernorm_backward of signatures.h.
struct LayerNormBackward {
    static constexpr const char* kName = "layernorm_backward";
    static constexpr Ceiling kCeiling = Ceiling::kMemory;
    using Sizes = RowSizes;
    using Function = void(real* dinp, float* dweight, float* dbias, const real* dout, const real* inp,
                          const real* weight, const float* mean, const float* rstd, int64_t N, int64_t C,
                          bool accumulate, Stream s);
};

struct AttentionSizes {
    int64_t B, T, NH, HS;
    std::string text() const {
        return format("B=%lld T=%lld NH=%lld HS=%lld", (long long)B, (long long)T, (long long)NH,
                      (long long)HS);
    }
};

// attention_forward and attention_backward of signatures.h.
struct AttentionForward {
    static constexpr const char* kName = "attention_forward";
    static constexpr Ceiling kCeiling = Ceiling::kArithmetic;
    using Sizes = AttentionSizes;
    using Function = void(real* out, float* lse, const real* qkv, int64_t B, int64_t T, int64_t NH,
                          int64_t HS, DropoutMask mask, Stream s);
};
struct AttentionBackward {
    static constexpr const char* kName = "attention_backward";
    static constexpr Ceiling kCeiling = Ceiling::kArithmetic;
    using Sizes = AttentionSizes;
    using Function = void(real* dqkv, const real* dout, const real* qkv, const real* out, const float* lse,
                          int64_t B, int64_t T, int64_t NH, int64_t HS, DropoutMask mask, Stream s);
};

template <class Family>
struct Rung {
    const char* name;
    const char* idea;  // one line: what it does better than the rung before
    typename Family::Function* run;
    bool (*takes)(const typename Family::Sizes&) = nullptr;  // nullptr: all sizes
    // Whether intermediate results go into products as bfloat16, whatever `real` is: tolerances then allow for it.
    // (All inputs of a ladder are numbers that bfloat16 holds.)
    bool rounds_to_bf16 = false;
};

extern const std::vector<Rung<Matmul>> kMatmul;                        // matmul.cu
extern const std::vector<Rung<Softmax>> kSoftmax;                      // softmax.cu
extern const std::vector<Rung<LayerNorm>> kLayerNorm;                  // layernorm.cu
extern const std::vector<Rung<LayerNormBackward>> kLayerNormBackward;  // layernorm.cu
extern const std::vector<Rung<AttentionForward>> kAttentionForward;    // attention.cu
extern const std::vector<Rung<AttentionBackward>> kAttentionBackward;  // attention.cu

}  // namespace ladder
