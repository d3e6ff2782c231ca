// test_context.cpp - making tensors, the guards, the life of a step, stale handles, the watch for non-finite
// numbers, and the profile.
// Not here: how gradients gather (tests/ops/test_gradients.cpp).
#include "core/context.h"

#include <cmath>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "ops/ops.h"
#include "tests/support/catch.h"
#include "tests/support/op_gradcheck.h"
#include "tests/support/throwing_failures.h"

TEST_CASE("make: shape, name, and a gradient while the tape is recording", "[core][cpu]") {
    Context ctx;
    const Tensor t = ctx.make("gelu", {2, 3, 5});
    REQUIRE(t.shape_text() == "(2,3,5)");
    REQUIRE(std::string(t.name) == "gelu");
    REQUIRE(t.numel() == 30);
    REQUIRE(t.rows() == 6);
    REQUIRE(t.last() == 5);
    REQUIRE(t.bytes() == 120);
    REQUIRE((t.gradient && !t.gradient->memory && !t.gradient->is_written && !t.gradient->is_parameter));
    for (const Tensor& other : {ctx.make("a", {7}), ctx.make("b", {2, 3}), ctx.make("c", {2, 3, 4, 5})})
        REQUIRE(same_shape(ctx.make_like("like", other), other));
    REQUIRE(ctx.make("ids", {3}, DType::kInt32).gradient == nullptr);
    const NoGrad no_grad(ctx);
    REQUIRE(ctx.make("gelu", {3}).gradient == nullptr);
}

TEST_CASE("make refuses what is no shape, naming the op", "[core][cpu]") {
    Context ctx;
    REQUIRE_THAT(failure_of([&] {
                     ctx.make("gelu", {2, 0});
                 }).message,
                 contains("[gelu] wants sizes above 0, got 0"));
    REQUIRE_THAT(failure_of([&] { ctx.make("gelu", {-3}); }).message,
                 contains("[gelu] wants sizes above 0, got -3"));
    REQUIRE_THAT(failure_of([&] { ctx.make("gelu", {}); }).message,
                 contains("[gelu] wants 1 to 4 dimensions, got 0"));
    REQUIRE_THAT(failure_of([&] { ctx.make("gelu", {1, 1, 1, 1, 1}); }).message, contains("got 5"));
}

TEST_CASE("a pointer refuses to become another type", "[core][cpu]") {
    Context ctx;
    const Tensor floats = ctx.make("x", {3}), ids = ctx.make("ids", {3}, DType::kInt32);
    REQUIRE(static_cast<float*>(floats.ptr()) == floats.memory);
    REQUIRE(static_cast<const int*>(ids.ptr()) == ids.memory);
    REQUIRE(static_cast<float*>(floats.ptr().at(2)) == static_cast<float*>(floats.memory) + 2);
    const Failure failure = failure_of([&] { static_cast<void>(static_cast<int*>(floats.ptr())); });
    REQUIRE_THAT(failure.message, contains("holds float32, kernel wants int32"));
}

TEST_CASE("a context for a device that the build lacks is refused", "[core][cpu]") {
    if (has_device(Device::kCuda)) return;
    REQUIRE_THAT(failure_of([] { Context ctx(Device::kCuda); }).message, contains("no kernels for cuda"));
}

TEST_CASE("ids and to_host copy between the host and the context", "[core][cpu]") {
    Context ctx;
    std::vector<int> host = {3, 1, 2, 0};
    const Tensor ids = ctx.ids(host.data(), {2, 2});
    host.assign(4, -1);
    const int* copied = ids.ptr();
    REQUIRE(std::vector<int>(copied, copied + 4) == std::vector<int>{3, 1, 2, 0});
    REQUIRE(ctx.to_host(make_tensor(ctx, "loss", {1}, {2.5f})) == 2.5f);
    REQUIRE_THAT(failure_of([&] { ctx.to_host(ctx.make("loss", {2})); }).message, contains("CHECK_EQ"));
}

#ifdef GPT_WITH_GPU
TEST_CASE("a context on the CUDA device keeps its tensors there", "[core][cuda]") {
    Context ctx(Device::kCuda);
    const std::vector<int> host = {3, 1, 2, 0};
    const Tensor ids = ctx.ids(host.data(), {2, 2});
    REQUIRE(ids.device == Device::kCuda);
    std::vector<int> back(4);
    const int* on_device = ids.ptr();
    device_download(ctx.device, back.data(), on_device, ids.bytes());
    REQUIRE(back == host);

    const Tensor loss = ctx.make("loss", {1}, DType::kFloat32);
    const float value = 2.5f;
    device_upload(ctx.device, static_cast<float*>(loss.ptr()), &value, sizeof value);
    REQUIRE(ctx.to_host(loss) == 2.5f);
    REQUIRE((loss.gradient && !loss.gradient->memory));  // the handle's own state is the host's
    ctx.end_step();
#ifdef GPT_DEBUG
    REQUIRE_THAT(failure_of([&] { ids.ptr(); }).message, contains("[ids] stale tensor"));
#endif
}

