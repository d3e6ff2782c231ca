// test_safetensors.cpp - what goes in comes out; the bytes are the expected ones; a write that fails leaves what was there.
// Not here: files that are refused (test_safetensors_refusals.cpp).
#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "tests/io/safetensors_files.h"
#include "tests/support/killed_process.h"

namespace fs = std::filesystem;

TEST_CASE("safetensors: what was written is read", "[cpu][io]") {
    TemporaryFolder folder;
    const std::string path = folder.file("small.safetensors");
    write_small_file(path);
    const SafetensorsFile file = SafetensorsFile::open(path, Checksum::kRequired);

    REQUIRE(file.names() == std::vector<std::string>{"wte.weight", "bias", "counts"});
    REQUIRE(file.metadata().at("step") == "42");
    REQUIRE(file.metadata().at("text") == "a \"b\"\n\xc3\xa9");
    REQUIRE(file.has("bias"));
    REQUIRE_FALSE(file.has("__metadata__"));
    REQUIRE(file.entry("wte.weight").dtype == "F32");
    REQUIRE(file.entry("wte.weight").shape == std::vector<int64_t>{2, 3});
    REQUIRE(file.entry("wte.weight").offset == 0);
    REQUIRE(file.entry("wte.weight").bytes == 24);
    REQUIRE(file.entry("bias").shape.empty());
    REQUIRE(file.entry("counts").dtype == "I32");

    float weights[6] = {}, bias = 0;
    int counts[3] = {};
    file.read("counts", counts, sizeof counts);  // in any order
    file.read_floats("bias", {}, &bias);
    file.read_floats("wte.weight", {2, 3}, weights);
    REQUIRE(std::memcmp(weights, kWeights, sizeof weights) == 0);
    REQUIRE(bias == 7.0f);
    REQUIRE(std::memcmp(counts, kCounts, sizeof counts) == 0);
}

TEST_CASE("safetensors: empty files, empty tensors, NaN and infinity are data like any other", "[cpu][io]") {
    TemporaryFolder folder;
    write_safetensors(folder.file("nothing"), {}, {});
    REQUIRE(SafetensorsFile::open(folder.file("nothing"), Checksum::kRequired).names().empty());

    const float values[3] = {std::nanf(""), std::numeric_limits<float>::infinity(), -0.0f};
    write_safetensors(folder.file("odd"),
                      {{"empty", DType::kFloat32, {0, 5}, nullptr}, {"odd", DType::kFloat32, {3}, values}},
                      {});
    const SafetensorsFile file = SafetensorsFile::open(folder.file("odd"), Checksum::kRequired);
    float read[3] = {};
    file.read_floats("empty", {0, 5}, nullptr);
    file.read_floats("odd", {3}, read);
    REQUIRE(std::memcmp(read, values, sizeof values) == 0);
}

TEST_CASE("safetensors: the bytes of a small file are these", "[cpu][io][golden]") {
    TemporaryFolder folder;
    const float values[2] = {1.0f, -2.0f};
    write_safetensors(folder.file("a"), {{"w", DType::kFloat32, {2}, values}}, {{"step", "3"}});
    const std::string header = R"({"__metadata__":{"header_checksum":"xxh64:e48909c76c1a8e4f",)"
                               R"("checksum":"xxh64:54ba68ca061b22ef","step":"3"},)"
                               R"("w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
    std::string expected("\xa8\0\0\0\0\0\0\0", 8);
    expected += header + std::string((8 - header.size() % 8) % 8, ' ');
    expected += std::string("\x00\x00\x80\x3f\x00\x00\x00\xc0", 8);
    REQUIRE(read_bytes(folder.file("a")) == expected);

    // Another name, another time: the same bytes.
    write_safetensors(folder.file("b"), {{"w", DType::kFloat32, {2}, values}}, {{"step", "3"}});
    REQUIRE(read_bytes(folder.file("b")) == expected);
}

TEST_CASE("safetensors: a foreign file may use every dtype, any order, and no checksum", "[cpu][io]") {
    TemporaryFolder folder;
    const std::string path = folder.file("foreign.safetensors");
    const std::string header =
        R"({"c":{"dtype":"I64","shape":[1],"data_offsets":[12,20]}, "a":{"data_offsets":[0,4],"shape":[2],"dtype":"BF16"},)"
        R"("b":{"dtype":"F16","shape":[1,1,1],"data_offsets":[4,6]},"d":{"dtype":"U8","shape":[3],"data_offsets":[6,9]},)"
        R"("e":{"dtype":"BOOL","shape":[3],"data_offsets":[9,12]},"f":{"dtype":"I32","shape":[0],"data_offsets":[20,20]}})";
    std::string data(20, '\0');
    std::memcpy(data.data(), "\x80\x3f\x20\xc0", 4);  // 1.0 and -2.5 as bfloat16
    write_bytes(path, file_bytes(header, data));

    const SafetensorsFile file = SafetensorsFile::open(path);
    REQUIRE(file.names() == std::vector<std::string>{"c", "a", "b", "d", "e", "f"});
    REQUIRE(file.metadata().empty());
    REQUIRE(file.entry("b").shape == std::vector<int64_t>{1, 1, 1});
    float values[2] = {};
    file.read_floats("a", {2}, values);
    REQUIRE(values[0] == 1.0f);
    REQUIRE(values[1] == -2.5f);

    REQUIRE_THAT(refusal(path, Checksum::kRequired), contains("carries no checksums"));
}

