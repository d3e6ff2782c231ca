// test_model.cpp - the chapter's model as a whole: it can learn a batch by heart, its tape is the backward
// pass by hand, and threads, micro-batches and a tied head change nothing that they should not.
// Not here: PyTorch's numbers (tests/golden); each op (tests/ops).
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "chapters/00_char_gpt/backward_by_hand.h"
#include "chapters/00_char_gpt/gpt.h"
#include "chapters/00_char_gpt/model.h"
#include "kernels/cpu/gemm.h"
#include "nn/adamw.h"
#include "tests/support/allclose.h"
#include "tests/support/arrays.h"
#include "tests/support/catch.h"
#include "tests/support/throwing_failures.h"

namespace {

// L2 NH2 T16, heads that are narrower than C/NH.
GptConfig tiny() {
    GptConfig config;
    config.V = 19, config.T = 16, config.L = 2, config.NH = 2, config.HS = 5, config.C = 24;
    return config;
}

Batch random_batch(const GptConfig& config, int64_t B, uint64_t stream) {
    return {B, random_ids(B * config.T, config.V, stream), random_ids(B * config.T, config.V, stream + 1)};
}

std::vector<float> values(Gpt& gpt) {
    return {gpt.params.values(), gpt.params.values() + gpt.params.count()};
}
std::vector<float> gradients(Gpt& gpt) {
    return {gpt.params.grads(), gpt.params.grads() + gpt.params.count()};
}

std::vector<float> gradient_of(const Tensor& parameter) {
    const float* g = gradient_to_add_to(parameter);  // zeros, not the last step's, where nothing was written
    return {g, g + parameter.numel()};
}

// Weights large enough that no gradient is close to 0, biases and LayerNorms included.
void fill_weights(Gpt& gpt) {
    for (size_t i = 0; i < gpt.params.size(); i++) {
        const Tensor& p = gpt.params[i];
        const std::vector<float> x = random_floats(p.numel(), 1000 + i, 0.3f);
        std::copy(x.begin(), x.end(), static_cast<float*>(p.ptr()));
    }
}

}  // namespace

TEST_CASE("the model learns one batch by heart", "[chapter00][cpu]") {
    const Activation activation = GENERATE(Activation::kGelu, Activation::kRelu);
    GptConfig config = tiny();
    config.activation = activation;
    CAPTURE(int(activation));
    Context ctx;
    Gpt gpt(ctx.device, config);
    gpt.init(Init::kGpt2, 1);
    AdamW optimizer(ctx.device, gpt.params, {});
    const Batch batch = random_batch(config, 2, 1);  // random targets: nothing but memory helps
    float first = 0, loss = 0;
    int64_t step = 0;
    do {
        gpt.params.zero_grad();
        loss = forward_backward(ctx, gpt, batch, 2);
        if (++step == 1) first = loss;
        optimizer.step(ctx, step, 1e-2f);
        ctx.end_step();
    } while (loss >= 0.1f && step < 300);
    CAPTURE(step);
    REQUIRE(first == Approx(std::log(19.0)).epsilon(0.02));  // before it knows anything: uniform
    REQUIRE(loss < 0.1f);
}

TEST_CASE("the tape's gradients are those of the backward pass by hand, bit for bit",
          "[chapter00][cpu][threads]") {
    GptConfig config = tiny();
    config.tied = GENERATE(false, true);
    config.activation = GENERATE(Activation::kGelu, Activation::kRelu);
    config.qkv_bias = GENERATE(true, false);
    config.head_bias = !config.tied && config.qkv_bias;
    const int threads = GENERATE(1, 3);
    CAPTURE(config.tied, int(config.activation), config.qkv_bias, threads);
    const Threads guard(threads);
    Context ctx;
    Gpt gpt(ctx.device, config);
    fill_weights(gpt);
    const Batch batch = random_batch(config, 3, 4);

    gpt.params.zero_grad();
    const float loss = forward_backward(ctx, gpt, batch, 3);
    std::vector<std::vector<float>> want;
    for (size_t i = 0; i < gpt.params.size(); i++) want.push_back(gradient_of(gpt.params[i]));

    gpt.params.zero_grad();
    const float by_hand =
        by_hand::forward_backward(gpt, batch.inputs.data(), batch.targets.data(), batch.B, config.T);
    REQUIRE(by_hand == loss);
    for (size_t i = 0; i < gpt.params.size(); i++) {
        CAPTURE(gpt.params[i].name);
        const std::vector<float> got = gradient_of(gpt.params[i]);
        REQUIRE(same_bytes(got, want[i]));
        double norm = 0;
        for (const float g : got) norm += double(g) * double(g);
        REQUIRE(norm > 0);  // two zeros are equal, too
    }
}

