// unigram.h - the unigram language model as a tokenizer: every token has a probability, a text is cut where the product
// is largest. Training goes the other way round than BPE: from a great many substrings down to the vocabulary.
// Not here: sampling of cuts (subword regularisation), bytes as a fallback (a character that was never seen is <unk>).
// Source: Kudo 2018, section 3.2. Pieces are GPT-2's.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "chapters/01_bpe/piece_counts.h"
#include "chapters/01_bpe/scheme.h"

struct UnigramOptions {
    int vocab_size = 1024;     // with <unk>
    int seed_factor = 10;      // training begins with so many times as many substrings
    int longest = 16;          // characters in a token
    double keep_share = 0.75;  // of the tokens that survive a round
    int em_steps = 2;          // per round
};

class Unigram {
  public:
    static constexpr int kUnknown = 0;

    // Errors: no text, or a vocabulary that is too small for the characters of the text.
    static Unigram train(std::string_view text, const UnigramOptions& options);

    // A model of given tokens and probabilities; for tests, and for looking at the parts of training.
    // tokens: different, none empty; every token of one character stays for ever. Probabilities need not add up to 1.
    Unigram(const std::vector<std::string>& tokens, const std::vector<double>& probabilities);

    // Viterbi: appends the tokens of the most probable cut. A character that is no token becomes <unk>, at a price that
    // no other cut has.
    void encode_piece(std::string_view piece, Tokens* tokens) const;

    // ln of the probability of the best cut, and of all cuts together (the forward algorithm).
    double best_log_probability(std::string_view piece) const;
    double log_probability(std::string_view piece) const;

    // One step of expectation and maximisation: counts how often each token is expected in the pieces, over all cuts,
    // and makes the counts the new probabilities. Returns the ln of the pieces' probability before the step; no step
    // makes it smaller. Tokens that are not expected at all keep a probability too small to matter.
    double em_step(const std::vector<PieceCount>& pieces);

    // Keeps the `target` tokens whose loss would cost most (all tokens of one character among them).
    void prune(const std::vector<PieceCount>& pieces, int target);

    int size() const { return int(texts_.size()); }  // with <unk>
    const std::string& token(int id) const { return texts_[size_t(id)]; }
    double log_p(int id) const { return log_p_[size_t(id)]; }

  private:
    // A token that lies at [begin, end) of a piece. log_p may be that of <unk>.
    struct Edge {
        size_t begin, end;
        int id;
        double log_p;
    };
    // The edges of a piece, by where they begin and then by length: every cut is a path through them. without: an id to
    // leave out.
    void edges_of(std::string_view piece, std::vector<Edge>* edges, int without = -1) const;
    double best_path(std::string_view piece, std::vector<Edge>* path, int without = -1) const;
    double add_expected_counts(std::string_view piece, double count, std::vector<double>* expected) const;
    void index();

    std::vector<std::string> texts_;  // by id; the first is "<unk>"
    std::vector<double> log_p_;
    std::vector<bool> is_character_;
    std::unordered_map<std::string_view, int> ids_;  // views of texts_
    size_t longest_ = 0;                             // bytes
};

Scheme unigram_scheme(std::string_view training_text, const UnigramOptions& options);
