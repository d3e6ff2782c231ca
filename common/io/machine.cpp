// machine.cpp - what /proc, the scheduler and the compiler say about the place where a run took place.
#include "io/machine.h"

#include <sys/utsname.h>
#include <unistd.h>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <thread>
#if defined(__linux__)
#include <sched.h>
#endif

#include "core/check.h"

namespace {

// The value behind the first line of `path` that begins with `key`; empty if there is none.
std::string value_after(const char* path, const std::string& key) {
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
        if (line.compare(0, key.size(), key) != 0) continue;
        const size_t colon = line.find(':');
        if (colon == std::string::npos) continue;
        const size_t begin = line.find_first_not_of(" \t", colon + 1);
        return begin == std::string::npos ? "" : line.substr(begin);
    }
    return "";
}

int usable_cores() {
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
#endif
    return int(std::thread::hardware_concurrency());
}

const char* cpu_vectors() {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) return "AVX-512";
    if (__builtin_cpu_supports("avx2")) return "AVX2";
    return "SSE2";
#elif defined(__aarch64__)
    return "NEON";
#else
    return "no vectors";
#endif
}

const char* built_vectors() {
#if defined(__AVX512F__)
    return "AVX-512";
#elif defined(__AVX2__)
    return "AVX2";
#elif defined(__x86_64__)
    return "SSE2";
#elif defined(__aarch64__)
    return "NEON";
#else
    return "no vectors";
#endif
}

}  // namespace

double memory_bytes() {
    double bytes = double(sysconf(_SC_PHYS_PAGES)) * double(sysconf(_SC_PAGESIZE));
    // "max" reads as 0: no limit.
    std::string limit;
    std::ifstream("/sys/fs/cgroup/memory.max") >> limit;
    const double limit_bytes = std::atof(limit.c_str());
    return limit_bytes > 0 && limit_bytes < bytes ? limit_bytes : bytes;
}

std::string machine_line() {
    std::string cpu = value_after("/proc/cpuinfo", "model name");
    utsname system = {};
    ::uname(&system);
    if (cpu.empty()) cpu = system.machine;
    return format("%s, %d of %u cores usable, %s (built for %s), %.1f GiB memory, %s %s", cpu.c_str(),
                  usable_cores(), std::thread::hardware_concurrency(), cpu_vectors(), built_vectors(),
                  memory_bytes() / (1 << 30), system.sysname, system.release);
}

std::string compiler_line() {
#if defined(__clang__)
    return format("clang %d.%d.%d", __clang_major__, __clang_minor__, __clang_patchlevel__);
#elif defined(__GNUC__)
    return format("g++ %d.%d.%d", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#else
    return "unknown compiler";
#endif
}
