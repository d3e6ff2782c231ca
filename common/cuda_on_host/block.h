// block.h - a block of CUDA threads as the machine sees it: a stack and a state for each thread, what each
// warp waits for, whose turn it is. For cuda_machine.cpp, cuda_grid.cpp and faults.cpp; kernels do not see
// it.
// In gdb `print cuda_on_host::block->threads[5]` shows what CUDA thread 5 waits for, and `cuda-thread 5`
// (tools/gdb_printers.py) where.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/check.h"
#include "cuda_on_host/cuda_machine.h"
#include "cuda_on_host/fiber.h"

namespace cuda_on_host {

enum class State : uint8_t { kUnstarted, kReady, kAtBarrier, kInWarpOperation, kReturned };

struct Thread {
    State state = State::kUnstarted;
    Where waits_at{};                 // when at a barrier or in a warp operation
    const char* operation = nullptr;  // "__shfl_down_sync", when in one
    unsigned mask = 0;                // its mask
    Fiber fiber;                      // where it goes on
    char* stack = nullptr;
    size_t stack_bytes = 0;
    void* tsan_fiber = nullptr;  // what ThreadSanitizer takes for a thread
};

struct Warp {
    unsigned arrived = 0;  // lanes that wait in a warp operation
    WarpExchange exchange;
    char left[32], taken[32];  // names of moments for ThreadSanitizer: see happens_before in cuda_machine.cpp
};

// The copies that a thread has begun and not yet waited for: a ring. A GPU has no such limit; 64 of 16 bytes by each
// of 256 threads are more than a block's shared memory.
constexpr unsigned kMostCopies = 64;
struct CopyQueue {
    unsigned first, end;  // of the pending ones, counted from the block's beginning
    unsigned group;       // that is being filled
};
struct PendingCopy {
    AsyncCopy copy;
    unsigned group;
};

constexpr unsigned kOsThread = kMaxThreads;  // beside the CUDA threads: the stack that runs the block

struct Block {
    const Grid* grid = nullptr;
    unsigned size = 0;     // CUDA threads
    unsigned current = 0;  // the one that runs
    unsigned turn = 0;     // where the search for the next one begins
    unsigned waiting = 0;  // at the barrier
    unsigned returned = 0;
    bool is_reversed = false;
    Thread threads[kMaxThreads + 1];
    Warp warps[kMaxThreads / 32];
    CopyQueue copy_queues[kMaxThreads];
    PendingCopy copies[kMaxThreads][kMostCopies];  // apart: most kernels touch none of it
    char* free_stacks[kMaxThreads];
    unsigned free_count = 0;
    void* dynamic_shared = nullptr;
    size_t dynamic_shared_bytes = 0;
    char* signal_stack = nullptr;  // where the handler of a stack overflow runs
    std::string fault;             // what went wrong, set by the thread that noticed it
    FailureKind fault_kind = FailureKind::kBug;
    // Moments, for ThreadSanitizer.
    char began = 0, stopped = 0;
    char barrier[2];  // alternately, or a thread that leaves late would seem to wait for the next barrier too
    unsigned barriers = 0;

    Block() = default;
    ~Block();
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;
};

// The block that this OS thread runs.
inline CUDA_ON_HOST_PER_OS_THREAD Block* block = nullptr;

CUDA_ON_HOST_UNSEEN inline uint3 index_of(unsigned rank) {
    return {rank % blockDim.x, rank / blockDim.x % blockDim.y, rank / (blockDim.x * blockDim.y)};
}

// ---- cuda_machine.cpp -------------------------------------------------------------------------------------

// Runs all threads of a block. Afterwards `fault` says whether they came to their ends.
void run_block(Block& b, const Grid& grid, uint3 index);

// After the last block of a grid: what its threads did comes before what the caller does.
void see_end_of_grid();

// What a CHECK throws while a grid runs. Its message has to reach the OS thread that launched the kernel:
// only there may the program end, or a test go on.
struct KernelFailure {
    FailureKind kind;
    std::string message;
};

// ---- stacks.cpp -------------------------------------------------------------------------------------------

// A stack for one CUDA thread at [bottom, bottom + kStackBytes); in front of it, kGuardBytes that nobody may touch
// while few enough stacks have that. nullptr: no memory.
#if defined(CUDA_ON_HOST_TSAN)
// ThreadSanitizer clears four times as much memory for each stack and its guard.
constexpr size_t kStackBytes = size_t(32) << 10, kGuardBytes = size_t(8) << 10;
#else
// A kernel's frames are small. The guard costs addresses only, and is larger than most arrays that do not fit.
constexpr size_t kStackBytes = size_t(128) << 10, kGuardBytes = size_t(256) << 10;
#endif
char* make_stack();
void free_stack(char* bottom);

// From now on a stack overflow of a CUDA thread on this OS thread is reported, before the segmentation fault ends
// the program. Until the second call.
void report_stack_overflows(Block& b);
void stop_reporting_stack_overflows(Block& b);

// ---- faults.cpp: what goes into `fault` -------------------------------------------------------------------

void divergent_barrier(Block& b, unsigned waiting_thread, unsigned other_thread);
void divergent_warp(Block& b, unsigned thread, unsigned other_thread);
void lane_not_in_its_mask(Block& b, const char* operation, unsigned mask, Where where);
void missing_lane(Block& b);  // all threads wait or have returned, and no barrier opens
void failed_in_kernel(Block& b, const KernelFailure& failure);
void stopped_by_kernel(Block& b, const char* what);

}  // namespace cuda_on_host
