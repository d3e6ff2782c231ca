// main.cpp - the one main of all test programs. A failed CHECK inside a test fails that test instead of
// ending the run.
#define CATCH_CONFIG_RUNNER
#include "tests/support/catch.h"
#include "tests/support/proof.h"
#include "tests/support/throwing_failures.h"

CATCH_TRANSLATE_EXCEPTION(const Failure& failure) {
    const char* kind = failure.kind == FailureKind::kBug    ? "CHECK"
                       : failure.kind == FailureKind::kUser ? "user error"
                                                            : "usage error";
    return std::string(kind) + ": " + failure.message;
}

int main(int argc, char** argv) {
    ThrowingFailures guard;
    proof::current_test = [] { return Catch::getResultCapture().getCurrentTestName(); };
    return Catch::Session().run(argc, argv);
}
