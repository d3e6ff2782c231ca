// bpe.h - text to ids and back, for one vocabulary: fast, exact, the same for any number of threads.
// Not here: the split into pieces (pretokenize.h); the plain version that this one is tested against and that should be
// read first (bpe_plain.h).
// Source: Sennrich, Haddow, Birch 2016; the steps from plain to fast, each with its gain, are in
// chapters/01_bpe/README.md, "From a page to the fastest".
#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "chapters/01_bpe/vocabulary.h"

// The vocabulary as tables that encode quickly. Read-only once made: threads share one.
class Bpe {
  public:
    explicit Bpe(Vocabulary vocabulary);
    ~Bpe();
    Bpe(const Bpe&) = delete;
    Bpe& operator=(const Bpe&) = delete;

    const Vocabulary& vocabulary() const { return vocabulary_; }

    // Ordinary text: "<|endoftext|>" in it is thirteen characters like any others. Any bytes, valid UTF-8 or not:
    // decode(encode(x)) == x. Uses parallel::num_threads() threads where the text is long enough; the ids are the same.
    std::vector<int> encode(std::string_view text) const;

    // As above, but the text of a special token becomes its id (the longest one where two begin at the same place).
    std::vector<int> encode_with_special(std::string_view text) const;

    // One list of ids per text; the texts are shared out among the threads.
    std::vector<std::vector<int>> encode_batch(const std::vector<std::string_view>& texts) const;

    // Error: an id outside the vocabulary, named with its place.
    std::string decode(const std::vector<int>& ids) const;

    // The bytes of one token. CHECKs that the id is in the vocabulary.
    std::string_view bytes_of(int id) const;

  private:
    friend class Encoder;
    struct Tables;
    // Like encode, behind the ids that are there: encode_with_special has text between its special tokens.
    void append_encoded(std::string_view text, std::vector<int>* ids) const;

    Vocabulary vocabulary_;
    std::unique_ptr<Tables> tables_;
};

// One thread's way through text: it remembers the pieces that it has met. encode() appends.
class Encoder {
  public:
    explicit Encoder(const Bpe& bpe);
    ~Encoder();
    Encoder(const Encoder&) = delete;
    Encoder& operator=(const Encoder&) = delete;
    void encode(std::string_view text, std::vector<int>* ids);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

// Bytes [begin, end) of the text that a token stands for.
struct TokenSpan {
    size_t begin, end;
};

// Where each token lies in the text that gave `ids`: tokens are the text's own bytes, one after the other.
std::vector<TokenSpan> token_spans(const Bpe& bpe, const std::vector<int>& ids);

// Decodes while tokens arrive: text comes out only in whole characters. Bytes that can no longer become valid UTF-8 come
// out as U+FFFD, an unfinished character is held back until its rest arrives or finish() gives it up.
class StreamDecoder {
  public:
    explicit StreamDecoder(const Bpe& bpe) : bpe_(bpe) {}
    std::string add(int id);
    std::string finish();

  private:
    const Bpe& bpe_;
    std::string held_back_;
};
