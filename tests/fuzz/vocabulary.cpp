// vocabulary.cpp - a fuzz target: any bytes as the files of a vocabulary. The loaders accept or refuse, in a line or two,
// and what they accept works: it encodes, decodes, and is the same after it was saved and loaded again.
// An input is "T" and a rank file, or "G" and vocab.json, merges.txt, tokenizer_config.json with zero bytes between them.
// Run: make fuzz
#include "chapters/01_bpe/vocabulary.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "chapters/01_bpe/bpe.h"
#include "io/file.h"
#include "tests/support/throwing_failures.h"

namespace {

void require(bool condition, const char* what) {
    if (condition) return;
    std::fprintf(stderr, "fuzz target: %s\n", what);
    std::abort();
}

// A folder in memory where the system has one: on a disk, most of the time would go there.
struct Folder {
    std::string path;
    explicit Folder(const char* name) {
        std::string pattern =
            std::string(::access("/dev/shm", W_OK) == 0 ? "/dev/shm/" : "/tmp/") + name + "XXXXXX";
        require(::mkdtemp(pattern.data()) != nullptr, "cannot make a folder");
        path = pattern;
    }
    ~Folder() {
        for (const char* file : {"vocab.json", "merges.txt", "tokenizer_config.json", "a.tiktoken"})
            remove(file);
        ::rmdir(path.c_str());
    }
    std::string file(const std::string& name) const { return join_path(path, name); }
    void remove(const std::string& name) const { ::unlink(file(name).c_str()); }
    void set(const std::string& name, const std::string& bytes) const {
        std::FILE* out = std::fopen(file(name).c_str(), "wb");
        require(out && std::fwrite(bytes.data(), 1, bytes.size(), out) == bytes.size(),
                "cannot write a file");
        std::fclose(out);
    }
};

void use(const Vocabulary& vocabulary) {
    const Bpe bpe{Vocabulary(vocabulary)};
    std::string text = "the cats, 12 \xc3\xa9\xff  aaaa\n";
    for (const SpecialToken& special : vocabulary.specials) text += special.text;
    text.resize(std::min<size_t>(text.size(), 1000));
    require(bpe.decode(bpe.encode(text)) == text, "decode(encode(x)) is not x");
    require(bpe.decode(bpe.encode_with_special(text)) == text, "decode(encode_with_special(x)) is not x");
}

void load_and_use(const Folder& folder, const Folder& saved) {
    try {
        const Vocabulary vocabulary = load_vocabulary(folder.path);
        use(vocabulary);
        if (vocabulary.whole_piece_first) return;  // a rank file's merges have no order to save
        save_vocabulary(vocabulary, saved.path);
        const Vocabulary again = load_vocabulary(saved.path);
        require(again.merges.size() == vocabulary.merges.size(), "saved and loaded, it has other merges");
        require(again.specials.size() == vocabulary.specials.size(),
                "saved and loaded, it has other special tokens");
        use(again);
    } catch (const Failure& failure) {
        require(failure.kind == FailureKind::kUser, failure.message.c_str());
        require(std::count(failure.message.begin(), failure.message.end(), '\n') <= 2,
                "a refusal of more than three lines");
    }
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): the name that libFuzzer calls
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static const Folder folder("fuzz_vocabulary_"), saved("fuzz_saved_");
    ThrowingFailures throwing;
    const std::string input(reinterpret_cast<const char*>(data), size);
    if (input.empty()) return 0;
    for (const char* file : {"vocab.json", "merges.txt", "tokenizer_config.json", "a.tiktoken"})
        folder.remove(file);
    if (input[0] == 'T') {
        folder.set("a.tiktoken", input.substr(1));
        folder.set("tokenizer_config.json", "{\"pattern\": \"cl100k\"}");
    } else {
        size_t begin = 1;
        for (const char* file : {"vocab.json", "merges.txt", "tokenizer_config.json"}) {
            if (begin > input.size()) break;  // without the third file, the loader guesses
            const size_t end = std::min(input.find('\0', begin), input.size());
            folder.set(file, input.substr(begin, end - begin));
            begin = end + 1;
        }
    }
    load_and_use(folder, saved);
    return 0;
}
