// json_document.h - a line of jsonl: the text of one member of a JSON object, the rest checked and left out.
// Not here: JSON in general (numbers are not turned into anything). Why not the library that reads small files: it builds
// every value, and a corpus is to be read at a gigabyte per second.
// Source: RFC 8259.
#pragma once
#include <string>
#include <string_view>

namespace small_gpt {

// The string that `key` has in the object on `line`. Returns what is wrong with the line, "" if nothing is: no JSON,
// no object, no such member, or one that is no string. The last of several members of that name counts, as in most readers.
std::string parse_json_document(std::string_view line, std::string_view key, std::string* text);

}  // namespace small_gpt
