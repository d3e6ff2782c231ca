// stats.cpp - see stats.h.
#include "chapters/01_bpe/stats.h"

#include <algorithm>
#include <cstdio>

#include "chapters/01_bpe/bpe.h"
#include "chapters/01_bpe/commands.h"
#include "chapters/01_bpe/token_text.h"
#include "chapters/01_bpe/unicode_classes.h"
#include "core/check.h"
#include "io/html.h"
#include "io/utf8.h"

namespace {

constexpr size_t kLongLength = 16;  // the last row of the table of lengths holds all from here on

TokenKind kind_of_bytes(std::string_view bytes) {
    if (bytes.empty()) return TokenKind::kUnnamed;
    const bool has_blank = bytes[0] == ' ' && bytes.size() > 1;
    size_t letters = 0, numbers = 0, blanks = 0, others = 0;
    for (size_t offset = has_blank ? 1 : 0; offset < bytes.size();) {
        const uint32_t code = utf8::decode_next(bytes, &offset);
        if (code == utf8::kInvalid) return TokenKind::kPartOfCharacter;
        switch (class_of(code)) {
            case CharacterClass::kLetter:
                letters++;
                break;
            case CharacterClass::kNumber:
                numbers++;
                break;
            case CharacterClass::kBlank:
                blanks++;
                break;
            default:
                others++;
        }
    }
    const size_t all = letters + numbers + blanks + others;
    if (letters == all) return has_blank ? TokenKind::kWordAfterBlank : TokenKind::kLetters;
    if (numbers == all) return TokenKind::kNumber;
    if (blanks == all) return TokenKind::kBlanks;
    return others == all ? TokenKind::kSymbols : TokenKind::kMixed;
}

// Which tokens a text uses, and how often.
struct Usage {
    std::vector<int64_t> counts;  // by id
    int64_t tokens = 0;
    size_t bytes = 0, used = 0;
};

Usage usage_of(const Bpe& bpe, const std::vector<NamedText>& texts) {
    Usage usage;
    usage.counts.resize(size_t(bpe.vocabulary().size()));
    for (const NamedText& text : texts) {
        const std::vector<int> ids = bpe.encode(text.text);
        for (const int id : ids) usage.counts[size_t(id)]++;
        usage.tokens += int64_t(ids.size());
        usage.bytes += text.text.size();
    }
    for (const int64_t count : usage.counts) usage.used += count > 0;
    return usage;
}

double percent(size_t part, size_t whole) {
    return whole == 0 ? 0 : 100.0 * double(part) / double(whole);
}

// How much of a bar of 40 characters `part` fills.
std::string bar_of(size_t part, size_t whole) {
    return std::string(whole == 0 ? 0 : (part * 40 + whole - 1) / whole, '#');
}

void print_lengths(const Vocabulary& vocabulary) {
    std::vector<size_t> counts(kLongLength + 1);
    for (const std::string& token : vocabulary.tokens)
        if (!token.empty()) counts[std::min(token.size(), kLongLength)]++;
    const size_t most = *std::max_element(counts.begin(), counts.end());
    std::printf("\n%-12s %8s\n", "bytes", "tokens");
    for (size_t length = 1; length <= kLongLength; length++)
        std::printf("%-12s %8zu  %s\n", format(length == kLongLength ? "%zu or more" : "%zu", length).c_str(),
                    counts[length], bar_of(counts[length], most).c_str());
}

void print_kinds(const std::vector<TokenKind>& kinds, const Usage* usage) {
    size_t counts[kTokenKinds] = {}, used[kTokenKinds] = {};
    for (size_t id = 0; id < kinds.size(); id++) {
        counts[size_t(kinds[id])]++;
        used[size_t(kinds[id])] += usage && usage->counts[id] > 0;
    }
    std::printf("\n%-28s %8s %7s%s\n", "kind", "tokens", "share", usage ? "     used   of kind" : "");
    for (size_t kind = 0; kind < kTokenKinds; kind++) {
        if (counts[kind] == 0) continue;
        std::printf("%-28s %8zu %6.1f%%", name_of(TokenKind(kind)), counts[kind],
                    percent(counts[kind], kinds.size()));
        if (usage) std::printf(" %8zu %8.1f%%", used[kind], percent(used[kind], counts[kind]));
        std::printf("\n");
    }
}

void print_list(const char* title, const Vocabulary& vocabulary, const std::vector<int>& ids, size_t most) {
    if (most == 0 || ids.empty()) return;
    std::printf("\n%s\n", title);
    for (size_t i = 0; i < std::min(most, ids.size()); i++) {
        const std::string& bytes = vocabulary.tokens[size_t(ids[i])];
        std::printf("%8d %4zu bytes  %s\n", ids[i], bytes.size(), visible_token(bytes).c_str());
    }
}

std::string json_list(const std::vector<int>& ids) {
    std::string text = "[";
    for (const int id : ids) text += (text.size() > 1 ? ", " : "") + std::to_string(id);
    return text + "]";
}

}  // namespace

