// test_gemm_choice.cpp - which of a library's algorithms is taken for a product, without a library: algorithms are
// numbers here, and their times are made up.
#include "kernels/cuda/gemm_choice.h"

#include <cstdlib>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/throwing_failures.h"

namespace {

// A library with these times, algorithm by algorithm; below 0: does not run.
struct Library {
    std::vector<double> times;
    int proposals = 0, timings = 0;
    FastestChoice<int, size_t> choice{};

    // The algorithm's number, -1 for none.
    int choose(int key, bool may_time = true) {
        const auto propose = [this] {
            proposals++;
            std::vector<size_t> all;
            for (size_t a = 0; a < times.size(); a++) all.push_back(a);
            return all;
        };
        const auto seconds = [this](size_t algorithm) {
            timings++;
            return times[algorithm];
        };
        const size_t* chosen = choice.get(
            key, propose, [may_time] { return may_time; }, seconds);
        return chosen ? int(*chosen) : -1;
    }
};

}  // namespace

TEST_CASE("the fastest algorithm is chosen, and timed once for each product", "[gemm_choice]") {
    Library library{{5, 3, 4, 2, 6}};
    REQUIRE(library.choose(1) == 3);
    REQUIRE(library.timings == 5);
    library.times = {1, 9, 9, 9, 9};  // a neighbour woke up
    REQUIRE(library.choose(1) == 3);
    REQUIRE(library.timings == 5);
    REQUIRE(library.proposals == 1);
    REQUIRE(library.choose(2) == 0);
    REQUIRE(library.choose(1) == 3);
}

TEST_CASE("the first proposal stays unless another is clearly faster", "[gemm_choice]") {
    REQUIRE(Library{{1.00, 0.98, 0.99}}.choose(1) == 0);
    REQUIRE(Library{{1.00, 0.98, 0.96}}.choose(1) == 2);
    REQUIRE(Library{{1.00, 0.96, 0.955}}.choose(1) == 2);  // among the others, the fastest
}

TEST_CASE("an algorithm that does not run is passed over", "[gemm_choice]") {
    REQUIRE(Library{{-1, 4, 3}}.choose(1) == 2);
    REQUIRE(Library{{-1, -1, 3}}.choose(1) == 2);
    REQUIRE(Library{{4, -1, -1}}.choose(1) == 0);
}

TEST_CASE("no algorithm is an answer too, and remembered", "[gemm_choice]") {
    Library nothing{{}};
    REQUIRE(nothing.choose(1) == -1);
    REQUIRE(nothing.choose(1) == -1);
    REQUIRE(nothing.choose(1, false) == -1);
    REQUIRE(nothing.proposals == 1);
    REQUIRE(Library{{-1, -1}}.choose(1) == -1);
}

TEST_CASE("where timing is not allowed the first proposal is taken", "[gemm_choice]") {
    Library library{{5, 3, 1}};
    REQUIRE(library.choose(1, false) == 0);
    REQUIRE(library.timings == 0);
    REQUIRE(library.choose(1, true) == 0);  // and stays, so that a run keeps its bits
    REQUIRE(library.timings == 0);
    REQUIRE(library.choose(2, true) == 2);
}

TEST_CASE("GPT_GEMM_TUNE allows timing or does not", "[gemm_choice]") {
    ThrowingFailures throwing;
    unsetenv("GPT_GEMM_TUNE");
    REQUIRE(may_time_products());
    setenv("GPT_GEMM_TUNE", "1", 1);
    REQUIRE(may_time_products());
    setenv("GPT_GEMM_TUNE", "0", 1);
    REQUIRE_FALSE(may_time_products());
    setenv("GPT_GEMM_TUNE", "never", 1);
    REQUIRE_THROWS_WITH(may_time_products(), contains("GPT_GEMM_TUNE=never is neither 0 nor 1"));
    unsetenv("GPT_GEMM_TUNE");
}
