// tiny_vocabulary.h - a small vocabulary for tests that need text as tokens.
#pragma once
#include <string>

#include "chapters/01_bpe/trainer.h"

inline Vocabulary tiny_vocabulary(int size = 280) {
    const std::string text =
        "the cat sat on the mat and the dog sat on the log. the cat and the dog saw the man at the door. "
        "a man and a cat are at home; the dog is not. what is it that the man saw at the door of the home?";
    TrainOptions options;
    options.vocab_size = size;
    options.specials = {"<|endoftext|>"};
    return train_bpe({text}, options);
}
