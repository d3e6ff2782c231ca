// test_rungs.cpp - which form of a kernel runs: the rule for cards with a record and without, a fast form that is
// wrong, what the environment and a test ask for.
#include "kernels/cuda/rungs.h"

#include <cmath>
#include <cstdlib>

#include "tests/support/catch.h"
#include "tests/support/throwing_failures.h"

#ifdef GPT_WITH_GPU

namespace {

int comparisons = 0;

std::string agrees() {
    comparisons++;
    return "";
}

// A fast form that forgets the last element of four.
std::string forgets_one() {
    comparisons++;
    return difference_of("the sum", {1, 2, 3, 0}, {1, 2, 3, 4}, 1e-3);
}

std::string must_not_run() {
    FAIL("compared, where nothing was to be compared");
    return "";
}

CardForRungs card(int architecture, bool has_record, bool is_emulated = false) {
    return {architecture, is_emulated, has_record};
}

// GPT_KERNELS for the life of a scope.
class Asked {
  public:
    explicit Asked(const char* value) {
        const char* before = std::getenv("GPT_KERNELS");
        had_one_ = before != nullptr;
        before_ = before ? before : "";
        if (value)
            setenv("GPT_KERNELS", value, 1);
        else
            unsetenv("GPT_KERNELS");
    }
    ~Asked() {
        if (had_one_)
            setenv("GPT_KERNELS", before_.c_str(), 1);
        else
            unsetenv("GPT_KERNELS");
    }
    Asked(const Asked&) = delete;
    Asked& operator=(const Asked&) = delete;

  private:
    bool had_one_;
    std::string before_;
};

}  // namespace

TEST_CASE("a fast form is used unasked where docs/gpu has a passing record", "[cuda][rungs]") {
    std::string note;
    REQUIRE(choose_fast_form("f", card(90, true), nullptr, must_not_run, note));
    REQUIRE(note.empty());
}

TEST_CASE("a fast form without a record is compared, and used when it agrees", "[cuda][rungs]") {
    std::string note;
    comparisons = 0;
    REQUIRE(choose_fast_form("f", card(120, false), nullptr, agrees, note));
    REQUIRE(comparisons == 1);
    REQUIRE(note.empty());
}

TEST_CASE("a fast form that is wrong is not used, and one line says so", "[cuda][rungs]") {
    std::string note;
    REQUIRE_FALSE(choose_fast_form("gemm on tensor cores", card(120, false), nullptr, forgets_one, note));
    REQUIRE(
        note ==
        "note: gemm on tensor cores is wrong on this card (sm_120, of which docs/gpu has no record): the sum "
        "differs by 0.73 of its norm, 0.001 is allowed; the plain kernel runs");
}

TEST_CASE("where CUDA is emulated the plain form runs", "[cuda][rungs]") {
    std::string note;
    REQUIRE_FALSE(choose_fast_form("f", card(0, false, true), nullptr, must_not_run, note));
#if defined(GPT_CUDA_ON_HOST)
    const Asked nothing(nullptr);
    FastForm form("f", must_not_run);
    REQUIRE_FALSE(form.is_chosen());
#endif
}

TEST_CASE("GPT_KERNELS decides for all forms", "[cuda][rungs]") {
    std::string note;
    ThrowingFailures throwing;
    for (const bool has_record : {false, true}) {
        REQUIRE(choose_fast_form("f", card(80, has_record), "fast", must_not_run, note));
        REQUIRE_FALSE(choose_fast_form("f", card(80, has_record), "plain", must_not_run, note));
    }
    REQUIRE_THROWS_WITH(choose_fast_form("f", card(80, true), "quick", must_not_run, note),
                        contains("GPT_KERNELS=quick is neither plain nor fast"));
    REQUIRE(choose_fast_form("f", card(80, true), "", must_not_run, note));  // empty: not set
    const Asked fast("fast");
    FastForm form("f", must_not_run);
    REQUIRE(form.is_chosen());
}

TEST_CASE("a form is chosen once; a test's wish is stronger, for its scope", "[cuda][rungs]") {
    FastForm form("f", must_not_run);
    {
        const Asked fast("fast");
        REQUIRE(form.is_chosen());
    }
    const Asked plain("plain");
    REQUIRE(form.is_chosen());
    {
        const ForcedForm slow(form, false);
        REQUIRE_FALSE(form.is_chosen());
        const ForcedForm quick(form, true);
        REQUIRE(form.is_chosen());
    }
    REQUIRE(form.is_chosen());
}

TEST_CASE("a comparison sees a NaN", "[cuda][rungs]") {
    REQUIRE(difference_of("x", {1, NAN}, {1, 2}, 1e-3) != "");
    REQUIRE(difference_of("x", {1, 2}, {1, 2}, 0) == "");
    REQUIRE(difference_of("x", {0, 1}, {0, 0}, 1e-3) != "");
    REQUIRE(difference_of("x", {}, {}, 1e-3) == "");
}

#endif
