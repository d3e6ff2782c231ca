// test_attention_cached.cpp - gpu::attention_cached_forward: the last row of attention over everything that was put into
// the cache.
#include <vector>

#include "kernels/kernels.h"
#include "tests/kernels/problems/attention_cached.h"
#include "tests/support/gpu.h"

#ifdef GPT_WITH_GPU

namespace {

using attention_problem::CachedProblem;

void check(CachedProblem p) {
    if (kUnderTsan && p.all.B * p.all.NH * p.all.T * p.all.HS > 8000) return;
    p.all.qkv = stored(p.all.qkv);
    const std::vector<float> got = in_any_order([&] {
        const RealArray k(p.cache_size()), v(p.cache_size()), out(p.all.B * p.C());
        const auto append = [&](int64_t begin, int64_t end) {
            const RealArray qkv(p.positions(begin, end));
            gpu::cache_keys_values(k, v, qkv, p.all.B, end - begin, begin, p.capacity, p.all.NH, p.all.HS,
                                   {});
        };
        if (p.prefix > 0) append(0, p.prefix);
        for (int64_t t = p.prefix; t < p.all.T; t++) append(t, t + 1);
        const RealArray qkv(p.positions(p.all.T - 1, p.all.T));
        gpu::attention_cached_forward(out, qkv, k, v, p.all.B, p.all.T, p.capacity, p.all.NH, p.all.HS, {});
        return std::vector<std::vector<float>>{out.host()};
    })[0];
    const std::vector<double> want = p.want();
    const double tolerance = attention_problem::kForwardTolerance + kStorageRounding;
    REQUIRE(allclose("gpu attention_cached_forward", p.all.sizes(), got.data(), want.data(),
                     int64_t(want.size()), tolerance, tolerance) == "");
}

}  // namespace

TEST_CASE("gpu: cached attention is the last row of attention", "[cuda][attention]") {
    // fewer keys than warps, as many, more; heads of less than a warp, of a warp, of two and of four
    const int64_t T = GENERATE(1, 2, 7, 8, 9, 33, 100);
    const int64_t HS = GENERATE(1, 4, 33, 64, 128);
    check(CachedProblem(1 + (T + HS) % 3, T, 1 + T % 3, HS, T - T / 3, T % 5));
}

TEST_CASE("gpu: cached attention survives scores whose exponentials overflow", "[cuda][attention]") {
    CachedProblem p(1, 50, 1, 4, 45, 3);
    for (size_t i = 0; i < p.all.qkv.size(); i++) {
        const size_t part = i % 12 / 4, t = i / 12;
        if (part == 0) p.all.qkv[i] = 128;
        if (part == 1) p.all.qkv[i] = float(t % 17) * 16 - 128;
    }
    check(p);
}

#endif
