// test_on_cuda.cpp - each op on Device::kCuda against the same op on the CPU, through the tape: output, gradient of the input,
// gradients of the parameters. What it is about is what an op hands its kernels: which memory, stored as what.
// Not here: the kernels' own sizes and corners (tests/kernels/cuda); finite differences (the other files of this folder).
#include <functional>
#include <string>
#include <vector>

#include "nn/parameters.h"
#include "ops/gradients.h"
#include "ops/ops.h"
#include "tests/support/allclose.h"
#include "tests/support/catch.h"
#include "tests/support/gpu.h"
#include "tests/support/throwing_failures.h"

#ifdef GPT_WITH_GPU

namespace {

// Of the norm. float32: another order of sums. bfloat16: two or three roundings of 2^-9 on average, one after another.
constexpr double kTolerance = kStorageRounding > 0 ? 1e-2 : 1e-5;
constexpr int64_t B = 2, T = 9, C = 12, V = 7;

// The parameters that some op of this file takes, all of them on one device.
struct Model {
    Parameters params;
    Tensor wte, wpe;
    LayerNorm ln;
    Linear square, c_fc, c_proj, headless;

    explicit Model(Device device) : params(device) {
        params.declare("wte", {V, C}, &wte);
        params.declare("wpe", {T, C}, &wpe);
        params.declare("ln.weight", {C}, &ln.weight);
        params.declare("ln.bias", {C}, &ln.bias);
        params.declare("square.weight", {C, C}, &square.weight);
        params.declare("square.bias", {C}, &square.bias);
        params.declare("c_fc.weight", {4 * C, C}, &c_fc.weight);
        params.declare("c_fc.bias", {4 * C}, &c_fc.bias);
        params.declare("c_proj.weight", {C, 4 * C}, &c_proj.weight);
        params.declare("c_proj.bias", {C}, &c_proj.bias);
        params.declare("headless.weight", {V, C}, &headless.weight);  // a linear without a bias
        params.allocate();
        for (size_t i = 0; i < params.size(); i++)
            params.set(params[i], stored(random_floats(params[i].numel(), 10 + i, 0.5f)));
    }
};

using Op = std::function<Tensor(Context&, const Model&, const Tensor& x, const Tensor& ids)>;

struct Result {
    std::vector<float> output, dinput, dparams;
};

// (B,T,C), the same numbers on both devices.
Tensor input(Context& ctx) {
    const Tensor x = ctx.make("x", {B, T, C});
    const std::vector<float> numbers = stored(random_floats(x.numel(), 1));
    if (ctx.device == Device::kCuda) {
        const std::vector<gpu::real> converted(numbers.begin(), numbers.end());
        device_upload(ctx.device, x.memory, converted.data(), x.bytes());
    } else {
        device_upload(ctx.device, x.memory, numbers.data(), x.bytes());
    }
    return x;
}

// op of x (B,T,C), its output as logits of a cross-entropy, backward from there.
Result run(Device device, const Op& op, bool is_inplace) {
    Context ctx(device);
    ctx.seed = 3;
    Model model(device);
    const Tensor x = input(ctx);
    const std::vector<int> ids = random_ids(B * T, V, 1);
    const Tensor y = op(ctx, model, x, ctx.ids(ids.data(), {B, T}));
    Result result;
    result.output = floats_on_host(device, y.ptr(), y.numel());
    const std::vector<int> targets = random_ids(B * T, y.last(), 2);
    const Tensor target_ids = ctx.ids(targets.data(), {B * T});
    const Tensor loss = is_inplace ? cross_entropy_inplace(ctx, y, target_ids, B * T)
                                   : cross_entropy(ctx, y, target_ids, B * T);
    ctx.backward(loss);
    result.output.push_back(ctx.to_host(loss));
    if (x.gradient->memory)
        result.dinput = floats_on_host(device, Pointer{x.gradient->memory, x.dtype}, x.numel());
    result.dparams = floats_on_host(device, model.params.grads(), model.params.count());
    return result;
}

}  // namespace

