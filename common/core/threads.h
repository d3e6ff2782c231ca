// threads.h - the pool's size, as a user asks for it: a number that the machine does not grant is an error with advice.
#pragma once
#include <system_error>

#include "core/check.h"
#include "core/parallel.h"

inline void start_threads(int threads) {
    try {
        parallel::set_num_threads(threads);
    } catch (const std::system_error& error) {
        user_error("cannot start %d threads (%s); try a smaller --threads", threads, error.what());
    }
}
