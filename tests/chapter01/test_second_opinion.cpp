// test_second_opinion.cpp - our classes and pieces against PCRE2, a regular expression engine that nearly
// every Linux system has because git and grep use it. Skips, and says so, where it is not there.
// Not here: a dependency. The library is opened while the test runs, and the few functions are declared below
// as its manual (pcre2api) gives them.
// Known differences, taken into account: PCRE2 10.42 has Unicode 14, where characters of 15 and 16 have no
// class yet; and it counts U+180E, the Mongolian vowel separator, as a blank, which ended with Unicode 6.3.
#include <dlfcn.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "chapters/01_bpe/pretokenize.h"
#include "chapters/01_bpe/unicode_classes.h"
#include "io/utf8.h"
#include "tests/chapter01/random_text.h"
#include "tests/support/catch.h"

namespace {

class Pcre2 {
  public:
    // Null where the system has no such library.
    static const Pcre2* open() {
        static const std::unique_ptr<Pcre2> library = [] {
            std::unique_ptr<Pcre2> opened(new Pcre2);
            if (!opened->is_complete()) opened.reset();
            return opened;
        }();
        return library.get();
    }

    std::string unicode_version() const {
        char version[64] = "";
        config_(10 /* PCRE2_CONFIG_UNICODE_VERSION */, version);
        return version;
    }

    // The matches of `pattern` in `text`, as lengths; each must begin where the one before ends if they are
    // anchored, otherwise places in between are stepped over and `begins` tells where they are.
    std::vector<size_t> matches(const std::string& pattern, const std::string& text, bool are_anchored,
                                std::vector<size_t>* begins = nullptr) const {
        constexpr uint32_t kUtf = 0x00080000, kUcp = 0x00020000, kDollarEndOnly = 0x00000010;
        constexpr uint32_t kAnchored = 0x80000000, kNoUtfCheck = 0x40000000;
        int error = 0;
        size_t error_offset = 0;
        void* code = compile_(pattern.data(), pattern.size(), kUtf | kUcp | kDollarEndOnly, &error,
                              &error_offset, nullptr);
        CAPTURE(pattern, error, error_offset);
        REQUIRE(code != nullptr);
        void* data = match_data_create_(code, nullptr);
        std::vector<size_t> lengths;
        for (size_t at = 0; at < text.size();) {
            const uint32_t options = kNoUtfCheck | (are_anchored ? kAnchored : 0);
            if (match_(code, text.data(), text.size(), at, options, data, nullptr) < 1) break;
            const size_t* ends = ovector_(data);
            if (begins != nullptr) begins->push_back(ends[0]);
            lengths.push_back(ends[1] - ends[0]);
            at = ends[1];
        }
        match_data_free_(data);
        code_free_(code);
        return lengths;
    }

  private:
    Pcre2() {
        for (const char* name : {"libpcre2-8.so.0", "libpcre2-8.so", "libpcre2-8.dylib"})
            if (library_ == nullptr) library_ = dlopen(name, RTLD_NOW | RTLD_LOCAL);
        if (library_ == nullptr) return;
        find("pcre2_config_8", &config_);
        find("pcre2_compile_8", &compile_);
        find("pcre2_code_free_8", &code_free_);
        find("pcre2_match_data_create_from_pattern_8", &match_data_create_);
        find("pcre2_match_data_free_8", &match_data_free_);
        find("pcre2_match_8", &match_);
        find("pcre2_get_ovector_pointer_8", &ovector_);
    }

    template <class Function>
    void find(const char* name, Function** function) {
        *function = reinterpret_cast<Function*>(dlsym(library_, name));
        if (*function != nullptr) found_++;
    }
    bool is_complete() const { return found_ == 7; }

