// checker.h - what the exercises check themselves with: a small vocabulary, and a verdict that says what is wrong.
#pragma once
#include <algorithm>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "chapters/01_bpe/bpe_plain.h"

// A vocabulary that needs no data set: learned by the plain trainer from a line that repeats itself.
inline Vocabulary small_vocabulary() {
    const std::string line =
        "the lowest of the lower towns shows the newest widest tower; widening low towers, 2048 4096. ";
    return plain::train(line + line + line, 300);
}

// Ids as the text of their tokens with bars between them: "|low|est|".
inline std::string shown(const Vocabulary& vocabulary, const std::vector<int>& ids) {
    std::string text = "|";
    for (const int id : ids)
        text += (id >= 0 && id < vocabulary.size() ? vocabulary.tokens[size_t(id)] : "(no token)") + "|";
    return text;
}

inline std::string shown(const std::vector<std::string_view>& pieces) {
    std::string text = "|";
    for (const std::string_view piece : pieces) text += std::string(piece) + "|";
    return text;
}

// Counts checks; the first that fails is printed. return finish() is main's exit code.
class Verdict {
  public:
    void same(const std::string& input, const std::string& got, const std::string& want) {
        right(got == want, input + " gives " + got + ", should be " + want);
    }
    void right(bool is_right, const std::string& problem) {
        checks_++;
        if (is_right || !problem_.empty()) return;
        problem_ = problem;
    }
    int finish(const char* what) const {
        if (problem_.empty())
            std::printf("%s: right (%d checks)\n", what, checks_);
        else
            std::printf("%s: not yet. %s\n", what, problem_.c_str());
        return problem_.empty() ? 0 : 1;
    }

  private:
    int checks_ = 0;
    std::string problem_;
};
