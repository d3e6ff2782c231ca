// test_elementwise.cpp - add, accumulate and dropout: exact, in place, and the mask that Philox says.
#include <cmath>
#include <vector>

#include "kernels/kernels.h"
#include "tests/support/arrays.h"
#include "tests/support/catch.h"

namespace {

const std::vector<int64_t> kSizes = {1, 3, 4, 5, 17, 1023, 16384, 16385, 50001};  // 16384: one task

std::vector<float> dropped(const std::vector<float>& x, DropoutMask mask) {
    std::vector<float> y(x.size(), NAN);
    cpu::dropout(y.data(), x.data(), int64_t(x.size()), mask, false, {});
    return y;
}

}  // namespace

TEST_CASE("add_forward and accumulate are float additions, exactly", "[cpu]") {
    const int64_t n = GENERATE(from_range(kSizes));
    CAPTURE(n);
    const Threads two(2);
    const std::vector<float> a = random_floats(n, 1), b = random_floats(n, 2);
    std::vector<float> want(a.size()), out(a.size(), NAN);
    for (size_t i = 0; i < a.size(); i++) want[i] = a[i] + b[i];
    cpu::add_forward(out.data(), a.data(), b.data(), n, {});
    REQUIRE(out == want);
    out = a;
    cpu::accumulate(out.data(), b.data(), n, {});
    REQUIRE(out == want);
}

TEST_CASE("dropout multiplies by the mask's scale of each index", "[cpu]") {
    const int64_t n = GENERATE(from_range(kSizes));
    const float p = GENERATE(0.0f, 0.1f, 0.75f);
    CAPTURE(n, p);
    const Threads two(2);
    const DropoutMask mask{p, 42, 9};
    const std::vector<float> x = random_floats(n, 1), before = random_floats(n, 2);
    std::vector<float> want(x.size());
    for (size_t i = 0; i < x.size(); i++) want[i] = x[i] * (p > 0 ? mask.scale(i) : 1.0f);
    REQUIRE(dropped(x, mask) == want);

    std::vector<float> y = x;
    cpu::dropout(y.data(), y.data(), n, mask, false, {});
    REQUIRE(y == want);

    y = before;
    cpu::dropout(y.data(), x.data(), n, mask, true, {});
    double largest = 0;  // the addition may be fused, which rounds once instead of twice
    for (size_t i = 0; i < x.size(); i++)
        largest = std::max(largest, std::fabs(double(y[i]) - (double(before[i]) + double(want[i]))));
    REQUIRE(largest < 1e-5);
}

TEST_CASE("dropout drops its share, and keeps the mean", "[cpu]") {
    const float p = GENERATE(0.1f, 0.5f, 0.9f);
    CAPTURE(p);
    constexpr int64_t kElements = 100000;
    const std::vector<float> y = dropped(std::vector<float>(kElements, 1.0f), {p, 1, 2});
    int64_t zeros = 0;
    for (const float value : y) {
        zeros += value == 0;
        if (value != 0 && value != 1.0f / (1.0f - p)) FAIL("an element was scaled by " << value);
    }
    const double standard_error = std::sqrt(double(p) * (1 - double(p)) / kElements);
    REQUIRE(std::fabs(double(zeros) / kElements - double(p)) < 5 * standard_error);
}

TEST_CASE("dropout draws the same mask for the gradient, another one for another site or seed", "[cpu]") {
    const std::vector<float> ones(1000, 1.0f);
    REQUIRE(dropped(ones, {0.5f, 7, 3}) == dropped(ones, {0.5f, 7, 3}));
    REQUIRE(dropped(ones, {0.5f, 7, 3}) != dropped(ones, {0.5f, 7, 4}));
    REQUIRE(dropped(ones, {0.5f, 7, 3}) != dropped(ones, {0.5f, 8, 3}));
}

TEST_CASE("elementwise kernels leave the same bytes for any number of threads", "[cpu]") {
    const std::vector<float> a = random_floats(50001, 1), b = random_floats(50001, 2);
    require_same_bytes_for_any_threads([&] {
        const int64_t n = int64_t(a.size());
        std::vector<float> y(3 * a.size());
        cpu::add_forward(y.data(), a.data(), b.data(), n, {});
        cpu::accumulate(y.data() + n, a.data(), n, {});
        cpu::dropout(y.data() + 2 * n, a.data(), n, {0.3f, 1, 2}, true, {});
        return y;
    });
}
