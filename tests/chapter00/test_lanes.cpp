// test_lanes.cpp - cores that share the windows of a batch compute what they compute layer by layer: the same gradients but
// for the order of the sums, the same dropout, and the same bytes however many they are.
#include "nn/lanes.h"

#include <cmath>
#include <string>
#include <vector>

#include "chapters/00_char_gpt/model.h"
#include "core/parallel.h"
#include "tests/support/catch.h"

namespace {

constexpr int64_t kWindows = 29;  // lanes of 4 windows, and a last one of 1

GptConfig small(float dropout) {
    GptConfig config;
    config.V = 19, config.T = 6, config.L = 2, config.NH = 2, config.HS = 8, config.C = 12;
    config.dropout = dropout;
    return config;
}

Batch some_batch(const GptConfig& config) {
    Batch batch;
    batch.B = kWindows;
    RandomStream random{3, 9};
    for (int64_t i = 0; i < kWindows * config.T; i++) {
        batch.inputs.push_back(int(random.next_below(uint32_t(config.V))));
        batch.targets.push_back(int(random.next_below(uint32_t(config.V))));
    }
    return batch;
}

struct Result {
    float loss;
    std::vector<float> grads;
};

// The batch as one tape, every kernel over all windows.
Result layer_by_layer(const Gpt& gpt, const Batch& batch) {
    Context ctx;
    ctx.seed = 5, ctx.step = 3;
    const int64_t B = batch.B, T = gpt.config.T;
    Tensor logits = gpt.forward(ctx, ctx.ids(batch.inputs.data(), {B, T}));
    Tensor loss = cross_entropy_inplace(ctx, logits, ctx.ids(batch.targets.data(), {B, T}), B * T);
    const float value = ctx.to_host(loss);
    ctx.backward(loss);
    return {value, {gpt.params.grads(), gpt.params.grads() + gpt.params.count()}};
}

Result in_lanes(const Gpt& gpt, const Batch& batch, Context& ctx, int64_t micro_batch = kWindows) {
    ctx.seed = 5, ctx.step = 3;
    const float loss = forward_backward(ctx, gpt, batch, micro_batch);
    return {loss, {gpt.params.grads(), gpt.params.grads() + gpt.params.count()}};
}

double relative_distance(const std::vector<float>& a, const std::vector<float>& b) {
    double squares = 0, norm = 0;
    for (size_t i = 0; i < a.size(); i++)
        squares += std::pow(double(a[i]) - double(b[i]), 2), norm += double(a[i]) * double(a[i]);
    return std::sqrt(squares / norm);
}

}  // namespace

TEST_CASE("lanes give the gradients of the whole batch, with its dropout", "[chapter00][cpu][grad]") {
    const GptConfig config = small(GENERATE(0.0f, 0.25f));
    CAPTURE(config.dropout);
    const Batch batch = some_batch(config);
    Gpt gpt(Device::kCpu, config);
    gpt.init(Init::kGpt2, 1);
    Context ctx;
    REQUIRE(Lanes(ctx, gpt.params).count(kWindows) == 8);
    const Result whole = layer_by_layer(gpt, batch);
    gpt.params.zero_grad();
    const Result lanes = in_lanes(gpt, batch, ctx);
    // note: the same products in sums of another order; a dropout mask out of place would be off by half
    REQUIRE(std::fabs(lanes.loss - whole.loss) < 1e-6f * whole.loss);
    REQUIRE(relative_distance(whole.grads, lanes.grads) < 1e-6);

    gpt.params.zero_grad();
    Context again;
    again.next_site = 0;
    REQUIRE(in_lanes(gpt, batch, again).grads == lanes.grads);
    if (config.dropout > 0) {
        REQUIRE(again.next_site > 0);  // the next micro-batch draws other masks
        gpt.params.zero_grad();
        REQUIRE(in_lanes(gpt, batch, again).grads != lanes.grads);
    }
}

