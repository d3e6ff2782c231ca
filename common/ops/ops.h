// ops.h - the operations that chapters are written in: check shapes, allocate, call the kernel, record the
// node. Each lives in a file of its own next to its backward. Fused ops say what they are equal to; tests
// hold them to it.
// Not here: broadcasting, dtype promotion, moves between devices. Nothing happens that a call does not name.
#pragma once
#include "core/context.h"
#include "kernels/kernels.h"

// y = x weight^T + bias. The layout of weight is PyTorch's nn.Linear: (out, in).
struct Linear {
    Tensor weight;  // (OC,IC)
    Tensor bias;    // (OC), or null
};

struct LayerNorm {
    Tensor weight;  // (C)
    Tensor bias;    // (C)
};

// wte[ids] + wpe[position].                        ids (B,T) int32, wte (V,C), wpe (>=T,C) -> (B,T,C)
Tensor embedding(Context& ctx, const Tensor& ids, const Tensor& wte, const Tensor& wpe);

// Each row to mean 0 and variance 1, then scaled and shifted.                      (..,C) -> (..,C)
Tensor layernorm(Context& ctx, const Tensor& x, const LayerNorm& ln);

// x weight^T + bias.                                                              (..,IC) -> (..,OC)
Tensor linear(Context& ctx, const Tensor& x, const Linear& w);

// residual + linear(x): the way back into the residual stream, fused.  (..,IC), (..,OC) -> (..,OC)
Tensor linear_residual(Context& ctx, const Tensor& x, const Linear& w, const Tensor& residual);

// A linear's weight (OC,IC) in 8 bits, for a model that only writes: weight[o,:] is about scale[o] * codes[o,:], where
// scale[o] is the row's largest magnitude / 127 and codes are the nearest whole numbers.
// Errors: user_error where a weight is not finite.
// Source: Dettmers et al. 2022, "LLM.int8()", sections 2.1 and 3.1: absmax quantization, with a scale for each row.
struct Int8Weight {
    int64_t OC, IC;
    Device device;
    int8_t* codes = nullptr;  // (OC,IC)
    float* scale = nullptr;   // (OC)

    explicit Int8Weight(const Tensor& weight);
    ~Int8Weight();
    Int8Weight(const Int8Weight&) = delete;
    Int8Weight& operator=(const Int8Weight&) = delete;

    std::vector<float> floats() const;  // (OC,IC): what the codes stand for
};

// residual + linear(x, w) for few rows, which reads the codes of w's weight and not its floats; residual may be a null Tensor.
// No backward: use NoGrad.
//                                                                       (..,IC), (..,OC) -> (..,OC)
Tensor linear_int8(Context& ctx, const Tensor& x, const Linear& w, const Int8Weight& codes,
                   const Tensor& residual = {});

// Elementwise activations.                                                         any shape
Tensor gelu(Context& ctx, const Tensor& x);
Tensor relu(Context& ctx, const Tensor& x);
Tensor activation(Context& ctx, const Tensor& x, Activation kind);

// residual + linear(activation(linear(x, c_fc)), c_proj): the whole MLP, fused; residual may be a null
// Tensor.
//                                                                       (..,C), (..,C) -> (..,C)
Tensor mlp(Context& ctx, const Tensor& x, const Linear& c_fc, const Linear& c_proj, Activation kind,
           const Tensor& residual);

// a + b.                                                                           any shape
Tensor add(Context& ctx, const Tensor& a, const Tensor& b);

// Zeroes each element with probability p and scales the rest by 1/(1-p); x itself when p is 0.   any shape
Tensor dropout(Context& ctx, const Tensor& x, float p);

// sum = residual + dropout(branch, p), norm = layernorm(sum), fused: both are wanted, the stream goes on from sum.
//                                                            (..,C), (..,C) -> (..,C), (..,C)
struct SumAndNorm {
    Tensor sum, norm;
};
SumAndNorm add_layernorm(Context& ctx, const Tensor& residual, const Tensor& branch, const LayerNorm& ln,
                         float p);

// Causal multi-head self-attention.                               (B,T,3*NH*HS) -> (B,T,NH*HS)
// p: dropout of the attention probabilities.
Tensor attention(Context& ctx, const Tensor& qkv, int64_t NH, float p);

// Keys and values of one attention layer for B sequences of up to `capacity` positions: (B,NH,capacity,HS) each, in
// the type that qkv has. Memory is taken when the first of them arrive.
struct KeyValueCache {
    int64_t B, capacity, NH, HS;
    void *k = nullptr, *v = nullptr;
    DType dtype = DType::kFloat32;
    Device device = Device::kCpu;
    size_t bytes = 0;  // of each

    KeyValueCache(int64_t B, int64_t capacity, int64_t NH, int64_t HS)
        : B(B), capacity(capacity), NH(NH), HS(HS) {}
    ~KeyValueCache();
    KeyValueCache(const KeyValueCache&) = delete;
    KeyValueCache& operator=(const KeyValueCache&) = delete;

    void allocate(const Tensor& qkv);
    Pointer sequence(void* block, int64_t b) const {
        return {static_cast<char*>(block) + size_t(b * NH * capacity * HS) * dtype_size(dtype), dtype};
    }
};

// Keeps the keys and values of qkv (B,T,3*NH*HS) at positions [first, first+T) of sequences [b, b+B).
void cache_keys_values(Context& ctx, KeyValueCache& cache, const Tensor& qkv, int64_t b, int64_t first);

// Attention of one query per sequence over the first `keys` positions of the cache.   (B,1,3*NH*HS) -> (B,1,NH*HS)
Tensor attention_cached(Context& ctx, const Tensor& qkv, const KeyValueCache& cache, int64_t keys);

// Mean nats per counted token.                         logits (..,V), targets (..) int32 -> (1)
// counted: how many targets are not kIgnore, as count_targets() says on the host. Of a batch in parts: how many the whole
// batch has; the parts' losses and gradients then add up to the batch's.
// subtle: backward must start here. The gradient is that of this result, whatever an op behind it makes of it.
Tensor cross_entropy(Context& ctx, const Tensor& logits, const Tensor& targets, int64_t counted);

// The same, but the forward pass overwrites logits by their own gradient: one (N,V) buffer instead of two.
Tensor cross_entropy_inplace(Context& ctx, const Tensor& logits, const Tensor& targets, int64_t counted);

// Number of targets that are not kIgnore.
int64_t count_targets(const int* targets, int64_t n);
