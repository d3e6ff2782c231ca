// check.h - how this program stops at the first wrong thing: CHECK for our own mistakes, user_error for the
// user's.
// Not here: exceptions or error codes passed up. A course program that goes on after an error teaches the
// wrong thing.
// Depends on nothing, so that every layer may include it.
#pragma once
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <string>

enum class FailureKind {
    kBug = 1,   // a CHECK: shapes that do not fit, a kernel called wrongly. Exit code 1, with file and line.
    kUser = 3,  // a missing file, a corrupt checkpoint: what was wrong and what to do. Exit code 1, no stack.
    kUsage = 2,  // a bad command line. Exit code 2.
};

// Tests install a handler that throws, so that refusals can be tested; it must not return.
using FailureHandler = void (*)(FailureKind kind, const std::string& message);

inline FailureHandler& failure_handler() {
    static FailureHandler handler = nullptr;
    return handler;
}

// A thread in the background must not end the program under the others' feet: there, fail() throws this, and whoever waits
// for the thread fails in its place (core/background.h).
struct BackgroundFailure {
    FailureKind kind;
    std::string message;
};
// subtle: not inside the function, where cuda_on_host would take it for a kernel's __shared__ array and fill it with NaN.
inline thread_local bool in_background = false;
inline bool& is_in_background() {
    return in_background;
}

[[noreturn]] inline void fail(FailureKind kind, const std::string& message) {
    if (is_in_background()) throw BackgroundFailure{kind, message};
    if (FailureHandler handler = failure_handler()) handler(kind, message);
    std::fflush(stdout);
    std::fprintf(stderr, "error: %s\n", message.c_str());
    std::exit(kind == FailureKind::kUsage ? 2 : 1);
}

#define GPT_PRINTF_LIKE(format_arg, first_arg) __attribute__((format(printf, format_arg, first_arg)))

inline std::string format_v(const char* fmt, va_list args) {
    va_list again;
    va_copy(again, args);
    const int length = std::vsnprintf(nullptr, 0, fmt, args);
    std::string text(length > 0 ? size_t(length) : 0, '\0');
    if (length > 0) std::vsnprintf(text.data(), text.size() + 1, fmt, again);
    va_end(again);
    return text;
}

// sprintf into a std::string.
GPT_PRINTF_LIKE(1, 2) inline std::string format(const char* fmt, ...) {
    va_list args;
    va_start(args, fmt);
    std::string text = format_v(fmt, args);
    va_end(args);
    return text;
}

// Something outside the program is wrong: say what, and what to do next.
[[noreturn]] GPT_PRINTF_LIKE(1, 2) inline void user_error(const char* fmt, ...) {
    va_list args;
    va_start(args, fmt);
    const std::string message = format_v(fmt, args);
    va_end(args);
    fail(FailureKind::kUser, message);
}

// The command line is wrong.
[[noreturn]] GPT_PRINTF_LIKE(1, 2) inline void usage_error(const char* fmt, ...) {
    va_list args;
    va_start(args, fmt);
    const std::string message = format_v(fmt, args);
    va_end(args);
    fail(FailureKind::kUsage, message);
}

[[noreturn]] GPT_PRINTF_LIKE(4, 5) inline void check_failed(const char* file, int line, const char* condition,
                                                            const char* fmt, ...) {
    va_list args;
    va_start(args, fmt);
    const std::string message = format_v(fmt, args);
    va_end(args);
    fail(FailureKind::kBug, format("%s:%d: CHECK(%s) failed: %s", file, line, condition, message.c_str()));
}

template <class A, class B>
[[noreturn]] void check_eq_failed(const char* file, int line, const char* a_text, const char* b_text,
                                  const A& a, const B& b) {
    fail(FailureKind::kBug, format("%s:%d: CHECK_EQ failed: %s = %s, %s = %s", file, line, a_text,
                                   std::to_string(a).c_str(), b_text, std::to_string(b).c_str()));
}

// CHECK(n > 0, "[linear] wants rows, got %d", n);   the op in brackets first, then both values
#define CHECK(condition, ...)                                                                               \
    do {                                                                                                    \
        if (__builtin_expect(!(condition), 0)) ::check_failed(__FILE__, __LINE__, #condition, __VA_ARGS__); \
    } while (0)

// CHECK_EQ(scalar.numel(), 1);   of two numbers
#define CHECK_EQ(a, b)                                                       \
    do {                                                                     \
        const auto& check_a = (a);                                           \
        const auto& check_b = (b);                                           \
        if (__builtin_expect(!(check_a == check_b), 0))                      \
            ::check_eq_failed(__FILE__, __LINE__, #a, #b, check_a, check_b); \
    } while (0)

// For loops too hot to check in release builds.
#ifdef GPT_DEBUG
#define DCHECK(condition, ...) CHECK(condition, __VA_ARGS__)
#else
#define DCHECK(condition, ...) \
    do {                       \
    } while (0)
#endif
