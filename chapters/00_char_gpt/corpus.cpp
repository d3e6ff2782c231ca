// corpus.cpp - see corpus.h.
#include "chapters/00_char_gpt/corpus.h"

#include <algorithm>
#include <filesystem>

#include "core/check.h"
#include "io/data_set.h"
#include "io/file.h"
#include "io/utf8.h"

namespace {

// Of a text. In memory each of its bytes becomes up to 17: a code point, ids, and the windows' order.
constexpr size_t kMostBytes = size_t(256) << 20;

// Every note and source file below the folders that the reader reads, one after another in the order of their
// names.
std::string repository_text(const std::string& repository) {
    namespace fs = std::filesystem;
    std::vector<std::string> paths;
    for (const char* folder : {"chapters", "common", "docs", "tests"}) {
        std::error_code error;  // a folder that cannot be read is left out
        fs::recursive_directory_iterator entry(fs::path(repository) / folder, error), end;
        for (; !error && entry != end; entry.increment(error)) {
            const std::string extension = entry->path().extension().string();
            std::error_code ignored;
            if (entry->is_regular_file(ignored) &&
                (extension == ".md" || extension == ".h" || extension == ".cpp"))
                paths.push_back(entry->path().string());
        }
    }
    std::sort(paths.begin(), paths.end());
    std::string text;
    for (const std::string& path : paths) text += read_file(path) + "\n";
    return text;
}

}  // namespace

Corpus load_corpus(const std::string& path) {
    if (!path.empty()) return {read_file(path, kMostBytes), utf8::printable(path), ""};
    if (const auto shakespeare = find_data_file("tinyshakespeare", "input.txt"))
        return {read_file(*shakespeare), "tiny Shakespeare", ""};
    const auto repository = find_repository();
    if (!repository)
        user_error(
            "tiny Shakespeare is not here, and the repository with data/tinyshakespeare.sh cannot be found "
            "either\n"
            "run this program from the repository, or name a text with --data FILE");
    return {repository_text(*repository), "this repository's notes and sources",
            "tiny Shakespeare could not be fetched (see above); training on THIS REPOSITORY'S NOTES AND "
            "SOURCES instead. "
            "No number of this run compares with the note's."};
}