TEST_CASE("the backward pass by hand skips ignored targets, and refuses dropout", "[chapter00][cpu]") {
    GptConfig config = tiny();
    Context ctx;
    Gpt gpt(ctx.device, config);
    fill_weights(gpt);
    Batch batch = random_batch(config, 2, 4);
    for (size_t i = 0; i < batch.targets.size(); i += 3) batch.targets[i] = kIgnore;
    gpt.params.zero_grad();
    const float by_hand =
        by_hand::forward_backward(gpt, batch.inputs.data(), batch.targets.data(), batch.B, config.T);
    const std::vector<float> got = gradients(gpt);

    gpt.params.zero_grad();
    const Tensor inputs = ctx.ids(batch.inputs.data(), {batch.B, config.T});
    const Tensor targets = ctx.ids(batch.targets.data(), {batch.B, config.T});
    const int64_t counted = count_targets(batch.targets.data(), int64_t(batch.targets.size()));
    const Tensor loss = cross_entropy_inplace(ctx, gpt.forward(ctx, inputs), targets, counted);
    ctx.backward(loss);
    REQUIRE(ctx.to_host(loss) == by_hand);
    REQUIRE(same_bytes(gradients(gpt), got));

    config.dropout = 0.1f;
    Gpt dropping(ctx.device, config);
    REQUIRE_THAT(failure_of([&] {
                     by_hand::forward_backward(dropping, batch.inputs.data(), batch.targets.data(), batch.B,
                                               config.T);
                 }).message,
                 contains("knows no dropout"));
}

TEST_CASE("threads 1, 2, 3, 4: the same weights after training with dropout", "[chapter00][cpu][slow]") {
    constexpr int64_t kSteps = rounds(50, 5);
    GptConfig config = tiny();
    config.dropout = 0.1f;
    require_same_bytes_for_any_threads([&] {
        Context ctx;
        ctx.seed = 3;
        Gpt gpt(ctx.device, config);
        gpt.init(Init::kGpt2, 3);
        AdamWOptions options;
        options.clip = 1;
        AdamW optimizer(ctx.device, gpt.params, options);
        for (int64_t step = 1; step <= kSteps; step++) {
            ctx.step = step;
            gpt.params.zero_grad();
            forward_backward(ctx, gpt, random_batch(config, 4, uint64_t(10 * step)), 2);
            optimizer.step(ctx, step, 1e-3f);
            ctx.end_step();
        }
        std::vector<float> all = values(gpt);
        all.insert(all.end(), optimizer.m(), optimizer.m() + gpt.params.count());
        all.insert(all.end(), optimizer.v(), optimizer.v() + gpt.params.count());
        return all;
    });
}

TEST_CASE("accumulated micro-batches give the gradient of the whole batch", "[chapter00][cpu]") {
    const int64_t B = GENERATE(8, 7);  // 7: the last micro-batch is smaller; a mean of means shows there
    const int64_t micro_batch = GENERATE(1, 2);  // 2: four of them
    CAPTURE(B, micro_batch);
    const GptConfig config = tiny();
    Context ctx;
    Gpt gpt(ctx.device, config);
    fill_weights(gpt);
    const Batch batch = random_batch(config, B, 4);
    gpt.params.zero_grad();
    const float whole_loss = forward_backward(ctx, gpt, batch, B);
    const std::vector<float> whole = gradients(gpt);
    gpt.params.zero_grad();
    const float loss = forward_backward(ctx, gpt, batch, micro_batch);
    REQUIRE(loss == Approx(whole_loss).epsilon(1e-6));
    REQUIRE(relative_norm_error(gpt.params.grads(), whole.data(), gpt.params.count()) < 1e-5);
}

