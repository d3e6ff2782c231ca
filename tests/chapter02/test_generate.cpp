// test_generate.cpp - a model writes the same with a cache as without, also when its window moves on; a sample is the
// same whatever is written beside it.
#include "chapters/02_small_gpt/generate.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <set>
#include <vector>

#include "tests/chapter02/models.h"
#include "tests/support/allclose.h"
#include "tests/support/arrays.h"
#include "tests/support/catch.h"
#include "tests/support/throwing_failures.h"

using namespace small_gpt;

namespace {

// Another order of sums: one product is made row by row, the other in blocks.
constexpr double kTolerance = 1e-4;

GptConfig odd_config() {  // heads narrower than C / NH, its own output layer with a bias, ReLU
    GptConfig config = small_config(50, 24, 2, 3, 5, 32);
    config.tied = false, config.head_bias = true, config.activation = Activation::kRelu;
    return config;
}

std::vector<GptConfig> configs() {
    return {small_config(65, 32, 2, 2, 16, 32), odd_config(), small_config(300, 20, 3, 1, 64, 64)};
}

std::vector<std::vector<int>> write(Context& ctx, const Gpt& gpt, const std::vector<int>& prompt, int64_t n,
                                    size_t samples, float temperature, bool use_cache,
                                    size_t first_stream = 0, const Int8Weights* int8 = nullptr) {
    std::vector<Sampler> samplers(samples);
    for (size_t s = 0; s < samples; s++) {
        samplers[s].temperature = temperature;
        samplers[s].random = {7, first_stream + s};
    }
    std::vector<std::vector<int>> texts(samples);
    const auto keep = [&](size_t s, int id) {
        texts[s].push_back(id);
        return true;
    };
    generate(ctx, gpt, prompt, n, samplers, use_cache, keep, int8);
    return texts;
}

}  // namespace

TEST_CASE("generate: a cached row's logits are those of the whole model", "[cpu][generate]") {
    for (const GptConfig& config : configs()) {
        Context ctx;
        const auto gpt = random_model(config);
        const int64_t T = config.T, V = config.V;
        const std::vector<int> ids = random_ids(T, V, 3);
        std::vector<float> want;
        {
            const NoGrad no_grad(ctx);
            const ArenaScope scope(ctx);
            const float* all = gpt->forward(ctx, ctx.ids(ids.data(), {1, T})).ptr();
            want.assign(all, all + T * V);
        }
        for (const int64_t prefix : {int64_t(1), int64_t(2), T / 2, T}) {
            CAPTURE(config.V, prefix);
            Decoder decoder(ctx, *gpt, 1);
            std::vector<float> got = decoder.read(ids.data(), prefix, 0, 1);
            for (int64_t t = prefix - 1; t < T; t++) {
                if (t >= prefix) got = decoder.step(&ids[size_t(t)]);
                REQUIRE(allclose("decoder", format("t=%lld", (long long)t), got.data(), &want[size_t(t * V)],
                                 V, kTolerance, kTolerance) == "");
            }
            REQUIRE(!decoder.has_room());
            REQUIRE(failure_of([&] { decoder.step(ids.data()); }).message.find("[decoder] no room") !=
                    std::string::npos);
        }
        ctx.end_step();
    }
}

TEST_CASE("generate: the same ids with and without a cache, over hundreds of tokens and many windows",
          "[cpu][generate]") {
    for (const GptConfig& config : configs())
        for (const float temperature : {0.0f, 0.7f}) {
            CAPTURE(config.V, temperature);
            Context ctx;
            const auto gpt = random_model(config);
            const std::vector<int> prompt = random_ids(5, config.V, 1);
            const auto cached = write(ctx, *gpt, prompt, 500, 2, temperature, true);
            const auto plain = write(ctx, *gpt, prompt, 500, 2, temperature, false);
            REQUIRE(cached[0].size() == 500);
            REQUIRE(cached == plain);
            if (temperature > 0) REQUIRE(std::set<int>(cached[0].begin(), cached[0].end()).size() > 10);
        }
}

TEST_CASE("generate: 8-bit weights write what the rounded model writes", "[cpu][generate]") {
    for (const GptConfig& config : configs()) {
        CAPTURE(config.V);
        Context ctx;
        const auto gpt = random_model(config);
        const std::vector<int> prompt = random_ids(5, config.V, 1);
        const auto as_trained = write(ctx, *gpt, prompt, 200, 1, 1, true);
        const Int8Weights int8(*gpt);
        const auto by_codes = write(ctx, *gpt, prompt, 200, 3, 1, true, 0, &int8);
        REQUIRE(by_codes == write(ctx, *gpt, prompt, 200, 3, 1, false));
        REQUIRE(by_codes == write(ctx, *gpt, prompt, 200, 3, 1, true));
        REQUIRE(by_codes[0] != as_trained[0]);  // or nothing was rounded
        REQUIRE(write(ctx, *gpt, prompt, 200, 1, 1, true, 2, &int8)[0] == by_codes[2]);
    }
}

