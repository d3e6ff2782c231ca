// safetensors_files.h - files of ours and of strangers, and how a refusal of one must read.
#pragma once
#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>

#include "io/safetensors.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/throwing_failures.h"

inline void write_bytes(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
}

inline std::string read_bytes(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
}

// A file with any header, as a stranger might have written it.
inline std::string file_bytes(const std::string& header, const std::string& data) {
    const uint64_t length = header.size();
    std::string bytes(sizeof length, '\0');
    std::memcpy(bytes.data(), &length, sizeof length);
    return bytes + header + data;
}

inline bool is_accepted(const std::string& path, Checksum checksum = Checksum::kOptional) {
    return failure_of([&] { SafetensorsFile::open(path, checksum); }).message.empty();
}

// The message of a refusal, which must be one line with the file in it and what to do.
inline std::string refusal(const std::string& path, Checksum checksum = Checksum::kOptional) {
    const Failure failure = failure_of([&] { SafetensorsFile::open(path, checksum); });
    INFO(failure.message);
    REQUIRE((failure.kind == FailureKind::kUser));
    REQUIRE(failure.message.find(path + ": ") == 0);
    REQUIRE(failure.message.find("; ") != std::string::npos);
    REQUIRE(failure.message.find_first_of("\n\r\x1b") == std::string::npos);
    return failure.message;
}

inline std::string refusal_of_bytes(const std::string& bytes, Checksum checksum = Checksum::kOptional) {
    TemporaryFolder folder;
    write_bytes(folder.file("x.safetensors"), bytes);
    return refusal(folder.file("x.safetensors"), checksum);
}

inline const float kWeights[6] = {1.0f, -2.0f, 0.5f, 0.0f, 3.25f, -0.125f};
inline const float kBias[1] = {7.0f};
inline const int kCounts[3] = {1, -1, 65};

inline void write_small_file(const std::string& path) {
    write_safetensors(path,
                      {{"wte.weight", DType::kFloat32, {2, 3}, kWeights},
                       {"bias", DType::kFloat32, {}, kBias},
                       {"counts", DType::kInt32, {3}, kCounts}},
                      {{"step", "42"}, {"text", "a \"b\"\n\xc3\xa9"}});
}
