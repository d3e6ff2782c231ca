// test_check.cpp - a failure says what was expected, what was found and where, and is of the right kind.
#include "core/check.h"

#include "tests/support/catch.h"
#include "tests/support/throwing_failures.h"

TEST_CASE("CHECK names file, condition and the reason", "[core][cpu]") {
    const int n = -3;
    const Failure failure = failure_of([&] { CHECK(n > 0, "[linear] wants rows, got %d", n); });
    REQUIRE(failure.kind == FailureKind::kBug);
    REQUIRE_THAT(failure.message, contains("test_check.cpp:"));
    REQUIRE_THAT(failure.message, contains("n > 0"));
    REQUIRE_THAT(failure.message, contains("[linear] wants rows, got -3"));
}

TEST_CASE("CHECK_EQ prints both sides and evaluates each once", "[core][cpu]") {
    int calls = 0;
    const auto channels = [&] { return calls++, 768; };
    const Failure failure = failure_of([&] { CHECK_EQ(channels(), 512); });
    REQUIRE(calls == 1);
    REQUIRE_THAT(failure.message, contains("channels() = 768"));
    REQUIRE_THAT(failure.message, contains("512 = 512"));
}

TEST_CASE("a condition that holds costs nothing and says nothing", "[core][cpu]") {
    int evaluated = 0;
    CHECK(++evaluated == 1, "not printed");
    CHECK_EQ(evaluated, 1);
    REQUIRE(evaluated == 1);
}

TEST_CASE("DCHECK checks in debug builds only", "[core][cpu]") {
    int evaluated = 0;
    DCHECK(++evaluated == 1, "not printed");
#ifdef GPT_DEBUG
    REQUIRE(evaluated == 1);
    REQUIRE_FALSE(failure_of([] { DCHECK(1 == 2, "one is not %d", 2); }).message.empty());
#else
    REQUIRE(evaluated == 0);
#endif
}

TEST_CASE("user_error and usage_error keep their message whole", "[core][cpu]") {
    const std::string path(5000, 'p');
    const Failure user = failure_of([&] { user_error("cannot read %s: try make data", path.c_str()); });
    REQUIRE(user.kind == FailureKind::kUser);
    REQUIRE(user.message == "cannot read " + path + ": try make data");

    const Failure usage = failure_of([] { usage_error("--lr %g is not in (0, 10]", 0.0); });
    REQUIRE(usage.kind == FailureKind::kUsage);
    REQUIRE(usage.message == "--lr 0 is not in (0, 10]");
}

TEST_CASE("format grows with its text and treats a percent sign in an argument as text", "[core][cpu]") {
    REQUIRE(format("%s", "") == "");
    REQUIRE(format("%d of %zu, 100%%", 3, size_t(7)) == "3 of 7, 100%");
    REQUIRE(format("%s", "%n%s") == "%n%s");
    REQUIRE(format("%s", std::string(100000, 'x').c_str()).size() == 100000);
}

TEST_CASE("a guard restores the handler that was there before it", "[core][cpu]") {
    const FailureHandler before = failure_handler();
    {
        ThrowingFailures guard;
        REQUIRE_THROWS_AS(user_error("gone"), Failure);
    }
    REQUIRE(failure_handler() == before);
}
