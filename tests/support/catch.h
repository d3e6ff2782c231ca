// catch.h - the test framework, whichever version of Catch2 the system has: 2 (Debian 12) or 3 (everywhere
// newer). Tests include this and nothing else of Catch2; they assert with REQUIRE.
#pragma once
#include <string>

#include "core/check.h"

// subtle: Catch2 has a macro CHECK too. Ours is put away while Catch2 is read and is the one that counts
// afterwards, so that headers with checks in them mean the same in a test as in a program.
#pragma push_macro("CHECK")
#undef CHECK
#if __has_include(<catch2/catch.hpp>)
#include <catch2/catch.hpp>
#else
#include <catch2/catch_all.hpp>
using Catch::Approx;
#endif
#undef CHECK
#pragma pop_macro("CHECK")

// How often a test repeats what it tries: builds that check every access (GPT_DEBUG: debug, asan, tsan) take ten times as
// long for each, and look for other mistakes.
#ifdef GPT_DEBUG
constexpr int rounds(int /*optimised*/, int checked) {
    return checked;
}
#else
constexpr int rounds(int optimised, int /*checked*/) {
    return optimised;
}
#endif

// For REQUIRE_THAT(message, contains("wants 512")): the two versions name this matcher differently.
inline auto contains(const std::string& part) {
#if __has_include(<catch2/catch.hpp>)
    return Catch::Matchers::Contains(part);
#else
    return Catch::Matchers::ContainsSubstring(part);
#endif
}
