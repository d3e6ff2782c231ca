// test_windows.cpp - the order in which training reads the text: every window once per epoch, the last batch
// kept, and a step's batch a function of the step alone.
#include <numeric>
#include <vector>

#include "chapters/00_char_gpt/windows.h"
#include "tests/support/catch.h"
#include "tests/support/throwing_failures.h"

namespace {

// Ids that tell where they stand.
std::vector<int> counting_text(int64_t length) {
    std::vector<int> ids(static_cast<size_t>(length));
    std::iota(ids.begin(), ids.end(), 0);
    return ids;
}

bool same_batch(const Batch& a, const Batch& b) {
    return a.B == b.B && a.inputs == b.inputs && a.targets == b.targets;
}

// The first character of each window of an epoch, in the order of training.
std::vector<int> starts_of_epoch(Windows& windows, int64_t epoch, int64_t T) {
    std::vector<int> starts;
    for (int64_t i = 0; i < windows.steps_per_epoch(); i++) {
        const Batch batch = windows.at(epoch * windows.steps_per_epoch() + i);
        for (int64_t b = 0; b < batch.B; b++) starts.push_back(batch.inputs[size_t(b * T)]);
    }
    return starts;
}

}  // namespace

TEST_CASE("each window comes exactly once per epoch, and the last partial batch is kept",
          "[chapter00][cpu]") {
    const auto [length, T, batch] = GENERATE(table<int64_t, int64_t, int64_t>(
        {{2, 1, 1}, {9, 8, 64}, {100, 8, 7}, {100, 8, 92}, {100, 8, 91}, {1003, 16, 64}}));
    CAPTURE(length, T, batch);
    const std::vector<int> text = counting_text(length);
    Windows windows(text.data(), length, T, batch, 5);
    REQUIRE(windows.count() == length - T);
    REQUIRE(windows.steps_per_epoch() == (length - T + batch - 1) / batch);
    for (int64_t epoch = 0; epoch < 3; epoch++) {
        std::vector<int> seen(size_t(windows.count()), 0);
        for (const int start : starts_of_epoch(windows, epoch, T)) seen[size_t(start)]++;
        REQUIRE(seen == std::vector<int>(seen.size(), 1));
    }
    const Batch last = windows.at(windows.steps_per_epoch() - 1);
    REQUIRE(last.B == (windows.count() - 1) % batch + 1);
    REQUIRE(last.inputs.size() == size_t(last.B * T));
}

TEST_CASE("targets are the inputs shifted by one", "[chapter00][cpu]") {
    const std::vector<int> text = counting_text(50);
    Windows windows(text.data(), 50, 8, 4, 1);
    const Batch batch = windows.at(3);
    for (size_t i = 0; i < batch.inputs.size(); i++) {
        REQUIRE(batch.targets[i] == batch.inputs[i] + 1);
        if (i % 8) REQUIRE(batch.inputs[i] == batch.inputs[i - 1] + 1);
    }
}

TEST_CASE("tiny Shakespeare's training part gives the original's 15,685 steps", "[chapter00][cpu]") {
    const std::vector<int> text(1003854, 0);  // nine tenths of 1,115,394 characters
    const Windows windows(text.data(), int64_t(text.size()), 32, 64, 1);
    REQUIRE(windows.steps_per_epoch() == 15685);
}

TEST_CASE("the order is a function of seed and epoch", "[chapter00][cpu]") {
    const std::vector<int> text = counting_text(300);
    Windows one(text.data(), 300, 8, 16, 1), same(text.data(), 300, 8, 16, 1),
        other(text.data(), 300, 8, 16, 2);
    const std::vector<int> first = starts_of_epoch(one, 0, 8), second = starts_of_epoch(one, 1, 8);
    REQUIRE(first != second);
    REQUIRE(starts_of_epoch(same, 0, 8) == first);
    REQUIRE(starts_of_epoch(other, 0, 8) != first);
    REQUIRE(first != counting_text(292));          // shuffled at all
    REQUIRE(starts_of_epoch(one, 0, 8) == first);  // and one may go back
}

TEST_CASE("starting at any step gives the batches that a run from the start would have seen",
          "[chapter00][cpu]") {
    const std::vector<int> text = counting_text(120);
    Windows continued(text.data(), 120, 8, 10, 7);
    for (int64_t step = 0; step < 3 * continued.steps_per_epoch(); step++) {
        Windows restarted(text.data(), 120, 8, 10, 7);
        CAPTURE(step);
        REQUIRE(same_batch(continued.at(step), restarted.at(step)));
    }
}

TEST_CASE("a text without one whole window is refused", "[chapter00][cpu]") {
    const std::vector<int> text = counting_text(8);
    const int64_t length = GENERATE(0, 1, 7, 8);
    REQUIRE_THAT(failure_of([&] { Windows(text.data(), length, 8, 1, 1); }).message,
                 contains(format("%lld ids hold no window of 8", (long long)length)));
}
