// test_safetensors.cpp - what goes in comes out; the bytes are the expected ones; everything else is refused.
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "tests/support/catch.h"
#include "tests/support/throwing_failures.h"

namespace {

namespace fs = std::filesystem;

// A folder that goes away with the test.
struct TemporaryFolder {
    fs::path path;

    TemporaryFolder() {
        std::string name = (fs::temp_directory_path() / "test_safetensors.XXXXXX").string();
        REQUIRE(mkdtemp(name.data()) != nullptr);
        path = name;
    }
    ~TemporaryFolder() { fs::remove_all(path); }
    std::string file(const std::string& name) const { return (path / name).string(); }
};

void write_bytes(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
}

std::string read_bytes(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
}

// A file with any header, as a stranger might have written it.
std::string file_bytes(const std::string& header, const std::string& data) {
    const uint64_t length = header.size();
    std::string bytes(sizeof length, '\0');
    std::memcpy(bytes.data(), &length, sizeof length);
    return bytes + header + data;
}

bool is_accepted(const std::string& path, Checksum checksum = Checksum::kOptional) {
    return failure_of([&] { SafetensorsFile::open(path, checksum); }).message.empty();
}

// The message of a refusal, which must be one line with the file in it and what to do.
std::string refusal(const std::string& path, Checksum checksum = Checksum::kOptional) {
    const Failure failure = failure_of([&] { SafetensorsFile::open(path, checksum); });
    INFO(failure.message);
    REQUIRE((failure.kind == FailureKind::kUser));
    REQUIRE(failure.message.find(path + ": ") == 0);
    REQUIRE(failure.message.find("; ") != std::string::npos);
    REQUIRE(failure.message.find_first_of("\n\r\x1b") == std::string::npos);
    return failure.message;
}

std::string refusal_of_bytes(const std::string& bytes, Checksum checksum = Checksum::kOptional) {
    TemporaryFolder folder;
    write_bytes(folder.file("x.safetensors"), bytes);
    return refusal(folder.file("x.safetensors"), checksum);
}

const float kWeights[6] = {1.0f, -2.0f, 0.5f, 0.0f, 3.25f, -0.125f};
const float kBias[1] = {7.0f};
const int kCounts[3] = {1, -1, 65};

void write_small_file(const std::string& path) {
    write_safetensors(path,
                      {{"wte.weight", DType::kFloat32, {2, 3}, kWeights},
                       {"bias", DType::kFloat32, {}, kBias},
                       {"counts", DType::kInt32, {3}, kCounts}},
                      {{"step", "42"}, {"text", "a \"b\"\n\xc3\xa9"}});
}

}  // namespace

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

TEST_CASE("safetensors: what is no file is refused", "[cpu][io]") {
    TemporaryFolder folder;
    REQUIRE_THAT(refusal(folder.file("missing")), contains("cannot be opened (No such file"));
    REQUIRE_THAT(refusal(folder.path.string()), contains("is a folder"));
    REQUIRE(mkfifo(folder.file("pipe").c_str(), 0600) == 0);
    REQUIRE_THAT(refusal(folder.file("pipe")), contains("not a regular file"));
    write_bytes(folder.file("empty"), "");
    REQUIRE_THAT(refusal(folder.file("empty")), contains("the file is empty"));
    if (geteuid() != 0) {  // root may read everything
        write_small_file(folder.file("secret"));
        fs::permissions(folder.file("secret"), fs::perms::none);
        REQUIRE_THAT(refusal(folder.file("secret")), contains("Permission denied"));
    }
}

TEST_CASE("safetensors: a length that lies is refused", "[cpu][io]") {
    REQUIRE_THAT(refusal_of_bytes("1234567"), contains("has 7 bytes"));
    REQUIRE_THAT(refusal_of_bytes(std::string("\x03\0\0\0\0\0\0\0{}", 10)),
                 contains("claims 3 bytes and 2 follow"));
    REQUIRE_THAT(refusal_of_bytes(std::string("\x01\xe1\xf5\x05\0\0\0\0{}", 10)),
                 contains("claims 100000001 bytes (at most"));
    REQUIRE_THAT(refusal_of_bytes("\xff\xff\xff\xff\xff\xff\xff\xff{}"),
                 contains("claims 18446744073709551615 bytes (at most"));
    REQUIRE_THAT(refusal_of_bytes("First Citizen:\nBefore we proceed any further"),
                 contains("not a safetensors file"));
}

