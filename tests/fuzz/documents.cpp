// documents.cpp - a fuzz target: what `prepare` and `train` of chapter 02 read. An input is "J" and a line of jsonl, which
// must be read as another JSON library reads it; or "S" and a shard of tokens, "C" the same with its checksums put right,
// so that what lies behind them is reached: it is refused in one line, or every token of it can be used.
// Run: make fuzz
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "chapters/02_small_gpt/json_document.h"
#include "chapters/02_small_gpt/shards.h"
#include "chapters/02_small_gpt/shuffled_windows.h"
#include "io/xxhash64.h"
#include "tests/support/throwing_failures.h"

using namespace small_gpt;

namespace {

void require(bool condition, const char* what) {
    if (condition) return;
    std::fprintf(stderr, "fuzz target: %s\n", what);
    std::abort();
}

void read_line(std::string line) {
    // A line has no line break; and a zero byte is the end of the text for the other library.
    line.erase(std::remove_if(line.begin(), line.end(), [](char c) { return c == '\n' || c == '\0'; }),
               line.end());
    std::string text;
    const std::string problem = parse_json_document(line, "text", &text);
    require(problem.find('\n') == std::string::npos, "a problem of more than one line");
    if (problem.find("too deeply") != std::string::npos) return;
    const nlohmann::json other = nlohmann::json::parse(line, nullptr, false);
    const bool has_text = other.is_object() && other.contains("text") && other["text"].is_string();
    if (has_text) {
        // note: of two members with the same name, ours wants both to be strings.
        if (problem.empty()) require(text == other["text"].get<std::string>(), "another text");
        require(problem.empty() || line.find("text") != line.rfind("text") ||
                    line.find("\\u") != std::string::npos,
                "a good line is refused");
    }
    // Bytes that are not UTF-8 and halves of surrogate pairs are let through on purpose.
    const bool is_plain = line.find("\\u") == std::string::npos &&
                          std::all_of(line.begin(), line.end(), [](char c) { return uint8_t(c) < 0x80; });
    if (problem.empty() && is_plain) require(has_text, "a bad line is accepted");
}

void read_shard(std::string bytes, bool with_right_checksums) {
    constexpr uint64_t kVocabulary = 7;
    constexpr int64_t kSize = 300;
    if (with_right_checksums && bytes.size() >= sizeof(ShardHeader)) {
        ShardHeader header;
        std::memcpy(&header, bytes.data(), sizeof header);
        std::memcpy(header.magic, "GPTSHARD", 8);
        header.version = kShardVersion, header.vocabulary_hash = kVocabulary;
        header.checksum = xxhash64(bytes.data() + sizeof header, bytes.size() - sizeof header);
        header.header_checksum = xxhash64(&header, sizeof header - 8);
        std::memcpy(&bytes[0], &header, sizeof header);
    }
    static const std::string path = std::string(::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp") +
                                    "/fuzz_shard_" + std::to_string(::getpid());
    std::FILE* out = std::fopen(path.c_str(), "wb");
    require(out && std::fwrite(bytes.data(), 1, bytes.size(), out) == bytes.size(), "cannot write a file");
    std::fclose(out);
    try {
        TokenShards data;
        data.shards.emplace_back(path, kVocabulary, kSize);
        for (int64_t i = 0; i < data.shards[0].size(); i++)
            require(data.shards[0][i] >= 0 && data.shards[0][i] < kSize, "an id outside of the vocabulary");
        for (const int64_t T : {1, 4}) {
            if (windows_in(data.tokens(), T, 3) == 0) continue;
            const ShuffledWindows windows(data, T, 3, 2, 1);
            windows.at(0), windows.at(windows.steps_per_epoch() - 1);
        }
    } catch (const Failure& failure) {
        require(failure.kind == FailureKind::kUser, failure.message.c_str());
        require(failure.message.find('\n') == std::string::npos, "a refusal of more than one line");
    }
    ::unlink(path.c_str());
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): the name that libFuzzer calls
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    ThrowingFailures throwing;
    const std::string input(reinterpret_cast<const char*>(data), size);
    if (input.empty()) return 0;
    if (input[0] == 'J') read_line(input.substr(1));
    if (input[0] == 'S' || input[0] == 'C') read_shard(input.substr(1), input[0] == 'C');
    return 0;
}
