// test_schedule.cpp - the learning rate's end points, and that it only falls in between.
#include "nn/schedule.h"

#include <cmath>

#include "tests/support/catch.h"

TEST_CASE("the learning rate warms up linearly and falls along half a cosine to its minimum", "[nn][cpu]") {
    const CosineSchedule schedule{1e-3f, 1e-4f, 10, 110};
    REQUIRE(schedule.at(1) == Approx(1e-4f));  // the first step already moves
    REQUIRE(schedule.at(5) == Approx(5e-4f));
    REQUIRE(schedule.at(10) == 1e-3f);
    REQUIRE(schedule.at(60) == Approx((1e-3f + 1e-4f) / 2));  // half way down
    REQUIRE(schedule.at(110) == 1e-4f);
    REQUIRE(schedule.at(1000) == 1e-4f);
    for (int64_t step = 11; step <= 110; step++)
        if (!(schedule.at(step) < schedule.at(step - 1))) FAIL("step " << step << " does not fall");
}

TEST_CASE("without warm-up the schedule starts at lr", "[nn][cpu]") {
    const CosineSchedule schedule{1e-3f, 0, 0, 1000};
    REQUIRE(schedule.at(1) == Approx(1e-3f).epsilon(1e-4));
    REQUIRE(schedule.at(1000) == 0.0f);
}

TEST_CASE("lr equal to min_lr is a constant rate, to the bit", "[nn][cpu]") {
    const CosineSchedule schedule{5e-4f, 5e-4f, 0, 77};
    for (int64_t step = 1; step <= 80; step++) REQUIRE(schedule.at(step) == 5e-4f);
}

TEST_CASE("a warm-up that is longer than the run stays finite", "[nn][cpu]") {
    const CosineSchedule schedule{1e-3f, 1e-4f, 20, 10};
    for (int64_t step = 1; step <= 25; step++) {
        const float lr = schedule.at(step);
        REQUIRE((std::isfinite(lr) && lr > 0 && lr <= 1e-3f));
    }
}
