// test_shards.cpp - shards of tokens: what was written is read; what is cut, damaged, of another version or another
// vocabulary is refused by name.
#include <cstring>
#include <filesystem>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "chapters/02_small_gpt/shards.h"
#include "chapters/02_small_gpt/shuffled_windows.h"
#include "io/file.h"
#include "io/xxhash64.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/throwing_failures.h"

using namespace small_gpt;

namespace {

constexpr uint64_t kVocabulary = 0x1234;

template <class Id>
std::string bytes_of(const std::vector<int>& ids) {
    std::string bytes;
    for (const int id : ids) {
        const Id one = Id(id);
        bytes.append(reinterpret_cast<const char*>(&one), sizeof one);
    }
    return bytes;
}

std::vector<int> counting(int n) {
    std::vector<int> ids(static_cast<size_t>(n));
    std::iota(ids.begin(), ids.end(), 0);
    return ids;
}

// A header that fits its tokens, after `change` of it.
template <class Change>
std::string changed(const std::string& bytes, Change change) {
    ShardHeader header;
    std::memcpy(&header, bytes.data(), sizeof header);
    change(header);
    header.header_checksum = xxhash64(&header, sizeof header - sizeof header.header_checksum);
    std::string result = bytes;
    std::memcpy(&result[0], &header, sizeof header);
    return result;
}

}  // namespace

TEST_CASE("a shard reads back, in two and in four bytes an id", "[cpu]") {
    const TemporaryFolder folder;
    const std::vector<int> ids = counting(1000);
    write_shard(folder.file("two"), {bytes_of<uint16_t>(ids)}, 2, kVocabulary, 3, 4000);
    write_shard(folder.file("four"), {bytes_of<uint32_t>(ids)}, 4, kVocabulary, 3, 4000);
    for (const char* name : {"two", "four"}) {
        CAPTURE(name);
        const Shard shard(folder.file(name), kVocabulary, 1000);
        REQUIRE(shard.size() == 1000);
        REQUIRE(shard.header().documents == 3);
        REQUIRE(shard.header().text_bytes == 4000);
        REQUIRE(shard[999] == 999);
        std::vector<int> some(10);
        shard.copy(500, 10, some.data());
        REQUIRE(some == std::vector<int>(ids.begin() + 500, ids.begin() + 510));
    }
    REQUIRE(std::filesystem::file_size(folder.file("two")) == 64 + 2000);
}

TEST_CASE("a shard that is not what it should be is refused by name and reason", "[cpu]") {
    const TemporaryFolder folder;
    write_shard(folder.file("good"), {bytes_of<uint16_t>(counting(100))}, 2, kVocabulary, 1, 400);
    const std::string good = read_file(folder.file("good"));
    const auto refusal = [&](const std::string& bytes, uint64_t vocabulary = kVocabulary,
                             int64_t size = 100) {
        write_file_atomically(folder.file("bad"), bytes);
        const Failure failure = failure_of([&] { Shard(folder.file("bad"), vocabulary, size); });
        REQUIRE(failure.kind == FailureKind::kUser);
        REQUIRE(failure.message.find(folder.file("bad")) != std::string::npos);
        return failure.message;
    };
    const auto says = [](const std::string& message, const char* what) {
        CAPTURE(message);
        REQUIRE(message.find(what) != std::string::npos);
    };
    const Shard is_read(folder.file("good"), kVocabulary, 100);
    for (const size_t length : {0, 1, 8, 63}) says(refusal(good.substr(0, length)), "has a header of 64");
    for (const size_t length : {size_t(64), size_t(65), size_t(66), good.size() - 1, good.size() - 2})
        says(refusal(good.substr(0, length)), "is cut: its header claims 100 tokens");
    says(refusal(good + "x"), "is cut");
    says(refusal(good + "xx"), "it holds 101");
    says(refusal("{" + good.substr(1)), "GPTSHARD");
    says(refusal(changed(good, [](ShardHeader& h) { h.version = 2; })),
         "version 2; this program reads version 1");
    says(refusal(changed(good, [](ShardHeader& h) { h.id_bytes = 3; })), "ids of 3 bytes");
    says(refusal(changed(good, [](ShardHeader& h) { h.id_bytes = 0; })), "ids of 0 bytes");
    says(refusal(changed(good, [](ShardHeader& h) { h.tokens = uint64_t(1) << 63; })), "is cut");
    says(refusal(changed(good, [](ShardHeader& h) { h.tokens = ~uint64_t(0); })), "is cut");
    says(refusal(changed(good, [](ShardHeader& h) { h.documents = 101; })), "more documents than tokens");
    says(refusal(good, kVocabulary + 1), "another vocabulary");
    says(refusal(good, kVocabulary, 99), "has the id 99, and the vocabulary has 99 tokens");
    for (size_t byte = 8; byte < good.size(); byte += 7) {
        std::string damaged = good;
        damaged[byte] = char(damaged[byte] ^ 1 << byte % 8);
        refusal(damaged);
    }
    REQUIRE(failure_of([&] { Shard(folder.file("none"), 0, 1); }).message.find("No such file") !=
            std::string::npos);
    says(failure_of([&] { Shard(folder.path, 0, 1); }).message, folder.path.c_str());
    REQUIRE(failure_of([&] {
                open_split(folder.path, Split::kTest, 0, 1);
            }).message.find("has no test-00000.bin") != std::string::npos);
}

