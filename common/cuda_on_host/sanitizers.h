// sanitizers.h - which sanitizer watches this build (g++ and clang say it differently), and what is told to
// it. A sanitizer follows a program by its calls; moving from stack to stack behind its back would look like
// one long corruption. Each switch is therefore announced, by the functions included here.
// Not here: the announcements themselves (cuda_machine.cpp).
#pragma once

#if defined(__SANITIZE_ADDRESS__)
#define CUDA_ON_HOST_ASAN 1
#elif defined(__SANITIZE_THREAD__)
#define CUDA_ON_HOST_TSAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CUDA_ON_HOST_ASAN 1
#elif __has_feature(thread_sanitizer)
#define CUDA_ON_HOST_TSAN 1
#endif
#endif

#if defined(CUDA_ON_HOST_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#elif defined(CUDA_ON_HOST_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

// On every function of the scheduler: ThreadSanitizer shall see the kernels' memory accesses, not those of
// the machine that runs them.
#if defined(CUDA_ON_HOST_TSAN)
#define CUDA_ON_HOST_UNSEEN __attribute__((no_sanitize("thread")))
#else
#define CUDA_ON_HOST_UNSEEN
#endif

// In debug and asan builds one block runs at a time, on the caller's OS thread, and __shared__ is a plain
// static: gdb prints it by its name, AddressSanitizer puts red zones around it. Elsewhere each OS thread runs
// blocks of its own, with its own copy.
#if (defined(GPT_DEBUG) || defined(CUDA_ON_HOST_ASAN)) && !defined(CUDA_ON_HOST_TSAN)
#define CUDA_ON_HOST_ONE_THREAD 1
#define CUDA_ON_HOST_PER_OS_THREAD
#else
#define CUDA_ON_HOST_PER_OS_THREAD thread_local
#endif
