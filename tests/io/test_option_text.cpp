// test_option_text.cpp - an option that is younger than some checkpoints: theirs is the value of before it was there.
#include "io/option_text.h"

#include <map>
#include <string>

#include "tests/support/catch.h"
#include "tests/support/throwing_failures.h"

namespace {

// What is restored where the user asked for `asked` (empty: said nothing) and the checkpoint's metadata is this.
std::string restored(const std::map<std::string, std::string>& metadata, const std::string& asked) {
    const std::vector<std::string> given =
        asked.empty() ? std::vector<std::string>{} : std::vector<std::string>{"--precision"};
    const std::string where = "run/checkpoint.safetensors";
    std::string value = asked.empty() ? "the default" : asked;
    OptionRestorer(metadata, given, where).newer_result_option<std::string>("precision", &value, "fp32");
    return value;
}

}  // namespace

TEST_CASE("an option that a checkpoint may lack", "[io]") {
    ThrowingFailures throwing;
    REQUIRE(restored({}, "") == "fp32");
    REQUIRE(restored({}, "fp32") == "fp32");
    REQUIRE_THROWS_WITH(
        restored({}, "bf16"),
        contains("--precision bf16 contradicts the checkpoint, which was trained with fp32;"));
    REQUIRE(restored({{"precision", "bf16"}}, "") == "bf16");
    REQUIRE(restored({{"precision", "bf16"}}, "bf16") == "bf16");
    REQUIRE_THROWS_WITH(
        restored({{"precision", "bf16"}}, "fp32"),
        contains("--precision fp32 contradicts the checkpoint, which was trained with bf16;"));
}