TEST_CASE("safetensors: a tensor that does not fit is refused by name", "[cpu][io]") {
    TemporaryFolder folder;
    const std::string path = folder.file("small");
    write_small_file(path);
    const SafetensorsFile file = SafetensorsFile::open(path);
    float values[6];
    const auto message = [&](const std::string& name, const std::vector<int64_t>& shape) {
        const Failure failure = failure_of([&] { file.read_floats(name, shape, values); });
        REQUIRE((failure.kind == FailureKind::kUser));
        return failure.message;
    };
    REQUIRE_THAT(message("wpe.weight", {2, 3}), contains("no tensor 'wpe.weight'"));
    REQUIRE_THAT(message("wte.weight", {3, 2}),
                 contains("'wte.weight' has shape (2,3), the model wants (3,2)"));
    REQUIRE_THAT(message("counts", {3}), contains("'counts' has dtype I32"));
    // Our own mistake: a CHECK.
    REQUIRE((failure_of([&] { file.read("bias", values, 8); }).kind == FailureKind::kBug));
}

TEST_CASE("safetensors: a write that fails keeps the old file and leaves nothing behind", "[cpu][io]") {
    TemporaryFolder folder;
    const std::string path = folder.file("checkpoint.safetensors");
    const auto files_in_folder = [&] {
        return std::distance(fs::directory_iterator(folder.path), fs::directory_iterator());
    };
    const auto message_of_write = [](const std::string& to, const std::vector<TensorInfo>& tensors) {
        const Failure failure = failure_of([&] { write_safetensors(to, tensors, {}); });
        REQUIRE((failure.kind == FailureKind::kUser));
        REQUIRE(failure.message.find('\n') == std::string::npos);
        return failure.message;
    };
    write_small_file(path);
    const std::string before = read_bytes(path);

    // A limit on the size of files stands for a full disk: the write is cut short in the same way.
    const std::vector<float> large(1 << 16, 1.0f);
    rlimit old_limit;
    REQUIRE(getrlimit(RLIMIT_FSIZE, &old_limit) == 0);
    rlimit limit = old_limit;
    limit.rlim_cur = 10000;
    const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
    REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    const std::string message =
        message_of_write(path, {{"large", DType::kFloat32, {int64_t(large.size())}, large.data()}});
    REQUIRE(setrlimit(RLIMIT_FSIZE, &old_limit) == 0);
    std::signal(SIGXFSZ, old_handler);
    REQUIRE_THAT(message, contains(path) && contains("File too large"));
    REQUIRE(read_bytes(path) == before);
    REQUIRE(files_in_folder() == 1);

    REQUIRE_THAT(message_of_write(folder.file("no/such/folder/x"), {}), contains("No such file"));
    fs::create_directory(folder.file("taken"));
    REQUIRE_THAT(message_of_write(folder.file("taken"), {}), contains("taken"));
    REQUIRE(files_in_folder() == 2);

    // What a killed run left behind is overwritten.
    write_bytes(path + ".tmp", std::string(100000, 'x'));
    write_small_file(path);
    REQUIRE(read_bytes(path) == before);
    REQUIRE(files_in_folder() == 2);
}

TEST_CASE("safetensors: a writer killed at any moment leaves a whole file", "[cpu][io]") {
    TemporaryFolder folder;
    const std::string path = folder.file("checkpoint.safetensors");
    const std::vector<float> weights(300000, 1.0f);  // more than one buffer of the writer
    const auto write = [&](int step) {
        write_safetensors(path, {{"w", DType::kFloat32, {int64_t(weights.size())}, weights.data()}},
                          {{"step", std::to_string(step)}});
    };
    write(0);
    for (int kill_at_us = 50; kill_at_us < 20000; kill_at_us += kill_at_us / 3) {
        CAPTURE(kill_at_us);
        int step = 0;
        repeat_until_killed(kill_at_us, [&] { write(++step); });
        REQUIRE(is_accepted(path, Checksum::kRequired));
    }
    write(1);
    REQUIRE_FALSE(fs::exists(path + ".tmp"));
}

TEST_CASE("safetensors: the writer checks its caller", "[cpu][io]") {
    TemporaryFolder folder;
    const float x[2] = {};
    const auto is_refused = [&](const std::vector<TensorInfo>& tensors,
                                const std::vector<std::pair<std::string, std::string>>& metadata) {
        const Failure failure = failure_of([&] { write_safetensors(folder.file("x"), tensors, metadata); });
        return failure.kind == FailureKind::kBug && !failure.message.empty() && fs::is_empty(folder.path);
    };
    REQUIRE(is_refused({{"a", DType::kFloat32, {2}, x}, {"a", DType::kFloat32, {2}, x}}, {}));
    REQUIRE(is_refused({{"__metadata__", DType::kFloat32, {2}, x}}, {}));
    REQUIRE(is_refused({{"a", DType::kFloat32, {-2}, x}}, {}));
    REQUIRE(is_refused({{"a", DType::kFloat32, {int64_t(1) << 62, 4}, x}}, {}));
    REQUIRE(is_refused({{"a", DType::kFloat32, {2}, nullptr}}, {}));
    REQUIRE(is_refused({{"\xff", DType::kFloat32, {2}, x}}, {}));
    REQUIRE(is_refused({}, {{"step", "1"}, {"step", "2"}}));
    REQUIRE(is_refused({}, {{"checksum", "1"}}));
    REQUIRE(is_refused({}, {{"text", "\xc3"}}));
    REQUIRE_FALSE(is_refused({{"a", DType::kFloat32, {2}, x}}, {{"text", "\x01\x7f"}}));
}
