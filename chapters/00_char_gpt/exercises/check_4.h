// check_4.h - checks exercise 4: the tape's gradient of sum(w (swiglu(a, b) + a)) against its derivative. The
// sum uses a twice, so that an op which sets where it should add is found out.
#pragma once
#include "chapters/00_char_gpt/exercises/checker.h"
#include "ops/ops.h"

Tensor swiglu(Context& ctx, const Tensor& a, const Tensor& b);

// sum_i w_i x_i, as an op: the loss of this check.
struct WeightedSum : Node {
    Tensor x;
    const float* w = nullptr;

    void backward(Context& ctx) override {
        const GradientTarget dx = ctx.grad(x);
        float* values = dx.ptr;
        for (int64_t i = 0; i < x.numel(); i++) values[i] = (dx.accumulate ? values[i] : 0.0f) + w[i];
    }
    std::vector<Tensor> inputs() const override { return {x}; }
};

int main() {
    constexpr int n = 40;
    const std::vector<float> av = random_vector(n, 1), bv = random_vector(n, 2), w = random_vector(n, 3);
    Context ctx;
    Tensor a = ctx.make("a", {n}), b = ctx.make("b", {n});
    std::copy(av.begin(), av.end(), static_cast<float*>(a.ptr()));
    std::copy(bv.begin(), bv.end(), static_cast<float*>(b.ptr()));
    Tensor sum = add(ctx, swiglu(ctx, a, b), a);
    Tensor loss = ctx.make("loss", {1});
    auto* node = ctx.record<WeightedSum>("weighted_sum", loss);
    node->x = sum;
    node->w = w.data();
    Gradient *da = a.gradient, *db = b.gradient;
    ctx.backward(loss);

    std::vector<double> got, want;
    for (int i = 0; i < n; i++) got.push_back(double(static_cast<float*>(da->memory)[i]));
    for (int i = 0; i < n; i++) got.push_back(double(static_cast<float*>(db->memory)[i]));
    const auto silu = [](double x) { return x / (1 + std::exp(-x)); };
    for (size_t i = 0; i < n; i++) {
        const double h = 1e-5, x = double(av[i]);
        want.push_back(double(w[i]) * ((silu(x + h) - silu(x - h)) / (2 * h) * double(bv[i]) + 1));
    }
    for (size_t i = 0; i < n; i++) want.push_back(double(w[i]) * silu(double(av[i])));
    return verdict("SwiGLU, backwards", got, want, 1e-5);
}
