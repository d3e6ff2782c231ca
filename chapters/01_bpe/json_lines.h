// json_lines.h - one JSON string per line, as texts.
// Not here: the JSON of vocabularies (vocab_json.cpp, vocabulary_files.cpp).
// Why not the library that reads tokenizer_config.json: it is too slow to read a corpus with.
// Source: RFC 8259, section 7.
#pragma once
#include <string>
#include <string_view>

// The text that `line`, a JSON string between blanks, stands for. Returns what is wrong with it, "" if nothing is.
// Bytes that need no escape are taken as they are, valid UTF-8 or not. Half of a surrogate pair alone, which JSON can
// write and UTF-8 cannot, becomes U+FFFD: what tiktoken makes of it.
std::string parse_json_string(std::string_view line, std::string* text);

// The same for a string inside of something larger: it begins at `at`, which moves behind its closing quote.
std::string parse_json_string_at(std::string_view line, size_t* at, std::string* text);