TEST_CASE("generate: a step reads the codes, not the floats", "[cpu][generate]") {
    Context ctx;
    const auto gpt = random_model(configs()[1]);
    const Int8Weights int8(*gpt);
    const std::vector<int> ids = random_ids(8, 50, 1);
    Decoder decoder(ctx, *gpt, 1, &int8);
    decoder.read(ids.data(), 7, 0, 1);
    // Not the embeddings and vectors, which have no codes.
    for (const GptBlock& block : gpt->h)
        for (const Linear* w : {&block.c_attn, &block.attn_c_proj, &block.c_fc, &block.mlp_c_proj})
            gpt->params.set(w->weight, std::vector<float>(size_t(w->weight.numel()), NAN));
    gpt->params.set(gpt->lm_head.weight, std::vector<float>(size_t(gpt->lm_head.weight.numel()), NAN));
    for (const float logit : decoder.step(&ids[7])) REQUIRE(std::isfinite(logit));
}

TEST_CASE("generate: a prompt longer than the context is read from its newest part on", "[cpu][generate]") {
    Context ctx;
    const auto gpt = random_model(configs()[0]);
    const std::vector<int> prompt = random_ids(75, 65, 9);
    const int64_t begin = window_begin(75, 32);
    const std::vector<int> newest(prompt.begin() + begin, prompt.end());
    REQUIRE(write(ctx, *gpt, prompt, 4, 1, 0, true) == write(ctx, *gpt, newest, 4, 1, 0, false));
}

TEST_CASE("generate: a window holds half of the context at least, all of it at most, and moves by half",
          "[generate]") {
    for (const int64_t T : {1, 2, 3, 8, 31, 1024})
        for (int64_t n = 1; n < 4 * T; n++) {
            CAPTURE(T, n);
            const int64_t begin = window_begin(n, T), next = window_begin(n + 1, T);
            REQUIRE((n <= T) == (begin == 0));
            REQUIRE(n - begin <= T);
            if (n > T) REQUIRE(n - begin > T / 2);
            REQUIRE((next == begin || (next == begin + T - T / 2 && n - begin == T)));
        }
    REQUIRE(window_begin(1025, 1024) == 512);
    REQUIRE(window_begin(1536, 1024) == 512);
    REQUIRE(window_begin(1537, 1024) == 1024);
}

TEST_CASE("generate: a sample is the same whatever is written beside it, and by any number of threads",
          "[cpu][generate]") {
    Context ctx;
    const auto gpt = random_model(configs()[1]);
    const std::vector<int> prompt = {3, 1, 4};
    const auto together = write(ctx, *gpt, prompt, 60, 7, 1, true);  // a group of four and one of three
    for (size_t s = 0; s < 7; s++) {
        CAPTURE(s);
        REQUIRE(write(ctx, *gpt, prompt, 60, 1, 1, true, s)[0] == together[s]);
    }
    REQUIRE(together[0] != together[1]);
    for (const int threads : {1, 3}) {
        const Threads guard(threads);
        REQUIRE(write(ctx, *gpt, prompt, 60, 7, 1, true) == together);
    }
}

TEST_CASE("generate: a sample that is told to stop stops, the others go on", "[cpu][generate]") {
    Context ctx;
    const auto gpt = random_model(configs()[0]);
    const auto all = write(ctx, *gpt, {1}, 40, 3, 1, true);
    std::vector<Sampler> samplers(3);
    for (size_t s = 0; s < 3; s++) samplers[s].random = {7, s};
    std::vector<std::vector<int>> texts(3);
    generate(ctx, *gpt, {1}, 40, samplers, true, [&](size_t s, int id) {
        texts[s].push_back(id);
        return s != 1 || texts[s].size() < 5;
    });
    REQUIRE(texts[0] == all[0]);
    REQUIRE(texts[1] == std::vector<int>(all[1].begin(), all[1].begin() + 5));
    REQUIRE(texts[2] == all[2]);
}

TEST_CASE("generate: a context of one token", "[cpu][generate]") {
    Context ctx;
    const auto gpt = random_model(small_config(20, 1, 1, 1, 8, 8));
    REQUIRE(write(ctx, *gpt, {1, 2}, 10, 2, 1, true) == write(ctx, *gpt, {1, 2}, 10, 2, 1, false));
}

#ifdef GPT_WITH_GPU
TEST_CASE("generate: CUDA writes what the CPU writes", "[cuda][generate]") {
    if (sizeof(gpu::real) != sizeof(float)) return;  // rounded weights find another token the likeliest
    const GptConfig config = small_config(40, 8, 1, 2, 8, 16);
    const bool is_int8 = GENERATE(false, true);
    std::vector<std::vector<int>> texts[2];
    for (const Device device : {Device::kCpu, Device::kCuda}) {
        Context ctx(device);
        const auto gpt = random_model(config, device);
        const auto int8 = is_int8 ? std::make_unique<Int8Weights>(*gpt) : nullptr;
        texts[device == Device::kCuda] = write(ctx, *gpt, {1, 2, 3}, 15, 2, 0, true, 0, int8.get());
    }
    REQUIRE(texts[0] == texts[1]);
}
#endif