TEST_CASE("safetensors: a hostile header is refused", "[cpu][io]") {
    const std::string good = R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
    const std::string deep(100000, '[');
    std::string ones = "1";
    for (int i = 0; i < 64; i++) ones += ",1";
    struct Case {
        std::string header, data, message;
    };
    const Case cases[] = {
        // the text
        {"", "", "not a JSON object"},
        {"[]", "", "not a JSON object"},
        {"null", "", "not a JSON object"},
        {" {}", "", "not a JSON object"},
        {"{", "", "not valid JSON"},
        {"{} x", "", "not valid JSON"},
        {"{}{}", "", "not valid JSON"},
        {"{" + good + ",}", "12345678", "not valid JSON"},
        {"{" + good + "}" + std::string("\0junk", 5), "12345678", "not a JSON object"},
        {"{\"\xff\":{}}", "", "not valid JSON"},
        {R"({"a":{"dtype":"F32","shape":[2e},"data_offsets":[0,8]}})", "", "not valid JSON"},
        {"{" + good + "} // comment", "12345678", "not valid JSON"},
        // what stands where
        {R"({"a":1})", "", "has a number for 'a', not an object"},
        {R"({"a":[]})", "", "has a list for 'a', not an object"},
        {R"({"a":"F32"})", "", "has a text for 'a', not an object"},
        {R"({"a":null})", "", "has null for 'a', not an object"},
        {R"({"a":true})", "", "has true or false for 'a', not an object"},
        {R"({"__metadata__":[]})", "", "has a list for '__metadata__', not an object"},
        {R"({"__metadata__":{"step":3}})", "", "metadata 'step' is a number, not a text"},
        {R"({"__metadata__":{"step":-3.5}})", "", "metadata 'step' is a number, not a text"},
        {R"({"__metadata__":{"step":{"a":"b"}}})", "", "metadata 'step' is an object, not a text"},
        {R"({"__metadata__":{"step":null}})", "", "metadata 'step' is null, not a text"},
        {R"({"a":{"dtype":{"x":1}}})", "", "'a' has an object in its field 'dtype'"},
        {R"({"a":{"shape":[[2]]}})", "", "'a' has a list in its field 'shape'"},
        {R"({"a":{"shape":["2"]}})", "", "'a' has a text in its field 'shape'"},
        {R"({"a":{"shape":2}})", "", "'a' has a number in its field 'shape'"},
        {R"({"a":)" + deep, "", "has a list for 'a'"},
        {R"({"a":{"shape":)" + deep, "", "'a' has a list in its field 'shape'"},
        {R"({"a":{"colour":"red"}})", "", "unknown field 'colour'"},
        // twice
        {"{" + good + "," + good + "}", "12345678", "has 'a' twice"},
        {R"({"__metadata__":{},"__metadata__":{}})", "", "has '__metadata__' twice"},
        {R"({"__metadata__":{"x":"1","x":"2"}})", "", "has 'x' twice"},
        {R"({"a":{"dtype":"F32","dtype":"F32"}})", "", "has 'dtype' twice"},
        {R"({"a":{"dtype":"F32","\u0064type":"F32"}})", "", "has 'dtype' twice"},
        // dtypes
        {R"({"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}})", "1", "unknown dtype 'F8_E4M3'"},
        {R"({"a":{"dtype":"f32","shape":[1],"data_offsets":[0,4]}})", "1234", "unknown dtype 'f32'"},
        {R"({"a":{"dtype":"","shape":[1],"data_offsets":[0,4]}})", "1234", "unknown dtype ''"},
        // what is missing
        {R"({"a":{}})", "", "'a' has no dtype"},
        {R"({"a":{"dtype":"F32","data_offsets":[0,8]}})", "12345678", "'a' has no shape"},
        {R"({"a":{"dtype":"F32","shape":[2]}})", "12345678", "'a' has no data_offsets"},
        {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[]}})", "12345678", "has 0 data_offsets"},
        {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", "12345678", "has 1 data_offsets"},
        {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}})", "12345678",
         "too many numbers in its data_offsets"},
        // numbers
        {R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", "12345678", "a number in its shape"},
        {R"({"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})", "12345678", "a number in its shape"},
        {R"({"a":{"dtype":"F32","shape":[2e0],"data_offsets":[0,8]}})", "12345678", "a number in its shape"},
        {R"({"a":{"dtype":"F32","shape":[1e999],"data_offsets":[0,8]}})", "12345678", "not valid JSON"},
        {R"({"a":{"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,8]}})", "12345678",
         "in its shape"},
        {R"({"a":{"dtype":"F32","shape":[18446744073709551617],"data_offsets":[0,8]}})", "12345678",
         "in its shape"},
        {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}})", "12345678", "in its data_offsets"},
        {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8.0]}})", "12345678", "in its data_offsets"},
        {R"({"a":{"dtype":"U8","shape":[)" + ones + R"(],"data_offsets":[0,1]}})", "1",
         "too many numbers in its shape"},
        // products: 2^31 * 2^31 * 4 = 2^64, which would wrap to 0
        {R"({"a":{"dtype":"F32","shape":[2147483648,2147483648],"data_offsets":[0,0]}})", "",
         "product overflows"},
        {R"({"a":{"dtype":"F32","shape":[9223372036854775807],"data_offsets":[0,8]}})", "12345678",
         "overflows"},
        {R"({"a":{"dtype":"U8","shape":[4294967296,4294967296,0],"data_offsets":[0,0]}})", "",
         "product overflows"},
        {R"({"a":{"dtype":"U8","shape":[0,4294967296,4294967296],"data_offsets":[0,0]}})", "",
         "product overflows"},
        // offsets
        {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", "12345678",
         "begins at byte 8 and ends before"},
        {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,7]}})", "1234567", "make 8"},
        {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,9]}})", "123456789", "make 8"},
        {R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0,4]}})", "1234", "make 0"},
        {R"({"a":{"dtype":"F32","shape":[],"data_offsets":[0,0]}})", "", "make 4"},
        {"{" + good + "}", "1234567", "truncated"},
        {"{" + good + "}", "", "truncated"},
        {"{" + good + "}", "123456789", "1 bytes follow the last tensor"},
        {"{}", "1", "1 bytes follow the last tensor"},
        {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", "123456789012", "begins at byte 4"},
        {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[9223372036854775806,9223372036854775807]}})", "1",
         "truncated"},
        {R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[9,9]}})", "1", "truncated"},
        {"{" + good + R"(,"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})", "12345678",
         "begins at byte 4"},
        {"{" + good + R"(,"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", "12345678",
         "begins at byte 0"},
        {"{" + good + R"(,"b":{"dtype":"U8","shape":[1],"data_offsets":[9,10]}})", "1234567890",
         "begins at byte 9"},
        {"{" + good + R"(,"b":{"dtype":"U8","shape":[0],"data_offsets":[4,4]}})", "12345678",
         "begins at byte 4"},
        // checksums that cannot be verified
        {R"({"__metadata__":{"checksum":"sha256:00"}})", "", "does not match its checksum 'sha256:00'"},
        {R"({"__metadata__":{"checksum":"xxh64:EF46DB3751D8E999"}})", "", "does not match its checksum"},
        {R"({"__metadata__":{"header_checksum":"xxh64:0000000000000000"}})", "", "header does not match"},
        {R"({"__metadata__":{"header_checksum":"x"}})", "", "header does not match"},
        {R"({"__metadata__":{"header_checksum":""}})", "", "header does not match"},
        {R"({"__metadata__":{"x":"y","header_checksum":"xxh64:0000000000000000"}})", "",
         "header does not match"},
        // text from the file reaches the terminal tamed
        {R"({"\u001b[31m\n\u0000":1})", "", "'\\x1b[31m\\n\\x00'"},
        {"{\"" + std::string(1000, 'n') + "\":1}", "", std::string(60, 'n') + "...'"},
    };
    for (const Case& c : cases) {
        CAPTURE(c.header.substr(0, 200));
        REQUIRE_THAT(refusal_of_bytes(file_bytes(c.header, c.data)), contains(c.message));
    }
    TemporaryFolder folder;
    write_bytes(folder.file("good"), file_bytes("{" + good + "}   ", "12345678"));
    REQUIRE(is_accepted(folder.file("good")));
    write_bytes(folder.file("good"),
                file_bytes(R"({"__metadata__":{"checksum":"xxh64:ef46db3751d8e999"}})", ""));
    REQUIRE(is_accepted(folder.file("good")));
}

