// wordpiece.cpp - see wordpiece.h.
#include "chapters/01_bpe/wordpiece.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <set>

#include "chapters/01_bpe/piece_counts.h"
#include "core/check.h"
#include "io/utf8.h"

namespace {

using Pair = std::pair<int, int>;

struct Word {
    std::vector<int> ids;
    int64_t count;
};

struct PairInfo {
    int64_t count = 0;
    std::set<size_t> words;  // that have the pair, or once had it
};

// Counts kept up to date as in trainer.cpp, in the simplest way: take a changed word's pairs away, change it, add its
// pairs again. The score of a pair also rises when its parts become rarer, so no heap could hold it: all pairs are
// looked at for each merge.
class Trainer {
  public:
    Trainer(std::vector<Word> words, WordPieceScore score) : words_(std::move(words)), score_(score) {
        for (size_t w = 0; w < words_.size(); w++) add_pairs(w, +1);
    }

    // The pair with the best score; false when none is frequent enough. Equal scores: the more frequent pair, then the
    // smaller one.
    bool best_pair(int64_t min_frequency, Pair* best) const {
        double best_score = -std::numeric_limits<double>::infinity();
        int64_t best_count = 0;
        for (const auto& [pair, info] : pairs_) {
            if (info.count < min_frequency) continue;
            const double score = score_of(pair, info.count);
            if (score < best_score || (score == best_score && info.count <= best_count)) continue;
            best_score = score, best_count = info.count, *best = pair;
        }
        return best_count > 0;
    }

    void merge(Pair pair, int token) {
        const std::set<size_t> touched = std::move(pairs_[pair].words);
        for (const size_t w : touched) {
            add_pairs(w, -1);
            std::vector<int> merged;
            const std::vector<int>& ids = words_[w].ids;
            for (size_t i = 0; i < ids.size(); i++) {
                const bool is_pair = i + 1 < ids.size() && Pair(ids[i], ids[i + 1]) == pair;
                merged.push_back(is_pair ? token : ids[i]);
                i += is_pair;
            }
            words_[w].ids = merged;
            add_pairs(w, +1);
        }
        pairs_.erase(pair);
    }

  private:
    double score_of(Pair pair, int64_t count) const {
        const double a = double(token_counts_[size_t(pair.first)]);
        const double b = double(token_counts_[size_t(pair.second)]);
        const double ratio = double(count) / (a * b);
        return score_ == WordPieceScore::kRatio ? ratio : double(count) * std::log(double(total_) * ratio);
    }

    // Adds (sign +1) or takes away (-1) what a word contributes to all counts.
    void add_pairs(size_t w, int64_t sign) {
        const std::vector<int>& ids = words_[w].ids;
        const int64_t count = sign * words_[w].count;
        for (size_t i = 0; i < ids.size(); i++) {
            if (size_t(ids[i]) >= token_counts_.size()) token_counts_.resize(size_t(ids[i]) + 1);
            token_counts_[size_t(ids[i])] += count;
            total_ += count;
            if (i + 1 == ids.size()) break;
            const auto info = pairs_.try_emplace({ids[i], ids[i + 1]}).first;
            info->second.count += count;
            if (sign > 0) info->second.words.insert(w);
            if (info->second.count == 0) pairs_.erase(info);
        }
    }

    std::vector<Word> words_;
    WordPieceScore score_;
    std::vector<int64_t> token_counts_;
    int64_t total_ = 0;  // tokens
    std::map<Pair, PairInfo> pairs_;
};

// Calls visit(character, is_continuation) for each character of a piece.
template <class Visit>
void for_each_character(std::string_view piece, Visit&& visit) {
    for (size_t end = 0, begin = 0; begin < piece.size(); begin = end) {
        utf8::decode_next(piece, &end);
        visit(piece.substr(begin, end - begin), begin > 0);
    }
}

}  // namespace

