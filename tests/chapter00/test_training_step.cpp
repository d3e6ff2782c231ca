// test_training_step.cpp - a step that is recorded as a CUDA graph and replayed trains as one that is run as it is: the same
// bytes, with dropout, micro-batches and batches of two sizes. Where CUDA is emulated, its graphs are, too.
#include "chapters/00_char_gpt/training_step.h"

#include <cstdlib>
#include <string>
#include <vector>

#include "chapters/00_char_gpt/model.h"
#include "nn/adamw.h"
#include "tests/support/catch.h"
#include "tests/support/throwing_failures.h"

#if defined(GPT_WITH_GPU) && !defined(GPT_DEBUG)  // debug builds record no graph

#include "tests/support/gpu.h"

namespace {

GptConfig tiny(float dropout) {
    GptConfig config;
    config.V = 17, config.T = 8, config.L = 1, config.NH = 2, config.HS = 4, config.C = 8;
    config.dropout = dropout;
    return config;
}

// GPT_GRAPH for a scope.
class GraphSwitch {
  public:
    explicit GraphSwitch(const char* value) { setenv("GPT_GRAPH", value, 1); }
    ~GraphSwitch() { unsetenv("GPT_GRAPH"); }
    GraphSwitch(const GraphSwitch&) = delete;
    GraphSwitch& operator=(const GraphSwitch&) = delete;
};

struct Run {
    std::vector<float> losses, weights;
    int64_t replays = 0;
};

// 27 windows in batches of 6: four full ones and one of 3, then the next epoch. The held-out loss uses the arena in between.
Run train(const GptConfig& config, int64_t steps, bool evaluates) {
    std::vector<int> ids(27 + size_t(config.T));
    RandomStream random{5, 1};
    for (int& id : ids) id = int(random.next_below(uint32_t(config.V)));
    Context ctx(Device::kCuda);
    ctx.seed = 7;
    Gpt gpt(ctx.device, config);
    gpt.init(Init::kGpt2, 1);
    AdamW optimizer(ctx.device, gpt.params, {});
    Windows windows(ids.data(), int64_t(ids.size()), config.T, 6, 3);
    TrainingStep training_step(ctx, gpt, 4);  // micro-batches of 4 and 2, or of 3
    Run run;
    for (int64_t step = 1; step <= steps; step++) {
        ctx.step = step;
        gpt.params.zero_grad();
        training_step.run(windows.at(step - 1));
        optimizer.step(ctx, step, 1e-2f);
        run.losses.push_back(training_step.loss());
        ctx.end_step();
        if (evaluates) held_out_loss(ctx, gpt, ids);
    }
    run.weights = floats_on_host(ctx.device, gpt.params.values(), gpt.params.count());
    run.replays = training_step.replays();
    return run;
}

}  // namespace

TEST_CASE("a step that is a graph trains as one that is not", "[chapter00][cuda]") {
    const GptConfig config = tiny(GENERATE(0.0f, 0.25f));
    const bool evaluates = GENERATE(false, true);
    CAPTURE(config.dropout, evaluates);
    const auto with = [&](const char* graph) {
        const GraphSwitch set(graph);
        return train(config, 16, evaluates);
    };
    const Run plain = with("0"), graph = with("1");
    REQUIRE(plain.replays == 0);
    REQUIRE(graph.replays == 16 - 2 * 2);  // of each size the first is run, the second recorded
    REQUIRE(same_bytes(graph.losses, plain.losses));
    REQUIRE(same_bytes(graph.weights, plain.weights));
}

TEST_CASE("a step that waits for the device cannot be recorded", "[chapter00][cuda]") {
    const GraphSwitch set("1");
    Context ctx(Device::kCuda);
    const Tensor x = ctx.make("x", {1}, DType::kFloat32);
    device_clear(ctx.device, x.memory, x.bytes());
    StepGraph graph(ctx);
    graph.run(1, [&] { ctx.to_host(x); });
    const std::string message = failure_of([&] { graph.run(1, [&] { ctx.to_host(x); }); }).message;
    REQUIRE_THAT(message, contains("cudaErrorStreamCapture"));
#if defined(GPT_CUDA_ON_HOST)
    cuda_on_host::forget_recording();
#endif
}

#endif
