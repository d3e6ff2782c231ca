// test_cross_entropy.cpp - gpu:: loss and gradient of softmax cross-entropy against plain double-precision
// loops and against cpu::, for logits that overflow an exponential, for ignored targets, and in place.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/kernels.h"
#include "tests/kernels/problems/cross_entropy.h"
#include "tests/support/allclose.h"
#include "tests/support/gpu.h"
#include "tests/support/throwing_failures.h"

#ifdef GPT_WITH_GPU

#include "kernels/cuda/cross_entropy.cuh"

using namespace cross_entropy_problem;

namespace {

Result two_buffers(const Problem& p) {
    const auto results = in_any_order([&] {
        const RealArray logits(p.logits), dlogits(p.N * p.V);
        const IntArray targets(p.targets);
        const FloatArray losses(p.N);
        gpu::cross_entropy_forward(losses, logits, targets, p.N, p.V, {});
        gpu::cross_entropy_backward(dlogits, logits, targets, p.N, p.V, kScale, false, {});
        return std::vector<std::vector<float>>{losses.host(), dlogits.host()};
    });
    return {results[0], results[1]};
}

Result in_place(const Problem& p,
                CrossEntropyInPlace* forward_backward = gpu::cross_entropy_forward_backward) {
    const auto results = in_any_order([&] {
        const RealArray logits(p.logits);
        const IntArray targets(p.targets);
        const FloatArray losses(p.N);
        forward_backward(losses, logits, targets, p.N, p.V, kScale, {});
        return std::vector<std::vector<float>>{losses.host(), logits.host()};
    });
    return {results[0], results[1]};
}

template <class Want>  // Result of cpu::, or Reference
std::string differences(const char* what, const Problem& p, const Result& got, const Want& want) {
    const double storage = kTolerance + kStorageRounding;
    return allclose(std::string(what) + ", losses", p.sizes(), got.losses.data(), want.losses.data(), p.N,
                    kTolerance, kTolerance) +
           allclose(std::string(what) + ", dlogits", p.sizes(), got.dlogits.data(), want.dlogits.data(),
                    p.N * p.V, storage, storage * double(kScale));
}

}  // namespace

TEST_CASE("gpu::cross_entropy equals plain loops, and cpu::cross_entropy", "[cuda]") {
    const auto [N, V] = GENERATE(table<int64_t, int64_t>({{1, 1},
                                                          {3, 1},
                                                          {1, 2},
                                                          {5, 7},
                                                          {7, 16},
                                                          {9, 17},
                                                          {12, 65},
                                                          {3, 1024},
                                                          {3, 1025},
                                                          {130, 65},
                                                          {5, 4097},
                                                          {6, 50257}}));
    if (kUnderTsan && N * V > 1000) return;
    Problem p(N, V);
    p.logits = stored(p.logits);
    const Result got = two_buffers(p), same = in_place(p, cross_entropy_plain::forward_backward);
    REQUIRE(differences("cross_entropy", p, got, reference(p)) == "");
    CAPTURE(p.sizes());
    REQUIRE(same_bytes(same.losses, got.losses));
    REQUIRE(same_bytes(same.dlogits, got.dlogits));

    Result cpu{std::vector<float>(size_t(N)), p.logits};
    cpu::cross_entropy_forward_backward(cpu.losses.data(), cpu.dlogits.data(), p.targets.data(), N, V, kScale,
                                        {});
    REQUIRE(differences("cross_entropy, cpu", p, got, cpu) == "");
}

TEST_CASE("gpu::cross_entropy_backward adds when told to, and adds nothing for an ignored target", "[cuda]") {
    Problem p(8, 37);
    p.logits = stored(p.logits);
    const std::vector<float> before = stored(random_floats(p.N * p.V, 3));
    const auto results = in_any_order([&] {
        const RealArray logits(p.logits), dlogits(before);
        const IntArray targets(p.targets);
        gpu::cross_entropy_backward(dlogits, logits, targets, p.N, p.V, kScale, true, {});
        return std::vector<std::vector<float>>{dlogits.host()};
    });
    std::vector<double> want = reference(p).dlogits;
    for (size_t i = 0; i < want.size(); i++) want[i] += double(before[i]);
    const double tolerance = kTolerance + kStorageRounding;
    REQUIRE(allclose("cross_entropy_backward, accumulated", p.sizes(), results[0].data(), want.data(),
                     p.N * p.V, tolerance, tolerance) == "");
    const auto row = std::ptrdiff_t(2 * p.V);
    REQUIRE(p.targets[2] == kIgnore);
    REQUIRE(std::equal(before.begin() + row, before.begin() + row + std::ptrdiff_t(p.V),
                       results[0].begin() + row));
}

TEST_CASE("gpu::cross_entropy of extreme logits neither overflows nor loses the answer", "[cuda]") {
    Problem p = extreme_problem();
    p.logits = stored(p.logits);
    const Reference want = reference(p);
    REQUIRE(differences("cross_entropy of extremes", p, two_buffers(p), want) == "");
    REQUIRE(differences("cross_entropy of extremes, in place", p, in_place(p), want) == "");
    REQUIRE(std::fabs(want.losses[2] - std::log(35.0)) < 1e-12);
}