int WordPiece::add(std::string_view text, bool is_continuation) {
    const int id = size();
    texts_.emplace_back(text);
    is_continuation_.push_back(is_continuation);
    ids_[is_continuation][std::string(text)] = id;
    longest_ = std::max(longest_, text.size());
    return id;
}

WordPiece WordPiece::train(std::string_view text, const WordPieceOptions& options) {
    if (text.empty()) user_error("there is no text to train on");
    const std::vector<PieceCount> pieces = count_pieces({text}, Pattern::kGpt2, /*sorted=*/true);
    std::set<std::pair<bool, std::string_view>> characters;
    for (const PieceCount& piece : pieces)
        for_each_character(piece.piece, [&](std::string_view character, bool is_continuation) {
            characters.insert({is_continuation, character});
        });
    if (characters.size() + 1 > size_t(options.vocab_size))
        user_error(
            "a vocabulary of %d has no room for <unk> and the text's %zu characters (a character counts "
            "twice if it both begins a word and goes on within one)",
            options.vocab_size, characters.size());

    WordPiece wordpiece;
    wordpiece.texts_.push_back("<unk>");
    wordpiece.is_continuation_.push_back(false);
    for (const auto& [is_continuation, character] : characters) wordpiece.add(character, is_continuation);

    std::vector<Word> words;
    for (const PieceCount& piece : pieces) {
        words.push_back({{}, piece.count});
        for_each_character(piece.piece, [&](std::string_view character, bool is_continuation) {
            words.back().ids.push_back(wordpiece.ids_[is_continuation].at(std::string(character)));
        });
    }
    Trainer trainer(std::move(words), options.score);
    for (Pair pair;
         wordpiece.size() < options.vocab_size && trainer.best_pair(options.min_frequency, &pair);) {
        const size_t a = size_t(pair.first), b = size_t(pair.second);
        trainer.merge(
            pair, wordpiece.add(wordpiece.texts_[a] + wordpiece.texts_[b], wordpiece.is_continuation_[a]));
    }
    return wordpiece;
}

int WordPiece::longest_match(std::string_view text, bool is_continuation) const {
    for (size_t size = std::min(longest_, text.size()); size > 0; size--) {
        const auto found = ids_[is_continuation].find(std::string(text.substr(0, size)));
        if (found != ids_[is_continuation].end()) return found->second;
    }
    return kUnknown;
}

void WordPiece::encode_piece(std::string_view piece, Tokens* tokens) const {
    Tokens matched;
    for (size_t begin = 0; begin < piece.size();) {
        const int id = longest_match(piece.substr(begin), begin > 0);
        if (id == kUnknown) return tokens->add(kUnknown, piece.size());
        matched.add(id, texts_[size_t(id)].size());
        begin += texts_[size_t(id)].size();
    }
    for (size_t i = 0; i < matched.ids.size(); i++) tokens->add(matched.ids[i], matched.sizes[i]);
}

std::string WordPiece::shown(int id) const {
    return (is_continuation_[size_t(id)] ? "##" : "") + texts_[size_t(id)];
}

Scheme wordpiece_scheme(std::string_view training_text, const WordPieceOptions& options) {
    const auto wordpiece = std::make_shared<const WordPiece>(WordPiece::train(training_text, options));
    Scheme scheme;
    const bool is_ratio = options.score == WordPieceScore::kRatio;
    scheme.name = format("WordPiece %d, %s", wordpiece->size(), is_ratio ? "ratio" : "likelihood");
    scheme.unknown = WordPiece::kUnknown;
    for (int id = 0; id < wordpiece->size(); id++) scheme.tokens.push_back(wordpiece->shown(id));
    scheme.encode = [wordpiece](std::string_view text) {
        return encode_pieces(Pattern::kGpt2, text, [&](std::string_view piece, Tokens* tokens) {
            wordpiece->encode_piece(piece, tokens);
        });
    };
    return scheme;
}
