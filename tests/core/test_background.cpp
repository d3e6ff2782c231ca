// test_background.cpp - work on another thread is done when wait() returns, and its failure is told there, once.
#include <atomic>

#include "core/background.h"
#include "tests/support/catch.h"
#include "tests/support/throwing_failures.h"

TEST_CASE("background work is done after wait, one piece after the other", "[cpu]") {
    Background background;
    background.wait();
    std::atomic<int> value{0};
    background.start([&] { value = 1; });
    background.start([&] { value = value * 10 + 2; });
    background.wait();
    REQUIRE(value == 12);
}

TEST_CASE("a failure in the background ends whoever waits, not the program", "[cpu]") {
    Background background;
    std::atomic<bool> went_on{false};
    background.start([&] {
        user_error("the disk is %s", "full");
        went_on = true;
    });
    const Failure failure = failure_of([&] { background.wait(); });
    REQUIRE(failure.kind == FailureKind::kUser);
    REQUIRE(failure.message == "the disk is full");
    REQUIRE(!went_on);
    background.wait();  // told once
    background.start([] { CHECK(1 > 2, "[test] %d", 3); });
    REQUIRE(failure_of([&] { background.start([] {}); }).kind == FailureKind::kBug);
    REQUIRE(!is_in_background());
}
