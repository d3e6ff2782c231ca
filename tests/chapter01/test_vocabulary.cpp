// test_vocabulary.cpp - vocabularies are read, written and, where a file is wrong, refused by name, place and reason.
#include <filesystem>
#include <string>
#include <vector>

#include "chapters/01_bpe/bpe_plain.h"
#include "chapters/01_bpe/vocabulary.h"
#include "io/data_set.h"
#include "io/file.h"
#include "io/utf8.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/throwing_failures.h"

namespace {

struct Folder : TemporaryFolder {
    std::string put(const std::string& name, const std::string& bytes) const {
        write_file_atomically(join_path(path, name), bytes);
        return join_path(path, name);
    }
};

std::string spelled(const std::string& bytes) {
    std::string text;
    for (const char byte : bytes) utf8::append(&text, byte_spelling()[uint8_t(byte)]);
    return text;
}

// The 256 bytes as entries of vocab.json, without the braces.
std::string byte_entries() {
    std::string entries;
    for (int id = 0; id < 256; id++) {
        std::string text = spelled(std::string(1, char(byte_of_id()[size_t(id)])));
        if (text == "\"" || text == "\\") text = "\\" + text;
        entries += (id ? ", \"" : "\"") + text + "\": " + std::to_string(id);
    }
    return entries;
}

std::string base64(const std::string& bytes) {
    const char* digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    for (size_t i = 0; i < bytes.size(); i += 3) {
        uint32_t bits = 0;
        for (size_t k = 0; k < 3; k++) bits = bits << 8 | (i + k < bytes.size() ? uint8_t(bytes[i + k]) : 0);
        for (size_t k = 0; k < 4; k++)
            text += i + k <= bytes.size() ? digits[bits >> (18 - 6 * k) & 63] : '=';
    }
    return text;
}

// 256 lines of a rank file: byte b has rank b.
std::string byte_ranks() {
    std::string lines;
    for (int byte = 0; byte < 256; byte++)
        lines += base64(std::string(1, char(byte))) + " " + std::to_string(byte) + "\n";
    return lines;
}

void require_refused(const std::string& what, const std::vector<std::string>& wanted,
                     const Failure& failure) {
    CAPTURE(what);
    REQUIRE(failure.kind == FailureKind::kUser);
    for (const std::string& part : wanted) REQUIRE_THAT(failure.message, contains(part));
}

}  // namespace

TEST_CASE("bytes are spelled as GPT-2 spells them", "[chapter01][vocabulary]") {
    REQUIRE(byte_of_id()[0] == '!');
    REQUIRE(byte_of_id()[220] == ' ');
    REQUIRE(byte_of_id()[198] == '\n');
    REQUIRE(byte_of_id()[188] == 0);
    REQUIRE(byte_spelling()[' '] == 0x120);
    REQUIRE(byte_spelling()['\n'] == 0x10a);
    REQUIRE(byte_spelling()[0xad] == 0x143);
    REQUIRE(byte_spelling()['a'] == 'a');
    const Vocabulary bytes = byte_vocabulary(Pattern::kNone);
    REQUIRE(bytes.size() == 256);
    for (int byte = 0; byte < 256; byte++)
        REQUIRE(bytes.tokens[size_t(bytes.byte_ids[size_t(byte)])] == std::string(1, char(byte)));
}

TEST_CASE("what is saved is loaded again, to the byte", "[chapter01][vocabulary]") {
    const std::string text = "low lower lowest \"quoted\\\" slow\n\xe2\x82\xac \xff low lower low";
    Vocabulary vocabulary = plain::train(text + text, 270, 2, Pattern::kCl100k);
    // Special tokens: a usual one, one spelled like an ordinary token, one with a quote and a newline, one beyond ASCII.
    for (const std::string special : {"<|endoftext|>", "\xc4\xa0", "a\"\n\\", "<\xe2\x82\xac>"}) {
        vocabulary.specials.push_back({special, vocabulary.size()});
        vocabulary.tokens.push_back(special);
    }
    const Folder folder;
    save_vocabulary(vocabulary, folder.path + "/a/b");
    const Vocabulary loaded = load_vocabulary(folder.path + "/a/b");
    REQUIRE(loaded.tokens == vocabulary.tokens);
    REQUIRE(loaded.byte_ids == vocabulary.byte_ids);
    REQUIRE(loaded.pattern == Pattern::kCl100k);
    REQUIRE(loaded.merges.size() == vocabulary.merges.size());
    for (size_t i = 0; i < loaded.merges.size(); i++) {
        const Merge &a = loaded.merges[i], &b = vocabulary.merges[i];
        REQUIRE((a.left == b.left && a.right == b.right && a.token == b.token && a.rank == b.rank));
    }
    REQUIRE(loaded.specials.size() == 4);
    for (size_t i = 0; i < 4; i++) {
        REQUIRE(loaded.specials[i].text == vocabulary.specials[i].text);
        REQUIRE(loaded.specials[i].id == vocabulary.specials[i].id);
    }
    save_vocabulary(loaded, folder.path + "/again");
    for (const char* name : {"vocab.json", "merges.txt", "tokenizer_config.json"})
        REQUIRE(read_file(folder.path + "/again/" + name) == read_file(folder.path + "/a/b/" + name));
}

