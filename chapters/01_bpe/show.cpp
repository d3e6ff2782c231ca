// show.cpp - see show.h.
#include "chapters/01_bpe/show.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "chapters/01_bpe/token_text.h"
#include "chapters/01_bpe/trace.h"
#include "core/check.h"
#include "io/file.h"
#include "io/standard_streams.h"
#include "io/utf8.h"

namespace {

constexpr size_t kMostRows = 2000;  // of a terminal's list; encode --offsets has no end

// Backgrounds out of the 256 colours that terminals share, light enough for black letters. Neighbours differ in
// brightness, too: not everybody tells the hues apart.
constexpr int kBackgrounds[] = {153, 223, 158, 218, 228, 189};
constexpr int kBlack = 16;

bool wants_colours(const std::string& colour) {
    if (colour != "auto") return colour == "always";
    const char* no_color = std::getenv("NO_COLOR");  // no-color.org: any value but an empty one
    const char* terminal = std::getenv("TERM");
    const bool is_dumb = terminal && std::string(terminal) == "dumb";
    return ::isatty(STDOUT_FILENO) && !(no_color && *no_color) && !is_dumb;
}

// Where the characters of `text` begin; its end counts as a beginning. A byte of no valid UTF-8 is one on its own.
std::vector<bool> character_starts(const std::string& text) {
    std::vector<bool> starts(text.size() + 1);
    for (size_t offset = 0; offset < text.size(); utf8::decode_next(text, &offset)) starts[offset] = true;
    starts[text.size()] = true;
    return starts;
}

// How the vocabulary comes to a token: the first merge that makes it. A rank file has one for each way to halve the token;
// there it is the last one of the token's own bytes.
TokenOrigin origin_of(const Bpe& bpe, const Tracer& tracer, int id) {
    const Vocabulary& vocabulary = bpe.vocabulary();
    for (const SpecialToken& special : vocabulary.specials)
        if (special.id == id) return {TokenOrigin::kSpecial, -1, -1, -1};
    const std::string_view bytes = bpe.bytes_of(id);
    if (bytes.size() == 1) return {TokenOrigin::kByte, -1, -1, -1};
    if (!vocabulary.whole_piece_first) {
        const auto made = std::find_if(vocabulary.merges.begin(), vocabulary.merges.end(),
                                       [id](const Merge& merge) { return merge.token == id; });
        return {TokenOrigin::kMerge, made->rank, made->left, made->right};
    }
    const PieceTrace trace = tracer.trace(bytes);
    if (trace.is_looked_up || trace.steps.empty() || trace.steps.back().merge.token != id)
        return {TokenOrigin::kLookedUp, -1, -1, -1};
    const Merge& last = trace.steps.back().merge;
    return {TokenOrigin::kMerge, last.rank, last.left, last.right};
}

// The text as one strip. A line break is shown and, in colours, made.
std::string strip(const ShownText& shown, size_t count, bool has_colours) {
    std::string out = has_colours ? "" : "|";
    for (size_t i = 0; i < count; i++) {
        const std::string_view bytes = shown.bpe->bytes_of(shown.tokens[i].id);
        if (!has_colours) {
            out += visible_token(bytes) + "|";
            continue;
        }
        const std::string on =
            format("\x1b[48;5;%dm\x1b[38;5;%dm", kBackgrounds[i % std::size(kBackgrounds)], kBlack);
        const std::string off = "\x1b[0m";
        out += on;
        for (size_t begin = 0; begin < bytes.size();) {
            const size_t line_end = std::min(bytes.find('\n', begin), bytes.size());
            out += visible_text(bytes.substr(begin, line_end - begin), " ");
            // subtle: a colour that is on at the end of a line would fill the rest of it.
            if (line_end < bytes.size()) out += "\\n" + off + "\n" + on;
            begin = line_end + 1;
        }
        out += off;
    }
    return out + "\n";
}

}  // namespace