TEST_CASE("an op on cuda does what it does on the CPU, there and back", "[ops][cuda]") {
    const std::vector<std::pair<std::string, Op>> ops = {
        {"layernorm", [](Context& ctx, const Model& m, const Tensor& x,
                         const Tensor&) { return layernorm(ctx, x, m.ln); }},
        {"linear", [](Context& ctx, const Model& m, const Tensor& x,
                      const Tensor&) { return linear(ctx, x, m.square); }},
        {"linear without bias", [](Context& ctx, const Model& m, const Tensor& x,
                                   const Tensor&) { return linear(ctx, x, m.headless); }},
        {"linear_residual", [](Context& ctx, const Model& m, const Tensor& x,
                               const Tensor&) { return linear_residual(ctx, x, m.square, x); }},
        {"mlp", [](Context& ctx, const Model& m, const Tensor& x,
                   const Tensor&) { return mlp(ctx, x, m.c_fc, m.c_proj, Activation::kGelu, Tensor{}); }},
        {"mlp with residual",
         [](Context& ctx, const Model& m, const Tensor& x, const Tensor&) {
             return mlp(ctx, x, m.c_fc, m.c_proj, Activation::kRelu, x);
         }},
        {"gelu", [](Context& ctx, const Model&, const Tensor& x, const Tensor&) { return gelu(ctx, x); }},
        {"relu", [](Context& ctx, const Model&, const Tensor& x, const Tensor&) { return relu(ctx, x); }},
        {"add", [](Context& ctx, const Model&, const Tensor& x,
                   const Tensor&) { return add(ctx, x, gelu(ctx, x)); }},
        {"dropout",
         [](Context& ctx, const Model&, const Tensor& x, const Tensor&) { return dropout(ctx, x, 0.25f); }},
        {"attention", [](Context& ctx, const Model&, const Tensor& x,
                         const Tensor&) { return attention(ctx, x, 2, 0.1f); }},
        {"embedding", [](Context& ctx, const Model& m, const Tensor&,
                         const Tensor& ids) { return embedding(ctx, ids, m.wte, m.wpe); }},
    };
    const size_t which = GENERATE_COPY(range(size_t(0), ops.size()));
    const bool is_inplace = GENERATE(false, true);
    const std::string& name = ops[which].first;
    const Result want = run(Device::kCpu, ops[which].second, is_inplace);
    const Result got = run(Device::kCuda, ops[which].second, is_inplace);
    const auto agree = [&](const char* what, const std::vector<float>& g, const std::vector<float>& w) {
        REQUIRE(g.size() == w.size());
        if (g.empty()) return;
        const double error = relative_norm_error(g.data(), w.data(), int64_t(w.size()));
        proof::record("values", name + " as an op, " + what, "", error / kTolerance,
                      format("%.1g of the norm", kTolerance));
        CAPTURE(name, what, is_inplace, error);
        REQUIRE(error < kTolerance);
    };
    agree("output", got.output, want.output);
    agree("dinput", got.dinput, want.dinput);
    agree("dparams", got.dparams, want.dparams);
}

TEST_CASE("a linear with its weight in 8 bits on cuda does what it does on the CPU", "[ops][cuda]") {
    std::vector<float> output[2], rounded[2];
    for (const Device device : {Device::kCpu, Device::kCuda}) {
        Context ctx(device);
        const NoGrad no_grad(ctx);
        const Model model(device);
        const Int8Weight codes(model.square.weight);
        const Tensor x = input(ctx), y = linear_int8(ctx, x, model.square, codes, x);
        output[int(device)] = floats_on_host(device, y.ptr(), y.numel());
        rounded[int(device)] = codes.floats();
    }
    REQUIRE(same_bytes(rounded[0], rounded[1]));
    const double error = relative_norm_error(output[1].data(), output[0].data(), int64_t(output[0].size()));
    REQUIRE(error < kTolerance);
}

TEST_CASE("an op on cuda makes statistics and losses of float32", "[ops][cuda]") {
    Context ctx(Device::kCuda);
    const Model model(Device::kCuda);
    const Tensor x = ctx.make("x", {B, T, C});
    layernorm(ctx, x, model.ln);
    attention(ctx, x, 2, 0);
    for (const auto& node : ctx.tape)
        for (const Tensor& input : node->inputs()) {
            const std::string name = input.name;
            const bool is_statistic =
                name.find('.') != std::string::npos && name.find("ln.") == std::string::npos;
            CAPTURE(name);
            REQUIRE(input.dtype == (is_statistic ? DType::kFloat32 : storage_dtype(Device::kCuda)));
        }
}

TEST_CASE("a gradient is passed on only between tensors that are stored alike", "[ops][cuda]") {
    if (storage_dtype(Device::kCuda) == DType::kFloat32) return;
    Context ctx(Device::kCuda);
    const Tensor x = ctx.make("x", {4}), y = ctx.make("y", {4}, DType::kFloat32);
    ctx.grad(y);
    REQUIRE_THAT(failure_of([&] { pass_grad(ctx, y, x); }).message,
                 contains("[y] is float32 and cannot pass its gradient on to [x], which is bfloat16"));
}

#endif
