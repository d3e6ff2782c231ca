// main.cpp - the one main of all test programs. A failed CHECK inside a test fails that test instead of
// ending the run.
#define CATCH_CONFIG_RUNNER
#include <cstdio>

#include "core/device.h"
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
    Catch::Session session;
    if (const int error = session.applyCommandLine(argc, argv)) return error;
    const std::string no_gpu = has_device(Device::kCuda) ? device_problem(Device::kCuda) : "";
    if (!no_gpu.empty()) {
        std::printf("skipped: the tests of [cuda]: %s\n", no_gpu.c_str());
        auto& wanted = session.configData().testsOrTags;
        if (wanted.empty()) wanted.push_back("");
        for (std::string& test : wanted) test += "~[cuda]";
    }
    return session.run();
}
