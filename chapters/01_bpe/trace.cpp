// trace.cpp - see trace.h.
#include "chapters/01_bpe/trace.h"

#include <cstdio>
#include <string>

#include "chapters/01_bpe/bpe_plain.h"
#include "chapters/01_bpe/token_text.h"
#include "core/check.h"
#include "io/utf8.h"

namespace {

// A line per merge, each with what the piece looks like afterwards: of longer pieces nobody reads that.
constexpr size_t kLongestPiece = 2000;

std::string tokens_text(const Vocabulary& vocabulary, const std::vector<int>& ids) {
    std::string text;
    for (const int id : ids) text += (text.empty() ? "" : " ") + visible_token(vocabulary.tokens[size_t(id)]);
    return text;
}

std::string ids_text(const std::vector<int>& ids) {
    std::string text;
    for (const int id : ids) text += (text.empty() ? "" : " ") + std::to_string(id);
    return text;
}

void print_trace(const Vocabulary& vocabulary, const PieceTrace& trace) {
    std::printf("%6s %8s  %-26s  %s\n", "step", "rank", "merge", "the piece");
    std::printf("%6d %8s  %-26s  %s\n", 0, "", "its bytes", tokens_text(vocabulary, trace.bytes).c_str());
    std::vector<int> ids = trace.bytes;
    int number = 0;
    for (const TraceStep& step : trace.steps) {
        ids[step.place] = step.merge.token;
        ids.erase(ids.begin() + std::ptrdiff_t(step.place) + 1);
        const std::string merge = visible_token(vocabulary.tokens[size_t(step.merge.left)]) + " + " +
                                  visible_token(vocabulary.tokens[size_t(step.merge.right)]);
        std::printf("%6d %8d  %s  %s\n", ++number, step.merge.rank, padded(merge, 26).c_str(),
                    tokens_text(vocabulary, ids).c_str());
    }
    if (trace.is_looked_up)
        std::printf("        the vocabulary has the whole piece as a token, and looks that up first\n");
    else if (trace.tokens.size() == 1)
        std::printf("        one token is left\n");
    else
        std::printf("        no pair of neighbours has a merge: %zu tokens are left\n", trace.tokens.size());
    std::printf("        ids: %s\n", ids_text(trace.tokens).c_str());
}

}  // namespace

Tracer::Tracer(const Vocabulary& vocabulary)
    : vocabulary_(vocabulary), merges_(plain::merges_by_pair(vocabulary)) {
    if (!vocabulary.whole_piece_first) return;
    const std::vector<bool> is_special = special_ids(vocabulary);
    for (int id = 0; id < vocabulary.size(); id++)
        if (!is_special[size_t(id)]) whole_pieces_.insert({vocabulary.tokens[size_t(id)], id});
}

PieceTrace Tracer::trace(std::string_view piece) const {
    PieceTrace trace;
    trace.bytes = plain::bytes_as_ids(vocabulary_, piece);
    std::vector<int>& ids = trace.tokens = trace.bytes;
    for (;;) {
        const Merge* best = nullptr;
        size_t place = 0;
        for (size_t i = 0; i + 1 < ids.size(); i++) {
            const auto found = merges_.find({ids[i], ids[i + 1]});
            if (found == merges_.end() || (best && found->second.rank >= best->rank)) continue;
            best = &found->second;
            place = i;
        }
        if (!best) break;
        trace.steps.push_back({*best, place});
        ids[place] = best->token;
        ids.erase(ids.begin() + std::ptrdiff_t(place) + 1);
    }
    const auto whole = whole_pieces_.find(piece);
    if (whole != whole_pieces_.end() && ids != std::vector<int>{whole->second}) {
        trace.is_looked_up = true;
        ids = {whole->second};
    }
    return trace;
}

void run_trace(const Options& options) {
    const Vocabulary vocabulary = load_vocabulary(options.vocab);
    std::vector<std::string_view> pieces;
    for_each_piece(vocabulary.pattern, options.text,
                   [&](std::string_view piece) { pieces.push_back(piece); });
    for (const std::string_view piece : pieces)
        if (piece.size() > kLongestPiece)
            user_error(
                "trace prints a line per merge, for pieces of at most %zu bytes; this one has %zu: %s...",
                kLongestPiece, piece.size(), visible_token(piece.substr(0, 40)).c_str());

    const Tracer tracer(vocabulary);
    std::printf("%s, pattern %s: %zu piece%s\n", utf8::printable(vocabulary.name).c_str(),
                name_of(vocabulary.pattern), pieces.size(), pieces.size() == 1 ? "" : "s");
    for (const std::string_view piece : pieces) {
        std::printf("\n%s, %zu byte%s\n", visible_token(piece).c_str(), piece.size(),
                    piece.size() == 1 ? "" : "s");
        print_trace(vocabulary, tracer.trace(piece));
    }
}