    void* library_ = nullptr;
    int found_ = 0;
    int (*config_)(uint32_t what, void* where) = nullptr;
    void* (*compile_)(const char* pattern, size_t length, uint32_t options, int* error, size_t* error_offset,
                      void* context) = nullptr;
    void (*code_free_)(void* code) = nullptr;
    void* (*match_data_create_)(const void* code, void* context) = nullptr;
    void (*match_data_free_)(void* data) = nullptr;
    int (*match_)(const void* code, const char* text, size_t length, size_t start, uint32_t options,
                  void* data, void* context) = nullptr;
    size_t* (*ovector_)(void* data) = nullptr;
};

const Pcre2* pcre2_or_skip() {
    const Pcre2* pcre2 = Pcre2::open();
    if (pcre2 == nullptr) std::printf("skipped: no second opinion, this system has no libpcre2-8.so.0\n");
    return pcre2;
}

// What PCRE2 takes each code point for, by index.
std::vector<CharacterClass> classes_of(const Pcre2& pcre2) {
    std::string all;
    std::vector<uint32_t> code_at;  // by byte
    for (uint32_t code = 0; code <= utf8::kLastCodePoint; code++) {
        if (code >= 0xd800 && code < 0xe000) continue;
        utf8::append(&all, code);
        code_at.resize(all.size(), code);
    }
    std::vector<CharacterClass> classes(utf8::kLastCodePoint + 1, CharacterClass::kOther);
    const auto mark = [&](const char* pattern, CharacterClass kind) {
        std::vector<size_t> begins;
        const std::vector<size_t> lengths = pcre2.matches(pattern, all, /*are_anchored=*/false, &begins);
        for (size_t i = 0; i < begins.size(); i++)
            for (size_t k = begins[i]; k < begins[i] + lengths[i]; k++) classes[code_at[k]] = kind;
    };
    mark("\\p{L}+", CharacterClass::kLetter);
    mark("\\p{N}+", CharacterClass::kNumber);
    mark("\\s+", CharacterClass::kBlank);
    return classes;
}

}  // namespace

TEST_CASE("PCRE2 has the same classes, as far as its Unicode goes", "[chapter01][cpu]") {
    const Pcre2* pcre2 = pcre2_or_skip();
    if (pcre2 == nullptr) return;
    const std::vector<CharacterClass> theirs = classes_of(*pcre2);
    const bool is_older =
        std::stoi(pcre2->unicode_version())<16, is_newer = std::stoi(pcre2->unicode_version())> 16;
    int unknown_to_them = 0, unknown_to_us = 0;
    for (uint32_t code = 0; code <= utf8::kLastCodePoint; code++) {
        const CharacterClass ours = class_of(code);
        if (theirs[code] == ours || code == 0x180e) continue;
        CAPTURE(code, int(ours), int(theirs[code]), pcre2->unicode_version());
        if (theirs[code] == CharacterClass::kOther) {
            unknown_to_them++;
            REQUIRE(is_older);
        } else {
            unknown_to_us++;
            REQUIRE(ours == CharacterClass::kOther);
            REQUIRE(is_newer);
        }
    }
    // Unicode 14 to 16 brought 9,272 letters and 120 numbers; more would be an error of ours.
    if (pcre2->unicode_version() == "14.0.0") REQUIRE(unknown_to_them == 9272 + 120);
    if (is_older) REQUIRE(unknown_to_us == 0);
}

TEST_CASE("PCRE2 finds the same pieces in random text", "[chapter01][cpu]") {
    const Pcre2* pcre2 = pcre2_or_skip();
    if (pcre2 == nullptr) return;
    const std::vector<CharacterClass> theirs = classes_of(*pcre2);
    const struct {
        Pattern pattern;
        const char* text;
    } patterns[] = {
        {Pattern::kGpt2, "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"},
        {Pattern::kCl100k,
         "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+| "
         "?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|\\s++$|"
         "\\s*[\\r\\n]|\\s+(?!\\S)|\\s"},
    };
    RandomText random(1042);
    for (int i = 0; i < rounds(3000, 800); i++) {
        // Characters that the two see differently are not the patterns' matter.
        std::string text;
        for (uint32_t code : utf8::decode(random.text(1 + int(random.below(25))), "random text"))
            if (theirs[code] == class_of(code)) utf8::append(&text, code);
        for (const auto& p : patterns) {
            std::vector<size_t> lengths;
            for_each_piece(p.pattern, text, [&](std::string_view piece) { lengths.push_back(piece.size()); });
            CAPTURE(name_of(p.pattern), text);
            REQUIRE(lengths == pcre2->matches(p.text, text, /*are_anchored=*/true));
        }
    }
}
