// option_text.cpp - see option_text.h.
#include "io/option_text.h"

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "core/check.h"
#include "io/utf8.h"

// ---- Values ---------------------------------------------------------------------------------------------------------

std::string text_of(int64_t value) {
    return std::to_string(value);
}
std::string text_of(uint64_t value) {
    return std::to_string(value);
}
std::string text_of(bool value) {
    return value ? "true" : "false";
}
std::string text_of(float value) {
    std::string text;
    for (int digits = 1; digits <= 9; digits++) {
        text = format("%.*g", digits, double(value));
        if (std::strtof(text.c_str(), nullptr) == value) break;
    }
    return text;
}
const std::string& text_of(const std::string& value) {
    return value;
}

bool read_option(const std::string& text, int64_t* value) {
    char* end = nullptr;
    errno = 0;
    *value = std::strtoll(text.c_str(), &end, 10);
    return !text.empty() && *end == 0 && errno == 0 && *value >= 0;
}
bool read_option(const std::string& text, uint64_t* value) {
    int64_t signed_value = 0;
    const bool ok = read_option(text, &signed_value);
    *value = uint64_t(signed_value);
    return ok;
}
bool read_option(const std::string& text, bool* value) {
    *value = text == "true";
    return text == "true" || text == "false";
}
bool read_option(const std::string& text, float* value) {
    char* end = nullptr;
    *value = std::strtof(text.c_str(), &end);
    return !text.empty() && *end == 0 && std::isfinite(*value) && *value >= 0;
}
bool read_option(const std::string& text, std::string* value) {
    *value = text;
    return true;
}

std::string bits_of(double value) {
    uint64_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return format("%016" PRIx64, bits);
}

bool double_of(const std::string& text, double* value) {
    uint64_t bits = 0;
    int used = 0;
    if (text.size() != 16 || std::sscanf(text.c_str(), "%16" SCNx64 "%n", &bits, &used) != 1 || used != 16)
        return false;
    std::memcpy(value, &bits, sizeof bits);
    return true;
}

// ---- MetadataReader -------------------------------------------------------------------------------------------------

MetadataReader::MetadataReader(const std::map<std::string, std::string>& metadata, const std::string& where,
                               const std::string& format)
    : metadata_(metadata), where_(where) {
    if (text("format") != format)
        user_error("%s is a checkpoint of another program ('%s'); this chapter reads '%s'", where.c_str(),
                   utf8::printable(text("format")).c_str(), format.c_str());
}

const std::string& MetadataReader::text(const std::string& key) const {
    const auto found = metadata_.find(key);
    if (found == metadata_.end())
        user_error(
            "%s has no '%s' in its metadata: it is no checkpoint of this chapter's; use another, or "
            "train again",
            where_.c_str(), key.c_str());
    return found->second;
}

int64_t MetadataReader::count(const std::string& key) const {
    const std::string& digits = text(key);
    const bool ok = !digits.empty() && digits.size() <= 18 &&
                    std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (!ok) bad(key);
    return std::stoll(digits);
}

double MetadataReader::real(const std::string& key) const {
    double value = 0;
    if (!double_of(text(key), &value)) bad(key);
    return value;
}

void MetadataReader::bad(const std::string& key) const {
    user_error("%s: '%s' in its metadata is '%s', which is no value for it", where_.c_str(), key.c_str(),
               utf8::printable(text(key)).c_str());
}

// ---- OptionRestorer -------------------------------------------------------------------------------------------------

bool OptionRestorer::is_given(const std::string& name) const {
    return std::find(given_flags_.begin(), given_flags_.end(), "--" + name) != given_flags_.end();
}

const std::string& OptionRestorer::required(const char* name) const {
    const auto found = metadata_.find(name);
    if (found == metadata_.end())
        user_error("%s has no option '%s': it is no checkpoint of this chapter's", where_.c_str(), name);
    return found->second;
}

void OptionRestorer::bad(const char* name) const {
    user_error("%s: option '%s' is '%s', which is no value for it", where_.c_str(), name,
               utf8::printable(metadata_.at(name)).c_str());
}

void OptionRestorer::contradicts(const std::string& name, const std::string& asked,
                                 const std::string& of_older) const {
    const auto found = metadata_.find(name);
    user_error(
        "--%s %s contradicts the checkpoint, which was trained with %s; leave the flag out, or start anew "
        "without --resume",
        name.c_str(), asked.c_str(),
        utf8::printable(found == metadata_.end() ? of_older : found->second).c_str());
}

void OptionRestorer::run_option(const char* name, int64_t* value, int64_t preset_value) const {
    if (is_given(name)) return;
    const auto found = metadata_.find(name);
    *value = preset_value;
    if (found != metadata_.end() && !read_option(found->second, value)) bad(name);
}

void OptionRestorer::in_range(const char* name, int64_t value, int64_t high) const {
    if (value < 1 || value > high)
        user_error("%s: option '%s' is %lld, outside [1, %lld]", where_.c_str(), name,
                   static_cast<long long>(value), static_cast<long long>(high));
}

void OptionRestorer::one_of(const char* name, const std::string& value,
                            const std::vector<std::string>& known) const {
    if (std::find(known.begin(), known.end(), value) == known.end())
        user_error("%s: option '%s' is '%s', which is no value for it", where_.c_str(), name,
                   utf8::printable(value).c_str());
}
