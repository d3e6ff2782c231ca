// throwing_failures.h - turns the program's "say what is wrong and stop" into an exception, so that a test
// can catch it.
// Not here: Catch2 (fuzz targets and exercises use this too).
//     ThrowingFailures guard;
//     REQUIRE_THROWS_AS(read_file("missing"), Failure);
#pragma once
#include <string>

#include "core/check.h"

struct Failure {
    FailureKind kind;
    std::string message;
};

// While one of these lives, fail() throws a Failure instead of ending the process.
class ThrowingFailures {
  public:
    ThrowingFailures() : previous_(failure_handler()) {
        failure_handler() = [](FailureKind kind, const std::string& message) {
            throw Failure{kind, message};
        };
    }
    ~ThrowingFailures() { failure_handler() = previous_; }
    ThrowingFailures(const ThrowingFailures&) = delete;
    ThrowingFailures& operator=(const ThrowingFailures&) = delete;

  private:
    FailureHandler previous_;
};

// Runs what must be refused and returns the refusal; a failure of kind kBug with an empty message means "not
// refused".
template <class Action>
Failure failure_of(Action&& action) {
    ThrowingFailures guard;
    try {
        action();
    } catch (const Failure& failure) {
        return failure;
    }
    return {FailureKind::kBug, ""};
}
