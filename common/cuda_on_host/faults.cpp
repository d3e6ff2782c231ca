// faults.cpp - what is said about a kernel that cannot go on: the rule that it broke, the threads, their
// lines.
// Not here: noticing it (cuda_machine.cpp); ending the program (cuda_grid.cpp).
#include "core/check.h"
#include "cuda_on_host/block.h"
#include "cuda_on_host/program_symbols.h"

namespace cuda_on_host {
namespace {

std::string text_of(dim3 v) {
    return format("(%u,%u,%u)", v.x, v.y, v.z);
}

// A line of its own: "thread (3,0,0) waits in __shfl_sync at layernorm.cu:31, with the mask 0xffffffff"
std::string what_does(const Block& b, unsigned rank) {
    const Thread& t = b.threads[rank];
    const std::string who = "\n  thread " + text_of(index_of(rank));
    switch (t.state) {
        case State::kAtBarrier:
            return who + format(" waits in __syncthreads at %s:%u", t.waits_at.file, t.waits_at.line);
        case State::kInWarpOperation:
            return who + format(" waits in %s at %s:%u, with the mask 0x%08x", t.operation, t.waits_at.file,
                                t.waits_at.line, t.mask);
        case State::kReturned:
            return who + " has returned from the kernel";
        default:
            return who + " runs";
    }
}

std::string in_block() {
    return "in block " + text_of(blockIdx);
}

void set_fault(Block& b, const std::string& what) {
    b.fault_kind = FailureKind::kBug;
    b.fault = "[" + function_name(b.grid->kernel) + "] " + what + "\n  " + describe(*b.grid);
}

}  // namespace

std::string describe(const Grid& grid) {
    return format("%s, launched at %s:%u with grid %s and block %s", function_name(grid.kernel).c_str(),
                  grid.launched_at.file, grid.launched_at.line, text_of(grid.blocks).c_str(),
                  text_of(grid.threads).c_str());
}

void divergent_barrier(Block& b, unsigned waiting_thread, unsigned other_thread) {
    set_fault(b, "divergent barrier " + in_block() +
                     ": all threads of a block must come to the same __syncthreads" +
                     what_does(b, waiting_thread) + what_does(b, other_thread));
}

void divergent_warp(Block& b, unsigned thread, unsigned other_thread) {
    set_fault(b, format("divergent warp %u ", thread / 32) + in_block() +
                     ": all lanes of a mask must come to the same warp operation, with the same mask" +
                     what_does(b, thread) + what_does(b, other_thread));
}

void lane_not_in_its_mask(Block& b, const char* operation, unsigned mask, Where where) {
    set_fault(
        b, "thread " + text_of(threadIdx) + " " + in_block() +
               format(", lane %u of its warp, calls %s at %s:%u with the mask 0x%08x, which does not name it",
                      b.current % 32, operation, where.file, where.line, mask));
}

void missing_lane(Block& b) {
    for (unsigned rank = 0; rank < b.size; rank++) {
        const Thread& t = b.threads[rank];
        if (t.state != State::kInWarpOperation) continue;
        const unsigned warp = rank / 32;
        for (unsigned lane = 0; lane < 32; lane++) {
            if (!(t.mask >> lane & 1) || b.warps[warp].arrived >> lane & 1) continue;
            set_fault(
                b, format("warp %u %s waits for ever: the mask of %s names lane %u, which never comes to it",
                          warp, in_block().c_str(), t.operation, lane) +
                       what_does(b, rank) + what_does(b, warp * 32 + lane));
            return;
        }
    }
}

void failed_in_kernel(Block& b, const KernelFailure& failure) {
    b.fault_kind = failure.kind;
    b.fault = failure.message + "\n  in thread " + text_of(threadIdx) + " of block " + text_of(blockIdx) +
              " of " + describe(*b.grid);
}

void stopped_by_kernel(Block& b, const char* what) {
    set_fault(b, "thread " + text_of(threadIdx) + " " + in_block() + ": " + what);
}

}  // namespace cuda_on_host