TEST_CASE("a special token that is not UTF-8 cannot be saved", "[chapter01][vocabulary]") {
    Vocabulary vocabulary = byte_vocabulary(Pattern::kGpt2);
    vocabulary.specials.push_back({"\xff", 256});
    vocabulary.tokens.push_back("\xff");
    const Folder folder;
    require_refused("special", {"special token", "not valid UTF-8"},
                    failure_of([&] { save_vocabulary(vocabulary, folder.path + "/new"); }));
    REQUIRE(!folder_exists(folder.path + "/new"));
}

TEST_CASE("GPT-2's names for the two files are understood, and special is what nothing makes",
          "[chapter01][vocabulary]") {
    const Folder folder;
    folder.put("encoder.json",
               "{" + byte_entries() + ", \"ab\": 256, \"<|endoftext|>\": 257, \"\\u0120ab\": 258}");
    folder.put("vocab.bpe", "#version: 0.2\r\na b\r\n\xc4\xa0 ab\r\n");
    const Vocabulary vocabulary = load_vocabulary(folder.path);
    REQUIRE(vocabulary.pattern == Pattern::kGpt2);
    REQUIRE(vocabulary.size() == 259);
    REQUIRE(vocabulary.tokens[258] == " ab");
    REQUIRE(vocabulary.merges.size() == 2);
    REQUIRE(vocabulary.merges[1].left == 220);
    REQUIRE(vocabulary.merges[1].right == 256);
    REQUIRE(vocabulary.specials.size() == 1);
    REQUIRE(vocabulary.specials[0].text == "<|endoftext|>");
    REQUIRE(vocabulary.specials[0].id == 257);
}

TEST_CASE("a first merge that begins with # is a merge", "[chapter01][vocabulary]") {
    const Folder folder;
    const std::string vocab =
        folder.put("vocab.json", "{" + byte_entries() + ", \"##\": 256, \"####\": 257}");
    REQUIRE(load_gpt2_files(vocab, folder.put("merges.txt", "# #\n## ##\n")).merges.size() == 2);
    REQUIRE(load_gpt2_files(vocab, folder.put("merges.txt", "#version: 0.2\n# #\n## ##")).merges.size() == 2);
}

