// test_cuda_model.cpp - the chapter's model on Device::kCuda against the same model on the CPU: gradients of
// every parameter, twenty steps of training, dropout, sampling. In builds whose CUDA is emulated, thread by
// thread.
// Not here: each kernel (tests/kernels/cuda).
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "chapters/00_char_gpt/gpt.h"
#include "chapters/00_char_gpt/model.h"
#include "nn/adamw.h"
#include "tests/support/allclose.h"
#include "tests/support/gpu.h"

#ifdef GPT_WITH_GPU

namespace {

constexpr bool kIsBf16 = storage_dtype(Device::kCuda) == DType::kBFloat16;

// How far training may be from the CPU's. In float32 only the order of sums differs. In bfloat16 every activation and the
// weights that kernels read are rounded, 2^-9 of each on average and in no direction: that moves a mean of 128 losses by some
// 1e-4, and the norm of a gradient by ten times that. The error grows from step to step, because Adam's first steps are
// lr long wherever a gradient is larger than its own rounding or not: hence a smaller lr, and twenty steps only.
constexpr float kLr = kIsBf16 ? 1e-3f : 1e-2f;
constexpr double kLossTolerance = kIsBf16 ? 1e-3 : 1e-4;
constexpr double kNormTolerance = kIsBf16 ? 1e-2 : 1e-3;
constexpr double kWeightsTolerance = kIsBf16 ? 1e-2 : 1e-3;

// Of the norm of one parameter's gradient. Through a ReLU, an activation that is rounded across 0 takes its whole gradient
// with it.
double gradient_tolerance(Activation activation) {
    if (!kIsBf16) return 1e-5;
    return activation == Activation::kGelu ? 1e-2 : 5e-2;
}

// The optimised build takes all of them; -O0 and the sanitizers would need a minute.
const int64_t kSteps = rounds(20, kUnderTsan ? 2 : 5);

// The preset `tiny`: L2 NH2 C32 T32.
GptConfig tiny() {
    GptConfig config;
    config.V = 65, config.T = 32, config.L = 2, config.NH = 2, config.HS = 16, config.C = 32;
    if (kUnderTsan) config.V = 17, config.T = 8, config.L = 1;
    return config;
}

// A language that can be learnt: each id is a function of the one before, but for one in eight.
std::vector<int> text(int64_t length, int64_t V) {
    std::vector<int> ids(static_cast<size_t>(length));
    RandomStream random{5, 1};
    int id = 0;
    for (int& next : ids) {
        id = random.next_below(8) == 0 ? int(random.next_below(uint32_t(V))) : (id * 5 + 3) % int(V);
        next = id;
    }
    return ids;
}

struct Run {
    std::vector<float> losses, norms, weights;
};

// The first steps of a training run, as main.cpp takes them.
Run train(Device device, const GptConfig& config, int64_t steps, int64_t micro_batch) {
    const std::vector<int> ids = text(600, config.V);
    Context ctx(device);
    ctx.seed = 7;
    Gpt gpt(device, config);
    gpt.init(Init::kGpt2, 1);
    AdamWOptions options;
    options.clip = 1;
    options.decay_vectors = false;
    AdamW optimizer(device, gpt.params, options);
    Windows windows(ids.data(), int64_t(ids.size()), config.T, 4, 3);
    Run run;
    for (int64_t step = 1; step <= steps; step++) {
        ctx.step = step;
        gpt.params.zero_grad();
        run.losses.push_back(forward_backward(ctx, gpt, windows.at(step - 1), micro_batch));
        run.norms.push_back(optimizer.step(ctx, step, kLr));
        ctx.end_step();
    }
    run.weights = floats_on_host(device, gpt.params.values(), gpt.params.count());
    return run;
}

// The gradients of one batch, all parameters' in one array.
std::vector<float> gradients(Device device, const GptConfig& config) {
    const std::vector<int> ids = text(600, config.V);
    Context ctx(device);
    Gpt gpt(device, config);
    gpt.init(Init::kPytorch, 1);  // all of them large
    // Both devices begin with the same numbers, those that gpu::real holds.
    for (size_t i = 0; i < gpt.params.size(); i++) {
        const Tensor& p = gpt.params[i];
        const float* masters = gpt.params.values() + gpt.params.offset(i);
        gpt.params.set(p, stored(floats_on_host(device, masters, p.numel())));
    }
    Windows windows(ids.data(), int64_t(ids.size()), config.T, 3, 3);
    gpt.params.zero_grad();
    forward_backward(ctx, gpt, windows.at(0), 3);
    return floats_on_host(device, gpt.params.grads(), gpt.params.count());
}

}  // namespace

