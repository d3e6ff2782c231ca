// vocab_json.h - reads {"token": id, ...}, the first of GPT-2's two files.
#pragma once
#include <string>
#include <vector>

// The tokens by id, spelled as in the file; empty where no token has the id.
std::vector<std::string> read_vocab_json(const std::string& path);
