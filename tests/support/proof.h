// proof.h - what `make proof` reads: each comparison that the tests make, as a line of the file that the
// variable GPT_PROOF names. Without it: nothing.
// Not here: the table that is made of the lines (tools/proof).
#pragma once
#include <cstdio>
#include <cstdlib>
#include <string>

namespace proof {

// The name of the test that runs. main.cpp sets it: only Catch2 knows.
inline std::string (*current_test)() = nullptr;

// kind: "values" of an op, "differences" for finite ones, "PyTorch". share: of what was allowed, the most that any
// element used; 1 is the limit. allowed: for people.
inline void record(const char* kind, const std::string& what, const std::string& sizes, double share,
                   const std::string& allowed) {
    static std::FILE* const file = [] {
        const char* path = std::getenv("GPT_PROOF");
        return path ? std::fopen(path, "a") : nullptr;
    }();
    if (!file) return;
    const std::string test = current_test ? current_test() : "";
    std::fprintf(file, "%s\t%s\t%s\t%s\t%.3g\t%s\n", kind, test.c_str(), what.c_str(), sizes.c_str(), share,
                 allowed.c_str());
    std::fflush(file);
}

}  // namespace proof