TEST_CASE("a permutation takes every number once, and each key another order", "[cpu]") {
    for (const uint64_t count : {1, 2, 3, 4, 5, 16, 17, 100, 1000, 4097}) {
        CAPTURE(count);
        const Permutation one(count, 1), two(count, 2);
        std::set<uint64_t> seen;
        uint64_t different = 0;
        for (uint64_t i = 0; i < count; i++) {
            REQUIRE(one(i) < count);
            seen.insert(one(i));
            different += one(i) != two(i);
        }
        REQUIRE(seen.size() == count);
        if (count >= 16) REQUIRE(different > count / 2);
    }
    // Neighbours do not stay neighbours: windows that overlap must not share a batch more often than chance has it.
    const Permutation order(100000, 7);
    int near = 0;
    for (uint64_t i = 0; i + 1 < 100000; i++) {
        const uint64_t a = order(i), b = order(i + 1);
        near += (a > b ? a - b : b - a) < 100;
    }
    REQUIRE(near < 400);  // chance: 2 * 100 / 100000 of them, 200
    REQUIRE(near > 50);
}

TEST_CASE("an epoch reads every window once, and none across two shards", "[cpu]") {
    const TemporaryFolder folder;
    write_shard(folder.file(shard_name(Split::kTrain, 0)), {bytes_of<uint16_t>(counting(50))}, 2, kVocabulary,
                1, 1);
    std::vector<int> second = counting(31);
    for (int& id : second) id += 1000;
    write_shard(folder.file(shard_name(Split::kTrain, 1)), {bytes_of<uint16_t>(second)}, 2, kVocabulary, 1,
                1);
    const TokenShards data = open_split(folder.path, Split::kTrain, kVocabulary, 2000);
    REQUIRE(data.tokens() == 81);
    for (const int64_t stride : {1, 3, 8, 20}) {
        CAPTURE(stride);
        const int64_t T = 8;
        const ShuffledWindows windows(data, T, stride, 4, 42);
        const int64_t expected = (50 - T - 1) / stride + 1 + (31 - T - 1) / stride + 1;
        REQUIRE(windows.count() == expected);
        std::set<int> starts;
        for (int64_t step = 0; step < windows.steps_per_epoch(); step++) {
            const Batch batch = windows.at(step);
            REQUIRE(batch.B == std::min<int64_t>(4, expected - step * 4));
            for (int64_t b = 0; b < batch.B; b++) {
                const int start = batch.inputs[size_t(b * T)];
                REQUIRE((start % 1000) % stride == 0);
                for (int64_t t = 0; t < T; t++) {
                    REQUIRE(batch.inputs[size_t(b * T + t)] == start + t);
                    REQUIRE(batch.targets[size_t(b * T + t)] == start + t + 1);
                }
                starts.insert(start);
            }
        }
        REQUIRE(int64_t(starts.size()) == expected);
        REQUIRE(windows.at(0).inputs !=
                windows.at(windows.steps_per_epoch()).inputs);  // the next epoch's order
        REQUIRE(windows.at(1).inputs == ShuffledWindows(data, T, stride, 4, 42).at(1).inputs);
        REQUIRE(windows.at(1).inputs != ShuffledWindows(data, T, stride, 4, 43).at(1).inputs);
    }
}
