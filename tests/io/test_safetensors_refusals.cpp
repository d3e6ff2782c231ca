// test_safetensors_refusals.cpp - what is no safetensors file, or a hostile, cut or damaged one, is refused in one line.
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/io/safetensors_files.h"

namespace fs = std::filesystem;

TEST_CASE("safetensors: what is no file is refused", "[cpu][io]") {
    TemporaryFolder folder;
    REQUIRE_THAT(refusal(folder.file("missing")), contains("cannot be opened (No such file"));
    REQUIRE_THAT(refusal(folder.path), contains("is a folder"));
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
