// prepare.cpp - see prepare.h.
#include "chapters/02_small_gpt/prepare.h"

namespace small_gpt {

void run_prepare(const Config&) {
    user_error("not here yet");
}

}  // namespace small_gpt
