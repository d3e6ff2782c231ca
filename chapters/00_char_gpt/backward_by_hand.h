// backward_by_hand.h - the backward pass, by hand: the kernels that the tape calls, written out in their
// order. Forward from top to bottom; then the same lines from bottom to top, each replaced by its gradient.
// There is no more to ctx.backward(loss) than this: a test demands the same bits of both.
// Not here: dropout; a context, nodes, an arena. Each buffer has a name, and the gradient of x is dx.
// The gradients are derived in README.md of this folder, in the sections whose titles end in "backwards".
#pragma once
#include <vector>

#include "chapters/00_char_gpt/gpt.h"
#include "kernels/kernels.h"

namespace by_hand {

// ---- a buffer, and the layers as calls of one kernel each -------------------------------------------------

// Floats that a kernel takes as a pointer.
class Buffer {
  public:
    Buffer() = default;
    explicit Buffer(int64_t n) : floats_(static_cast<size_t>(n)) {}
    operator float*() { return floats_.data(); }
    operator const float*() const { return floats_.data(); }

  private:
    std::vector<float> floats_;
};

// A normalised row, and what its backward needs.
struct Normed {
    Buffer out, mean, rstd;  // (N,C), (N), (N)

    Normed(int64_t N, int64_t C) : out(N * C), mean(N), rstd(N) {}
};

// A parameter's gradient, to add to; null for a bias that is not there.
inline float* grad(const Tensor& parameter) {
    return parameter.is_null() ? nullptr : gradient_to_add_to(parameter);
}

inline void layernorm_forward(Normed& y, const float* x, const LayerNorm& ln, int64_t N) {
    const int64_t C = ln.weight.shape[0];
    cpu::layernorm_forward(y.out, y.mean, y.rstd, x, ln.weight.ptr(), ln.bias.ptr(), N, C, {});
}

// dx = ..., or dx += ... where x has another use whose gradient is there already.
inline void layernorm_backward(float* dx, const float* dy, const Normed& y, const float* x,
                               const LayerNorm& ln, int64_t N, bool accumulate) {
    const int64_t C = ln.weight.shape[0];
    cpu::layernorm_backward(dx, grad(ln.weight), grad(ln.bias), dy, x, ln.weight.ptr(), y.mean, y.rstd, N, C,
                            accumulate, {});
}

// y = x weight^T + bias
inline void linear_forward(float* y, const float* x, const Linear& w, int64_t N) {
    const int64_t OC = w.weight.shape[0], IC = w.weight.shape[1];
    cpu::gemm(y, x, w.weight.ptr(), w.bias.ptr(), N, OC, IC, false, true, false, {});
}

// y = residual + x weight^T + bias
inline void linear_residual_forward(float* y, const float* x, const Linear& w, const float* residual,
                                    int64_t N) {
    const int64_t OC = w.weight.shape[0], IC = w.weight.shape[1];
    cpu::linear_residual_forward(y, x, w.weight.ptr(), w.bias.ptr(), residual, N, IC, OC, {});
}

// dweight += dy^T x, dbias += column sums of dy
inline void linear_backward_params(const float* dy, const float* x, const Linear& w, int64_t N) {
    const int64_t OC = w.weight.shape[0], IC = w.weight.shape[1];
    cpu::linear_backward_params(grad(w.weight), grad(w.bias), dy, x, N, IC, OC, true, {});
}

// dx = dy weight
inline void linear_backward_input(float* dx, const float* dy, const Linear& w, int64_t N) {
    const int64_t OC = w.weight.shape[0], IC = w.weight.shape[1];
    cpu::gemm(dx, dy, w.weight.ptr(), nullptr, N, IC, OC, false, false, false, {});
}

// What the forward pass of one block leaves for its backward pass.
struct BlockActivations {
    Normed a;              // (N,C)             ln_1(x)
    Buffer qkv, att, lse;  // (N,3*D), (N,D), (B,NH,T)
    Buffer x_mid;          // (N,C)             x + attn.c_proj(att)
    Normed m;              // (N,C)             ln_2(x_mid)
    Buffer pre, act;       // (N,4*C), (N,4*C)  c_fc(m), activation(pre)

