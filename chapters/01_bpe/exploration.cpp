// exploration.cpp - the measuring, and the tables as text; the page is explore_page.cpp.
#include "chapters/01_bpe/exploration.h"

#include <algorithm>
#include <cstdio>
#include <memory>

#include "chapters/01_bpe/bpe.h"
#include "chapters/01_bpe/simple_schemes.h"
#include "chapters/01_bpe/token_text.h"
#include "chapters/01_bpe/trainer.h"
#include "core/check.h"
#include "io/data_set.h"
#include "io/file.h"
#include "io/html.h"
#include "io/utf8.h"

namespace {

// Files of data/udhr, chosen to show many scripts; English comes first, the others are sorted by what they cost.
constexpr const char* kLanguages[][2] = {
    {"eng", "English"},     {"fra", "French"},          {"spa", "Spanish"},
    {"deu_1901", "German"}, {"fin", "Finnish"},         {"tur", "Turkish"},
    {"vie", "Vietnamese"},  {"rus", "Russian"},         {"heb", "Hebrew"},
    {"arb", "Arabic"},      {"ell_monotonic", "Greek"}, {"cmn_hans", "Chinese"},
    {"jpn", "Japanese"},    {"kor", "Korean"},          {"tha", "Thai"},
    {"hin", "Hindi"},       {"ben", "Bengali"},         {"tam", "Tamil"},
    {"kat", "Georgian"},    {"amh", "Amharic"},
};

bool is_ascii_blank(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

size_t count_words(std::string_view text) {
    size_t words = 0;
    bool is_inside = false;
    for (const char c : text) {
        words += !is_ascii_blank(c) && !is_inside;
        is_inside = !is_ascii_blank(c);
    }
    return words;
}

std::string percent(double share) {
    return share > 0 && share < 0.0005 ? "<0.1 %" : format("%.1f %%", 100 * share);
}

// Columns as wide as their widest cell; the first and the last on the left, numbers on the right.
std::string aligned(const std::vector<std::vector<std::string>>& rows) {
    std::vector<size_t> widths(rows[0].size());
    const auto width_of = [](const std::string& cell) {
        return size_t(
            std::count_if(cell.begin(), cell.end(), [](char c) { return (uint8_t(c) & 0xc0) != 0x80; }));
    };
    for (const auto& row : rows)
        for (size_t c = 0; c < row.size(); c++) widths[c] = std::max(widths[c], width_of(row[c]));
    std::string text;
    for (const auto& row : rows) {
        std::string line;
        for (size_t c = 0; c < row.size(); c++) {
            const std::string fill(widths[c] - width_of(row[c]), ' ');
            line += (c == 0 ? "" : "  ") + (c == 0 || c + 1 == row.size() ? row[c] + fill : fill + row[c]);
        }
        text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
    }
    return text;
}

}  // namespace

Scheme bpe_scheme(Vocabulary vocabulary, const std::string& name) {
    const auto bpe = std::make_shared<const Bpe>(std::move(vocabulary));
    Scheme scheme;
    scheme.name = name;
    scheme.tokens = bpe->vocabulary().tokens;
    scheme.encode = [bpe](std::string_view text) {
        Tokens tokens;
        tokens.ids = bpe->encode(text);
        for (const int id : tokens.ids) tokens.sizes.push_back(uint32_t(bpe->bytes_of(id).size()));
        return tokens;
    };
    return scheme;
}

std::vector<Scheme> published_schemes() {
    std::vector<Scheme> schemes;
    if (find_data_file("gpt2", "encoder.json") && find_data_file("gpt2", "vocab.bpe"))
        schemes.push_back(bpe_scheme(load_vocabulary("gpt2"), "GPT-2's BPE"));
    if (find_data_file("tiktoken", "cl100k_base.tiktoken"))
        schemes.push_back(bpe_scheme(load_vocabulary("cl100k"), "cl100k's BPE"));
    return schemes;
}

SchemeRow measure(const Scheme& scheme, std::string_view text, std::string_view held_out) {
    SchemeRow row;
    row.name = scheme.name;
    row.vocabulary = scheme.size();
    row.can_be_unknown = scheme.unknown >= 0;
    const Tokens tokens = scheme.encode(held_out);
    const double count = double(tokens.ids.size());
    row.bytes_per_token = double(held_out.size()) / count;
    row.tokens_per_word = count / double(count_words(held_out));
    row.unknown_share =
        scheme.unknown < 0 ? 0
                           : double(std::count(tokens.ids.begin(), tokens.ids.end(), scheme.unknown)) / count;

    const Tokens all = scheme.encode(text);
    std::vector<bool> is_used(size_t(scheme.size()));
    size_t begin = 0;
    for (size_t i = 0; i < all.ids.size(); begin += all.sizes[i++]) {
        is_used[size_t(all.ids[i])] = true;
        if (all.ids[i] != scheme.unknown && all.sizes[i] > row.longest.size())
            row.longest = text.substr(begin, all.sizes[i]);
    }
    row.used_share = double(std::count(is_used.begin(), is_used.end(), true)) / double(scheme.size());
    return row;
}

Languages compare_languages(const std::vector<Scheme>& published) {
    Languages languages;
    std::vector<std::string> texts;
    std::string all;
    for (const auto& [file, name] : kLanguages) {
        const auto path = find_data_file("udhr", std::string(file) + ".txt");
        if (!path) {
            std::fprintf(stderr,
                         "WARNING: no comparison of languages: data/udhr.sh could not get the texts\n");
            return {};
        }
        texts.push_back(read_file(*path));
        languages.rows.push_back({name, texts.back().size(), {}});
        all += texts.back() + "\n\n";
    }
    TrainOptions options;
    options.vocab_size = 8192;
    std::vector<Scheme> schemes{byte_scheme(), character_scheme(all)};
    schemes.push_back(bpe_scheme(train_bpe({all}, options), "BPE 8192 of these"));
    schemes.insert(schemes.end(), published.begin(), published.end());
    for (const Scheme& scheme : schemes) {
        languages.vocabularies.push_back(scheme.name);
        for (size_t i = 0; i < texts.size(); i++)
            languages.rows[i].tokens.push_back(scheme.encode(texts[i]).ids.size());
    }
    const size_t by = published.empty() ? 0 : 3;  // GPT-2's, or bytes
    std::stable_sort(
        languages.rows.begin() + 1, languages.rows.end(),
        [by](const LanguageRow& a, const LanguageRow& b) { return a.tokens[by] < b.tokens[by]; });
    return languages;
}

std::string shortened_token(std::string_view bytes) {
    size_t end = 0;
    for (int characters = 0; characters < 24 && end < bytes.size(); characters++)
        utf8::decode_next(bytes, &end);
    return visible_token(bytes.substr(0, end)) + (end < bytes.size() ? "..." : "");
}

std::string explore_tables(const Exploration& found) {
    const bool has_model = found.model.flop > 0;
    std::vector<std::vector<std::string>> rows{{"scheme", "vocabulary", "bytes/token", "tokens/word", "used",
                                                "unknown", "bits/byte", "of it spelling", "steps",
                                                "longest token"}};
    for (const SchemeRow& s : found.schemes) {
        rows.push_back({s.name, std::to_string(s.vocabulary), format("%.2f", s.bytes_per_token),
                        format("%.2f", s.tokens_per_word), percent(s.used_share),
                        s.can_be_unknown ? percent(s.unknown_share) : "-",
                        s.bits ? format("%.3f", s.bits->total()) : "-",
                        s.bits && s.bits->spelling_bits > 0 ? format("%.3f", s.bits->spelling_bits) : "-",
                        s.bits ? std::to_string(s.bits->steps) : "-", shortened_token(s.longest)});
    }
    if (!has_model)
        for (auto& row : rows) row.erase(row.begin() + 6, row.begin() + 9);
    std::string text = format(
        "%s: %zu bytes; learned from the first nine tenths, measured on the last; used, and the longest "
        "token, "
        "on all of it\n\n",
        found.text_name.c_str(), found.text_bytes);
    text += aligned(rows);
    if (has_model)
        text += format(
            "\nbits/byte: the same GPT (%lld layers, %lld channels, %lld tokens of context) trained for "
            "%.3g * 10^12 operations on each scheme\n",
            static_cast<long long>(found.model.layers), static_cast<long long>(found.model.channels),
            static_cast<long long>(found.model.context), found.model.flop / 1e12);
    if (found.languages.rows.empty()) return text;

    text += "\nThe Universal Declaration of Human Rights: tokens, as a multiple of English\n\n";
    rows = {{"language"}};
    for (const std::string& name : found.languages.vocabularies) rows[0].push_back(name);
    rows[0].push_back("");
    for (size_t i = 0; i < found.languages.rows.size(); i++) {
        rows.push_back({found.languages.rows[i].name});
        for (size_t v = 0; v < found.languages.vocabularies.size(); v++)
            rows.back().push_back(format("%.2f", found.languages.premium(i, v)));
        rows.back().push_back("");
    }
    return text + aligned(rows);
}

std::string explore_json(const Exploration& found) {
    std::string json = "{\"text\": " + html::json_string(found.text_name) +
                       format(", \"bytes\": %zu, \"model_flop\": %.9g, \"schemes\": [", found.text_bytes,
                              std::max(0.0, found.model.flop));
    for (const SchemeRow& s : found.schemes) {
        json += std::string(&s == &found.schemes[0] ? "" : ", ") + "{\"name\": " + html::json_string(s.name) +
                format(
                    ", \"vocabulary\": %d, \"bytes_per_token\": %.9g, \"tokens_per_word\": %.9g, "
                    "\"used\": %.9g, \"unknown\": %.9g, \"longest\": ",
                    s.vocabulary, s.bytes_per_token, s.tokens_per_word, s.used_share, s.unknown_share) +
                html::json_string(s.longest);
        if (s.bits)
            json += format(", \"bits_per_byte\": %.9g, \"spelling_bits_per_byte\": %.9g, \"steps\": %lld",
                           s.bits->total(), s.bits->spelling_bits, static_cast<long long>(s.bits->steps));
        json += "}";
    }
    json += "], \"premium\": {";
    for (size_t i = 0; i < found.languages.rows.size(); i++) {
        json += (i == 0 ? "" : ", ") + html::json_string(found.languages.rows[i].name) + ": {";
        for (size_t v = 0; v < found.languages.vocabularies.size(); v++)
            json += (v == 0 ? "" : ", ") + html::json_string(found.languages.vocabularies[v]) +
                    format(": %.9g", found.languages.premium(i, v));
        json += "}";
    }
    return json + "}}";
}
