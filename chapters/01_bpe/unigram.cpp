// unigram.cpp - see unigram.h. All sums are taken in a fixed order, in double: the same vocabulary on every run.
#include "chapters/01_bpe/unigram.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>

#include "core/check.h"
#include "io/utf8.h"

namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();
// How much less probable <unk> is than the rarest token: e^10 is Kudo's choice in SentencePiece.
constexpr double kUnknownPenalty = 10;
// Stands for a probability of 0, which would make whole pieces impossible.
constexpr double kLeastCount = 1e-10;

// ln(e^a + e^b)
double log_add(double a, double b) {
    const double high = std::max(a, b), low = std::min(a, b);
    return low == kNever ? high : high + std::log1p(std::exp(low - high));
}

size_t character_size(std::string_view text, size_t begin) {
    size_t end = begin;
    utf8::decode_next(text, &end);
    return end - begin;
}

// The substrings of the pieces, of at least two characters, that occur twice or more, with the number of times; and
// all characters.
std::vector<std::pair<std::string_view, int64_t>> substrings_of(const std::vector<PieceCount>& pieces,
                                                                int longest, bool characters) {
    std::unordered_map<std::string_view, int64_t> counts;
    for (const PieceCount& piece : pieces)
        for (size_t begin = 0; begin < piece.piece.size(); begin += character_size(piece.piece, begin)) {
            size_t end = begin;
            for (int n = 1; n <= (characters ? 1 : longest) && end < piece.piece.size(); n++) {
                end += character_size(piece.piece, end);
                if (characters || n > 1) counts[piece.piece.substr(begin, end - begin)] += piece.count;
            }
        }
    std::vector<std::pair<std::string_view, int64_t>> list;
    for (const auto& [text, count] : counts)
        if (characters || count >= 2) list.emplace_back(text, count);
    // Those that cover most text first; the order must not depend on the hash table's.
    std::sort(list.begin(), list.end(), [](const auto& a, const auto& b) {
        const int64_t a_bytes = a.second * int64_t(a.first.size()),
                      b_bytes = b.second * int64_t(b.first.size());
        return a_bytes != b_bytes ? a_bytes > b_bytes : a.first < b.first;
    });
    return list;
}

}  // namespace

Unigram::Unigram(const std::vector<std::string>& tokens, const std::vector<double>& probabilities) {
    CHECK_EQ(tokens.size(), probabilities.size());
    texts_.push_back("<unk>");
    texts_.insert(texts_.end(), tokens.begin(), tokens.end());
    log_p_.push_back(kNever);
    for (const double p : probabilities) log_p_.push_back(std::log(p));
    index();
}

void Unigram::index() {
    ids_.clear();
    is_character_.assign(texts_.size(), false);
    longest_ = 0;
    double least = 0;
    for (size_t id = 1; id < texts_.size(); id++) {
        const bool is_new = ids_.emplace(texts_[id], int(id)).second;
        CHECK(is_new && !texts_[id].empty(), "[unigram] token %zu is empty or a duplicate", id);
        is_character_[id] = character_size(texts_[id], 0) == texts_[id].size();
        longest_ = std::max(longest_, texts_[id].size());
        least = std::min(least, log_p_[id]);
    }
    log_p_[kUnknown] = least - kUnknownPenalty;
}

void Unigram::edges_of(std::string_view piece, std::vector<Edge>* edges, int without) const {
    edges->clear();
    for (size_t begin = 0; begin < piece.size();) {
        const size_t next = begin + character_size(piece, begin);
        bool has_character = false;
        for (size_t end = next; end - begin <= longest_;) {
            const auto found = ids_.find(piece.substr(begin, end - begin));
            if (found != ids_.end() && found->second != without) {
                edges->push_back({begin, end, found->second, log_p_[size_t(found->second)]});
                has_character = has_character || end == next;
            }
            if (end == piece.size()) break;
            end += character_size(piece, end);
        }
        if (!has_character) edges->push_back({begin, next, kUnknown, log_p_[kUnknown]});
        begin = next;
    }
}

double Unigram::best_path(std::string_view piece, std::vector<Edge>* path, int without) const {
    std::vector<Edge> edges;
    edges_of(piece, &edges, without);
    std::vector<double> best(piece.size() + 1, kNever);
    std::vector<size_t> last(piece.size() + 1);  // the edge by which the best path arrives
    best[0] = 0;
    for (size_t e = 0; e < edges.size(); e++) {  // by `begin` ascending: best[begin] is final
        const double score = best[edges[e].begin] + edges[e].log_p;
        if (score > best[edges[e].end]) best[edges[e].end] = score, last[edges[e].end] = e;
    }
    path->clear();
    for (size_t end = piece.size(); end > 0; end = path->back().begin) path->push_back(edges[last[end]]);
    std::reverse(path->begin(), path->end());
    return best[piece.size()];
}

void Unigram::encode_piece(std::string_view piece, Tokens* tokens) const {
    std::vector<Edge> path;
    best_path(piece, &path);
    for (const Edge& edge : path) tokens->add(edge.id, edge.end - edge.begin);
}

double Unigram::best_log_probability(std::string_view piece) const {
    std::vector<Edge> path;
    return best_path(piece, &path);
}

double Unigram::log_probability(std::string_view piece) const {
    std::vector<double> ignored(texts_.size());
    return add_expected_counts(piece, 1, &ignored);
}

