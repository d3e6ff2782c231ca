// test_in_order.cpp - pieces go through several threads and come out in their order, a few at a time; when one fails, all end.
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "core/in_order.h"
#include "core/parallel.h"
#include "tests/support/arrays.h"
#include "tests/support/catch.h"

namespace {

constexpr int kPieces = 200, kOnTheWay = 5;

struct Piece {
    int number = -1;
    bool is_worked_on = false;
};

// kPieces pieces through `threads` threads; work(piece) says whether it went well. What was joined, in that order.
template <class Work>
std::vector<int> joined_by(int threads, const Work& work) {
    Threads some(threads);
    InOrder<Piece> pieces(kOnTheWay);
    int made = 0;
    std::atomic<int> joined_count{0}, most_on_the_way{0};
    std::vector<int> joined;
    const auto fill = [&](Piece* piece) {
        if (made == kPieces) return false;
        *piece = {made++, false};
        if (made - joined_count > most_on_the_way) most_on_the_way = made - joined_count;
        return true;
    };
    const auto join = [&](Piece* piece) {
        if (piece->is_worked_on) joined.push_back(piece->number);
        joined_count++;
    };
    parallel_for(threads, [&](int64_t) {
        while (Piece* const piece = pieces.take(fill)) {
            if (!work(piece->number)) return pieces.stop();
            piece->is_worked_on = true;
            pieces.give_back(piece, join);
        }
    });
    REQUIRE(most_on_the_way <= kOnTheWay);
    return joined;
}

}  // namespace

TEST_CASE("pieces are joined in their order, whichever thread is done first", "[cpu]") {
    const int threads = GENERATE(1, 2, 4);
    CAPTURE(threads);
    const std::vector<int> joined = joined_by(threads, [](int number) {
        // Every seventh takes long, and the others come to wait for it.
        if (number % 7 == 0) std::this_thread::sleep_for(std::chrono::microseconds(300));
        return true;
    });
    REQUIRE(joined.size() == kPieces);
    for (int i = 0; i < kPieces; i++) REQUIRE(joined[size_t(i)] == i);
}

TEST_CASE("after stop nothing is taken and nothing behind the failed piece is joined", "[cpu]") {
    const int threads = GENERATE(1, 3);
    CAPTURE(threads);
    const std::vector<int> joined = joined_by(threads, [](int number) { return number != 20; });
    REQUIRE(joined.size() <= 20);
    for (size_t i = 0; i < joined.size(); i++) REQUIRE(joined[i] == int(i));
}