// What the sums allow: a weight's gradient adds up rows in blocks of at most kBlockK, and each of these three micro-batches is
// one; a narrow product in blocks of 96, LayerNorm in ranges of 32 where there are no more than 2,048 rows: 576 are whole ones. A
// tied table is left out: its gradient has two uses, which take turns once a micro-batch.
TEST_CASE("micro-batches of whole blocks give the bytes of the whole batch", "[chapter00][cpu][slow]") {
    GptConfig config = tiny();
    config.V = 1000, config.T = 64, config.L = 1, config.NH = 4, config.HS = 64, config.C = 256;
    config.tied = false;
    Context ctx;
    Gpt gpt(ctx.device, config);
    gpt.init(Init::kGpt2, 1);
    const int64_t micro_batch = std::min(cpu::kBlockK, 576) / config.T, B = 3 * micro_batch;
    REQUIRE(Lanes(ctx, gpt.params).count(B) == 1);
    const Batch batch = random_batch(config, B, 4);
    gpt.params.zero_grad();
    const float whole_loss = forward_backward(ctx, gpt, batch, B);
    const std::vector<float> whole = gradients(gpt);
    gpt.params.zero_grad();
    REQUIRE(forward_backward(ctx, gpt, batch, micro_batch) == Approx(whole_loss).epsilon(1e-6));
    REQUIRE((gradients(gpt) == whole));  // note: in brackets, or Catch takes minutes to write them all out
}

TEST_CASE("a tied head's gradient is the sum of both uses", "[chapter00][cpu]") {
    GptConfig config = tiny();
    Context ctx;
    config.tied = false;
    Gpt untied(ctx.device, config);
    config.tied = true;
    Gpt tied(ctx.device, config);
    fill_weights(untied);
    // The same weights by name; the head's are the table's.
    for (size_t i = 0; i < tied.params.size(); i++)
        for (size_t j = 0; j < untied.params.size(); j++)
            if (std::string(tied.params[i].name) == untied.params[j].name)
                std::memcpy(tied.params[i].memory, untied.params[j].memory, tied.params[i].bytes());
    std::memcpy(untied.lm_head.weight.memory, untied.wte.memory, untied.wte.bytes());
    REQUIRE(tied.params.numel() == untied.params.numel() - config.V * config.C);

    const Batch batch = random_batch(config, 3, 4);
    tied.params.zero_grad();
    untied.params.zero_grad();
    const float loss = forward_backward(ctx, tied, batch, 3);
    REQUIRE(forward_backward(ctx, untied, batch, 3) == loss);
    std::vector<float> sum = gradient_of(untied.wte);
    const std::vector<float> head = gradient_of(untied.lm_head.weight);
    for (size_t i = 0; i < sum.size(); i++) sum[i] += head[i];
    REQUIRE(relative_norm_error(gradient_of(tied.wte).data(), sum.data(), int64_t(sum.size())) < 1e-6);
}

TEST_CASE("a position sees what is before it and nothing behind", "[chapter00][cpu]") {
    const GptConfig config = tiny();
    Context ctx;
    const NoGrad no_grad(ctx);
    Gpt gpt(ctx.device, config);
    fill_weights(gpt);
    std::vector<int> ids = random_ids(config.T, config.V, 1);
    const auto logits = [&] {
        const float* y = gpt.forward(ctx, ctx.ids(ids.data(), {1, config.T})).ptr();
        return std::vector<float>(y, y + config.T * config.V);
    };
    const std::vector<float> before = logits();
    ids[9] = (ids[9] + 1) % int(config.V);
    const std::vector<float> after = logits();
    const auto row = [&](const std::vector<float>& all, int64_t t) {
        return std::vector<float>(all.begin() + t * config.V, all.begin() + (t + 1) * config.V);
    };
    for (int64_t t = 0; t < config.T; t++) {
        CAPTURE(t);
        REQUIRE((row(before, t) == row(after, t)) == (t < 9));
    }
}

