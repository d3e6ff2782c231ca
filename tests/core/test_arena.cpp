// test_arena.cpp - memory of a step: aligned, separate, given back at once, and in debug builds poisoned and
// stamped.
#include "core/arena.h"

#include <cmath>
#include <cstring>
#include <set>
#include <vector>

#include "tests/support/catch.h"

namespace {

bool is_aligned(const void* memory) {
    return reinterpret_cast<uintptr_t>(memory) % 64 == 0;
}

}  // namespace

TEST_CASE("arena: allocations are aligned and do not overlap", "[core][cpu]") {
    Arena arena(Device::kCpu);
    const size_t sizes[] = {1, 63, 64, 65, 0, 4096, 3};
    std::vector<char*> blocks;
    for (const size_t size : sizes) {
        blocks.push_back(static_cast<char*>(arena.allocate(size)));
        REQUIRE(is_aligned(blocks.back()));
        std::memset(blocks.back(), int(blocks.size()), size);
    }
    for (size_t i = 0; i < blocks.size(); i++)
        for (size_t byte = 0; byte < sizes[i]; byte++)
            if (blocks[i][byte] != char(i + 1))
                FAIL("byte " << byte << " of block " << i << " was overwritten");
    REQUIRE(std::set<char*>(blocks.begin(), blocks.end()).size() == blocks.size());
}

TEST_CASE("arena: after a rewind the next step gets the same memory", "[core][cpu]") {
    Arena arena(Device::kCpu);
    const auto step = [&] {
        std::vector<void*> blocks;
        for (const size_t size : {100, 5000, 64}) blocks.push_back(arena.allocate(size));
        arena.rewind({});
        return blocks;
    };
    const std::vector<void*> first = step();
    const size_t reserved = arena.bytes_reserved(), peak = arena.bytes_peak();
    for (int i = 0; i < 10; i++) REQUIRE(step() == first);
    REQUIRE(arena.bytes_reserved() == reserved);
    REQUIRE(arena.bytes_peak() == peak);
    REQUIRE(peak >= 100 + 5000 + 64);
}

TEST_CASE("arena: a rewind to a mark keeps what was there before it", "[core][cpu]") {
    Arena arena(Device::kCpu);
    auto* kept = static_cast<float*>(arena.allocate(sizeof(float)));
    *kept = 7;
    const Arena::Mark mark = arena.mark();
    void* given_back = arena.allocate(1000);
    arena.rewind(mark);
    REQUIRE(*kept == 7);
    REQUIRE(arena.allocate(1000) == given_back);
}

TEST_CASE("arena: a mark survives that more chunks follow, and one request may be larger than a chunk",
          "[core][cpu]") {
    Arena arena(Device::kCpu);
    arena.allocate(100);
    const Arena::Mark mark = arena.mark();
    constexpr size_t kLarge = size_t(40) << 20;  // a chunk is 32 MiB
    auto* large = static_cast<char*>(arena.allocate(kLarge));
    large[0] = large[kLarge - 1] = 1;
    void* small = arena.allocate(100);
    REQUIRE(arena.bytes_reserved() >= kLarge);
    const size_t reserved = arena.bytes_reserved();
    for (int i = 0; i < 3; i++) {
        arena.rewind(mark);
        REQUIRE(arena.allocate(kLarge) == large);
        REQUIRE(arena.allocate(100) == small);
    }
    REQUIRE(arena.bytes_reserved() == reserved);
}

TEST_CASE("arena: what was recycled serves the next request of its size, and a rewind forgets it",
          "[core][cpu]") {
    Arena arena(Device::kCpu);
    void* block = arena.allocate(256);
    void* other = arena.allocate(256);
    arena.recycle(block, 256);
    REQUIRE(arena.allocate(512) != block);  // another size
    REQUIRE(arena.allocate(250) == block);  // 250 and 256 take the same number of cache lines
    REQUIRE(arena.allocate(256) != block);  // it is taken now
    arena.recycle(other, 256);
    arena.rewind({});
    // Were it handed out again besides the fresh memory, two tensors would share it.
    std::set<void*> blocks;
    for (int i = 0; i < 20; i++) blocks.insert(arena.allocate(256));
    REQUIRE(blocks.size() == 20);
}

TEST_CASE("arena: debug builds stamp each allocation and fill with NaN what was given back", "[core][cpu]") {
#ifdef GPT_DEBUG
    Arena arena(Device::kCpu);
    auto* first = static_cast<float*>(arena.allocate(8 * sizeof(float)));
    void* second = arena.allocate(8 * sizeof(float));
    REQUIRE(Arena::stamp(first) != 0);
    REQUIRE(Arena::stamp(first) != Arena::stamp(second));
    const uint64_t stamp = Arena::stamp(first);
    *first = 1;
    arena.recycle(first, 8 * sizeof(float));
    REQUIRE(Arena::stamp(first) == 0);
    REQUIRE(std::isnan(*first));
    REQUIRE(arena.allocate(8 * sizeof(float)) == first);
    REQUIRE(Arena::stamp(first) != stamp);  // the same place, but no longer the same tensor
    *first = 1;
    arena.rewind({});
    REQUIRE(std::isnan(*first));
    REQUIRE(Arena::stamp(first) != stamp);
#else
    WARN("skipped: only debug builds stamp and poison (BUILD=debug, asan, tsan)");
#endif
}
