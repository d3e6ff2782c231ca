// test_embedding.cpp - gpu::embedding_forward and _backward against plain loops, and against cpu::.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/kernels.h"
#include "tests/kernels/problems/embedding.h"
#include "tests/support/allclose.h"
#include "tests/support/gpu.h"
#include "tests/support/throwing_failures.h"

#ifdef GPT_WITH_GPU

using embedding_problem::Gradients;
using embedding_problem::Problem;

namespace {

std::vector<float> forward(const Problem& p) {
    return in_any_order([&] {
        const RealArray wte(p.wte), wpe(p.wpe), out(p.B * p.T * p.C);
        const IntArray ids(p.ids);
        gpu::embedding_forward(out, ids, wte, wpe, p.B, p.T, p.C, p.V, {});
        return std::vector<std::vector<float>>{out.host()};
    })[0];
}

Gradients backward(const Problem& p) {
    const auto results = in_any_order([&] {
        const RealArray dout(p.dout);
        const IntArray ids(p.ids);
        const FloatArray dwte(p.dwte_before), dwpe(p.dwpe_before);
        gpu::embedding_backward(dwte, dwpe, dout, ids, p.B, p.T, p.C, p.V, {});
        return std::vector<std::vector<float>>{dwte.host(), dwpe.host()};
    });
    return {results[0], results[1]};
}

// The last but one: every row has the same id. The last: ids that repeat across the tiles of the sorting.
std::vector<Problem> problems() {
    std::vector<Problem> all = {Problem(1, 1, 1, 1),     Problem(2, 3, 5, 4),    Problem(3, 7, 17, 2),
                                Problem(2, 33, 50, 257), Problem(1, 70, 300, 9), Problem(2, 40, 131, 1),
                                Problem(17, 31, 48, 65)};
    if (kUnderTsan) all.erase(all.begin() + 3, all.end());
    for (Problem& p : all)
        for (auto* x : {&p.wte, &p.wpe, &p.dout}) *x = stored(*x);
    return all;
}

}  // namespace

TEST_CASE("gpu::embedding_forward is two rows added, exactly", "[cuda]") {
    for (const Problem& p : problems()) {
        std::vector<float> cpu(size_t(p.B * p.T * p.C));
        cpu::embedding_forward(cpu.data(), p.ids.data(), p.wte.data(), p.wpe.data(), p.B, p.T, p.C, p.V, {});
        const std::vector<float> got = forward(p), want = stored(cpu);
        REQUIRE(allclose("embedding_forward", p.sizes(), got.data(), want.data(), int64_t(want.size()), 0,
                         0) == "");
    }
}

TEST_CASE("gpu::embedding_backward adds each row to its token and its position", "[cuda]") {
    for (const Problem& p : problems()) {
        const Gradients got = backward(p);
        require_close(p, got);

        Gradients cpu{p.dwte_before, p.dwpe_before};
        cpu::embedding_backward(cpu.dwte.data(), cpu.dwpe.data(), p.dout.data(), p.ids.data(), p.B, p.T, p.C,
                                p.V, {});
        const double tolerance = 1e-6 * (4 + std::sqrt(double(p.B * p.T)));
        REQUIRE(allclose("embedding dwte, cpu", p.sizes(), got.dwte.data(), cpu.dwte.data(),
                         int64_t(cpu.dwte.size()), 1e-5, tolerance) == "");
        REQUIRE(allclose("embedding dwpe, cpu", p.sizes(), got.dwpe.data(), cpu.dwpe.data(),
                         int64_t(cpu.dwpe.size()), 1e-5, tolerance) == "");
    }
}

#if defined(GPT_DEBUG) && defined(GPT_CUDA_ON_HOST)
TEST_CASE("gpu::embedding_forward refuses an id outside the vocabulary in debug builds", "[cuda]") {
    Problem p(1, 3, 4, 5);
    const int id = GENERATE(-1, 5);
    p.ids[1] = id;
    REQUIRE_THAT(failure_of([&] { forward(p); }).message,
                 contains(format("[embedding] id %d of row 1 is outside [0,5)", id)));
}
#endif

#endif
