// killed_process.h - what a crash leaves behind: work in a process of its own that is killed.
#pragma once
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>

#include "tests/support/catch.h"
#include "tests/support/throwing_failures.h"

// Does `work` again and again in another process, which is killed after so many microseconds and waited for.
template <class F>
void repeat_until_killed(int microseconds, F&& work) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        failure_of([&] {
            for (;;) work();
        });
        ::_exit(1);
    }
    ::usleep(useconds_t(microseconds));
    REQUIRE(::kill(child, SIGKILL) == 0);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
}
