// test_adamw.cpp - the optimiser over a model's parameters: clipping by the global norm, decay of matrices
// only, and what happens to a gradient that is not finite. The kernel itself: tests/kernels/test_adamw.cpp.
#include "nn/adamw.h"

#include <cmath>
#include <vector>

#include "tests/support/allclose.h"
#include "tests/support/arrays.h"
#include "tests/support/catch.h"
#include "tests/support/gpu.h"

namespace {

constexpr float kLr = 1e-2f;

struct Model {
    Context ctx;
    Parameters params{Device::kCpu};
    Tensor weight, bias;

    Model() {
        params.declare("weight", {7, 5}, &weight);
        params.declare("bias", {7}, &bias);
        params.allocate();
        const std::vector<float> w = random_floats(35, 1), b = random_floats(7, 2);
        std::copy(w.begin(), w.end(), static_cast<float*>(weight.ptr()));
        std::copy(b.begin(), b.end(), static_cast<float*>(bias.ptr()));
    }
    void set_gradients(int64_t step) {
        const std::vector<float> dw = random_floats(35, uint64_t(10 + step)),
                                 db = random_floats(7, uint64_t(50 + step));
        std::copy(dw.begin(), dw.end(), ctx.param_grad(weight));
        std::copy(db.begin(), db.end(), ctx.param_grad(bias));
    }
    std::vector<float> block() { return {params.values(), params.values() + params.count()}; }
};

// Algorithm 2 in double; the weight decay is that of each element's own tensor.
struct Reference {
    std::vector<double> values, m, v;

    explicit Reference(Model& model) : values(size_t(model.params.count())), m(values), v(values) {
        for (size_t i = 0; i < values.size(); i++) values[i] = double(model.params.values()[i]);
    }
    double step(Model& model, const AdamWOptions& options, int64_t step) {
        const float* grads = model.params.grads();
        double norm = 0;
        for (size_t i = 0; i < values.size(); i++) norm += double(grads[i]) * double(grads[i]);
        norm = std::sqrt(norm);
        const double scale =
            options.clip > 0 && norm > double(options.clip) ? double(options.clip) / norm : 1;
        const double beta1 = double(options.beta1), beta2 = double(options.beta2);
        for (size_t i = 0; i < values.size(); i++) {
            const bool is_matrix = int64_t(i) < model.params.matrix_count();
            const double decay = is_matrix || options.decay_vectors ? double(options.weight_decay) : 0;
            const double g = double(grads[i]) * scale;
            m[i] = beta1 * m[i] + (1 - beta1) * g;
            v[i] = beta2 * v[i] + (1 - beta2) * g * g;
            const double m_hat = m[i] / (1 - std::pow(beta1, double(step)));
            const double v_hat = v[i] / (1 - std::pow(beta2, double(step)));
            values[i] -= double(kLr) * (m_hat / (std::sqrt(v_hat) + double(options.eps)) + decay * values[i]);
        }
        return norm;
    }
};

}  // namespace

TEST_CASE("AdamW follows the algorithm: clipped or not, vectors decayed or not", "[nn][cpu]") {
    AdamWOptions options;
    options.weight_decay = 0.1f;
    options.decay_vectors = GENERATE(true, false);
    options.clip = GENERATE(0.0f, 1.0f, 1000.0f);  // off; always at work, the norm is about 6; never reached
    CAPTURE(options.decay_vectors, options.clip);
    Model model;
    AdamW optimizer(Device::kCpu, model.params, options);
    Reference want(model);
    for (int64_t step = 1; step <= 8; step++) {
        model.set_gradients(step);
        const double norm = want.step(model, options, step);
        REQUIRE(std::fabs(double(optimizer.step(model.ctx, step, kLr)) - norm) <
                1e-6 * norm);  // before clipping
        const auto n = int64_t(want.values.size());
        REQUIRE(allclose("AdamW values", "", model.params.values(), want.values.data(), n, 1e-5, 1e-6) == "");
        REQUIRE(allclose("AdamW m", "", optimizer.m(), want.m.data(), n, 1e-5, 1e-6) == "");
        REQUIRE(allclose("AdamW v", "", optimizer.v(), want.v.data(), n, 1e-5, 1e-6) == "");
    }
}