TEST_CASE("a wrong vocab.json is refused", "[chapter01][vocabulary]") {
    const Folder folder;
    const std::string merges = folder.put("merges.txt", "#version: 0.2\na b\n"),
                      good = byte_entries() + ", \"ab\": 256";
    const auto refusal = [&](const std::string& content) {
        const std::string path = folder.put("vocab.json", content);
        return failure_of([&] { load_gpt2_files(path, merges); });
    };
    const std::string file = "vocab.json: ";
    require_refused("missing", {"cannot read", "none.json"},
                    failure_of([&] { load_gpt2_files(folder.path + "/none.json", merges); }));
    require_refused("empty", {file, "line 1", "the file ends"}, refusal(""));
    require_refused("cut", {file, "line 1", "the file ends"}, refusal("{" + good));
    require_refused("cut in a token", {file, "the file ends"}, refusal("{" + good + ", \"x"));
    require_refused("cut in an escape", {file, "hexadecimal"}, refusal("{" + good + ", \"\\u01"));
    require_refused("line", {file, "line 3, byte"}, refusal("{" + good + ",\n\"x\": 257,\nx"));
    require_refused("not UTF-8", {file, "not UTF-8"}, refusal("{" + good + ", \"\xff\": 257}"));
    require_refused("half a pair", {file, "surrogate"}, refusal("{" + good + ", \"\\ud83d\": 257}"));
    require_refused("the other half", {file, "surrogate"}, refusal("{" + good + ", \"\\ude00\": 257}"));
    require_refused("a control character", {file, "end of a token", "\\x01"},
                    refusal("{" + good + ", \"\x01\": 257}"));
    require_refused("an escape", {file, "escape"}, refusal("{" + good + ", \"\\x\": 257}"));
    require_refused("no comma", {file, "wants , or }"}, refusal("{" + good + " \"x\": 257}"));
    require_refused("comma last", {file, "token in quotes"}, refusal("{" + good + ",}"));
    require_refused("no colon", {file, "wants :"}, refusal("{" + good + ", \"x\" 257}"));
    require_refused("a list", {file, "{\"token\": id, ...}", "not \"[1, 2]\""}, refusal("[1, 2]"));
    require_refused("a number", {file, "not \"17\""}, refusal("17"));
    require_refused("text", {file, "entry \"x\"", "whole number"}, refusal("{" + good + ", \"x\": \"256\"}"));
    require_refused("a fraction", {file, "entry \"x\"", "not \"257.5}\""},
                    refusal("{" + good + ", \"x\": 257.5}"));
    require_refused("negative", {file, "entry \"x\"", "not \"-1}\""}, refusal("{" + good + ", \"x\": -1}"));
    require_refused("nested", {file, "entry \"x\"", "whole number"},
                    refusal("{" + good + ", \"x\": {\"y\": 257}}"));
    require_refused("huge", {file, "entry \"x\"", "1048575"},
                    refusal("{" + good + ", \"x\": 18446744073709551616}"));
    require_refused("too large", {file, "entry \"x\"", "1048576"}, refusal("{" + good + ", \"x\": 1048576}"));
    require_refused("id twice", {file, "entry \"cd\"", "id 256 is taken"},
                    refusal("{" + good + ", \"cd\": 256}"));
    require_refused("text twice", {file, "entry \"ab\"", "twice"}, refusal("{" + good + ", \"ab\": 257}"));
    require_refused("no text", {file, "entry \"\"", "no text"}, refusal("{" + good + ", \"\": 257}"));
    require_refused("control characters", {"\\x1b[2J"}, refusal("{" + good + ", \"\\u001b[2J\": -1}"));
    require_refused("a byte is missing", {file, "0x21"},
                    refusal("{" + good.substr(good.find(',') + 1) + "}"));
    require_refused("trailing", {file, "nothing after }"}, refusal("{" + good + "} x"));
}

TEST_CASE("escapes in vocab.json mean what JSON says", "[chapter01][vocabulary]") {
    const Folder folder;
    const std::string tokens =
        "{" + byte_entries() +
        ", \"[\\\\u\\\"]\": 256, \"[\\u005c\\/]\":257,\n\t\"<\\uD83D\\ude00\\n\\t\\b\\f\\r>\": 258 , "
        "\"<\\\"\\\">\" : 259 }\n";
    const Vocabulary vocabulary =
        load_gpt2_files(folder.put("vocab.json", tokens), folder.put("merges.txt", ""));
    REQUIRE(vocabulary.tokens[256] == "[\\u\"]");
    REQUIRE(vocabulary.tokens[257] == "[\\/]");
    REQUIRE(vocabulary.tokens[258] == "<\xf0\x9f\x98\x80\n\t\b\f\r>");
    REQUIRE(vocabulary.tokens[259] == "<\"\">");
    REQUIRE(vocabulary.specials.size() == 4);  // no merge makes them
}

TEST_CASE("a wrong merges.txt is refused with its line", "[chapter01][vocabulary]") {
    const Folder folder;
    const std::string vocab = folder.put("vocab.json", "{" + byte_entries() + ", \"ab\": 256, \"abc\": 257}");
    const auto refusal = [&](const std::string& content) {
        const std::string path = folder.put("merges.txt", content);
        return failure_of([&] { load_gpt2_files(vocab, path); });
    };
    require_refused("missing", {"cannot read"},
                    failure_of([&] { load_gpt2_files(vocab, folder.path + "/none.txt"); }));
    require_refused("one part", {"merges.txt: line 3", "\"ab\""}, refusal("#version: 0.2\na b\nab\n"));
    require_refused("three parts", {"line 2", "two tokens"}, refusal("#version: 0.2\na b c\n"));
    require_refused("two blanks", {"line 2", "two tokens"}, refusal("#version: 0.2\na  b\n"));
    require_refused("blank first", {"line 2", "two tokens"}, refusal("#version: 0.2\n b\n"));
    require_refused("unknown part", {"line 2", "\"xy\" is no token"}, refusal("#version: 0.2\nxy b\n"));
    require_refused("unknown whole", {"line 3", "\"ac\" is no token"}, refusal("#version: 0.2\na b\na c\n"));
    require_refused("not UTF-8", {"line 2", "\\xff"}, refusal("#version: 0.2\na \xff\n"));
    require_refused("a binary file", {"merges.txt: line 1"}, refusal(std::string("\0\1\2\3", 4)));
    require_refused("the same again", {"line 3", "there before"}, refusal("#version: 0.2\na b\na b\nab c\n"));
}

