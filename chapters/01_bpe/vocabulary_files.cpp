// vocabulary_files.cpp - finds, reads and writes vocabularies: GPT-2's pair of files, our own folders.
// The forms with a file of their own: vocab_json.cpp, rank_file.cpp.
// Not here: HuggingFace's tokenizer.json. The two older files and a small tokenizer_config.json say the same, and every
// library reads them.
// The one file of this chapter that includes nlohmann/json, which is slow to compile.
#include <dirent.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "chapters/01_bpe/token_index.h"
#include "chapters/01_bpe/vocab_json.h"
#include "chapters/01_bpe/vocabulary.h"
#include "chapters/01_bpe/vocabulary_parts.h"
#include "core/check.h"
#include "io/data_set.h"
#include "io/file.h"
#include "io/utf8.h"

namespace {

using nlohmann::json;
using namespace vocabulary_parts;

// ---- Spelling -------------------------------------------------------------------------------------------------------

std::string spell(std::string_view bytes) {
    std::string text;
    for (const char byte : bytes) utf8::append(&text, byte_spelling()[uint8_t(byte)]);
    return text;
}

// Puts the bytes that `text` spells in its place: they are never longer. False where a character spells no byte (a special
// token may have any).
bool unspell(std::string* text) {
    static constexpr int kNoByte = -1;
    static const std::vector<int> byte_of_code = [] {
        std::vector<int> table(0x144, kNoByte);  // 0x100 + 68 - 1 is the last code point in use
        for (int byte = 0; byte < 256; byte++) table[byte_spelling()[size_t(byte)]] = byte;
        return table;
    }();
    size_t size = 0;
    for (size_t offset = 0; offset < text->size();) {
        const uint32_t code = utf8::decode_next(*text, &offset);
        if (code >= byte_of_code.size() || byte_of_code[code] == kNoByte) return false;
        (*text)[size++] = char(byte_of_code[code]);
    }
    text->resize(size);
    return true;
}

// Without a list of them, a token that no merge makes is taken for a special one only when it is written like one:
// <|endoftext|>, <s>, [CLS]. Any other says that merges are missing.
bool looks_special(const std::string& text) {
    return text.size() > 2 &&
           ((text.front() == '<' && text.back() == '>') || (text.front() == '[' && text.back() == ']'));
}

// ---- merges.txt -----------------------------------------------------------------------------------------------------

// Ids are found by the spelled text: `index` holds that of every token.
std::vector<Merge> read_merges(const std::string& path, const std::vector<std::string>& texts,
                               const TokenIndex& index) {
    const std::string file = read_file(path, kMaxFileBytes);
    std::vector<Merge> merges;
    merges.reserve(texts.size());
    std::vector<int> first_way(texts.size(), -1);  // the merge that makes a token
    std::set<std::pair<int, int>> other_ways;      // merges.txt of training has none, but they do no harm
    std::string whole;
    int first_made = 256;
    const auto id_of = [&](size_t line, std::string_view text) {
        const int id = index.find(text);
        if (id == TokenIndex::kNone)
            refuse(path, line_name(line), "\"" + printable(text) + "\" is no token of the vocabulary");
        return id;
    };
    for_each_line(file, [&](size_t line, std::string_view text) {
        // note: only the first line may be a comment. Further down, "# #" is a merge like any other.
        if (line == 1 && text.substr(0, 8) == "#version") return;
        if (text.empty()) return;
        const size_t blank = text.find(' ');
        if (blank == std::string_view::npos || blank == 0 || blank + 1 == text.size() ||
            text.find(' ', blank + 1) != std::string_view::npos)
            refuse(path, line_name(line),
                   "wants two tokens with one blank between them, not \"" + printable(text) + "\"");
        whole.assign(text.substr(0, blank)).append(text.substr(blank + 1));
        const int left = id_of(line, text.substr(0, blank)), right = id_of(line, text.substr(blank + 1));
        const int rank = int(merges.size());
        // In files that training wrote, merges and the tokens that they make come in the same order: look there first.
        const size_t guess = size_t(first_made + rank);
        const int token = guess < texts.size() && texts[guess] == whole ? int(guess) : id_of(line, whole);
        if (rank == 0) first_made = token;
        merges.push_back({left, right, token, rank});
        int& first = first_way[size_t(token)];
        const bool is_first = first < 0;
        if (is_first) first = rank;
        const Merge& made = merges[size_t(first)];
        if (!is_first &&
            ((made.left == left && made.right == right) || !other_ways.insert({left, right}).second))
            refuse(path, line_name(line), "the merge \"" + printable(text) + "\" was there before");
    });
    return merges;
}

// ---- tokenizer_config.json ------------------------------------------------------------------------------------------

// What tokenizer_config.json says that matters here; everything else in it is somebody else's.
struct TokenizerConfig {
    Pattern pattern = Pattern::kGpt2;
    std::optional<std::vector<SpecialToken>> specials;  // nothing: not listed
};

TokenizerConfig read_config(const std::string& path) {
    TokenizerConfig config;
    json document;
    try {
        document = json::parse(read_file(path, kMaxFileBytes));
    } catch (const json::exception& error) {
        const std::string reason = error.what();
        user_error("%s: not JSON: %s", utf8::printable(path).c_str(),
                   utf8::printable(reason.substr(reason.find("] ") + 2, 200)).c_str());
    }
    if (!document.is_object()) refuse(path, "its content", "wants {...}");
    if (document.contains("pattern")) {
        const json& pattern = document["pattern"];
        if (!pattern.is_string() || !pattern_from_name(pattern.get<std::string>(), &config.pattern))
            refuse(path, "entry \"pattern\"",
                   "wants \"gpt2\", \"cl100k\" or \"none\", not " + printable(pattern.dump()));
    }
    if (!document.contains("added_tokens_decoder")) return config;
    const json& added = document["added_tokens_decoder"];
    if (!added.is_object())
        refuse(path, "entry \"added_tokens_decoder\"", "wants {\"id\": {\"content\": text}, ...}");
    config.specials.emplace();
    for (const auto& [key, value] : added.items()) {
        const bool is_number =
            !key.empty() && key.size() <= 7 && key.find_first_not_of("0123456789") == std::string::npos;
        if (!is_number) refuse(path, entry_name(key), format("wants an id in 0 ... %d", kMaxIds - 1));
        if (!value.is_object() || !value.contains("content") || !value["content"].is_string())
            refuse(path, entry_name(key), "wants {\"content\": text}");
        config.specials->push_back({value["content"].get<std::string>(), std::stoi(key)});
    }
    std::sort(config.specials->begin(), config.specials->end(),
              [](const SpecialToken& a, const SpecialToken& b) { return a.id < b.id; });
    return config;
}

// ---- The loaders ----------------------------------------------------------------------------------------------------

Vocabulary load_merge_files(const std::string& vocab_json, const std::string& merges_txt,
                            const TokenizerConfig& config, const std::string& config_path) {
    Vocabulary vocabulary;
    vocabulary.name = vocab_json;
    vocabulary.pattern = config.pattern;
    vocabulary.tokens = read_vocab_json(vocab_json);
    std::vector<std::string>& texts = vocabulary.tokens;  // spelled, as in the files, up to the last loop

    // A special token is written as it is, not spelled: take it out before the others are read as spelled bytes.
    if (config.specials)
        for (const SpecialToken& special : *config.specials)
            if (size_t(special.id) < texts.size() && texts[size_t(special.id)] == special.text)
                texts[size_t(special.id)].clear();

    TokenIndex by_text(texts);
    for (size_t id = 0; id < texts.size(); id++)
        if (!texts[id].empty() && !by_text.add(int(id)))
            refuse(vocab_json, entry_name(texts[id]), "it is there twice");
    vocabulary.merges = read_merges(merges_txt, texts, by_text);

    find_bytes(&vocabulary, by_text, vocab_json, [](char byte) { return spell({&byte, 1}); });

    std::vector<char> is_ordinary(texts.size());
    for (const int id : vocabulary.byte_ids) is_ordinary[size_t(id)] = true;
    for (const Merge& merge : vocabulary.merges) is_ordinary[size_t(merge.token)] = true;
    std::vector<SpecialToken> specials = config.specials.value_or(std::vector<SpecialToken>());
    for (size_t id = 0; id < texts.size(); id++) {
        if (texts[id].empty()) continue;
        if (!is_ordinary[id]) {
            if (config.specials || !looks_special(texts[id]))
                refuse(merges_txt, "its end",
                       format("no merge makes token %zu, \"%s\"; is the file cut short? (A special token "
                              "wants an entry in tokenizer_config.json.)",
                              id, printable(texts[id]).c_str()));
            specials.push_back({texts[id], int(id)});
            texts[id].clear();
        } else if (!unspell(&texts[id])) {
            refuse(vocab_json, entry_name(texts[id]), "it has a character that spells no byte");
        }
    }
    add_specials(&vocabulary, specials, config.specials ? config_path : vocab_json);
    return vocabulary;
}

// The one file whose name ends in .tiktoken; nothing when there is none.
std::optional<std::string> find_rank_file(const std::string& folder) {
    const std::string ending = ".tiktoken";
    std::vector<std::string> found;
    if (DIR* listing = ::opendir(folder.c_str())) {
        while (const dirent* entry = ::readdir(listing)) {
            const std::string name = entry->d_name;
            if (name.size() > ending.size() &&
                name.compare(name.size() - ending.size(), ending.size(), ending) == 0)
                found.push_back(name);
        }
        ::closedir(listing);
    }
    if (found.size() > 1)
        user_error("%s has %zu .tiktoken files; a vocabulary is a folder with one",
                   utf8::printable(folder).c_str(), found.size());
    return found.empty() ? std::nullopt : std::optional<std::string>(found[0]);
}

// tiktoken keeps patterns and special tokens in its code, by the name of the file.
TokenizerConfig config_of_rank_file(const std::string& folder, const std::string& name) {
    TokenizerConfig config;
    if (name == "cl100k_base.tiktoken") {
        config.pattern = Pattern::kCl100k;
        config.specials = {{"<|endoftext|>", 100257},
                           {"<|fim_prefix|>", 100258},
                           {"<|fim_middle|>", 100259},
                           {"<|fim_suffix|>", 100260},
                           {"<|endofprompt|>", 100276}};
    } else if (name == "r50k_base.tiktoken" || name == "p50k_base.tiktoken") {
        config.specials = {{"<|endoftext|>", 50256}};
    } else {
        user_error(
            "%s: the split pattern of this file is unknown; put a tokenizer_config.json beside it: "
            "{\"pattern\": \"gpt2\", \"added_tokens_decoder\": {}}",
            utf8::printable(join_path(folder, name)).c_str());
    }
    return config;
}

Vocabulary load_folder(const std::string& folder) {
    const std::string config_path = join_path(folder, "tokenizer_config.json");
    const bool has_config = file_exists(config_path);
    for (const auto& [tokens, merges] :
         {std::pair("vocab.json", "merges.txt"), std::pair("encoder.json", "vocab.bpe")}) {
        const std::string vocab_json = join_path(folder, tokens), merges_txt = join_path(folder, merges);
        if (!file_exists(vocab_json) && !file_exists(merges_txt)) continue;
        const TokenizerConfig config = has_config ? read_config(config_path) : TokenizerConfig();
        return load_merge_files(vocab_json, merges_txt, config, config_path);
    }
    if (const std::optional<std::string> name = find_rank_file(folder)) {
        TokenizerConfig config = has_config ? read_config(config_path) : config_of_rank_file(folder, *name);
        return load_rank_file(join_path(folder, *name), config.pattern,
                              config.specials.value_or(std::vector<SpecialToken>()));
    }
    user_error(
        "%s: no vocabulary in this folder; it wants vocab.json and merges.txt, or encoder.json and "
        "vocab.bpe, or one *.tiktoken file",
        utf8::printable(folder).c_str());
}

std::string need_data_file(const std::string& set, const std::string& file) {
    const std::optional<std::string> path = find_data_file(set, file);
    if (!path)
        user_error("data/%s/%s is not there; fetch it with: data/%s.sh", set.c_str(), file.c_str(),
                   set.c_str());
    return *path;
}

}  // namespace