TEST_CASE("a model on cuda has the CPU's gradients, parameter by parameter", "[chapter00][cuda]") {
    GptConfig config = tiny();
    config.tied = GENERATE(true, false);
    config.head_bias = !config.tied;
    config.activation = config.tied ? Activation::kGelu : Activation::kRelu;
    config.HS = config.tied ? 16 : 5;  // a head size that is no multiple of anything
    CAPTURE(config.tied);
    const std::vector<float> want = gradients(Device::kCpu, config);
    const std::vector<float> got =
        in_any_order([&] { return std::vector<std::vector<float>>{gradients(Device::kCuda, config)}; })[0];
    Gpt layout(Device::kCpu, config);  // where each parameter's gradient is
    for (size_t i = 0; i < layout.params.size(); i++) {
        const size_t begin = size_t(layout.params.offset(i));
        CAPTURE(layout.params[i].name);
        const double error = relative_norm_error(&got[begin], &want[begin], layout.params[i].numel());
        REQUIRE(error < gradient_tolerance(config.activation));
    }
}

TEST_CASE("twenty steps on cuda lose what they lose on the CPU", "[chapter00][cuda]") {
    GptConfig config = tiny();
    const int64_t micro_batch = GENERATE(4, 3);  // in one piece; in two that are not equal
    config.dropout = micro_batch == 4 ? 0.0f : 0.1f;
    CAPTURE(micro_batch, config.dropout);
    const Run want = train(Device::kCpu, config, kSteps, micro_batch);
    const Run got = train(Device::kCuda, config, kSteps, micro_batch);
    double worst = 0;
    for (size_t step = 0; step < size_t(kSteps); step++) {
        CAPTURE(step, got.losses[step], want.losses[step]);
        const double error = std::fabs(double(got.losses[step]) / double(want.losses[step]) - 1);
        worst = std::max(worst, error);
        REQUIRE(error < kLossTolerance);
        REQUIRE(std::fabs(double(got.norms[step] / want.norms[step]) - 1) < kNormTolerance);
    }
    INFO("largest relative difference of a loss: " << worst);
    const double weights_error =
        relative_norm_error(got.weights.data(), want.weights.data(), int64_t(want.weights.size()));
    REQUIRE(weights_error < kWeightsTolerance);
    if (kSteps == 20) REQUIRE(got.losses.back() < 0.9f * got.losses.front());  // and it learns
}

TEST_CASE("training on cuda leaves the same bytes in any order of threads", "[chapter00][cuda]") {
    GptConfig config = tiny();
    config.dropout = 0.1f;
    in_any_order([&] {
        const Run run = train(Device::kCuda, config, 2, 4);
        return std::vector<std::vector<float>>{run.losses, run.norms, run.weights};
    });
}

TEST_CASE("a model on cuda continues a text as the CPU's does, and holds out the same loss",
          "[chapter00][cuda]") {
    const GptConfig config = tiny();
    const std::vector<int> held_out = text(kUnderTsan ? 3 * config.T : 10 * config.T, config.V);
    std::vector<std::vector<int>> texts;
    std::vector<double> losses;
    for (const Device device : {Device::kCpu, Device::kCuda}) {
        Context ctx(device);
        Gpt gpt(device, config);
        gpt.init(Init::kPytorch, 1);
        Sampler greedy;
        greedy.temperature = 0;
        std::vector<int> ids;
        generate(ctx, gpt, {1, 2, 3}, 5, greedy, [&](int id) { ids.push_back(id); });
        texts.push_back(ids);
        losses.push_back(held_out_loss(ctx, gpt, held_out));
    }
    REQUIRE(texts[0] ==
            texts[1]);  // these weights are large: the likeliest id leads by more than any rounding
    REQUIRE(losses[1] == Approx(losses[0]).epsilon(kIsBf16 ? 1e-3 : 1e-5));
}

#else

TEST_CASE("the model on cuda is tested in builds that have the kernels", "[chapter00][cuda]") {
    std::puts("skipped: the model on cuda; BUILD=host has it, and debug, asan and tsan");
}

#endif