TEST_CASE("lanes give the same bytes for any number of threads", "[chapter00][cpu][threads]") {
    const GptConfig config = small(0.25f);
    const Batch batch = some_batch(config);
    Gpt gpt(Device::kCpu, config);
    gpt.init(Init::kGpt2, 1);
    const int before = parallel::num_threads();
    std::vector<Result> results;
    for (int threads : {1, 2, 3, 4, 11}) {
        parallel::set_num_threads(threads);
        Context ctx;
        gpt.params.zero_grad();
        results.push_back(in_lanes(gpt, batch, ctx));
        REQUIRE(results.back().grads == results.front().grads);
        REQUIRE(results.back().loss == results.front().loss);
    }
    parallel::set_num_threads(before);
}

TEST_CASE("micro-batches that are cut into the same lanes give the bytes of the whole batch",
          "[chapter00][cpu]") {
    const int64_t micro_batch =
        GENERATE(8, 16);  // 8, 8, 8, 5 windows; 16 and 13: lanes of 4 and a last one of 1
    CAPTURE(micro_batch);
    const GptConfig config = small(0);
    const Batch batch = some_batch(config);
    Gpt gpt(Device::kCpu, config);
    gpt.init(Init::kGpt2, 1);
    Context ctx;
    const Result whole = in_lanes(gpt, batch, ctx);
    gpt.params.zero_grad();
    const Result parts = in_lanes(gpt, batch, ctx, micro_batch);
    REQUIRE(parts.loss == whole.loss);
    REQUIRE(parts.grads == whole.grads);
}

TEST_CASE("a thread that finds no lane left has no say in what dropout draws next",
          "[chapter00][cpu][threads]") {
    Gpt gpt(Device::kCpu, small(0.25f));
    const int before = parallel::num_threads();
    parallel::set_num_threads(4);
    Context ctx;
    Lanes lanes(ctx, gpt.params);
    const auto draw = [](int sites) {
        return [sites](Context& lane, int64_t, int64_t, int64_t) {
            for (int i = 0; i < sites; i++) lane.next_dropout(0.25f, 1);
        };
    };
    for (int step = 0; step < 20; step++) {
        ctx.next_site = 0;
        lanes.run(kWindows, draw(5));
        REQUIRE(ctx.next_site == 5);
        ctx.next_site = 0;
        lanes.run(5, draw(1));  // two lanes
        REQUIRE(ctx.next_site == 1);
    }
    parallel::set_num_threads(before);
}

TEST_CASE("gradients of lanes add to what is there", "[chapter00][cpu]") {
    const GptConfig config = small(0);
    const Batch batch = some_batch(config);
    Gpt gpt(Device::kCpu, config);
    gpt.init(Init::kGpt2, 1);
    Context ctx;
    const Result once = in_lanes(gpt, batch, ctx);
    const Result twice = in_lanes(gpt, batch, ctx);
    std::vector<float> doubled = once.grads;
    for (float& g : doubled) g *= 2;
    REQUIRE(relative_distance(doubled, twice.grads) < 1e-6);
}

TEST_CASE("the first tensor of a lane that is not finite is named", "[chapter00][cpu]") {
    const GptConfig config = small(0);
    Gpt gpt(Device::kCpu, config);
    gpt.init(Init::kGpt2, 1);
    std::vector<float> bad(size_t(gpt.h[1].c_fc.weight.numel()), 0.1f);
    bad[7] = INFINITY;
    gpt.params.set(gpt.h[1].c_fc.weight, bad);
    Context ctx;
    ctx.watch_non_finite = true;
    in_lanes(gpt, some_batch(config), ctx);
    REQUIRE(ctx.first_non_finite.find("mlp") != std::string::npos);
}

TEST_CASE("a model whose gradients fill a cache is not cut into lanes", "[chapter00][cpu]") {
    GptConfig config = small(0);
    config.C = 512, config.HS = 256;
    Gpt gpt(Device::kCpu, config);
    Context ctx;
    REQUIRE(gpt.params.count() > Lanes::kMostWeights);
    REQUIRE(Lanes(ctx, gpt.params).count(64) == 1);
}
