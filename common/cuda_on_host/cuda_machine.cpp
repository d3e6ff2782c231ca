// cuda_machine.cpp - fibers, whose turn it is, barriers and warp operations: a block from its beginning to
// its end; see cuda_machine.h.
// Not here: the texts of faults (faults.cpp); the blocks of a grid (cuda_grid.cpp).
#include "cuda_on_host/cuda_machine.h"

#include <atomic>
#include <cstdlib>

#include "core/check.h"
#include "cuda_on_host/block.h"
#include "cuda_on_host/fiber.h"
#include "cuda_on_host/program_symbols.h"

namespace cuda_on_host {
namespace {

#if defined(CUDA_ON_HOST_TSAN)
constexpr bool kStacksPassOn = false;  // each of its threads needs a stack of its own
#else
constexpr bool kStacksPassOn = true;
#endif

// ---- ThreadSanitizer: what it is told ---------------------------------------------------------------------

// Switches order nothing in memory, as on a GPU; only barriers, warp operations and the ends of a launch do.
// Whatever else two CUDA threads do to one address is a race, even if it went well here.
char grid_ended;

// What this thread did so far comes before `moment` ...
CUDA_ON_HOST_UNSEEN inline void happens_before([[maybe_unused]] char* moment) {
#if defined(CUDA_ON_HOST_TSAN)
    __tsan_release(moment);
#endif
}
// ... and is seen by whoever says this later.
CUDA_ON_HOST_UNSEEN inline void happens_after([[maybe_unused]] char* moment) {
#if defined(CUDA_ON_HOST_TSAN)
    __tsan_acquire(moment);
#endif
}

bool is_same_place(Where a, Where b) {
    return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
}

// ---- switching --------------------------------------------------------------------------------------------

void fiber_main();

// A stack for a CUDA thread that is about to begin.
CUDA_ON_HOST_UNSEEN void give_stack([[maybe_unused]] Block& b, Thread& t) {
#if !defined(CUDA_ON_HOST_TSAN)  // there all stacks are made when the block begins
    if (b.free_count == 0) {
        char* stack = make_stack();
        CHECK(
            stack,
            "[cuda_on_host] no memory for the stacks of %u CUDA threads; on many cores, fewer --threads help",
            b.size);
        b.free_stacks[b.free_count++] = stack;
    }
    t.stack = b.free_stacks[--b.free_count];
    t.stack_bytes = kStackBytes;
#endif
#if defined(CUDA_ON_HOST_ASAN)
    // subtle: its last owner left by a switch, not by returning, so the red zones of its frames are still
    // there.
    __asan_unpoison_memory_region(t.stack, t.stack_bytes);
#endif
    t.fiber.prepare(t.stack, t.stack_bytes, fiber_main);
}

// Leaves the running stack for that of thread `next` (or of kOsThread). Returns when somebody switches back,
// which nobody does when this is the end of `from`.
CUDA_ON_HOST_UNSEEN void switch_to(Block& b, Thread& from, unsigned next, [[maybe_unused]] bool is_end) {
    Thread& to = b.threads[next];
    if (next != kOsThread) {
        if (to.state == State::kUnstarted) give_stack(b, to);
        to.state = State::kReady;
        b.current = next;
        threadIdx = index_of(next);
    }
#if defined(CUDA_ON_HOST_ASAN)
    void* fake_stack = nullptr;
    __sanitizer_start_switch_fiber(is_end ? nullptr : &fake_stack, to.stack, to.stack_bytes);
#elif defined(CUDA_ON_HOST_TSAN)
    __tsan_switch_to_fiber(to.tsan_fiber, __tsan_switch_to_fiber_no_sync);
#endif
    switch_fiber(from.fiber, to.fiber);
#if defined(CUDA_ON_HOST_ASAN)
    __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
}

// Gives the block up, after a fault was set: all threads stay where they are, run_grid reports.
// subtle: their frames are never left, so nothing on their stacks may own memory; hence faults are set by
// functions that have returned.
[[noreturn]] CUDA_ON_HOST_UNSEEN void leave_block(Block& b) {
    happens_before(&b.stopped);
    switch_to(b, b.threads[b.current], kOsThread, true);
    std::abort();  // nobody switches back
}

// ---- whose turn it is -------------------------------------------------------------------------------------

// Turn 0, 1, 2 ... is thread 0, 1, 2 ..., or the last, the last but one ...
CUDA_ON_HOST_UNSEEN inline unsigned thread_of_turn(const Block& b, unsigned turn) {
    return b.is_reversed ? b.size - 1 - turn : turn;
}

CUDA_ON_HOST_UNSEEN inline unsigned first_turn_of_warp(const Block& b, unsigned warp) {
    const unsigned first = warp * 32, last = first + 31 < b.size ? first + 31 : b.size - 1;
    return b.is_reversed ? b.size - 1 - last : first;
}

// The thread that runs next, or kOsThread when all have returned.
CUDA_ON_HOST_UNSEEN unsigned next_thread(Block& b) {
    for (unsigned n = 0; n < b.size; n++) {
        if (b.turn == b.size) b.turn = 0;
        const unsigned rank = thread_of_turn(b, b.turn++);
        if (b.threads[rank].state <= State::kReady) return rank;
    }
    if (b.returned == b.size) return kOsThread;
    missing_lane(b);
    leave_block(b);
}

CUDA_ON_HOST_UNSEEN void let_others_run(Block& b) {
    const unsigned me = b.current, next = next_thread(b);
    if (next != me) switch_to(b, b.threads[me], next, false);
}

// Opens the barrier when everybody waits there. It must be the same one, and everybody must come: on a GPU
// anything else hangs, or passes by luck.
CUDA_ON_HOST_UNSEEN void open_barrier_if_all_came(Block& b) {
    if (b.waiting == 0 || b.waiting + b.returned < b.size) return;
    unsigned first = 0;
    while (b.threads[first].state != State::kAtBarrier) first++;
    for (unsigned rank = 0; rank < b.size; rank++) {
        const Thread& t = b.threads[rank];
        const bool is_here =
            t.state == State::kAtBarrier && is_same_place(t.waits_at, b.threads[first].waits_at);
        if (!is_here) {
            divergent_barrier(b, first, rank);
            leave_block(b);
        }
    }
    for (unsigned rank = 0; rank < b.size; rank++) b.threads[rank].state = State::kReady;
    b.waiting = 0;
    b.barriers++;
    // From the first one on: every stretch between barriers runs in the same order, so reversing swaps every
    // pair.
    b.turn = 0;
}

// ---- a CUDA thread from its beginning to its end ----------------------------------------------------------

// Returns whether the kernel came to its end.
CUDA_ON_HOST_UNSEEN bool call_kernel(Block& b) {
    try {
        b.grid->one_thread(b.grid->arguments);
        return true;
    } catch (const KernelFailure& failure) {
        failed_in_kernel(b, failure);
    }
    return false;
}

CUDA_ON_HOST_UNSEEN void fiber_main() {
    Block& b = *block;
#if defined(CUDA_ON_HOST_ASAN)
    const void* bottom = nullptr;
    size_t bytes = 0;
    __sanitizer_finish_switch_fiber(nullptr, &bottom, &bytes);
    Thread& os_thread = b.threads[kOsThread];
    if (!os_thread.stack) {  // the first fiber of a block comes from there
        os_thread.stack = static_cast<char*>(const_cast<void*>(bottom));
        os_thread.stack_bytes = bytes;
    }
#endif
    for (;;) {
        happens_after(&b.began);
        if (!call_kernel(b)) leave_block(b);
        happens_before(&grid_ended);
        Thread& me = b.threads[b.current];
        me.state = State::kReturned;
        b.returned++;
        open_barrier_if_all_came(b);
        const unsigned next = next_thread(b);
        if (kStacksPassOn && next != kOsThread && b.threads[next].state == State::kUnstarted) {
            // The next one begins on this stack: a kernel that never waits needs one stack and no switch.
            b.threads[next].stack = me.stack;
            b.threads[next].stack_bytes = me.stack_bytes;
            b.threads[next].state = State::kReady;
            b.current = next;
            threadIdx = index_of(next);
            continue;
        }
        if (kStacksPassOn) b.free_stacks[b.free_count++] = me.stack;
        switch_to(b, me, next, true);
    }
}

// ---- a block from its beginning to its end ----------------------------------------------------------------

void allocate_dynamic_shared(Block& b, size_t bytes) {
    if (b.dynamic_shared_bytes != bytes) {
        std::free(b.dynamic_shared);
        b.dynamic_shared = nullptr;
        // Of the exact size, and on the heap: AddressSanitizer sees whoever reads behind its end.
        if (bytes > 0 && posix_memalign(&b.dynamic_shared, 128, bytes) != 0)
            user_error("no memory for %zu bytes of shared memory", bytes);
        b.dynamic_shared_bytes = bytes;
    }
    // NaN: a GPU promises nothing about its contents.
    if (bytes > 0) std::memset(b.dynamic_shared, 0xFF, bytes);
}

#if defined(CUDA_ON_HOST_TSAN)
// ThreadSanitizer's clocks grow with every thread that ever lived, and it clears its own memory for each new stack, so a few
// threads are used again and again, each on its stack. The price: races between blocks that lie more than these apart may be
// missed. One block runs at a time, and it has no more threads than these.
constexpr size_t kTsanFibers = 1024;

struct TsanFiber {
    void* fiber = nullptr;
    char* stack = nullptr;
};
struct TsanFibers {
    TsanFiber pool[kTsanFibers];
    std::atomic<size_t> used{0};
} tsan_fibers;

CUDA_ON_HOST_UNSEEN void make_tsan_threads(Block& b) {
    b.threads[kOsThread].tsan_fiber = __tsan_get_current_fiber();
    for (unsigned rank = 0; rank < b.size; rank++) {
        Thread& t = b.threads[rank];
        TsanFiber& again = tsan_fibers.pool[tsan_fibers.used++ % kTsanFibers];
        if (!again.fiber) again.fiber = __tsan_create_fiber(0);
        // subtle: made here and not where a thread begins, as ThreadSanitizer takes mmap for a write by its caller.
        if (!again.stack) again.stack = make_stack();
        CHECK(again.stack, "[cuda_on_host] no memory for the stacks of %u CUDA threads", b.size);
        t.tsan_fiber = again.fiber;
        t.stack = again.stack;
        t.stack_bytes = kStackBytes;
        const uint3 index = index_of(rank);
        const std::string name = format("block (%u,%u,%u) thread (%u,%u,%u)", blockIdx.x, blockIdx.y,
                                        blockIdx.z, index.x, index.y, index.z);
        __tsan_set_fiber_name(again.fiber, name.c_str());
    }
}

// Threads that were left in the middle of a kernel would carry its call stack into the next one.
CUDA_ON_HOST_UNSEEN void end_given_up_tsan_threads(Block& b) {
    for (unsigned rank = 0; rank < b.size; rank++)
        for (TsanFiber& again : tsan_fibers.pool)
            if (again.fiber && again.fiber == b.threads[rank].tsan_fiber) {
                __tsan_destroy_fiber(again.fiber);
                free_stack(again.stack);
                again = {};
            }
}
#endif

// All threads stand still: what they did, up to where they wait, comes before what run_grid's caller does.
CUDA_ON_HOST_UNSEEN void see_given_up_threads(Block& b) {
    happens_after(&b.stopped);
    for (char& moment : b.barrier) happens_after(&moment);
    for (Warp& warp : b.warps)
        for (char& moment : warp.left) happens_after(&moment);
}

}  // namespace

CUDA_ON_HOST_UNSEEN void run_block(Block& b, const Grid& grid, uint3 index) {
    gridDim = grid.blocks;
    blockDim = grid.threads;
    blockIdx = index;
    b.grid = &grid;
    b.size = grid.threads.x * grid.threads.y * grid.threads.z;
    b.is_reversed = options().order == Order::kReverse;
    b.turn = b.waiting = b.returned = 0;
    for (unsigned rank = 0; rank < b.size; rank++) {
        b.threads[rank].state = State::kUnstarted;
        b.copy_queues[rank] = {0, 0, 0};
    }
    for (Warp& warp : b.warps) warp.arrived = 0;
    b.threads[kOsThread].stack = nullptr;
    allocate_dynamic_shared(b, grid.shared_bytes);
    if (options().poison_static_shared)
        for (const StaticShared& array : static_shared_arrays()) std::memset(array.memory, 0xFF, array.bytes);
#if defined(CUDA_ON_HOST_TSAN)
    make_tsan_threads(b);
#endif
    happens_before(&b.began);

    switch_to(b, b.threads[kOsThread], next_thread(b), false);

    const bool is_given_up = b.returned < b.size;
    if (is_given_up) see_given_up_threads(b);
#if defined(CUDA_ON_HOST_TSAN)
    if (is_given_up) end_given_up_tsan_threads(b);
#else
    for (unsigned rank = 0; rank < b.size && is_given_up; rank++) {
        const State state = b.threads[rank].state;
        if (state != State::kUnstarted && state != State::kReturned)
            b.free_stacks[b.free_count++] = b.threads[rank].stack;
    }
#endif
}

Block::~Block() {
    for (unsigned i = 0; i < free_count; i++) free_stack(free_stacks[i]);
    stop_reporting_stack_overflows(*this);
    std::free(dynamic_shared);
}

CUDA_ON_HOST_UNSEEN void see_end_of_grid() {
    happens_after(&grid_ended);
}

// ---- what device functions ask for ------------------------------------------------------------------------

CUDA_ON_HOST_UNSEEN unsigned thread_rank() {
    return block->current;
}

CUDA_ON_HOST_UNSEEN void* dynamic_shared_memory() {
    return block->dynamic_shared;
}

CUDA_ON_HOST_UNSEEN void stop_block(const char* what) {
    stopped_by_kernel(*block, what);
    leave_block(*block);
}

CUDA_ON_HOST_UNSEEN void begin_copy(const AsyncCopy& copy) {
    Block& b = *block;
    CopyQueue& queue = b.copy_queues[b.current];
    if (queue.end - queue.first == kMostCopies) stop_block("more than 64 copies at a time (cp.async)");
    PendingCopy& place = b.copies[b.current][queue.end++ % kMostCopies];
    place.copy = copy;
    place.group = queue.group;
}

CUDA_ON_HOST_UNSEEN void commit_copies() {
    block->copy_queues[block->current].group++;
}

CUDA_ON_HOST_UNSEEN bool take_copy(unsigned groups, AsyncCopy* copy) {
    Block& b = *block;
    CopyQueue& queue = b.copy_queues[b.current];
    const PendingCopy& oldest = b.copies[b.current][queue.first % kMostCopies];
    if (queue.first == queue.end || oldest.group + groups >= queue.group) return false;
    *copy = oldest.copy;
    queue.first++;
    return true;
}

CUDA_ON_HOST_UNSEEN void wait_at_barrier(Where where) {
    Block& b = *block;
    Thread& me = b.threads[b.current];
    char* moment = &b.barrier[b.barriers % 2];
    happens_before(moment);
    me.state = State::kAtBarrier;
    me.waits_at = where;
    b.waiting++;
    open_barrier_if_all_came(b);
    let_others_run(b);
    happens_after(moment);
}

CUDA_ON_HOST_UNSEEN uint64_t wait_for_warp(const char* operation, unsigned mask, uint64_t operand,
                                           unsigned number, Where where, Compute compute) {
    Block& b = *block;
    Thread& me = b.threads[b.current];
    const unsigned lane = b.current % 32, first = b.current - lane;
    Warp& warp = b.warps[b.current / 32];
    if (b.size - first < 32) mask &= (1u << (b.size - first)) - 1;  // the lanes that exist
    me.waits_at = where;
    me.operation = operation;
    me.mask = mask;
    if (!(mask >> lane & 1)) {
        lane_not_in_its_mask(b, operation, mask, where);
        leave_block(b);
    }
    warp.exchange.operand[lane] = operand;
    warp.exchange.number[lane] = number;
    warp.arrived |= 1u << lane;
    me.state = State::kInWarpOperation;
    happens_before(&warp.left[lane]);
    if ((warp.arrived & mask) == mask) {  // the last one computes
        for (unsigned l = 0; l < 32; l++) {
            if (!(mask >> l & 1)) continue;
            const Thread& other = b.threads[first + l];
            if (other.mask != mask || !is_same_place(other.waits_at, where) || other.operation != operation) {
                divergent_warp(b, b.current, first + l);
                leave_block(b);
            }
            happens_after(&warp.left[l]);
        }
        compute(warp.exchange, mask);
        warp.arrived &= ~mask;
        for (unsigned l = 0; l < 32; l++) {
            if (!(mask >> l & 1)) continue;
            happens_before(&warp.taken[l]);
            b.threads[first + l].state = State::kReady;
        }
        b.turn = first_turn_of_warp(b, first / 32);  // this warp goes on, from its first lane
    }
    let_others_run(b);
    happens_after(&warp.taken[lane]);
    return warp.exchange.result[lane];
}

}  // namespace cuda_on_host
