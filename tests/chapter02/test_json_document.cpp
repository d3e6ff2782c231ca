// test_json_document.cpp - the text of a line of jsonl, and what is wrong with lines that have none.
#include <string>

#include "chapters/02_small_gpt/encode_documents.h"
#include "chapters/02_small_gpt/json_document.h"
#include "core/check.h"
#include "tests/support/catch.h"

using namespace small_gpt;

namespace {

std::string text_of_line(const std::string& line, const std::string& key = "text") {
    std::string text;
    const std::string problem = parse_json_document(line, key, &text);
    REQUIRE(problem == "");
    return text;
}

std::string problem_of(const std::string& line) {
    std::string text;
    return parse_json_document(line, "text", &text);
}

}  // namespace

TEST_CASE("the text of a line", "[cpu]") {
    REQUIRE(text_of_line(R"({"text":"a"})") == "a");
    REQUIRE(text_of_line(" { \"text\" : \"a\\n\\u00e9\\/\" } \r") == "a\n\xc3\xa9/");
    REQUIRE(text_of_line(R"({"source":"blogs","text":"a"})") == "a");
    REQUIRE(text_of_line(R"({"text":"a","meta":{"x":[1,-2.5e+3,{"text":"no"},[],{}],"y":null},"z":true})") ==
            "a");
    REQUIRE(text_of_line(R"({"meta":[[["text"]]],"text":"","n":0})") == "");
    REQUIRE(text_of_line(R"({"text":"a","text":"b"})") == "b");
    REQUIRE(text_of_line(R"({"te\u0078t":"a"})") == "a");
    REQUIRE(text_of_line(R"({"content":"a","text":1})", "content") == "a");
}

TEST_CASE("lines that are no JSON, or have no text", "[cpu]") {
    for (const auto& [line, what] : {std::pair("", "it is empty"),
                                     std::pair("  ", "it is empty"),
                                     std::pair("hello", "no JSON object"),
                                     std::pair("[1]", "no JSON object"),
                                     std::pair("{}", "no member \"text\""),
                                     std::pair("{\"a\":1}", "no member \"text\""),
                                     std::pair("{\"text\":1}", "is no string"),
                                     std::pair("{\"text\":null}", "is no string"),
                                     std::pair("{\"text\":[\"a\"]}", "is no string"),
                                     std::pair("{\"text\":\"a", "closing quote"),
                                     std::pair("{\"text\":\"a\"", "a comma"),
                                     std::pair("{\"text\":\"a\",}", "begins with a quote"),
                                     std::pair("{\"text\" \"a\"}", "a colon"),
                                     std::pair("{\"text\":\"a\"} x", "follows the object"),
                                     std::pair("{\"text\":\"a\"}{\"text\":\"b\"}", "follows the object"),
                                     std::pair("{\"a\":01,\"text\":\"a\"}", "a value"),
                                     std::pair("{\"a\":1.,\"text\":\"a\"}", "a value"),
                                     std::pair("{\"a\":-,\"text\":\"a\"}", "a value"),
                                     std::pair("{\"a\":1e,\"text\":\"a\"}", "a value"),
                                     std::pair("{\"a\":tru,\"text\":\"a\"}", "a value"),
                                     std::pair("{\"a\":[1,],\"text\":\"a\"}", "a value"),
                                     std::pair("{\"a\":[1 2],\"text\":\"a\"}", "a comma"),
                                     std::pair("{\"a\":[1},\"text\":\"a\"}", "a comma"),
                                     std::pair("{\"a\":{\"b\"},\"text\":\"a\"}", "a colon"),
                                     std::pair("{\"a\":{1:2},\"text\":\"a\"}", "begins with a quote"),
                                     std::pair("{\"text\":\"\\x\"}", "escape"),
                                     std::pair("{\"text\":\"a\tb\"}", "control character")}) {
        CAPTURE(line);
        const std::string problem = problem_of(line);
        CAPTURE(problem);
        REQUIRE(problem.find(what) != std::string::npos);
    }
    REQUIRE(problem_of("{\"a\":" + std::string(100000, '[')).find("too deeply") != std::string::npos);
    REQUIRE(problem_of("{\"a\":" + std::string(900, '[') + std::string(900, ']') + ",\"text\":\"a\"}") == "");
}

TEST_CASE("a text ends, is escaped or is wrong at any place of a vector", "[cpu]") {
    const std::string plain =
        "\x20\x21\xff\x80z#[]\x7f\xdb\xa2\x23";  // neighbours of what is looked for, and high bits
    for (size_t length = 0; length < 100; length++) {
        CAPTURE(length);
        std::string before;
        while (before.size() < length) before += plain[(before.size() * 7 + length) % plain.size()];
        for (const size_t behind : {0, 1, 40}) {
            const std::string after(behind, 'x');
            REQUIRE(text_of_line("{\"text\":\"" + before + "\"}") == before);
            REQUIRE(text_of_line("{\"text\":\"" + before + "\\\\" + after + "\"}") == before + "\\" + after);
            for (const char control : {'\x01', '\x1f', '\n'})
                REQUIRE(problem_of("{\"text\":\"" + before + control + after + "\"}")
                            .find(format("byte %zu is 0x%02x", 9 + length, control)) == 0);
        }
    }
}

TEST_CASE("the split of a document is a function of its text", "[cpu]") {
    int counts[kSplits] = {};
    for (int i = 0; i < 10000; i++) {
        const std::string text = "document " + std::to_string(i);
        counts[int(split_of(text, 5, 10))]++;
        REQUIRE(split_of(text, 5, 10) == split_of(text, 5, 10));
        // More for the test leaves what is held out for choosing as it is.
        if (split_of(text, 5, 10) == Split::kValidation) REQUIRE(split_of(text, 5, 20) == Split::kValidation);
    }
    REQUIRE(counts[int(Split::kTrain)] > 8300);
    REQUIRE(counts[int(Split::kTrain)] < 8700);
    REQUIRE(counts[int(Split::kValidation)] > 400);
    REQUIRE(counts[int(Split::kValidation)] < 600);
}