TEST_CASE("gpu::cross_entropy lets no NaN or infinity pass for a finite loss", "[cuda]") {
    const float bad = GENERATE(float(NAN), float(INFINITY));
    const int64_t V = GENERATE(7, 64);
    CAPTURE(bad, V);
    Problem p(1, V);
    p.targets[0] = 0;
    p.logits[3] = bad;  // not the target's
    REQUIRE_FALSE(std::isfinite(two_buffers(p).losses[0]));
    REQUIRE_FALSE(std::isfinite(in_place(p).losses[0]));
}

// 8192 and 50257: two and nine pieces of 16 bytes for each thread, or twice as many; odd sizes: rows that begin
// anywhere. Below 1024 it is not chosen, but right all the same.
TEST_CASE("gpu::cross_entropy with the row in registers equals plain loops", "[cuda]") {
    const auto [N, V] = GENERATE(table<int64_t, int64_t>(
        {{1, 1}, {5, 7}, {9, 17}, {4, 1024}, {11, 1025}, {3, 8193}, {3, 16391}, {3, 27647}, {3, 50257}}));
    if (kUnderTsan && N * V > 1000) return;
    if (V >= 1024 && !cross_entropy_registers::takes(V)) {
        REQUIRE((V == 50257 && sizeof(gpu::real) == 4));  // float: too wide
        return;
    }
    Problem p(N, V);
    p.logits = stored(p.logits);
    REQUIRE(differences("cross_entropy in registers", p,
                        in_place(p, cross_entropy_registers::forward_backward), reference(p)) == "");
}

TEST_CASE("gpu::cross_entropy in registers: extremes, and no NaN passes for a finite loss", "[cuda]") {
    Problem p = extreme_problem();
    p.logits = stored(p.logits);
    REQUIRE(differences("cross_entropy of extremes, in registers", p,
                        in_place(p, cross_entropy_registers::forward_backward), reference(p)) == "");
    const float bad = GENERATE(float(NAN), float(INFINITY));
    for (const size_t at : {size_t(3), size_t(60)}) {  // in a whole piece, behind the last one
        Problem q(1, 61);
        q.targets[0] = 0;
        q.logits[at] = bad;
        REQUIRE_FALSE(std::isfinite(in_place(q, cross_entropy_registers::forward_backward).losses[0]));
    }
}

TEST_CASE("gpu::cross_entropy_forward_backward calls the form that is chosen", "[cuda]") {
    if (kUnderTsan) return;
    const Problem p(40, 1031);  // so many that the forms' roundings show
    const Result plain = in_place(p, cross_entropy_plain::forward_backward),
                 fast = in_place(p, cross_entropy_registers::forward_backward);
    REQUIRE(!same_bytes(plain.losses, fast.losses));  // or this test sees nothing
    for (const bool is_fast : {false, true}) {
        const ForcedForm form(cross_entropy_in_registers(), is_fast);
        REQUIRE(same_bytes(in_place(p).losses, (is_fast ? fast : plain).losses));
    }
    const ForcedForm form(cross_entropy_in_registers(), true);
    REQUIRE(same_bytes(in_place(Problem(2, 65)).losses,
                       in_place(Problem(2, 65), cross_entropy_plain::forward_backward).losses));
}

TEST_CASE("gpu::mean_loss divides by the targets that count", "[cuda]") {
    const int64_t N = GENERATE(1, 4, 31, 1000, 2049);
    CAPTURE(N);
    const std::vector<float> losses = random_floats(N, 1);
    float cpu = NAN;
    cpu::mean_loss(&cpu, losses.data(), N, N + 3, {});
    const auto results = in_any_order([&] {
        const FloatArray losses_d(losses), mean(1);
        gpu::mean_loss(mean, losses_d, N, N + 3, {});
        return std::vector<std::vector<float>>{mean.host()};
    });
    // both in double: at most the last bit of the float may differ
    REQUIRE(std::fabs(results[0][0] - cpu) <= 1.2e-7f * std::fabs(cpu));
}

#if defined(GPT_DEBUG) && defined(GPT_CUDA_ON_HOST)
TEST_CASE("gpu::cross_entropy refuses a target outside the vocabulary in debug builds", "[cuda]") {
    Problem p(2, 9);
    const int target = GENERATE(-2, 9);
    p.targets[1] = target;
    const RealArray logits(p.logits);
    const IntArray targets(p.targets);
    const FloatArray losses(p.N);
    const std::string want = format("[cross_entropy] target %d is outside [0,9)", target);
    REQUIRE_THAT(
        failure_of([&] { gpu::cross_entropy_forward(losses, logits, targets, p.N, p.V, {}); }).message,
        contains(want));
    REQUIRE_THAT(failure_of([&] {
                     gpu::cross_entropy_forward_backward(losses, logits, targets, p.N, p.V, kScale, {});
                 }).message,
                 contains(want));
}
#endif

#endif
