// interrupt.h - Ctrl-C for programs that save before they stop: the first one asks, the second one does not wait.
#pragma once
#include <unistd.h>

#include <csignal>

namespace interrupt {

inline volatile std::sig_atomic_t was_asked = 0;  // a signal handler reaches nothing but globals

inline void on_signal(int) {
    if (was_asked) _exit(130);
    was_asked = 1;
}

// From here on SIGINT and SIGTERM only set what is_interrupted() says.
inline void watch() {
    std::signal(SIGINT, on_signal);
    std::signal(SIGTERM, on_signal);
}

}  // namespace interrupt

inline bool is_interrupted() {
    return interrupt::was_asked != 0;
}
