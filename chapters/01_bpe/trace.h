// trace.h - encoding in slow motion: every merge that turns a piece's bytes into its tokens, in order.
// Not here: speed (bpe.h). What a trace ends with is what Bpe::encode gives; a test holds them side by side.
// Source: Sennrich, Haddow, Birch 2016, algorithm 1, applied to one word.
#pragma once
#include <cstddef>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "chapters/01_bpe/options.h"
#include "chapters/01_bpe/vocabulary.h"

struct TraceStep {
    Merge merge;
    size_t place;  // of the left token, before the merge; counted in tokens
};

struct PieceTrace {
    std::vector<int> bytes;  // the piece's bytes as ids: where it starts
    std::vector<TraceStep> steps;
    std::vector<int> tokens;  // where it ends
    // The piece is a token of a vocabulary that looks whole pieces up first, and merges alone lead elsewhere.
    bool is_looked_up = false;
};

class Tracer {
  public:
    explicit Tracer(const Vocabulary& vocabulary);  // keeps a reference

    // Takes time that grows with the square of the piece: for words, not for books.
    PieceTrace trace(std::string_view piece) const;

  private:
    const Vocabulary& vocabulary_;
    std::map<std::pair<int, int>, Merge> merges_;
    std::map<std::string_view, int> whole_pieces_;  // empty unless the vocabulary wants whole pieces first
};

// Prints the trace of each piece of options.text.
void run_trace(const Options& options);
