// cuda_machine.h - the machine that runs a grid of CUDA threads on a CPU: what a kernel sees of it.
// How it works. A block runs on one OS thread; each CUDA thread of it is a call on a stack of its own (a
// fiber). It runs undisturbed until it has to wait for others, at a barrier or in a warp operation; only then
// does the next CUDA thread get its turn. So `__shared__` needs to be no more than static, and a CUDA thread
// that never waits costs little more than a function call.
// Not here: time. Nothing is learnt about coalescing, bank conflicts or occupancy: this shows that a kernel
// is right, never that it is fast.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>

#include "cuda_on_host/sanitizers.h"

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
    constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
};

// Real variables, set whenever another CUDA thread gets its turn. Hence in gdb:
//     break layernorm_forward_kernel if threadIdx.x == 3 && blockIdx.x == 1
inline CUDA_ON_HOST_PER_OS_THREAD uint3 threadIdx{}, blockIdx{};
inline CUDA_ON_HOST_PER_OS_THREAD dim3 blockDim{}, gridDim{};
constexpr int warpSize = 32;

namespace cuda_on_host {

constexpr unsigned kMaxThreads = 1024;  // of a block, as on every NVIDIA GPU
// Dynamic shared memory of a block: what every kernel may have, and what cudaFuncSetAttribute can raise it to: the
// limit of sm_80 (sm_90 has 227 KB), as this project's kernels are to run on both.
constexpr size_t kSharedBytes = size_t(48) << 10, kMaxSharedBytes = size_t(163) << 10;

// A line of source: where somebody waits, or launched a kernel. As a default argument it is the caller's line
// (C++20's std::source_location).
struct Where {
    const char* file;
    unsigned line;
    static Where current(const char* file = __builtin_FILE(), unsigned line = __builtin_LINE()) {
        return {file, line};
    }
};
#define CUDA_ON_HOST_WHERE cuda_on_host::Where where = cuda_on_host::Where::current()

// In which order blocks, and the threads of a block, get their turns. A kernel whose result depends on it has
// a race; reversing swaps every pair of threads between two barriers.
enum class Order { kForward, kReverse };

struct Options {
    Order order = Order::kForward;      // CUDA_ON_HOST_ORDER=reverse
    bool poison_static_shared = false;  // CUDA_ON_HOST_POISON=1: fill it with NaN before every block
    // How many stacks may have an inaccessible page in front of them; CUDA_ON_HOST_GUARDS=n. Each splits a mapping in
    // two, and Linux counts mappings (vm.max_map_count, 65530 by default): half of them are ours.
    size_t guarded_stacks = 0;
};
Options& options();

// ---- running a grid ----

struct Grid {
    dim3 blocks, threads;
    size_t shared_bytes;  // dynamic shared memory of a block
    const void* kernel;   // its address: messages print its name
    Where launched_at;
    void (*one_thread)(const void*);  // calls the kernel with its arguments
    const void* arguments;
};

// Returns when every thread of every block has. A fault that the machine notices (divergent barrier, missing
// lane ...) ends the program with a CHECK's message that names kernel, block, threads and lines.
void run_grid(const Grid& grid);

// Allows a kernel, by its address, that many bytes of dynamic shared memory. False above kMaxSharedBytes.
bool allow_shared_bytes(const void* kernel, size_t bytes);

// "layernorm_kernel, launched at layernorm.cu:71 with grid (4,1,1) and block (128,1,1)", for messages.
std::string describe(const Grid& grid);

// ---- for the device functions below ----

unsigned thread_rank();                          // of the running CUDA thread in its block
void* dynamic_shared_memory();                   // of the running block; full of NaN when the block begins
void wait_at_barrier(Where where);               // returns when all threads of the block have come
[[noreturn]] void stop_block(const char* what);  // the running CUDA thread reports a fault

// Copies into shared memory that the running CUDA thread has begun and not yet waited for (cp.async). Nothing
// moves before it waits: who reads too early, or writes too late, shall see that.
struct AsyncCopy {
    void* to;
    const void* from;  // nullptr: zeros
    size_t bytes;
};
void begin_copy(const AsyncCopy& copy);
void commit_copies();  // those begun since the last call are a group
// The oldest copy of all groups but the newest `groups`; false when they are done.
bool take_copy(unsigned groups, AsyncCopy* copy);

// A warp operation: each lane leaves an operand and a number (a source lane, say) and waits. The last lane of
// the mask computes every lane's result, and all go on. All of them fit into 8 bytes.
struct WarpExchange {
    uint64_t operand[32], result[32];
    unsigned number[32];
};
using Compute = void (*)(WarpExchange& warp, unsigned mask);
uint64_t wait_for_warp(const char* operation, unsigned mask, uint64_t operand, unsigned number, Where where,
                       Compute compute);

template <class T>
T warp_operation(const char* name, unsigned mask, T operand, unsigned number, Where where, Compute compute) {
    static_assert(sizeof(T) <= 8 && std::is_trivially_copyable<T>::value, "a lane passes 8 bytes on");
    uint64_t bits = 0;
    std::memcpy(&bits, &operand, sizeof operand);
    bits = wait_for_warp(name, mask, bits, number, where, compute);
    T result;
    std::memcpy(&result, &bits, sizeof result);
    return result;
}

// Each lane gets what lane `source` left. From a lane outside the mask, which on a GPU means from nowhere in
// particular, all bits are set: NaN, or -1.
template <class T>
T shuffle(const char* name, unsigned mask, T value, unsigned source, Where where) {
    return warp_operation(name, mask, value, source, where, [](WarpExchange& warp, unsigned mask) {
        for (unsigned lane = 0; lane < 32; lane++) {
            const unsigned from = warp.number[lane];
            if (mask >> lane & 1) warp.result[lane] = mask >> from & 1 ? warp.operand[from] : ~uint64_t(0);
        }
    });
}

// Every lane of the mask gets combine(combine(operand of its first lane, second), ...).
template <class Combine, class T>
T reduce(const char* name, unsigned mask, T value, Where where) {
    return warp_operation(name, mask, value, 0, where, [](WarpExchange& warp, unsigned mask) {
        T total{};
        bool is_first = true;
        for (unsigned lane = 0; lane < 32; lane++) {
            if (!(mask >> lane & 1)) continue;
            T operand;
            std::memcpy(&operand, &warp.operand[lane], sizeof operand);
            total = is_first ? operand : Combine()(total, operand);
            is_first = false;
        }
        for (unsigned lane = 0; lane < 32; lane++)
            if (mask >> lane & 1) std::memcpy(&warp.result[lane], &total, sizeof total);
    });
}

struct Add {
    template <class T>
    T operator()(T a, T b) const {
        return a + b;
    }
};
struct Min {
    template <class T>
    T operator()(T a, T b) const {
        return b < a ? b : a;
    }
};
struct Max {
    template <class T>
    T operator()(T a, T b) const {
        return a < b ? b : a;
    }
};
struct And {
    unsigned operator()(unsigned a, unsigned b) const { return a & b; }
};
struct Or {
    unsigned operator()(unsigned a, unsigned b) const { return a | b; }
};
struct Xor {
    unsigned operator()(unsigned a, unsigned b) const { return a ^ b; }
};

}  // namespace cuda_on_host

