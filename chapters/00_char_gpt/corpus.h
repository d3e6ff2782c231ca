// corpus.h - where the text comes from: a file of the user's, tiny Shakespeare, or, with neither network nor
// mirror, this repository's own notes and sources.
#pragma once
#include <string>
#include <vector>

struct Corpus {
    std::string text;     // bytes, not yet checked to be UTF-8
    std::string name;     // for messages and the report
    std::string warning;  // not empty when this is not the text that was asked for
};

// path: a file, or empty for tiny Shakespeare, which data/tinyshakespeare.sh fetches when it is not there
// yet.
Corpus load_corpus(const std::string& path);