    BlockActivations(int64_t N, int64_t C, int64_t D, int64_t NH)
        : a(N, C),
          qkv(N * 3 * D),
          att(N * D),
          lse(N * NH),
          x_mid(N * C),
          m(N, C),
          pre(N * 4 * C),
          act(N * 4 * C) {}
};

// ---- the two passes -------------------------------------------------------------------------------------

// Adds the gradients of the mean loss over a batch to the parameters' and returns that loss, nats per token.
//   inputs, targets  (B,T)  ids; kIgnore among the targets counts for nothing
inline float forward_backward(const Gpt& gpt, const int* inputs, const int* targets, int64_t B, int64_t T) {
    const GptConfig& config = gpt.config;
    CHECK(config.dropout == 0, "[backward_by_hand] knows no dropout, got %g", double(config.dropout));
    const int64_t L = config.L, C = config.C, V = config.V, NH = config.NH, HS = config.HS;
    const int64_t N = B * T, D = NH * HS;
    const Activation activation = config.activation;
    const Stream s;

    // ---- forward
    std::vector<Buffer> x(size_t(L + 1), Buffer(N * C));  // the residual stream: x[l] goes into block l
    std::vector<BlockActivations> block(size_t(L), BlockActivations(N, C, D, NH));
    cpu::embedding_forward(x[0], inputs, gpt.wte.ptr(), gpt.wpe.ptr(), B, T, C, V, s);  // (N,C)
    for (size_t l = 0; l < size_t(L); l++) {
        const GptBlock& w = gpt.h[l];
        BlockActivations& f = block[l];
        layernorm_forward(f.a, x[l], w.ln_1, N);                           // (N,C)
        linear_forward(f.qkv, f.a.out, w.c_attn, N);                       // (N,3*D)
        cpu::attention_forward(f.att, f.lse, f.qkv, B, T, NH, HS, {}, s);  // (N,D)
        linear_residual_forward(f.x_mid, f.att, w.attn_c_proj, x[l], N);   // (N,C)
        layernorm_forward(f.m, f.x_mid, w.ln_2, N);                        // (N,C)
        cpu::linear_activation_forward(f.act, f.pre, f.m.out, w.c_fc.weight.ptr(), w.c_fc.bias.ptr(), N, C,
                                       4 * C, activation, s);                // (N,4*C)
        linear_residual_forward(x[l + 1], f.act, w.mlp_c_proj, f.x_mid, N);  // (N,C)
    }
    Normed y(N, C);
    layernorm_forward(y, x[size_t(L)], gpt.ln_f, N);  // (N,C)
    Buffer logits(N * V);
    linear_forward(logits, y.out, gpt.lm_head, N);  // (N,V)

    // ---- the loss, and the gradient of the logits written over them
    const int64_t counted = count_targets(targets, N);
    Buffer losses(N);
    float loss = 0;
    cpu::cross_entropy_forward_backward(losses, logits, targets, N, V, 1.0f / float(counted), s);
    cpu::mean_loss(&loss, losses, N, counted, s);
    const Buffer& dlogits = logits;  // (N,V)

    // ---- backward
    Buffer dy(N * C);
    linear_backward_params(dlogits, y.out, gpt.lm_head, N);
    linear_backward_input(dy, dlogits, gpt.lm_head, N);  // (N,C)
    // dx is the gradient of the residual stream. An addition passes its gradient on unchanged to both sides,
    // so one buffer walks from the last block to the first, and each branch adds its own to it.
    Buffer dx(N * C);
    layernorm_backward(dx, dy, y, x[size_t(L)], gpt.ln_f, N, false);  // (N,C)

    Buffer dpre(N * 4 * C), dm(N * C), datt(N * D), dqkv(N * 3 * D), da(N * C);
    for (size_t l = size_t(L); l-- > 0;) {
        const GptBlock& w = gpt.h[l];
        const BlockActivations& f = block[l];
        // x[l + 1] = x_mid + mlp.c_proj(act), act = activation(pre), pre = c_fc(m), m = ln_2(x_mid)
        linear_backward_params(dx, f.act, w.mlp_c_proj, N);
        cpu::linear_activation_backward(dpre, dx, w.mlp_c_proj.weight.ptr(), f.pre, N, 4 * C, C, activation,
                                        s);  // (N,4*C)
        linear_backward_params(dpre, f.m.out, w.c_fc, N);
        linear_backward_input(dm, dpre, w.c_fc, N);                 // (N,C)
        layernorm_backward(dx, dm, f.m, f.x_mid, w.ln_2, N, true);  // (N,C)
        // x_mid = x[l] + attn.c_proj(att), att = attention(qkv), qkv = c_attn(a), a = ln_1(x[l])
        linear_backward_params(dx, f.att, w.attn_c_proj, N);
        linear_backward_input(datt, dx, w.attn_c_proj, N);                              // (N,D)
        cpu::attention_backward(dqkv, datt, f.qkv, f.att, f.lse, B, T, NH, HS, {}, s);  // (N,3*D)
        linear_backward_params(dqkv, f.a.out, w.c_attn, N);
        linear_backward_input(da, dqkv, w.c_attn, N);            // (N,C)
        layernorm_backward(dx, da, f.a, x[l], w.ln_1, N, true);  // (N,C)
    }
    // With a tied head, dwte has its share from the logits already; this is the other one.
    cpu::embedding_backward(grad(gpt.wte), grad(gpt.wpe), dx, inputs, B, T, C, V, s);
    return loss;
}

}  // namespace by_hand
