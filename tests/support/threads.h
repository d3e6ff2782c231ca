// threads.h - a number of threads for the life of a scope.
#pragma once
#include "core/parallel.h"

struct Threads {
    explicit Threads(int n) : before(parallel::num_threads()) { parallel::set_num_threads(n); }
    ~Threads() { parallel::set_num_threads(before); }
    Threads(const Threads&) = delete;
    Threads& operator=(const Threads&) = delete;
    int before;
};