const char* name_of(TokenKind kind) {
    constexpr const char* kNames[kTokenKinds] = {"blank and letters",
                                                 "letters",
                                                 "numbers",
                                                 "blanks and line breaks",
                                                 "punctuation and symbols",
                                                 "mixed",
                                                 "part of a character",
                                                 "special",
                                                 "named nowhere"};
    return kNames[size_t(kind)];
}

std::vector<TokenKind> token_kinds(const Vocabulary& vocabulary) {
    std::vector<TokenKind> kinds;
    for (const std::string& token : vocabulary.tokens) kinds.push_back(kind_of_bytes(token));
    for (const SpecialToken& special : vocabulary.specials) kinds[size_t(special.id)] = TokenKind::kSpecial;
    return kinds;
}

std::vector<int> longest_first(const Vocabulary& vocabulary, std::vector<int> ids) {
    std::stable_sort(ids.begin(), ids.end(), [&](int a, int b) {
        return vocabulary.tokens[size_t(a)].size() > vocabulary.tokens[size_t(b)].size();
    });
    return ids;
}

void run_stats(const Options& options) {
    const Bpe bpe(load_vocabulary(options.vocab));
    const Vocabulary& vocabulary = bpe.vocabulary();
    std::vector<NamedText> texts;
    if (!options.data.empty()) texts = load_texts(options.data);
    const std::vector<TokenKind> kinds = token_kinds(vocabulary);
    const Usage usage = usage_of(bpe, texts);
    const size_t most = size_t(options.list);

    std::vector<int> all, unused, unused_words, by_count;
    for (int id = 0; id < vocabulary.size(); id++) {
        const TokenKind kind = kinds[size_t(id)];
        if (kind == TokenKind::kUnnamed) continue;
        if (kind != TokenKind::kSpecial) all.push_back(id);
        if (usage.counts[size_t(id)] > 0)
            by_count.push_back(id);
        else if (kind != TokenKind::kSpecial)  // ordinary text never has one
            unused.push_back(id);
        const bool is_word = kind == TokenKind::kWordAfterBlank || kind == TokenKind::kLetters;
        if (is_word && usage.counts[size_t(id)] == 0) unused_words.push_back(id);
    }
    std::stable_sort(by_count.begin(), by_count.end(),
                     [&](int a, int b) { return usage.counts[size_t(a)] > usage.counts[size_t(b)]; });

    std::printf("%s: %d tokens, %zu merges, %zu special, pattern %s\n",
                utf8::printable(vocabulary.name).c_str(), vocabulary.size(), vocabulary.merges.size(),
                vocabulary.specials.size(), name_of(vocabulary.pattern));
    print_lengths(vocabulary);
    print_kinds(kinds, texts.empty() ? nullptr : &usage);
    print_list("the longest tokens", vocabulary, longest_first(vocabulary, all), most);
    std::string json = format("{\"tokens\": %d, \"merges\": %zu, \"special\": %zu", vocabulary.size(),
                              vocabulary.merges.size(), vocabulary.specials.size());
    if (!texts.empty()) {
        std::printf("\n%zu text%s, %zu bytes: %lld tokens, %.3f bytes per token\n", texts.size(),
                    texts.size() == 1 ? "" : "s", usage.bytes, static_cast<long long>(usage.tokens),
                    double(usage.bytes) / double(usage.tokens));
        std::printf("%zu of %d tokens are used (%.1f %%), %zu never\n", usage.used, vocabulary.size(),
                    percent(usage.used, size_t(vocabulary.size())), unused.size());
        if (most > 0) std::printf("\nthe most frequent tokens\n");
        for (size_t i = 0; i < std::min(most, by_count.size()); i++) {
            const int64_t count = usage.counts[size_t(by_count[i])];
            std::printf("%8d %12lld times %5.2f%%  %s\n", by_count[i], static_cast<long long>(count),
                        100.0 * double(count) / double(usage.tokens),
                        visible_token(vocabulary.tokens[size_t(by_count[i])]).c_str());
        }
        print_list("the longest words that these texts never use", vocabulary,
                   longest_first(vocabulary, unused_words), most);
        json += format(
                    ", \"bytes\": %zu, \"text_tokens\": %lld, \"bytes_per_token\": %.6f, \"used\": %zu, "
                    "\"unused\": ",
                    usage.bytes, static_cast<long long>(usage.tokens),
                    double(usage.bytes) / double(usage.tokens), usage.used) +
                json_list(unused);
    }
    if (options.json) std::printf("%s}\n", json.c_str());
}