Vocabulary load_gpt2_files(const std::string& vocab_json, const std::string& merges_txt) {
    return load_merge_files(vocab_json, merges_txt, TokenizerConfig(), vocab_json);
}

Vocabulary load_vocabulary(const std::string& name_or_folder) {
    Vocabulary vocabulary;
    if (name_or_folder == "gpt2") {
        const std::string encoder_json = need_data_file("gpt2", "encoder.json");
        vocabulary = load_gpt2_files(encoder_json, need_data_file("gpt2", "vocab.bpe"));
    } else if (name_or_folder == "cl100k") {
        const std::string path = need_data_file("tiktoken", "cl100k_base.tiktoken");
        const TokenizerConfig config = config_of_rank_file("", "cl100k_base.tiktoken");
        vocabulary = load_rank_file(path, config.pattern, *config.specials);
    } else if (folder_exists(name_or_folder)) {
        vocabulary = load_folder(name_or_folder);
    } else {
        user_error("no vocabulary '%s': wants gpt2, cl100k, or a folder that holds one",
                   utf8::printable(name_or_folder).c_str());
    }
    vocabulary.name = name_or_folder;
    return vocabulary;
}

// ---- Writing --------------------------------------------------------------------------------------------------------

void save_vocabulary(const Vocabulary& vocabulary, const std::string& folder) {
    CHECK(!vocabulary.whole_piece_first,
          "[save_vocabulary] a rank file's merges have no order that merges.txt could tell");
    for (const SpecialToken& special : vocabulary.specials)
        utf8::decode(special.text, "special token \"" + printable(special.text) + "\"");
    const auto quoted = [](const std::string& text) { return json(text).dump(); };
    const std::vector<bool> is_special = special_ids(vocabulary);

    std::string tokens = "{", merges = "#version: 0.2\n";
    std::vector<std::string> texts;  // a special token as it is, the others spelled
    for (int id = 0; id < vocabulary.size(); id++) {
        const std::string& bytes = vocabulary.tokens[size_t(id)];
        texts.push_back(is_special[size_t(id)] ? bytes : spell(bytes));
    }
    TokenIndex seen(texts);
    // note: a special token that reads like the spelling of another one is left to tokenizer_config.json, because a name
    // can stand in vocab.json only once.
    for (const bool takes_specials : {false, true})
        for (int id = 0; id < vocabulary.size(); id++)
            if (is_special[size_t(id)] == takes_specials && !texts[size_t(id)].empty() && !seen.add(id))
                texts[size_t(id)].clear();
    for (int id = 0; id < vocabulary.size(); id++)
        if (!texts[size_t(id)].empty())
            tokens += (tokens.size() > 1 ? ", " : "") + quoted(texts[size_t(id)]) + ": " + std::to_string(id);
    tokens += "}\n";
    for (const Merge& merge : vocabulary.merges)
        merges += texts[size_t(merge.left)] + " " + texts[size_t(merge.right)] + "\n";

    // "added_tokens_decoder" is where HuggingFace's libraries look for special tokens, too.
    nlohmann::ordered_json config;
    config["pattern"] = name_of(vocabulary.pattern);
    config["tokenizer_class"] = "GPT2Tokenizer";
    config["add_prefix_space"] = false;
    config["added_tokens_decoder"] = nlohmann::ordered_json::object();
    for (const SpecialToken& special : vocabulary.specials)
        config["added_tokens_decoder"][std::to_string(special.id)] = {
            {"content", special.text}, {"lstrip", false},      {"normalized", false},
            {"rstrip", false},         {"single_word", false}, {"special", true}};

    make_run_folder(folder);
    write_file_atomically(join_path(folder, "vocab.json"), tokens);
    write_file_atomically(join_path(folder, "merges.txt"), merges);
    write_file_atomically(join_path(folder, "tokenizer_config.json"), config.dump(2) + "\n");
}
