// main.cpp - drives a fuzz target where there is no libFuzzer: replays the seeds it is given, then damaged
// copies of them.
// Not here: coverage. libFuzzer (clang) learns which damage reaches new code; this only throws the dice, but
// anywhere. Run: make fuzz, or build/asan/fuzz/NAME SECONDS FILE...
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/rng.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Bytes = std::vector<uint8_t>;

void run_one(const Bytes& input) {
    // A copy of exactly this size: the sanitizer then sees a read one byte too far.
    const Bytes exact(input.begin(), input.end());
    LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

// One to eight random edits: a byte changed, a run removed, doubled or cut off at the end, an extreme number
// written.
Bytes damaged(Bytes bytes, RandomStream& random) {
    const uint32_t edits = 1 + random.next_below(8);
    for (uint32_t e = 0; e < edits; e++) {
        if (bytes.empty()) {
            bytes.push_back(uint8_t(random.next_word()));
            continue;
        }
        const size_t at = random.next_below(uint32_t(bytes.size()));
        const size_t length = std::min<size_t>(1 + random.next_below(16), bytes.size() - at);
        const auto begin = bytes.begin() + std::ptrdiff_t(at), end = begin + std::ptrdiff_t(length);
        switch (random.next_below(6)) {
            case 0:
                bytes[at] = uint8_t(random.next_word());
                break;
            case 1:
                bytes[at] ^= uint8_t(1u << random.next_below(8));
                break;
            case 2:
                bytes.erase(begin, end);
                break;
            case 3: {
                const Bytes run(begin, end);
                bytes.insert(begin, run.begin(), run.end());
                break;
            }
            case 4:
                bytes.resize(at);
                break;
            default: {
                const uint8_t extreme = random.next_below(2) ? 0xff : 0x00;
                for (size_t i = at; i < at + length; i++) bytes[i] = extreme;
            }
        }
    }
    return bytes;
}

}  // namespace

int main(int argc, char** argv) {
    const double seconds = argc > 1 ? std::atof(argv[1]) : 1;
    std::vector<Bytes> seeds = {{}};
    for (int i = 2; i < argc; i++) {
        std::ifstream file(argv[i], std::ios::binary);
        if (!file) user_error("cannot read the seed %s", argv[i]);
        seeds.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
    for (const Bytes& seed : seeds) run_one(seed);

    RandomStream random{1, 0};
    const auto start = std::chrono::steady_clock::now();
    int64_t runs = int64_t(seeds.size());
    while (std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() < seconds) {
        for (int i = 0; i < 100; i++, runs++)
            run_one(damaged(seeds[random.next_below(uint32_t(seeds.size()))], random));
    }
    std::printf("%lld inputs, %zu of them seeds\n", (long long)runs, seeds.size());
    return 0;
}