TEST_CASE("init: GPT-2's spread, PyTorch's bounds, and LayerNorms that do nothing yet", "[chapter00][cpu]") {
    GptConfig config = tiny();
    config.C = 64, config.tied = false, config.head_bias = true;
    Context ctx;
    Gpt gpt(ctx.device, config);
    const auto spread = [](const Tensor& t) {
        const float* x = t.ptr();
        double squares = 0;
        for (int64_t i = 0; i < t.numel(); i++) squares += double(x[i]) * double(x[i]);
        return std::sqrt(squares / double(t.numel()));
    };
    const GptBlock& block = gpt.h[0];
    gpt.init(Init::kGpt2, 1);
    REQUIRE(spread(gpt.wte) == Approx(0.02).epsilon(0.1));
    REQUIRE(spread(block.c_fc.weight) == Approx(0.02).epsilon(0.1));
    REQUIRE(spread(block.mlp_c_proj.weight) == Approx(0.02 / std::sqrt(2.0 * 2)).epsilon(0.1));
    REQUIRE(spread(block.attn_c_proj.weight) == Approx(0.02 / std::sqrt(2.0 * 2)).epsilon(0.1));
    REQUIRE(spread(block.c_fc.bias) == 0);
    REQUIRE(spread(block.ln_1.weight) == 1);
    REQUIRE(spread(gpt.ln_f.bias) == 0);
    gpt.init(Init::kNormal, 1);
    REQUIRE(spread(block.mlp_c_proj.weight) == Approx(0.02).epsilon(0.1));
    gpt.init(Init::kPytorch, 1);
    REQUIRE(spread(gpt.wte) == Approx(1).epsilon(0.1));
    REQUIRE(spread(block.c_fc.weight) ==
            Approx(1 / std::sqrt(3.0 * 64)).epsilon(0.1));  // uniform +-1/sqrt(in)
    REQUIRE(spread(block.mlp_c_proj.weight) == Approx(1 / std::sqrt(3.0 * 256)).epsilon(0.1));
    REQUIRE(spread(block.c_fc.bias) > 0);
    REQUIRE(spread(gpt.lm_head.bias) > 0);
    REQUIRE(spread(block.ln_1.weight) == 1);
}

TEST_CASE("held_out_loss is the mean over all windows, in one piece or many, and ignores dropout",
          "[chapter00][cpu]") {
    GptConfig config = tiny();
    config.dropout = 0.5f;
    Context ctx;
    Gpt gpt(ctx.device, config);
    fill_weights(gpt);
    const std::vector<int> ids =
        random_ids(300 * config.T + 7, config.V, 1);  // more than 4096 rows, and a rest
    double sum = 0;
    int64_t windows = 0;
    for (size_t begin = 0; begin + size_t(config.T) < ids.size(); begin += size_t(config.T), windows++) {
        const NoGrad no_grad(ctx);
        const ArenaScope scope(ctx);
        const Tensor inputs = ctx.ids(&ids[begin], {1, config.T}),
                     targets = ctx.ids(&ids[begin + 1], {1, config.T});
        sum += double(ctx.to_host(cross_entropy(ctx, gpt.forward(ctx, inputs), targets, config.T)));
    }
    REQUIRE(windows == 300);
    REQUIRE(held_out_loss(ctx, gpt, ids) == Approx(sum / 300).epsilon(1e-6));
    REQUIRE(ctx.is_recording);
}

TEST_CASE("generate continues with what the model thinks likeliest, beyond its context", "[chapter00][cpu]") {
    const GptConfig config = tiny();
    Context ctx;
    Gpt gpt(ctx.device, config);
    fill_weights(gpt);
    Sampler greedy;
    greedy.temperature = 0;
    const std::vector<int> prompt = {1, 2, 3};
    std::vector<int> text = prompt;
    generate(ctx, gpt, prompt, 2 * config.T, greedy, [&](int id) { text.push_back(id); });
    REQUIRE(text.size() == prompt.size() + size_t(2 * config.T));
    // Each id again, from the last T before it.
    for (size_t i = prompt.size(); i < text.size(); i++) {
        const NoGrad no_grad(ctx);
        const ArenaScope scope(ctx);
        const int64_t t = std::min<int64_t>(int64_t(i), config.T);
        const Tensor logits = gpt.forward(ctx, ctx.ids(&text[i - size_t(t)], {1, t}));
        const float* last = static_cast<const float*>(logits.ptr()) + (t - 1) * config.V;
        CAPTURE(i);
        REQUIRE(text[i] == int(std::max_element(last, last + config.V) - last));
    }
}
