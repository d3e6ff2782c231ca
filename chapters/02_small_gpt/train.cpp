// train.cpp - see train.h.
#include "chapters/02_small_gpt/train.h"

namespace small_gpt {

int run_train(Config, const std::vector<std::string>&, const std::string&) {
    user_error("not here yet");
}

}  // namespace small_gpt