TEST_CASE("activations on the CUDA device are stored as its kernels want them, statistics as float32",
          "[core][cuda]") {
    Context ctx(Device::kCuda), cpu;
    const DType stored = storage_dtype(Device::kCuda);
    const Tensor x = ctx.make("gelu", {3, 5}), mean = ctx.make("mean", {3}, DType::kFloat32);
    REQUIRE(x.dtype == stored);
    REQUIRE(x.bytes() == 15 * sizeof(gpu::real));
    REQUIRE(ctx.make_like("gelu", x).dtype == stored);
    REQUIRE(ctx.make_like("mean", mean).dtype == DType::kFloat32);
    REQUIRE(cpu.make("gelu", {3, 5}).dtype == DType::kFloat32);  // in the same program
    REQUIRE(static_cast<gpu::real*>(x.ptr()) == x.memory);
    REQUIRE(static_cast<gpu::real*>(x.ptr().at(7)) == static_cast<gpu::real*>(x.memory) + 7);

    // the gradient of an activation is stored like it; a tensor of the other type is refused by name
    const Pointer dx = ctx.grad(x).ptr;
    REQUIRE(dx.dtype == stored);
    REQUIRE(ctx.grad_of(x).dtype == stored);
    if (stored == DType::kFloat32) return;
    REQUIRE_THAT(failure_of([&] { static_cast<void>(static_cast<float*>(dx)); }).message,
                 contains("holds bfloat16, kernel wants float32"));
    REQUIRE_THAT(failure_of([&] { static_cast<void>(static_cast<gpu::real*>(mean.ptr())); }).message,
                 contains("holds float32, kernel wants bfloat16"));
    REQUIRE_THAT(failure_of([&] { gelu(ctx, mean); }).message,
                 contains("holds float32, kernel wants bfloat16"));
    REQUIRE_THAT(failure_of([&] { ctx.to_host(ctx.make("loss", {1})); }).message, contains("holds bfloat16"));
    REQUIRE_THAT(failure_of([&] { ctx.backward(ctx.make("logits", {1})); }).message,
                 contains("a loss is float32, [logits] is bfloat16"));
}

TEST_CASE("what the CUDA device stores is read back as floats", "[core][cuda]") {
    Context ctx(Device::kCuda);
    const std::vector<float> numbers = {1, -2.5f, 0, 3.14159f, 1e30f};
    const Tensor x = ctx.make("x", {5});
    const std::vector<gpu::real> converted(numbers.begin(), numbers.end());
    device_upload(ctx.device, x.memory, converted.data(), x.bytes());
    const std::vector<float> want(converted.begin(), converted.end());
    REQUIRE(floats_on_host(ctx.device, x.ptr(), 5) == want);
    REQUIRE(floats_on_host(ctx.device, x.ptr().at(3), 2) == std::vector<float>(want.begin() + 3, want.end()));
    const int ids[] = {1, 2};
    REQUIRE_THAT(failure_of([&] { floats_on_host(ctx.device, ctx.ids(ids, {2}).ptr(), 2); }).message,
                 contains("holds int32, kernel wants float32"));
}

TEST_CASE("the watch reads tensors of the CUDA device, whatever they are stored as", "[core][cuda]") {
    Context ctx(Device::kCuda);
    ctx.watch_non_finite = true;
    const Tensor x = ctx.make("x", {2, 2});
    std::vector<gpu::real> numbers = {1.0f, 2.0f, 3.0f, 4.0f};
    device_upload(ctx.device, x.memory, numbers.data(), x.bytes());
    gelu(ctx, x);
    REQUIRE(ctx.first_non_finite.empty());
    numbers[2] = INFINITY;
    device_upload(ctx.device, x.memory, numbers.data(), x.bytes());
    relu(ctx, x);
    REQUIRE_THAT(ctx.first_non_finite, contains("forward of [relu] (2,2), element 2 is inf"));
}
#endif

TEST_CASE("backward uses the tape up, end_step gives memory and dropout's sites back", "[core][cpu]") {
    Context ctx;
    const auto step = [&] {
        const Tensor x = make_tensor(ctx, "x", {2}, {1, 2});
        const Tensor loss = sum_weighted(ctx, dropout(ctx, x, 0.5f), {1, 1});
        REQUIRE(ctx.tape.size() == 2);
        REQUIRE(ctx.next_site == 1);
        ctx.backward(loss);
        REQUIRE(ctx.tape.empty());
        ctx.end_step();
        REQUIRE(ctx.next_site == 0);
        return x.memory;
    };
    REQUIRE(step() == step());
}