TEST_CASE("merges that are cut short are noticed", "[chapter01][vocabulary]") {
    const bool has_config = GENERATE(true, false);
    Vocabulary vocabulary = plain::train("low lower lowest slow slower slowest", 270, 2, Pattern::kGpt2);
    vocabulary.specials.push_back({"<|endoftext|>", vocabulary.size()});
    vocabulary.tokens.push_back("<|endoftext|>");
    const Folder folder;
    save_vocabulary(vocabulary, folder.path);
    if (!has_config) std::filesystem::remove(folder.path + "/tokenizer_config.json");
    REQUIRE(load_vocabulary(folder.path).specials.size() == 1);

    std::string merges = read_file(folder.path + "/merges.txt");
    for (size_t left = vocabulary.merges.size(); left > 0; left--) {
        merges.resize(merges.rfind('\n', merges.size() - 2) + 1);
        folder.put("merges.txt", merges);
        const std::string token = spelled(
            vocabulary.tokens[size_t(vocabulary.merges[left - 1].token)]);  // the first without a merge
        require_refused("cut short",
                        {"merges.txt", "no merge makes token", "\"" + token + "\"", "cut short?"},
                        failure_of([&] { load_vocabulary(folder.path); }));
    }
}

TEST_CASE("a wrong tokenizer_config.json is refused", "[chapter01][vocabulary]") {
    const Folder folder;
    folder.put("vocab.json", "{" + byte_entries() + ", \"ab\": 256, \"<s>\": 257}");
    folder.put("merges.txt", "a b\n");
    const std::string listed = "\"257\": {\"content\": \"<s>\"}";
    const auto refusal = [&](const std::string& content) {
        folder.put("tokenizer_config.json", content);
        return failure_of([&] { load_vocabulary(folder.path); });
    };
    const std::string added = "{\"added_tokens_decoder\": ";
    require_refused("cut", {"tokenizer_config.json", "not JSON"}, refusal("{"));
    require_refused("a list", {"tokenizer_config.json"}, refusal("[]"));
    require_refused("pattern", {"\"pattern\"", "gpt2", "\"gpt4\""}, refusal("{\"pattern\": \"gpt4\"}"));
    require_refused("pattern 7", {"\"pattern\"", "not 7"}, refusal("{\"pattern\": 7}"));
    require_refused("a list of tokens", {"added_tokens_decoder"}, refusal(added + "[]}"));
    require_refused("no number", {"entry \"x\""}, refusal(added + "{\"x\": {\"content\": \"y\"}}}"));
    require_refused("no content", {"entry \"258\"", "content"}, refusal(added + "{\"258\": {}}}"));
    require_refused("empty", {"no text"}, refusal(added + "{" + listed + ", \"258\": {\"content\": \"\"}}}"));
    require_refused("an id in use", {"\"y\"", "id 256 is taken"},
                    refusal(added + "{" + listed + ", \"256\": {\"content\": \"y\"}}}"));
    require_refused("not listed", {"merges.txt", "token 257, \"<s>\"", "tokenizer_config.json"},
                    refusal(added + "{\"258\": {\"content\": \"y\"}}}"));
    require_refused("too large", {"1048575"},
                    refusal(added + "{" + listed + ", \"9999999\": {\"content\": \"y\"}}}"));
    require_refused("twice", {"\"y\"", "twice"},
                    refusal(added + "{\"257\": {\"content\": \"<s>\"}, \"258\": {\"content\": \"y\"}, "
                                    "\"259\": {\"content\": \"y\"}}}"));
    folder.put("tokenizer_config.json", "{\"model_max_length\": 1024}");  // as HuggingFace's for GPT-2
    REQUIRE(load_vocabulary(folder.path).specials.size() == 1);
    folder.put("tokenizer_config.json",
               added + "{\"257\": {\"content\": \"<s>\"}, \"300\": {\"content\": \"<t>\"}}}");
    const Vocabulary vocabulary = load_vocabulary(folder.path);
    REQUIRE(vocabulary.size() == 301);
    REQUIRE(vocabulary.tokens[299].empty());
    REQUIRE(vocabulary.specials[1].id == 300);
}