// Forward and backward over the lattice: alpha[i] is ln of the probability of all cuts of the first i bytes, beta[i] of
// the rest; an edge is used with probability alpha[begin] p beta[end] / alpha[size].
double Unigram::add_expected_counts(std::string_view piece, double count,
                                    std::vector<double>* expected) const {
    std::vector<Edge> edges;
    edges_of(piece, &edges);
    std::vector<double> alpha(piece.size() + 1, kNever), beta(piece.size() + 1, kNever);
    alpha[0] = 0, beta[piece.size()] = 0;
    for (const Edge& edge : edges) alpha[edge.end] = log_add(alpha[edge.end], alpha[edge.begin] + edge.log_p);
    for (size_t e = edges.size(); e-- > 0;)
        beta[edges[e].begin] = log_add(beta[edges[e].begin], edges[e].log_p + beta[edges[e].end]);
    const double all = alpha[piece.size()];
    for (const Edge& edge : edges)
        (*expected)[size_t(edge.id)] +=
            count * std::exp(alpha[edge.begin] + edge.log_p + beta[edge.end] - all);
    return all;
}

double Unigram::em_step(const std::vector<PieceCount>& pieces) {
    std::vector<double> expected(texts_.size());
    double log_likelihood = 0;
    for (const PieceCount& piece : pieces)
        log_likelihood +=
            double(piece.count) * add_expected_counts(piece.piece, double(piece.count), &expected);
    expected[kUnknown] = 0;
    const double total = std::accumulate(expected.begin(), expected.end(), 0.0);
    for (size_t id = 1; id < texts_.size(); id++)
        log_p_[id] = std::log(std::max(expected[id], kLeastCount) / total);
    index();  // <unk> keeps its distance
    return log_likelihood;
}

void Unigram::prune(const std::vector<PieceCount>& pieces, int target) {
    std::vector<double> used(texts_.size());  // times in the best cuts
    std::vector<Edge> path;
    for (const PieceCount& piece : pieces) {
        best_path(piece.piece, &path);
        for (const Edge& edge : path) used[size_t(edge.id)] += double(piece.count);
    }
    // What the text's probability loses without a token: each use of it becomes the best cut of its own text into
    // others. (That the others become more frequent then is left out.)
    std::vector<std::pair<double, int>> losses;  // of tokens that may go
    std::vector<int> kept;
    for (int id = 1; id < size(); id++) {
        if (is_character_[size_t(id)])
            kept.push_back(id);
        else
            losses.emplace_back(used[size_t(id)] * (log_p_[size_t(id)] - best_path(token(id), &path, id)),
                                id);
    }
    std::sort(losses.begin(), losses.end(), [](const auto& a, const auto& b) {
        return a.first != b.first ? a.first > b.first : a.second < b.second;
    });
    for (const auto& loss : losses)
        if (int(kept.size()) + 1 < target) kept.push_back(loss.second);
    std::sort(kept.begin(), kept.end());

    std::vector<std::string> texts{texts_[kUnknown]};
    std::vector<double> log_p{kNever};
    for (const int id : kept) {
        texts.push_back(std::move(texts_[size_t(id)]));
        log_p.push_back(log_p_[size_t(id)]);
    }
    texts_ = std::move(texts);
    log_p_ = std::move(log_p);
    index();
}

Unigram Unigram::train(std::string_view text, const UnigramOptions& options) {
    if (text.empty()) user_error("there is no text to train on");
    const std::vector<PieceCount> pieces = count_pieces({text}, Pattern::kGpt2, /*sorted=*/true);
    const auto characters = substrings_of(pieces, options.longest, /*characters=*/true);
    if (characters.size() + 1 > size_t(options.vocab_size))
        user_error("a vocabulary of %d has no room for <unk> and the text's %zu characters",
                   options.vocab_size, characters.size());
    auto seeds = substrings_of(pieces, options.longest, /*characters=*/false);
    seeds.resize(std::min(seeds.size(), size_t(options.vocab_size) * size_t(options.seed_factor)));
    seeds.insert(seeds.end(), characters.begin(), characters.end());

    std::vector<std::string> tokens;
    std::vector<double> probabilities;
    for (const auto& [token, count] : seeds) {
        tokens.emplace_back(token);
        probabilities.push_back(double(count));  // a start; what they add up to does not matter
    }
    Unigram model(tokens, probabilities);
    for (;;) {
        for (int step = 0; step < options.em_steps; step++) model.em_step(pieces);
        if (model.size() <= options.vocab_size) break;
        model.prune(pieces, std::max(options.vocab_size, int(double(model.size()) * options.keep_share)));
    }
    return model;
}

Scheme unigram_scheme(std::string_view training_text, const UnigramOptions& options) {
    const auto model = std::make_shared<const Unigram>(Unigram::train(training_text, options));
    Scheme scheme;
    scheme.name = format("Unigram %d", model->size());
    scheme.unknown = Unigram::kUnknown;
    for (int id = 0; id < model->size(); id++) scheme.tokens.push_back(model->token(id));
    scheme.encode = [model](std::string_view text) {
        return encode_pieces(Pattern::kGpt2, text, [&](std::string_view piece, Tokens* tokens) {
            model->encode_piece(piece, tokens);
        });
    };
    return scheme;
}
