// corpora.h - the corpora that `prepare` knows by name, and where prepared ones are kept.
#pragma once
#include <string>
#include <vector>

namespace small_gpt {

struct Corpus {
    std::string path;  // of its file
    std::string name;  // for manifest, report and messages; never a path
    std::string
        warning;  // not empty for a stand-in: said before anything is done with it, and in every report
};

constexpr const char* kDefaultCorpus = "openwebtext-1k";

// openwebtext-1k, openwebtext-10k, openwebtext and webtext-10k are fetched by data/NAME.sh when they are not there; anything
// else is a file's path. Errors: neither, or the script could not get it.
Corpus find_corpus(const std::string& name_or_path);

// Where the corpus of that name is prepared with that vocabulary when nobody says where: data/NAME/VOCAB beside its file.
std::string default_prepared_folder(const std::string& corpus, const std::string& vocab);

// What must be said of prepared data: the warnings of the corpora that it was made from.
std::vector<std::string> warnings_about(const std::vector<std::string>& corpus_names);

}  // namespace small_gpt