TEST_CASE("an ArenaScope gives back what was made in it", "[core][cpu]") {
    Context ctx;
    const Tensor before = make_tensor(ctx, "x", {2}, {1, 2});
    void* inside;
    {
        const ArenaScope scope(ctx);
        inside = ctx.make("y", {100}).memory;
        ctx.make("z", {1000});
    }
    REQUIRE(ctx.make("y", {100}).memory == inside);
    REQUIRE(static_cast<const float*>(before.ptr())[1] == 2);
}

TEST_CASE("a handle whose memory was given back is refused in debug builds", "[core][cpu]") {
#ifdef GPT_DEBUG
    Context ctx;
    const Tensor old = ctx.make("gelu", {4});
    ctx.end_step();
    REQUIRE_THAT(failure_of([&] { old.ptr(); }).message, contains("[gelu] stale tensor"));
    const Tensor in_its_place = ctx.make("relu", {4});
    REQUIRE(in_its_place.memory == old.memory);
    REQUIRE_THAT(failure_of([&] { old.ptr(); }).message, contains("[gelu] stale tensor"));
    REQUIRE(static_cast<float*>(in_its_place.ptr()) == in_its_place.memory);

    Tensor scoped;
    {
        const ArenaScope scope(ctx);
        scoped = ctx.make("layernorm", {4});
    }
    REQUIRE_THAT(failure_of([&] { relu(ctx, scoped); }).message, contains("[layernorm] stale tensor"));
#else
    WARN("skipped: only debug builds know a stale handle (BUILD=debug, asan, tsan)");
#endif
}

TEST_CASE("gradients are refused out of order", "[core][cpu]") {
    Context ctx;
    const Tensor y = ctx.make("gelu", {3});
    REQUIRE_THAT(failure_of([&] { ctx.grad_of(y); }).message, contains("[gelu] has no gradient yet"));
    REQUIRE_THAT(failure_of([&] { ctx.param_grad(y); }).message, contains("[gelu] is no parameter"));
    REQUIRE(ctx.param_grad(Tensor{}) == nullptr);
    Tensor without;
    {
        const NoGrad no_grad(ctx);
        without = ctx.make("relu", {3});
        REQUIRE_THAT(failure_of([&] { ctx.backward(without); }).message, contains("NoGrad is in force"));
    }
    REQUIRE_THAT(failure_of([&] { ctx.grad(without); }).message,
                 contains("[relu] was made without a gradient"));
    REQUIRE_THAT(failure_of([&] { ctx.backward(without); }).message,
                 contains("the loss was made without a gradient"));
}

TEST_CASE("the watch names the first output that is not finite, and its element", "[core][cpu]") {
    Context ctx;
    ctx.watch_non_finite = true;
    const Tensor x = make_tensor(ctx, "x", {2, 2}, {1, 2, 3, 4});
    gelu(ctx, x);
    REQUIRE(ctx.first_non_finite.empty());
    static_cast<float*>(x.ptr())[2] = NAN;
    const Tensor y = gelu(ctx, x);
    relu(ctx, y);
    REQUIRE_THAT(ctx.first_non_finite, contains("forward of [gelu] (2,2), element 2 is"));
    REQUIRE_THAT(ctx.first_non_finite, contains("nan"));
}

TEST_CASE("the watch names the first gradient that is not finite", "[core][cpu]") {
    Context ctx;
    ctx.watch_non_finite = true;
    const Tensor x = make_tensor(ctx, "x", {3}, {1, 2, 3});
    const Tensor loss = sum_weighted(ctx, relu(ctx, gelu(ctx, x)), {1, INFINITY, 1});
    REQUIRE_THAT(ctx.first_non_finite, contains("forward of [weighted_sum]"));
    ctx.first_non_finite.clear();
    ctx.backward(loss);
    REQUIRE_THAT(ctx.first_non_finite, contains("backward of [relu] (3), element 1 is inf"));
}

TEST_CASE("a profile counts calls, arithmetic and time of each kernel, whatever the layer", "[core][cpu]") {
    OpUnderTest op({{4, 8}});
    Linear first, second;
    op.declare(&first.weight, "h.0.c_fc.weight", {8, 8});
    op.declare(&second.weight, "h.11.c_fc.weight", {8, 8});
    op.allocate();
    Profile profile;
    op.ctx.profile = &profile;
    linear(op.ctx, linear(op.ctx, op.make_inputs()[0], first), second);
    REQUIRE(profile.entries.size() == 1);
    const auto& [name, entry] = *profile.entries.begin();
    REQUIRE(name == "gemm h..c_fc.weight");
    REQUIRE(entry.calls == 2);
    REQUIRE(entry.flops == 2 * 2.0 * 4 * 8 * 8);
    REQUIRE(entry.seconds >= 0);
}
