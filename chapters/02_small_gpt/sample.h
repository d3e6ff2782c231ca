// sample.h - a sample's text while it grows: whole characters, and nothing that a stop string takes back.
// Not here: where the tokens come from (generate.h).
#pragma once
#include <string>
#include <vector>

#include "chapters/01_bpe/bpe.h"

namespace small_gpt {

class SampleText {
  public:
    // end_of_text: the token that ends a document, and so a sample; stop: texts that end it too.
    SampleText(const Bpe& bpe, int end_of_text, const std::vector<std::string>& stop)
        : end_of_text_(end_of_text), stop_(stop), decoder_(bpe) {}

    // What the prompt says is shown, but stops nothing. Returns what can be shown now.
    std::string prompt(const std::vector<int>& ids);

    // One more token. Returns what can be shown now: what could be the beginning of a stop string is held back until
    // more is known.
    std::string add(int id);

    bool is_ended() const { return is_ended_; }  // by <|endoftext|> or a stop string, which are not shown

    // Nothing more will come: returns what was held back.
    std::string finish();

    const std::string& shown() const { return shown_; }

  private:
    std::string release(size_t bytes);

    int end_of_text_;
    std::vector<std::string> stop_;
    StreamDecoder decoder_;
    std::string held_back_, shown_;
    bool is_ended_ = false, is_finished_ = false;
};

}  // namespace small_gpt