TEST_CASE("safetensors: a file cut at any byte is refused", "[cpu][io]") {
    TemporaryFolder folder;
    const std::string path = folder.file("cut");
    write_small_file(path);
    REQUIRE(is_accepted(path, Checksum::kRequired));
    const size_t whole = fs::file_size(path);
    fs::resize_file(path, whole + 1);
    refusal(path);
    for (size_t length = whole; length-- > 0;) {
        fs::resize_file(path, length);
        CAPTURE(length, whole);
        refusal(path);
    }
}

TEST_CASE("safetensors: one flipped bit anywhere in a file of ours is refused", "[cpu][io]") {
    TemporaryFolder folder;
    const std::string path = folder.file("flipped");
    write_small_file(path);
    const std::string whole = read_bytes(path);
    // note: changed in place. Writing thousands of new files takes ten times as long on some file systems.
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    const auto put = [&](size_t at, char byte) { file.seekp(std::streamoff(at)).put(byte).flush(); };
    for (size_t at = 0; at < whole.size(); at++) {
        for (int bit = 0; bit < 8; bit++) {
            put(at, char(whole[at] ^ (1 << bit)));
            CAPTURE(at, bit, whole.size());
            refusal(path, Checksum::kRequired);
            if (!is_accepted(path)) continue;

            // Where checksums are optional, a flip may hide one of the two under another key. What is then
            // accepted still has every weight as it was.
            float weights[6] = {};
            SafetensorsFile::open(path).read_floats("wte.weight", {2, 3}, weights);
            REQUIRE(std::memcmp(weights, kWeights, sizeof weights) == 0);
        }
        put(at, whole[at]);
    }
    REQUIRE(is_accepted(path, Checksum::kRequired));
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
        const pid_t child = fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            failure_of([&] {
                for (int step = 1;; step++) write(step);
            });
            _exit(1);
        }
        usleep(useconds_t(kill_at_us));
        REQUIRE(kill(child, SIGKILL) == 0);
        REQUIRE(waitpid(child, nullptr, 0) == child);
        CAPTURE(kill_at_us);
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
