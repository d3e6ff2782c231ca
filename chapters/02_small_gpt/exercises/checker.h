// checker.h - what this chapter's exercises say when they are right, and when not.
#pragma once
#include <cstdio>
#include <string>
#include <vector>

inline std::string shown(const std::vector<int>& ids) {
    std::string text = "[";
    for (const int id : ids) text += (text.size() > 1 ? " " : "") + std::to_string(id);
    return text + "]";
}

// Counts checks; the first that fails is printed. return finish() is main's exit code.
class Verdict {
  public:
    void right(bool is_right, const std::string& problem) {
        checks_++;
        if (is_right || !problem_.empty()) return;
        problem_ = problem;
    }
    void same(const std::string& input, const std::vector<int>& got, const std::vector<int>& want) {
        right(got == want, input + " gives " + shown(got) + ", should be " + shown(want));
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
