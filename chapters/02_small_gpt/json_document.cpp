// json_document.cpp - see json_document.h. A walk over the line from left to right; nesting is a stack of brackets.
#include "chapters/02_small_gpt/json_document.h"

#include "chapters/01_bpe/json_lines.h"
#include "core/check.h"

namespace small_gpt {

namespace {

constexpr size_t kDeepest = 1000;  // brackets inside brackets

class Walker {
  public:
    explicit Walker(std::string_view line) : line_(line) {}

    // The place, for messages; and the byte there, 0 behind the end.
    size_t at() const { return at_; }
    char peek() const { return at_ < line_.size() ? line_[at_] : '\0'; }
    void skip_blanks() {
        while (at_ < line_.size() && (line_[at_] == ' ' || line_[at_] == '\t' || line_[at_] == '\r')) at_++;
    }
    bool take(char c) {
        skip_blanks();
        if (at_ >= line_.size() || line_[at_] != c) return false;
        at_++;
        return true;
    }
    bool is_done() {
        skip_blanks();
        return at_ == line_.size();
    }
    std::string string(std::string* text) {
        skip_blanks();
        return parse_json_string_at(line_, &at_, text);
    }
    bool word(std::string_view name) {
        if (line_.substr(at_, name.size()) != name) return false;
        at_ += name.size();
        return true;
    }
    // -0.5e+3: a sign, digits without a zero in front, a fraction, an exponent.
    bool number() {
        if (peek() == '-') at_++;
        const bool is_zero = peek() == '0';
        const size_t whole = digits();
        if (whole == 0 || (is_zero && whole > 1)) return false;
        if (peek() == '.' && (at_++, digits() == 0)) return false;
        if (peek() != 'e' && peek() != 'E') return true;
        at_++;
        if (peek() == '+' || peek() == '-') at_++;
        return digits() > 0;
    }
    std::string expected(const char* what) const {
        return at_ >= line_.size() ? format("it ends where %s should be", what)
                                   : format("byte %zu is not %s", at_, what);
    }

  private:
    size_t digits() {
        const size_t begin = at_;
        while (peek() >= '0' && peek() <= '9') at_++;
        return at_ - begin;
    }

    std::string_view line_;
    size_t at_ = 0;
};

// Any value that is not a string by itself: brackets are kept on a stack, so that no line can overflow ours.
std::string skip_value(Walker& walker, std::string* scratch) {
    std::string open;  // '{' and '['
    for (;;) {
        // A value begins here.
        walker.skip_blanks();
        const char c = walker.peek();
        bool has_value = true;
        if (c == '{' || c == '[') {
            walker.take(c);
            open += c;
            if (open.size() > kDeepest) return "it is nested too deeply";
            if (!walker.take(c == '{' ? '}' : ']')) {
                has_value = false;
            } else {
                open.pop_back();
            }
        } else if (c == '"') {
            const std::string problem = walker.string(scratch);
            if (!problem.empty()) return problem;
        } else if (!walker.word("true") && !walker.word("false") && !walker.word("null") &&
                   !walker.number()) {
            return walker.expected("a value");
        }
        // Behind a value: what closes, or a comma and the next one.
        while (has_value && !open.empty() && walker.take(open.back() == '{' ? '}' : ']')) open.pop_back();
        if (open.empty()) return "";
        if (has_value && !walker.take(',')) return walker.expected("a comma");
        if (open.back() == '{') {
            const std::string problem = walker.string(scratch);
            if (!problem.empty()) return problem;
            if (!walker.take(':')) return walker.expected("a colon");
        }
    }
}

}  // namespace

std::string parse_json_document(std::string_view line, std::string_view key, std::string* text) {
    Walker walker(line);
    text->clear();
    if (walker.is_done()) return "it is empty";
    if (!walker.take('{')) return "it is no JSON object";
    bool is_found = false;
    std::string name, problem;
    for (bool is_first = true; !(is_first && walker.take('}')); is_first = false) {
        problem = walker.string(&name);
        if (problem.empty() && !walker.take(':')) problem = walker.expected("a colon");
        if (!problem.empty()) return problem;
        walker.skip_blanks();
        if (name == key) {
            if (walker.peek() != '"')
                return format("its member \"%s\" is no string", std::string(key).c_str());
            problem = walker.string(text);
            is_found = true;
        } else {
            problem = skip_value(walker, &name);
        }
        if (!problem.empty()) return problem;
        if (walker.take('}')) break;
        if (!walker.take(',')) return walker.expected("a comma");
    }
    if (!walker.is_done()) return format("something follows the object, at byte %zu", walker.at());
    if (!is_found) return format("it has no member \"%s\"", std::string(key).c_str());
    return "";
}

}  // namespace small_gpt
