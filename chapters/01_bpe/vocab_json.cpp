// vocab_json.cpp - see vocab_json.h.
// Not here: any other JSON (nlohmann's library reads tokenizer_config.json).
#include "chapters/01_bpe/vocab_json.h"

#include <algorithm>

#include "chapters/01_bpe/vocabulary_parts.h"
#include "core/check.h"
#include "io/file.h"
#include "io/utf8.h"

namespace {

using namespace vocabulary_parts;

// Reads one flat object {"token": id, ...}, the only JSON that this file can be, in a tenth of the time of a parser for
// everything: loading is what a short program spends its time on.
class VocabJsonReader {
  public:
    explicit VocabJsonReader(const std::string& path) : path_(path), file_(read_file(path, kMaxFileBytes)) {}

    // The tokens by id, spelled as in the file.
    std::vector<std::string> read() {
        std::vector<std::string> texts;
        texts.reserve(file_.size() / 20);  // GPT-2 has 21 bytes an entry
        expect('{', "wants {\"token\": id, ...}");
        while (!takes('}')) {
            if (!texts.empty()) expect(',', "wants , or }");
            std::string token = string();
            expect(':', "wants : and the id of a token");
            const int64_t id = number(token);
            const std::string wrong = place_token(&texts, id, token);
            if (!wrong.empty()) refuse(path_, entry_name(token), wrong);
        }
        skip_blanks();
        if (at_ < file_.size()) fail("wants nothing after }");
        return texts;
    }

  private:
    [[noreturn]] void fail(const std::string& reason) const {
        const size_t line = size_t(std::count(file_.begin(), file_.begin() + ptrdiff_t(at_), '\n')) + 1;
        const std::string rest = file_.substr(at_, 20);
        refuse(path_, line_name(line) + format(", byte %zu", at_),
               "not JSON of this form: " + reason +
                   (rest.empty() ? ", but the file ends" : ", not \"" + printable(rest) + "\""));
    }
    void skip_blanks() {
        while (at_ < file_.size() &&
               (file_[at_] == ' ' || file_[at_] == '\n' || file_[at_] == '\r' || file_[at_] == '\t'))
            at_++;
    }
    bool takes(char wanted) {
        skip_blanks();
        if (at_ == file_.size() || file_[at_] != wanted) return false;
        at_++;
        return true;
    }
    void expect(char wanted, const char* reason) {
        if (!takes(wanted)) fail(reason);
    }

    int64_t number(const std::string& token) {
        skip_blanks();
        const size_t begin = at_;
        int64_t value = 0;
        while (at_ < file_.size() && file_[at_] >= '0' && file_[at_] <= '9')
            value = std::min<int64_t>(value * 10 + (file_[at_++] - '0'),
                                      kMaxIds);  // anything too large is as bad
        const char next = at_ < file_.size() ? file_[at_] : ' ';
        if (at_ == begin || next == '.' || next == 'e' || next == 'E') {
            at_ = begin;
            fail(entry_name(token) + " wants its id, a whole number from 0 on");
        }
        return value;
    }

    std::string string() {
        if (!takes('"')) fail("wants a token in quotes");
        std::string text;
        for (;;) {
            const size_t begin = at_;
            while (at_ < file_.size() && file_[at_] != '"' && file_[at_] != '\\' &&
                   uint8_t(file_[at_]) >= 0x20)
                at_++;
            text.append(file_, begin, at_ - begin);
            if (takes_here('"')) break;
            if (!takes_here('\\')) fail("wants the end of a token");
            escape(&text);
        }
        if (!is_utf8(text)) fail("the token before this is not UTF-8");
        return text;
    }
    bool takes_here(char wanted) {
        if (at_ == file_.size() || file_[at_] != wanted) return false;
        at_++;
        return true;
    }
    void escape(std::string* text) {
        static const std::string kShort = "\"\\/bfnrt", kMeaning = "\"\\/\b\f\n\r\t";
        const size_t which = at_ < file_.size() ? kShort.find(file_[at_]) : std::string::npos;
        if (which != std::string::npos) {
            text->push_back(kMeaning[which]);
            at_++;
            return;
        }
        uint32_t code = hexadecimal();
        if (code >= 0xd800 && code < 0xdc00) {  // the first half of a character beyond U+FFFF
            if (!takes_here('\\')) fail("wants the second half of a surrogate pair");
            const uint32_t low = hexadecimal();
            if (low < 0xdc00 || low > 0xdfff) fail("wants the second half of a surrogate pair before this");
            code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        } else if (code >= 0xdc00 && code < 0xe000) {
            fail("half of a surrogate pair before this");
        }
        utf8::append(text, code);
    }
    uint32_t hexadecimal() {  // u1234
        if (!takes_here('u')) fail("wants an escape that JSON has");
        uint32_t code = 0;
        for (int i = 0; i < 4; i++) {
            const char digit = at_ < file_.size() ? file_[at_] : ' ';
            const int value = digit >= '0' && digit <= '9'                 ? digit - '0'
                              : (digit | 32) >= 'a' && (digit | 32) <= 'f' ? (digit | 32) - 'a' + 10
                                                                           : -1;
            if (value < 0) fail("wants four hexadecimal digits after \\u");
            code = code << 4 | uint32_t(value);
            at_++;
        }
        return code;
    }
    static bool is_utf8(const std::string& text) {
        for (size_t offset = 0; offset < text.size();) {
            if (uint8_t(text[offset]) < 0x80)
                offset++;
            else if (utf8::decode_next(text, &offset) == utf8::kInvalid)
                return false;
        }
        return true;
    }

    const std::string& path_;
    const std::string file_;
    size_t at_ = 0;
};

}  // namespace

std::vector<std::string> read_vocab_json(const std::string& path) {
    return VocabJsonReader(path).read();
}
