// test_embedding.cpp - cpu::embedding_forward and _backward against plain loops.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/kernels.h"
#include "tests/kernels/problems/embedding.h"
#include "tests/support/allclose.h"
#include "tests/support/arrays.h"
#include "tests/support/catch.h"
#include "tests/support/throwing_failures.h"

namespace {

using embedding_problem::Gradients;
using embedding_problem::Problem;

Gradients backward(const Problem& p) {
    Gradients g{p.dwte_before, p.dwpe_before};
    cpu::embedding_backward(g.dwte.data(), g.dwpe.data(), p.dout.data(), p.ids.data(), p.B, p.T, p.C, p.V,
                            {});
    return g;
}

const auto kSizes = {
    Problem(1, 1, 1, 1),     Problem(2, 3, 5, 4),       Problem(3, 7, 17, 2),
    Problem(64, 32, 48, 65), Problem(2, 33, 50, 50257),
};

}  // namespace

TEST_CASE("embedding_forward is two rows added, exactly", "[cpu]") {
    for (const Problem& p : kSizes) {
        const Threads two(2);
        std::vector<float> out(size_t(p.B * p.T * p.C), NAN), want(out.size());
        cpu::embedding_forward(out.data(), p.ids.data(), p.wte.data(), p.wpe.data(), p.B, p.T, p.C, p.V, {});
        for (int64_t i = 0; i < p.B * p.T; i++)
            for (int64_t c = 0; c < p.C; c++)
                want[size_t(i * p.C + c)] =
                    p.wte[size_t(p.ids[size_t(i)] * p.C + c)] + p.wpe[size_t(i % p.T * p.C + c)];
        REQUIRE(allclose("embedding_forward", p.sizes(), out.data(), want.data(), int64_t(out.size()), 0,
                         0) == "");
    }
}

TEST_CASE("embedding_backward adds each row to its token and its position", "[cpu]") {
    for (const Problem& p : kSizes) {
        const Threads two(2);
        require_close(p, backward(p));
    }
}

TEST_CASE("embedding leaves the same bytes for any number of threads", "[cpu]") {
    const Problem p(16, 40, 77,
                    3);  // three ids for 640 rows: what threads could get wrong is the order of sums
    require_same_bytes_for_any_threads([&] {
        std::vector<float> all(size_t(p.B * p.T * p.C));
        cpu::embedding_forward(all.data(), p.ids.data(), p.wte.data(), p.wpe.data(), p.B, p.T, p.C, p.V, {});
        const Gradients g = backward(p);
        all.insert(all.end(), g.dwte.begin(), g.dwte.end());
        all.insert(all.end(), g.dwpe.begin(), g.dwpe.end());
        return all;
    });
}

#ifdef GPT_DEBUG
TEST_CASE("embedding_forward refuses an id outside the vocabulary in debug builds", "[cpu]") {
    Problem p(1, 3, 4, 5);
    const int id = GENERATE(-1, 5);
    p.ids[1] = id;
    std::vector<float> out(size_t(p.B * p.T * p.C));
    const Failure failure = failure_of([&] {
        cpu::embedding_forward(out.data(), p.ids.data(), p.wte.data(), p.wpe.data(), p.B, p.T, p.C, p.V, {});
    });
    REQUIRE_THAT(failure.message, contains(format("[embedding] id %d of row 1 is outside [0,5)", id)));
}
#endif
