// cli_values.h - what cli.cpp needs to read one value and to print one line of help.
// Not here: flags (cli.h).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "io/cli.h"

std::string joined(const std::vector<std::string>& words);  // "a, b, c"

std::string range_text(Bound low, Bound high);  // "at least 0 and below 1"
bool is_inside(double value, Bound low, Bound high);

// The number that `text` says; a usage_error that names the flag and its range when it is none, or outside.
int64_t parse_count(const std::string& flag, const std::string& text, int64_t low, int64_t high);
double parse_real(const std::string& flag, const std::string& text, Bound low, Bound high);

// "name" in the left column, `text` wrapped in the right one.
std::string help_line(const std::string& name, const std::string& text);