TEST_CASE("without a gradient, decay shrinks matrices and, unless told to, leaves vectors alone",
          "[nn][cpu]") {
    AdamWOptions options;
    options.weight_decay = 0.5f;
    options.decay_vectors = false;
    Model model;
    const float weight = static_cast<float*>(model.weight.ptr())[3],
                bias = static_cast<float*>(model.bias.ptr())[3];
    AdamW optimizer(Device::kCpu, model.params, options);
    REQUIRE(optimizer.step(model.ctx, 1, kLr) == 0.0f);
    REQUIRE(static_cast<float*>(model.weight.ptr())[3] == Approx(weight * (1 - kLr * 0.5f)));
    REQUIRE(static_cast<float*>(model.bias.ptr())[3] == bias);
}

TEST_CASE("a gradient that is not finite changes nothing, and the norm says so", "[nn][cpu]") {
    const float bad = GENERATE(float(NAN), float(INFINITY), float(-INFINITY));
    Model model;
    AdamW optimizer(Device::kCpu, model.params, {});
    model.set_gradients(1);
    optimizer.step(model.ctx, 1, kLr);
    const std::vector<float> before = model.block();
    const std::vector<float> m(optimizer.m(), optimizer.m() + model.params.count());
    model.set_gradients(2);
    model.params.grads()[5] = bad;
    REQUIRE_FALSE(std::isfinite(optimizer.step(model.ctx, 2, kLr)));
    REQUIRE(same_bytes(model.block(), before));
    REQUIRE(same_bytes(m, {optimizer.m(), optimizer.m() + model.params.count()}));
}

TEST_CASE("the optimiser leaves gradients as they are: clearing them is the caller's", "[nn][cpu]") {
    Model model;
    AdamWOptions options;
    options.clip = 0.1f;
    AdamW optimizer(Device::kCpu, model.params, options);
    model.set_gradients(1);
    const std::vector<float> before(model.params.grads(), model.params.grads() + model.params.count());
    optimizer.step(model.ctx, 1, kLr);
    REQUIRE(same_bytes(before, {model.params.grads(), model.params.grads() + model.params.count()}));
}

#ifdef GPT_WITH_GPU
TEST_CASE("on cuda the masters take the CPU's steps, and kernels read them rounded", "[nn][cuda]") {
    AdamWOptions options;
    options.decay_vectors = false;  // two ranges of the block, each rounded by the words of its places
    options.clip = 1;
    Model cpu;
    AdamW cpu_optimizer(Device::kCpu, cpu.params, options);
    Context ctx(Device::kCuda);
    ctx.seed = 9;
    Parameters params(Device::kCuda);
    Tensor weight, bias;
    params.declare("weight", {7, 5}, &weight);
    params.declare("bias", {7}, &bias);
    params.allocate();
    params.set(weight, random_floats(35, 1));
    params.set(bias, random_floats(7, 2));
    AdamW optimizer(Device::kCuda, params, options);
    const auto masters = [&] { return floats_on_host(Device::kCuda, params.values(), params.count()); };
    const auto read = [&] {
        std::vector<float> both = floats_on_host(Device::kCuda, weight.ptr(), 35);
        const std::vector<float> second = floats_on_host(Device::kCuda, bias.ptr(), 7);
        both.insert(both.end(), second.begin(), second.end());
        return both;
    };
    for (int64_t step = 1; step <= 4; step++) {
        cpu.set_gradients(step);
        device_upload(Device::kCuda, params.grads(), cpu.params.grads(),
                      size_t(params.count()) * sizeof(float));
        const float want_norm = cpu_optimizer.step(cpu.ctx, step, kLr);
        REQUIRE(optimizer.step(ctx, step, kLr) == Approx(want_norm).epsilon(1e-6));
        REQUIRE(allclose("AdamW masters, cuda", "", masters().data(), cpu.params.values(), params.count(),
                         1e-5, 1e-6) == "");
        const std::vector<float> left = read();

        // a run that is resumed here: the masters come from a file, and are rounded to the nearest at first
        std::vector<float> block = masters();
        params.set(weight, {block.begin() + params.offset(0), block.begin() + params.offset(0) + 35});
        params.set(bias, {block.begin() + params.offset(1), block.begin() + params.offset(1) + 7});
        const bool is_rounded = storage_dtype(Device::kCuda) != DType::kFloat32;
        REQUIRE(same_bytes(read(), left) == !is_rounded);
        optimizer.restore_rounding(ctx, step);
        REQUIRE(same_bytes(read(), left));
        REQUIRE(same_bytes(masters(), block));
    }
}
#endif
