// gpt2_tiny.h - what transformers computed with the model in tests/golden/gpt2_tiny, as gpt2_files.py wrote it.
#pragma once
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "chapters/01_bpe/json_lines.h"
#include "core/check.h"

constexpr const char* kTinyFolder = "tests/golden/gpt2_tiny";

struct ExpectedPassage {
    std::string context, continuation;
    int64_t tokens;
    double nats;
    bool is_likeliest;
};

struct Gpt2Tiny {
    std::string text;
    std::vector<int> ids;
    std::map<int, std::vector<double>> logits;  // by row
    int64_t windows = 0;
    double loss = 0;
    std::vector<ExpectedPassage> passages;
};

// The JSON string at the beginning of `line`, which is taken off.
inline std::string take_string(std::string* line) {
    const size_t begin = line->find('"');
    size_t end = begin + 1;
    while ((*line)[end] != '"') end += (*line)[end] == '\\' ? 2 : 1;
    std::string text;
    const std::string wrong = parse_json_string(line->substr(begin, end - begin + 1), &text);
    CHECK(wrong.empty(), "[gpt2_tiny] %s", wrong.c_str());
    line->erase(0, end + 1);
    return text;
}

inline Gpt2Tiny read_gpt2_tiny() {
    std::ifstream file("tests/golden/gpt2_tiny.txt");
    if (!file)
        user_error("cannot read tests/golden/gpt2_tiny.txt: run the tests from the root of the repository");
    Gpt2Tiny tiny;
    for (std::string line; std::getline(file, line);) {
        std::istringstream words(line);
        std::string kind;
        words >> kind;
        if (kind == "text") tiny.text = take_string(&line);
        if (kind == "ids")
            for (int id; words >> id;) tiny.ids.push_back(id);
        if (kind == "logits") {
            int row;
            words >> row;
            for (double x; words >> x;) tiny.logits[row].push_back(x);
        }
        if (kind == "loss") words >> tiny.windows >> tiny.loss;
        if (kind == "passage") {
            ExpectedPassage p;
            p.context = take_string(&line);
            p.continuation = take_string(&line);
            std::istringstream(line) >> p.tokens >> p.nats >> p.is_likeliest;
            tiny.passages.push_back(p);
        }
    }
    return tiny;
}