ShownText tokenize(const Bpe& bpe, const std::string& text, bool with_special) {
    const std::vector<int> ids = with_special ? bpe.encode_with_special(text) : bpe.encode(text);
    const std::vector<TokenSpan> spans = token_spans(bpe, ids);
    const std::vector<bool> starts = character_starts(text);
    const Tracer tracer(bpe.vocabulary());
    ShownText shown{bpe.vocabulary().name, bpe.vocabulary().size(), &bpe, {}, {}};
    for (size_t i = 0; i < ids.size(); i++) {
        ShownToken token{ids[i], spans[i].begin, spans[i].end, ""};
        // The characters that the token's ends cut: one, two, or the same one twice.
        size_t last_end = 0;
        for (const size_t cut : {token.begin, token.end}) {
            if (starts[cut] || cut < last_end) continue;
            size_t begin = cut, end = cut;
            while (!starts[begin]) begin--;
            while (!starts[end]) end++;
            token.part_of += text.substr(begin, end - begin);
            last_end = end;
        }
        shown.tokens.push_back(token);
        if (shown.origins.count(ids[i]) == 0) shown.origins[ids[i]] = origin_of(bpe, tracer, ids[i]);
    }
    return shown;
}

std::string terminal_view(const ShownText& shown, bool has_colours) {
    const size_t all = shown.tokens.size(), count = std::min(all, kMostRows);
    const size_t bytes = all > 0 ? shown.tokens.back().end : 0;
    std::string out = format("%s: %zu token%s for %zu byte%s", utf8::printable(shown.tokenizer).c_str(), all,
                             all == 1 ? "" : "s", bytes, bytes == 1 ? "" : "s");
    if (all > 0) out += format(", %.2f bytes per token", double(bytes) / double(all));
    out += "\n";
    if (all == 0) return out;
    out += strip(shown, count, has_colours);
    out += format("%6s %8s  %-13s %8s  %s\n", "#", "id", "bytes", "rank", "token");
    for (size_t i = 0; i < count; i++) {
        const ShownToken& token = shown.tokens[i];
        const TokenOrigin& origin = shown.origins.at(token.id);
        const std::string rank = origin.kind == TokenOrigin::kMerge     ? std::to_string(origin.rank)
                                 : origin.kind == TokenOrigin::kByte    ? "byte"
                                 : origin.kind == TokenOrigin::kSpecial ? "special"
                                                                        : "whole";
        out +=
            format("%6zu %8d  %-13s %8s  %s", i, token.id, format("%zu..%zu", token.begin, token.end).c_str(),
                   rank.c_str(), visible_token(shown.bpe->bytes_of(token.id)).c_str());
        if (!token.part_of.empty()) out += "  part of " + visible_token(token.part_of);
        out += "\n";
    }
    if (count < all) out += format("and %zu more; chapter01 encode --offsets lists them all\n", all - count);
    return out;
}

void run_show(const Options& options) {
    const std::string text = options.has_text      ? options.text
                             : options.file == "-" ? read_stdin()
                                                   : read_file(options.file);
    std::vector<std::unique_ptr<Bpe>> tokenizers;
    tokenizers.push_back(std::make_unique<Bpe>(load_vocabulary(options.vocab)));
    if (!options.compare.empty())
        tokenizers.push_back(std::make_unique<Bpe>(load_vocabulary(options.compare)));

    std::vector<ShownText> views;
    for (const auto& bpe : tokenizers) views.push_back(tokenize(*bpe, text, options.special));
    if (!options.html.empty()) write_file_atomically(options.html, show_page(text, views));
    std::string out;
    for (const ShownText& view : views)
        out += (out.empty() ? "" : "\n") + terminal_view(view, wants_colours(options.colour));
    print_text(out);
    if (!options.html.empty() && !options.quiet)
        std::fprintf(stderr, "the page is %s\n", utf8::printable(options.html).c_str());
}
