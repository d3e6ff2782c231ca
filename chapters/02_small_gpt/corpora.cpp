// corpora.cpp - see corpora.h.
#include "chapters/02_small_gpt/corpora.h"

#include <algorithm>

#include "core/check.h"
#include "io/data_set.h"
#include "io/file.h"
#include "io/utf8.h"

namespace small_gpt {

namespace {

struct KnownCorpus {
    const char *name, *file, *warning;
};

const KnownCorpus kKnown[] = {
    {"openwebtext-1k", "openwebtext-1000.jsonl", ""},
    {"openwebtext-10k", "openwebtext-10k.txt", ""},
    {"openwebtext", "openwebtext.txt", ""},
    {"webtext-10k", "webtext-10k.jsonl.xz",
     "webtext-10k is a STAND-IN for openwebtext-10k: 10,000 documents, but blogs, textbooks and government "
     "pages, and "
     "only 1,000 of OpenWebText. Its numbers do not compare with those of openwebtext-10k."},
};

const KnownCorpus* find_known(const std::string& name) {
    for (const KnownCorpus& known : kKnown)
        if (name == known.name) return &known;
    return nullptr;
}

}  // namespace

Corpus find_corpus(const std::string& name_or_path) {
    if (const KnownCorpus* known = find_known(name_or_path)) {
        const auto path = find_data_file(known->name, known->file);
        if (!path)
            user_error("%s is not here: data/%s.sh could not fetch it; name a file with --data FILE",
                       known->name, known->name);
        return {*path, known->name, known->warning};
    }
    const size_t slash = name_or_path.find_last_of('/');
    return {name_or_path, slash == std::string::npos ? name_or_path : name_or_path.substr(slash + 1), ""};
}

std::string default_prepared_folder(const std::string& corpus, const std::string& vocab) {
    const auto repository = find_repository();
    std::string name = vocab;
    std::replace(name.begin(), name.end(), ':', '-');
    if (!repository || !find_known(corpus) || name.find('/') != std::string::npos) return "";
    return *repository + "/data/" + corpus + "/" + name;
}

std::vector<std::string> warnings_about(const std::vector<std::string>& corpus_names) {
    std::vector<std::string> warnings;
    for (const std::string& name : corpus_names)
        if (const KnownCorpus* known = find_known(name))
            if (*known->warning) warnings.push_back(known->warning);
    return warnings;
}

}  // namespace small_gpt
