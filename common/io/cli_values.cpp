// cli_values.cpp - see cli_values.h.
#include "io/cli_values.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "core/check.h"
#include "io/utf8.h"

namespace {

constexpr size_t kHelpColumn = 26;  // where the explanations begin
constexpr size_t kHelpWidth = 100;  // of the whole text

std::string real_text(double value) {
    return format("%.9g", value);
}

// Only digits, with a minus in front: no spaces, plus signs, hexadecimal or "12x".
bool is_whole_number(const std::string& text) {
    const size_t first = !text.empty() && text[0] == '-' ? 1 : 0;
    return text.size() > first && text.find_first_not_of("0123456789", first) == std::string::npos;
}

}  // namespace

Bound finite() {
    return {std::numeric_limits<double>::infinity(), true};
}

std::string joined(const std::vector<std::string>& words) {
    std::string text;
    for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
    return text;
}

std::string range_text(Bound low, Bound high) {
    const std::string from = (low.is_open ? "above " : "at least ") + real_text(low.value);
    if (!std::isfinite(high.value)) return "finite and " + from;
    return from + " and " + (high.is_open ? "below " : "at most ") + real_text(high.value);
}

bool is_inside(double value, Bound low, Bound high) {
    return std::isfinite(value) && (low.is_open ? value > low.value : value >= low.value) &&
           (high.is_open ? value < high.value : value <= high.value);
}

int64_t parse_count(const std::string& flag, const std::string& text, int64_t low, int64_t high) {
    const std::string shown = utf8::printable(text);
    const std::string range = format("%lld to %lld", (long long)(low), (long long)(high));
    if (!is_whole_number(text))
        usage_error("%s wants a whole number, %s, not '%s'", flag.c_str(), range.c_str(), shown.c_str());
    errno = 0;
    const long long value = std::strtoll(text.c_str(), nullptr, 10);
    if (errno == ERANGE || value < low || value > high)
        usage_error("%s must be %s, not %s", flag.c_str(), range.c_str(), shown.c_str());
    return value;
}

double parse_real(const std::string& flag, const std::string& text, Bound low, Bound high) {
    const std::string shown = utf8::printable(text), range = range_text(low, high);
    // note: strtod would also read "nan", "infinity", hexadecimal, and a number behind spaces.
    const bool has_only_number_characters =
        !text.empty() && text.find_first_not_of("0123456789+-.eE") == std::string::npos;
    char* end = nullptr;
    const double value = has_only_number_characters ? std::strtod(text.c_str(), &end) : 0;
    if (!has_only_number_characters || end == text.c_str() || *end != '\0')
        usage_error("%s wants a number, %s, not '%s'", flag.c_str(), range.c_str(), shown.c_str());
    if (!is_inside(value, low, high))
        usage_error("%s must be %s, not %s", flag.c_str(), range.c_str(), shown.c_str());
    return value;
}

std::string help_line(const std::string& name, const std::string& text) {
    std::string out = "  " + name;
    size_t column = out.size();
    if (column + 2 > kHelpColumn) out += "\n", column = 0;
    out += std::string(kHelpColumn - column, ' ');
    column = kHelpColumn;
    for (size_t begin = 0; begin < text.size();) {
        const size_t end = std::min(text.find(' ', begin), text.size());
        const bool is_first = column == kHelpColumn;
        if (!is_first && column + 1 + end - begin > kHelpWidth) {
            out += "\n" + std::string(kHelpColumn, ' ');
            column = kHelpColumn;
        } else if (!is_first) {
            out += " ";
            column++;
        }
        out.append(text, begin, end - begin);
        column += end - begin;
        begin = end + 1;
    }
    return out + "\n";
}
