// test_attention_cached.cpp - cpu::attention_cached_forward: the last row of attention over everything that was put into
// the cache, whether at once or one by one.
#include <cmath>
#include <vector>

#include "kernels/kernels.h"
#include "tests/kernels/problems/attention_cached.h"
#include "tests/support/arrays.h"
#include "tests/support/catch.h"
#include "tests/support/throwing_failures.h"

namespace {

using attention_problem::CachedProblem;

std::vector<float> run(const CachedProblem& p) {
    std::vector<float> k(size_t(p.cache_size()), NAN), v(k), out(size_t(p.all.B * p.C()), NAN);
    const auto append = [&](int64_t begin, int64_t end) {
        cpu::cache_keys_values(k.data(), v.data(), p.positions(begin, end).data(), p.all.B, end - begin,
                               begin, p.capacity, p.all.NH, p.all.HS, {});
    };
    if (p.prefix > 0) append(0, p.prefix);
    for (int64_t t = p.prefix; t < p.all.T; t++) append(t, t + 1);
    cpu::attention_cached_forward(out.data(), p.positions(p.all.T - 1, p.all.T).data(), k.data(), v.data(),
                                  p.all.B, p.all.T, p.capacity, p.all.NH, p.all.HS, {});
    return out;
}

void check(const CachedProblem& p) {
    const std::vector<float> got = run(p);
    const std::vector<double> want = p.want();
    const double tolerance = attention_problem::kForwardTolerance;
    REQUIRE(allclose("attention_cached_forward", p.all.sizes(), got.data(), want.data(), int64_t(want.size()),
                     tolerance, tolerance) == "");
}

}  // namespace

TEST_CASE("cached attention is the last row of attention", "[cpu][attention]") {
    // one key; odd; around a vector of keys
    const int64_t T = GENERATE(1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 100);
    const int64_t HS = GENERATE(1, 3, 4, 16, 33, 64, 130);
    check(CachedProblem(1 + (T + HS) % 3, T, 1 + T % 3, HS, T / 2, T % 5));
}

TEST_CASE("cached attention: GPT-2's heads, and a long context", "[cpu][attention][slow]") {
    check(CachedProblem(1, 300, 12, 64, 299, 724));
    check(CachedProblem(2, 1024, 1, 64, 0, 0));
}

TEST_CASE("cached attention survives scores whose exponentials overflow", "[cpu][attention]") {
    CachedProblem p(1, 50, 1, 4, 10, 3);
    // a query of 100s, keys of -100 to 100: scores of -20,000 to 20,000, exact in float
    for (size_t i = 0; i < p.all.qkv.size(); i++) {
        const size_t part = i % 12 / 4, t = i / 12;
        if (part == 0) p.all.qkv[i] = 100;
        if (part == 1) p.all.qkv[i] = float(t % 17) * 12 - 100;
    }
    check(p);
}

TEST_CASE("cached attention hides no NaN", "[cpu][attention]") {
    const int64_t at = GENERATE(0, 20, 49);
    CachedProblem p(1, 50, 1, 8, 10, 3);
    p.all.qkv[size_t(at * 24 + 8)] = NAN;  // in a key
    for (const float x : run(p)) REQUIRE(std::isnan(x));
}

TEST_CASE("cached attention gives the same bytes for any number of threads and sequences",
          "[cpu][attention]") {
    const CachedProblem p(3, 70, 5, 20, 60, 6);
    require_same_bytes_for_any_threads([&] { return run(p); });
    CachedProblem first(1, 70, 5, 20, 60, 6);
    std::copy_n(p.all.qkv.begin(), first.all.qkv.size(), first.all.qkv.begin());
    std::vector<float> rows = run(p);
    rows.resize(size_t(p.C()));
    REQUIRE(same_bytes(rows, run(first)));
}

TEST_CASE("cached attention refuses positions behind the end of the cache", "[cpu][attention]") {
    std::vector<float> cache(4 * 8), qkv(24), out(8);
    REQUIRE(failure_of([&] {
                cpu::cache_keys_values(cache.data(), cache.data(), qkv.data(), 1, 1, 4, 4, 1, 8, {});
            }).message.find("[cache_keys_values] positions [4, 5), the cache has 4") != std::string::npos);
    REQUIRE(failure_of([&] {
                cpu::attention_cached_forward(out.data(), qkv.data(), cache.data(), cache.data(), 1, 5, 4, 1,
                                              8, {});
            }).message.find("[attention_cached] 5 keys, the cache has 4") != std::string::npos);
}
