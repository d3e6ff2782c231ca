// test_cross_entropy.cpp - the loss as an op: finite differences through the tape, ignored targets, and the
// in-place form against the plain one.
#include <cmath>
#include <vector>

#include "ops/ops.h"
#include "tests/support/catch.h"
#include "tests/support/op_gradcheck.h"
#include "tests/support/throwing_failures.h"

namespace {

struct Loss {
    std::vector<int> targets;
    int64_t counted_in_batch = 0;  // 0: these targets are the whole batch

    int64_t counted() const {
        return counted_in_batch ? counted_in_batch : count_targets(targets.data(), int64_t(targets.size()));
    }
    Tensor target_ids(Context& ctx) const { return ctx.ids(targets.data(), {int64_t(targets.size())}); }
    Tensor plain(Context& ctx, const Tensor& logits) const {
        return cross_entropy(ctx, logits, target_ids(ctx), counted());
    }
    Tensor inplace(Context& ctx, const Tensor& logits) const {
        return cross_entropy_inplace(ctx, logits, target_ids(ctx), counted());
    }
};

const Loss kAll{{3, 0, 8, 1}}, kSome{{kIgnore, 0, 8, kIgnore}};

}  // namespace

TEST_CASE("count_targets counts what is not ignored", "[cpu]") {
    REQUIRE(kAll.counted() == 4);
    REQUIRE(kSome.counted() == 2);
    REQUIRE(count_targets(nullptr, 0) == 0);
}

TEST_CASE("cross_entropy: the gradient is finite differences', ignored targets or not", "[grad][cpu]") {
    const Loss loss = GENERATE(kAll, kSome);
    const bool is_inplace = GENERATE(false, true);
    CAPTURE(loss.counted(), is_inplace);
    OpUnderTest op({{2, 2, 9}});
    op.check("cross_entropy", [&](Context& ctx, const std::vector<Tensor>& in) {
        return is_inplace ? loss.inplace(ctx, in[0]) : loss.plain(ctx, in[0]);
    });
}

TEST_CASE("cross_entropy through a linear: the gradient of the weight is finite differences'",
          "[grad][cpu]") {
    const bool is_inplace = GENERATE(false, true);
    OpUnderTest op({{2, 2, 5}});
    Linear head;
    op.declare(&head.weight, "head.weight", {9, 5});
    op.check("cross_entropy of linear", [&](Context& ctx, const std::vector<Tensor>& in) {
        const Tensor logits = linear(ctx, in[0], head);
        return is_inplace ? kSome.inplace(ctx, logits) : kSome.plain(ctx, logits);
    });
}

TEST_CASE("cross_entropy_inplace equals cross_entropy, bit for bit", "[cpu]") {
    for (const Loss& loss : {kAll, kSome, Loss{kSome.targets, 3}}) {  // 3: a scale that is no power of two
        CAPTURE(loss.counted());
        OpUnderTest op({{2, 2, 9}});
        const auto plain = op.run([&](Context& ctx, const auto& in) { return loss.plain(ctx, in[0]); });
        const auto inplace = op.run([&](Context& ctx, const auto& in) { return loss.inplace(ctx, in[0]); });
        REQUIRE(same_bytes(plain.output, inplace.output));
        REQUIRE(same_bytes(plain.gradients[0], inplace.gradients[0]));
    }
}

TEST_CASE("losses and gradients of a batch in parts add up to the batch's", "[cpu]") {
    const bool is_inplace = GENERATE(false, true);
    OpUnderTest batch({{4, 9}});
    const auto run = [&](int64_t first, int64_t end) {  // rows of the batch
        const Loss loss{{&kAll.targets[size_t(first)], kAll.targets.data() + end}, kAll.counted()};
        OpUnderTest op({{end - first, 9}});
        op.values[0].assign(&batch.values[0][size_t(first) * 9], batch.values[0].data() + end * 9);
        return op.run([&](Context& ctx, const std::vector<Tensor>& in) {
            return is_inplace ? loss.inplace(ctx, in[0]) : loss.plain(ctx, in[0]);
        });
    };
    const auto whole = run(0, 4), half = run(0, 2), other = run(2, 4);
    std::vector<float> gradients = half.gradients[0];
    gradients.insert(gradients.end(), other.gradients[0].begin(), other.gradients[0].end());
    CAPTURE(is_inplace);
    REQUIRE(gradients == whole.gradients[0]);
    REQUIRE(std::fabs(half.output[0] + other.output[0] - whole.output[0]) < 1e-6f * whole.output[0]);
}

TEST_CASE("cross_entropy adds to a gradient that is there", "[cpu]") {
    OpUnderTest op({{2, 2, 9}});
    const OpFunction once = [](Context& ctx, const auto& in) { return kAll.plain(ctx, in[0]); };
    const OpFunction twice = [](Context& ctx, const auto& in) {
        return add(ctx, kAll.plain(ctx, in[0]), kAll.plain(ctx, in[0]));
    };
    const std::vector<float> one = op.run(once).gradients[0], two = op.run(twice).gradients[0];
    for (size_t i = 0; i < one.size(); i++) REQUIRE(std::fabs(two[i] - 2 * one[i]) < 1e-6f);
}

TEST_CASE("cross_entropy refuses what it cannot average", "[cpu]") {
    OpUnderTest op({{2, 2, 9}});
    const Tensor logits = op.make_inputs()[0];
    const std::vector<int> ids(6, 0);
    for (const auto f : {cross_entropy, cross_entropy_inplace}) {
        const Tensor too_many = op.ctx.ids(ids.data(), {6}), right = op.ctx.ids(ids.data(), {2, 2});
        REQUIRE_THAT(failure_of([&] { f(op.ctx, logits, too_many, 6); }).message,
                     contains("6 targets for logits (2,2,9)"));
        REQUIRE_THAT(failure_of([&] { f(op.ctx, logits, right, 0); }).message,
                     contains("every target is ignored"));
    }
}

TEST_CASE("cross_entropy_inplace refuses logits that another op has used after it", "[cpu]") {
    OpUnderTest op({{4, 9}});
    const OpFunction also_used = [](Context& ctx, const std::vector<Tensor>& in) {
        const Tensor loss = kAll.inplace(ctx, in[0]);
        return add(ctx, loss, sum_weighted(ctx, in[0], random_weights(in[0].numel())));
    };
    REQUIRE_THAT(failure_of([&] { op.run(also_used); }).message,
                 contains("[cross_entropy_inplace] another op used the logits that it overwrote"));
}
