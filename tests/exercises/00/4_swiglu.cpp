// 4_swiglu.cpp - solution of the exercise: an op of your own. SwiGLU (Shazeer 2020), y = silu(a) b with
// silu(x) = x sigmoid(x), is what newer models have in place of GELU. The forward pass and the node are here;
// the backward is not.
#include "chapters/00_char_gpt/exercises/check_4.h"

struct Swiglu : Node {
    Tensor a, b;

    void backward(Context& ctx) override {
        const float* dy = ctx.grad_of(y);
        const GradientTarget da = ctx.grad(a), db = ctx.grad(b);
        float *da_values = da.ptr, *db_values = db.ptr;
        const float *a_values = a.ptr(), *b_values = b.ptr();
        for (int64_t i = 0; i < y.numel(); i++) {
            const float s = 1.0f / (1.0f + std::exp(-a_values[i])), silu = a_values[i] * s;
            const float da_i = dy[i] * b_values[i] * (s + silu * (1.0f - s)), db_i = dy[i] * silu;
            da_values[i] = da.accumulate ? da_values[i] + da_i : da_i;
            db_values[i] = db.accumulate ? db_values[i] + db_i : db_i;
        }
    }
    std::vector<Tensor> inputs() const override { return {a, b}; }
};

Tensor swiglu(Context& ctx, const Tensor& a, const Tensor& b) {
    Tensor y = ctx.make_like("swiglu", a);
    const float *a_values = a.ptr(), *b_values = b.ptr();
    float* y_values = y.ptr();
    for (int64_t i = 0; i < y.numel(); i++)
        y_values[i] = a_values[i] / (1.0f + std::exp(-a_values[i])) * b_values[i];
    if (auto* node = ctx.record<Swiglu>("swiglu", y)) {
        node->a = a;
        node->b = b;
    }
    return y;
}
