// test_cross_entropy.cpp - loss and gradient of softmax cross-entropy against plain double-precision loops,
// for logits that overflow an exponential, for ignored targets, and in place.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/kernels.h"
#include "tests/kernels/problems/cross_entropy.h"
#include "tests/support/arrays.h"
#include "tests/support/catch.h"
#include "tests/support/throwing_failures.h"

namespace {

using namespace cross_entropy_problem;

Result two_buffers(const Problem& p) {
    Result r{std::vector<float>(size_t(p.N), NAN), std::vector<float>(p.logits.size(), NAN)};
    cpu::cross_entropy_forward(r.losses.data(), p.logits.data(), p.targets.data(), p.N, p.V, {});
    cpu::cross_entropy_backward(r.dlogits.data(), p.logits.data(), p.targets.data(), p.N, p.V, kScale, false,
                                {});
    return r;
}

Result in_place(const Problem& p) {
    Result r{std::vector<float>(size_t(p.N), NAN), p.logits};
    cpu::cross_entropy_forward_backward(r.losses.data(), r.dlogits.data(), p.targets.data(), p.N, p.V, kScale,
                                        {});
    return r;
}

}  // namespace

TEST_CASE("cross_entropy equals plain loops", "[cpu]") {
    const auto [N, V] = GENERATE(table<int64_t, int64_t>(
        {{1, 1}, {3, 1}, {1, 2}, {5, 7}, {7, 16}, {9, 17}, {130, 65}, {65, 100}, {11, 4097}, {6, 50257}}));
    const Threads two(2);
    const Problem p(N, V);
    const Reference want = reference(p);
    const Result got = two_buffers(p);
    require_close(p, "two buffers", got, want);

    // In place: the same bytes.
    const Result same = in_place(p);
    CAPTURE(p.sizes());
    REQUIRE(same_bytes(same.losses, got.losses));
    REQUIRE(same_bytes(same.dlogits, got.dlogits));
}

TEST_CASE("cross_entropy_backward adds when told to, and adds nothing for an ignored target", "[cpu]") {
    const Problem p(8, 37);
    const std::vector<float> before = random_floats(p.N * p.V, 3);
    std::vector<float> dlogits = before;
    cpu::cross_entropy_backward(dlogits.data(), p.logits.data(), p.targets.data(), p.N, p.V, kScale, true,
                                {});
    std::vector<double> want = reference(p).dlogits;
    for (size_t i = 0; i < want.size(); i++) want[i] += double(before[i]);
    REQUIRE(allclose("cross_entropy_backward, accumulated", p.sizes(), dlogits.data(), want.data(), p.N * p.V,
                     kTolerance, kTolerance) == "");
    const auto row = std::ptrdiff_t(2 * p.V);
    REQUIRE(p.targets[2] == kIgnore);
    REQUIRE(
        std::equal(before.begin() + row, before.begin() + row + std::ptrdiff_t(p.V), dlogits.begin() + row));
}

TEST_CASE("cross_entropy of extreme logits neither overflows nor loses the answer", "[cpu]") {
    const Problem p = extreme_problem();
    const Reference want = reference(p);
    require_close(p, "two buffers", two_buffers(p), want);
    require_close(p, "in place", in_place(p), want);
    REQUIRE(std::fabs(want.losses[2] - std::log(35.0)) < 1e-12);
}

TEST_CASE("cross_entropy lets no NaN or infinity pass for a finite loss", "[cpu]") {
    const float bad = GENERATE(float(NAN), float(INFINITY));
    const int64_t V = GENERATE(7, 64);
    CAPTURE(bad, V);
    Problem p(1, V);
    p.targets[0] = 0;
    p.logits[3] = bad;  // not the target's
    REQUIRE_FALSE(std::isfinite(two_buffers(p).losses[0]));
    REQUIRE_FALSE(std::isfinite(in_place(p).losses[0]));
}

TEST_CASE("cross_entropy leaves the same bytes for any number of threads", "[cpu]") {
    const auto [N, V] = GENERATE(table<int64_t, int64_t>({{300, 65}, {19, 5003}}));
    const Problem p(N, V);
    require_same_bytes_for_any_threads([&] {
        const Result r = two_buffers(p), same = in_place(p);
        std::vector<float> all = r.losses;
        all.insert(all.end(), r.dlogits.begin(), r.dlogits.end());
        all.insert(all.end(), same.dlogits.begin(), same.dlogits.end());
        return all;
    });
}

TEST_CASE("mean_loss divides by the targets that count", "[cpu]") {
    const std::vector<float> losses = {1.0f, 0.0f, 2.5f, 0.5f};
    float mean = NAN;
    cpu::mean_loss(&mean, losses.data(), 4, 3, {});
    REQUIRE(mean == float(4.0 / 3.0));
    cpu::mean_loss(&mean, losses.data(), 1, 1, {});
    REQUIRE(mean == 1.0f);
}

#ifdef GPT_DEBUG
TEST_CASE("cross_entropy refuses a target outside the vocabulary in debug builds", "[cpu]") {
    Problem p(2, 9);
    const int target = GENERATE(-2, 9);
    p.targets[1] = target;
    REQUIRE_THAT(failure_of([&] { two_buffers(p); }).message,
                 contains(format("[cross_entropy] target %d is outside [0,9)", target)));
    REQUIRE_THAT(failure_of([&] { in_place(p); }).message, contains("[cross_entropy] target"));
}
#endif
