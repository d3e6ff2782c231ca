// op_gradcheck.h - finite differences through the tape: an op's inputs and parameters, and every gradient
// that ctx.backward leaves in them.
//     OpUnderTest op({{2, 3, 5}});          // shapes of the inputs; more inputs, more shapes
//     Linear w;
//     op.declare(&w.weight, "w", {7, 5});   // parameters, if there are any
//     op.check("linear", [&](Context& ctx, const std::vector<Tensor>& in) { return linear(ctx, in[0], w); });
// Not here: the differences (gradcheck.h).
#pragma once
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "core/context.h"
#include "nn/parameters.h"
#include "tests/support/arrays.h"
#include "tests/support/catch.h"
#include "tests/support/gradcheck.h"
#include "tests/support/proof.h"

// sum_i weights[i] x[i]: makes a scalar of any output, so that backward can start from it.
struct WeightedSum : Node {
    Tensor x;
    std::vector<float> weights;

    void backward(Context& ctx) override {
        const float dy = static_cast<const float*>(ctx.grad_of(y))[0];
        const GradientTarget target = ctx.grad(x);
        float* dx = target.ptr;
        for (size_t i = 0; i < weights.size(); i++)
            dx[i] = dy * weights[i] + (target.accumulate ? dx[i] : 0.0f);
    }
    std::vector<Tensor> inputs() const override { return {x}; }
};

inline Tensor sum_weighted(Context& ctx, const Tensor& x, const std::vector<float>& weights) {
    CHECK_EQ(size_t(x.numel()), weights.size());
    Tensor y = ctx.make("weighted_sum", {1});
    *static_cast<float*>(y.memory) = float(weighted_sum(weights, x.ptr()));
    if (auto* node = ctx.record<WeightedSum>("weighted_sum", y)) {
        node->x = x;
        node->weights = weights;
    }
    return y;
}

inline Tensor make_shape(Context& ctx, const char* name, const std::vector<int64_t>& shape) {
    switch (shape.size()) {
        case 1:
            return ctx.make(name, {shape[0]});
        case 2:
            return ctx.make(name, {shape[0], shape[1]});
        case 3:
            return ctx.make(name, {shape[0], shape[1], shape[2]});
        default:
            return ctx.make(name, {shape[0], shape[1], shape[2], shape[3]});
    }
}

inline Tensor make_tensor(Context& ctx, const char* name, const std::vector<int64_t>& shape,
                          const std::vector<float>& values) {
    Tensor t = make_shape(ctx, name, shape);
    CHECK_EQ(size_t(t.numel()), values.size());
    std::memcpy(t.memory, values.data(), t.bytes());
    return t;
}

// The gradient of a tensor as the last backward left it; zeros where nothing flowed.
inline std::vector<float> gradient_of(const Tensor& t) {
    if (t.gradient && t.gradient->is_parameter) gradient_to_add_to(t);
    const float* g = t.gradient ? static_cast<const float*>(t.gradient->memory) : nullptr;
    return g ? std::vector<float>(g, g + t.numel()) : std::vector<float>(size_t(t.numel()), 0.0f);
}

using OpFunction = std::function<Tensor(Context&, const std::vector<Tensor>&)>;

struct OpUnderTest {
    Context ctx;
    Parameters params;
    std::vector<std::vector<int64_t>> shapes;  // of the inputs
    std::vector<std::vector<float>> values;    // theirs, standard normal unless the test changes them
    std::vector<float> weights;                // of the outputs; standard normal, drawn by the first run

    explicit OpUnderTest(std::initializer_list<std::vector<int64_t>> input_shapes)
        : params(Device::kCpu), shapes(input_shapes) {
        ctx.seed = 5;
        for (const auto& shape : shapes) {
            int64_t n = 1;
            for (const int64_t size : shape) n *= size;
            values.push_back(random_floats(n, 100 + values.size()));
        }
    }

    void declare(Tensor* slot, const char* name, std::initializer_list<int64_t> shape) {
        params.declare(name, shape, slot);
    }
    // Call it after the last declare, when the test wants to set values of its own.
    void allocate() {
        if (params.values()) return;
        params.allocate();
        for (size_t i = 0; i < params.size(); i++) {
            const std::vector<float> x = random_floats(params[i].numel(), 200 + i, 0.5f);
            std::memcpy(params[i].memory, x.data(), params[i].bytes());
        }
    }

    std::vector<Tensor> make_inputs() {
        std::vector<Tensor> in;
        for (size_t i = 0; i < shapes.size(); i++)
            in.push_back(make_tensor(ctx, "input", shapes[i], values[i]));
        return in;
    }

    struct Run {
        std::vector<float> output;
        std::vector<std::vector<float>> gradients;  // of the inputs, then of the parameters
    };

    // One forward and backward, from cleared gradients. A loss is its own scalar: weights of one element are
    // 1.
    Run run(const OpFunction& f) {
        allocate();
        params.zero_grad();
        const std::vector<Tensor> in = make_inputs();
        Tensor y = f(ctx, in);
        const float* out = y.ptr();
        Run result;
        result.output.assign(out, out + y.numel());
        if (weights.empty()) weights = random_weights(y.numel());
        ctx.backward(y.numel() == 1 ? y : sum_weighted(ctx, y, weights));
        for (const Tensor& x : in) result.gradients.push_back(gradient_of(x));
        for (size_t i = 0; i < params.size(); i++) result.gradients.push_back(gradient_of(params[i]));
        ctx.end_step();
        return result;
    }

    // What is differentiated. Recorded too, or dropout would be off; end_step makes the next run draw its
    // masks again.
    double forward(const OpFunction& f) {
        Tensor y = f(ctx, make_inputs());
        const double value = y.numel() == 1 ? double(ctx.to_host(y)) : weighted_sum(weights, y.ptr());
        ctx.end_step();
        return value;
    }

    // Every input, every parameter, against central differences.
    void check(const std::string& name, const OpFunction& f) {
        const Run backward = run(f);
        for (size_t i = 0; i < backward.gradients.size(); i++) {
            const bool is_input = i < values.size();
            float* x = is_input ? values[i].data() : static_cast<float*>(params[i - values.size()].memory);
            const std::vector<float>& gradient = backward.gradients[i];
            const std::string which =
                is_input ? "input " + std::to_string(i) : std::string(params[i - values.size()].name);
            const GradcheckResult result =
                gradcheck([&] { return forward(f); }, x, gradient.data(), int64_t(gradient.size()));
            proof::record("differences", name, which, result.relative_error / kGradcheckBar,
                          format("%.1g", kGradcheckBar));
            CAPTURE(name, result.message(which));
            REQUIRE(result.passes());
        }
    }
};
