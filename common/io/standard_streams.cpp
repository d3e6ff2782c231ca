// standard_streams.cpp - see standard_streams.h.
#include "io/standard_streams.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "core/check.h"

void prepare_standard_streams() {
    for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; descriptor++) {
        if (::fcntl(descriptor, F_GETFD) >= 0 || errno != EBADF) continue;
        // note: open() takes the lowest free number, which is this one.
        if (::open("/dev/null", O_RDWR) != descriptor) _exit(1);
    }
    std::signal(SIGXFSZ, SIG_IGN);
}

void outlive_stdout_reader() {
    std::signal(SIGPIPE, SIG_IGN);
}

void finish_stdout() {
    const bool is_flushed = std::fflush(stdout) == 0;
    const int reason = errno;
    if (is_flushed && !std::ferror(stdout)) return;
    // note: an error of an earlier write is remembered without its reason; a pipe tells itself that nobody
    // reads it.
    pollfd pipe = {STDOUT_FILENO, POLLOUT, 0};
    if (::poll(&pipe, 1, 0) > 0 && (pipe.revents & POLLERR)) return;
    user_error("not all results could be written to stdout: %s",
               is_flushed ? "an earlier write failed" : std::strerror(reason));
}

void print_text(const std::string& text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
}
