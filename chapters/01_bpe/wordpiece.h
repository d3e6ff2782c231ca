// wordpiece.h - WordPiece: grows a vocabulary from characters as BPE does, but asks more of a pair than to be frequent,
// and encodes by taking the longest token that fits, again and again.
// Not here: what BERT does to the text before (lower case, accents off, blanks thrown away): then no decoder could give
// the text back. Pieces are GPT-2's, with their leading blanks.
// Source: Schuster, Nakajima 2012, section 4; Devlin et al. 2019 (the encoder and the "##"). The original trainer was
// never published, and descriptions of it differ in the score; both readings are here.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "chapters/01_bpe/scheme.h"

enum class WordPieceScore {
    // count(ab) / (count(a) count(b)): how much likelier the two are to meet than by chance. The formula that is taught
    // most; it loves rare letters that only ever occur together.
    kRatio,
    // count(ab) ln(N count(ab) / (count(a) count(b))), N the number of tokens: by how much the text's probability under
    // a unigram model rises, about, when ab becomes a token. "The one that increases the likelihood most."
    kLikelihood,
};

struct WordPieceOptions {
    int vocab_size = 1024;  // with <unk>
    WordPieceScore score = WordPieceScore::kRatio;
    int64_t min_frequency = 2;  // pairs that are rarer are not merged, however high their score
};

// A token that begins a piece and one that goes on within it are two tokens, even with the same letters: the second is
// shown with "##" in front.
class WordPiece {
  public:
    static constexpr int kUnknown = 0;

    // Errors: no text, or a vocabulary that is too small for the characters of the text.
    static WordPiece train(std::string_view text, const WordPieceOptions& options);

    // Appends the longest token that the piece begins with, then the longest that its rest begins with, and so on. Where
    // none fits, the whole piece is one <unk>.
    void encode_piece(std::string_view piece, Tokens* tokens) const;

    int size() const { return int(texts_.size()); }
    std::string shown(int id) const;  // "##ing", "<unk>"

  private:
    int add(std::string_view text, bool is_continuation);
    int longest_match(std::string_view text, bool is_continuation) const;  // an id, or kUnknown

    std::vector<std::string> texts_;
    std::vector<bool> is_continuation_;
    std::unordered_map<std::string, int> ids_[2];  // of tokens that begin a piece; of continuations
    size_t longest_ = 0;                           // bytes
};

Scheme wordpiece_scheme(std::string_view training_text, const WordPieceOptions& options);