TEST_CASE("rank files are read, or refused with their line", "[chapter01][vocabulary]") {
    const Folder folder;
    const auto load = [&](const std::string& content) {
        return load_rank_file(folder.put("x.tiktoken", content), Pattern::kCl100k, {{"<s>", 300}});
    };
    // "abc" can be halved into ab + c and, because bc is a token too, into a + bc.
    const Vocabulary vocabulary =
        load(byte_ranks() + base64("ab") + " 256\n" + base64("abc") + " 257\n" + base64("bc") + " 258\n");
    REQUIRE(vocabulary.whole_piece_first);
    REQUIRE(vocabulary.merges.size() == 4);
    REQUIRE(vocabulary.merges[1].token == 257);
    REQUIRE(vocabulary.merges[2].token == 257);
    REQUIRE(vocabulary.merges[1].rank == vocabulary.merges[2].rank);
    REQUIRE(vocabulary.tokens[300] == "<s>");
    REQUIRE(vocabulary.size() == 301);

    const auto refusal = [&](const std::string& line) {
        return failure_of([&] { load(byte_ranks() + line); });
    };
    require_refused("no rank", {"x.tiktoken: line 257", "base64 rank"}, refusal("YWI=\n"));
    require_refused("no base64", {"line 257"}, refusal("YW!= 256\n"));
    require_refused("cut base64", {"line 257"}, refusal("YWI 256\n"));
    require_refused("no number", {"line 257"}, refusal("YWI= 25x\n"));
    require_refused("negative", {"line 257"}, refusal("YWI= -1\n"));
    require_refused("too large", {"line 257", "1048575"}, refusal("YWI= 99999999999999999999\n"));
    require_refused("rank twice", {"line 257", "id 7 is taken"}, refusal("YWI= 7\n"));
    require_refused("bytes twice", {"line 258", "twice"}, refusal("YWI= 256\nYWI= 257\n"));
    require_refused("empty token", {"line 257", "no text"}, refusal(" 256\n"));
    REQUIRE(failure_of([&] { load(byte_ranks() + base64(std::string(1024, 'x')) + " 256\n"); }).message ==
            "");
    require_refused("long token", {"line 257", "at most 1024 bytes, not 1025"},
                    refusal(base64(std::string(1025, 'x')) + " 256\n"));
    require_refused("a special token's place", {"<s>", "id 300 is taken"}, refusal("YWI= 300\n"));
    require_refused("empty", {"0x00"}, failure_of([&] { load(""); }));
    require_refused("unknown name", {"tokenizer_config.json"},
                    failure_of([&] { load_vocabulary(folder.path); }));
    folder.put("x.tiktoken", byte_ranks());
    folder.put("tokenizer_config.json", "{\"pattern\": \"cl100k\"}");
    REQUIRE(load_vocabulary(folder.path).pattern == Pattern::kCl100k);
    folder.put("y.tiktoken", byte_ranks());
    require_refused("two", {"2 .tiktoken files"}, failure_of([&] { load_vocabulary(folder.path); }));
}

TEST_CASE("a name that is no vocabulary is refused", "[chapter01][vocabulary]") {
    const Folder folder;
    require_refused("empty folder", {"no vocabulary in this folder"},
                    failure_of([&] { load_vocabulary(folder.path); }));
    require_refused("no folder", {"no vocabulary 'gpt9'"}, failure_of([&] { load_vocabulary("gpt9"); }));
    require_refused("terminal codes", {"\\x1b"}, failure_of([&] { load_vocabulary("\x1b[2J"); }));
    folder.put("merges.txt", "a b\n");
    require_refused("half a pair", {"vocab.json"}, failure_of([&] { load_vocabulary(folder.path); }));
}

TEST_CASE("GPT-2's own files", "[chapter01][vocabulary]") {
    if (!find_data_file("gpt2", "encoder.json") || !find_data_file("gpt2", "vocab.bpe")) {
        WARN("skipped: data/gpt2.sh could not fetch the files");
        return;
    }
    const Vocabulary gpt2 = load_vocabulary("gpt2");
    REQUIRE(gpt2.size() == 50257);
    REQUIRE(gpt2.merges.size() == 50000);
    REQUIRE(gpt2.specials.size() == 1);
    REQUIRE(gpt2.specials[0].id == 50256);
    for (int id = 0; id < 256; id++)
        REQUIRE(gpt2.tokens[size_t(id)] == std::string(1, char(byte_of_id()[size_t(id)])));
    for (size_t i = 0; i < gpt2.merges.size(); i++) REQUIRE(gpt2.merges[i].token == int(i) + 256);
    REQUIRE(gpt2.merges[1979].left == gpt2.byte_ids['#']);  // line 1981: "# #"
    REQUIRE(gpt2.tokens[15496] == "Hello");
}