// ---- what a kernel calls: barriers ------------------------------------------------------------------------

inline void __syncthreads(CUDA_ON_HOST_WHERE) {
    cuda_on_host::wait_at_barrier(where);
}
inline void __syncwarp(unsigned mask = 0xffffffffu, CUDA_ON_HOST_WHERE) {
    cuda_on_host::wait_for_warp("__syncwarp", mask, 0, 0, where,
                                [](cuda_on_host::WarpExchange&, unsigned) {});
}

// ---- shuffles: `width` (a power of two) cuts the warp into groups that do not see each other --------------

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, CUDA_ON_HOST_WHERE) {
    const int lane = int(cuda_on_host::thread_rank() % 32), group = lane & ~(width - 1);
    return cuda_on_host::shuffle("__shfl_sync", mask, value, unsigned(group | (source & (width - 1))), where);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, CUDA_ON_HOST_WHERE) {
    const int lane = int(cuda_on_host::thread_rank() % 32), source = lane ^ bits;
    const bool is_later_group = (source & 31) / width > lane / width;
    return cuda_on_host::shuffle("__shfl_xor_sync", mask, value,
                                 unsigned(is_later_group ? lane : source & 31), where);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, CUDA_ON_HOST_WHERE) {
    const unsigned lane = cuda_on_host::thread_rank() % 32, w = unsigned(width);
    return cuda_on_host::shuffle("__shfl_down_sync", mask, value, lane % w + delta < w ? lane + delta : lane,
                                 where);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, CUDA_ON_HOST_WHERE) {
    const unsigned lane = cuda_on_host::thread_rank() % 32, w = unsigned(width);
    return cuda_on_host::shuffle("__shfl_up_sync", mask, value, lane % w >= delta ? lane - delta : lane,
                                 where);
}

// ---- votes and reductions over a warp ---------------------------------------------------------------------

inline unsigned __ballot_sync(unsigned mask, int predicate, CUDA_ON_HOST_WHERE) {
    const unsigned bit = predicate ? 1u << cuda_on_host::thread_rank() % 32 : 0u;
    return cuda_on_host::reduce<cuda_on_host::Or>("__ballot_sync", mask, bit, where);
}
inline int __any_sync(unsigned mask, int predicate, CUDA_ON_HOST_WHERE) {
    return int(cuda_on_host::reduce<cuda_on_host::Or>("__any_sync", mask, unsigned(predicate != 0), where));
}
inline int __all_sync(unsigned mask, int predicate, CUDA_ON_HOST_WHERE) {
    return int(cuda_on_host::reduce<cuda_on_host::And>("__all_sync", mask, unsigned(predicate != 0), where));
}

#define CUDA_ON_HOST_REDUCE(name, T, Combine)                                          \
    inline T name(unsigned mask, T value, CUDA_ON_HOST_WHERE) {                        \
        return cuda_on_host::reduce<cuda_on_host::Combine>(#name, mask, value, where); \
    }
CUDA_ON_HOST_REDUCE(__reduce_add_sync, unsigned, Add)
CUDA_ON_HOST_REDUCE(__reduce_add_sync, int, Add)
CUDA_ON_HOST_REDUCE(__reduce_min_sync, unsigned, Min)
CUDA_ON_HOST_REDUCE(__reduce_min_sync, int, Min)
CUDA_ON_HOST_REDUCE(__reduce_max_sync, unsigned, Max)
CUDA_ON_HOST_REDUCE(__reduce_max_sync, int, Max)
CUDA_ON_HOST_REDUCE(__reduce_and_sync, unsigned, And)
CUDA_ON_HOST_REDUCE(__reduce_or_sync, unsigned, Or)
CUDA_ON_HOST_REDUCE(__reduce_xor_sync, unsigned, Xor)
#undef CUDA_ON_HOST_REDUCE

// ---- dynamic shared memory --------------------------------------------------------------------------------

template <class T>
T* dynamic_shared() {
    return static_cast<T*>(cuda_on_host::dynamic_shared_memory());
}
