// stacks.cpp - the stacks of CUDA threads, and what is said when one is too small: a page fault in the guard in front
// of it is a kernel whose local variables do not fit. A GPU would have put them into slow "local" memory, at most
// 512 KB for each thread.
// Not here: which thread has which stack (cuda_machine.cpp).
// Source: sigaltstack(2): a handler cannot run on a stack that is full.
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <mutex>

#include "cuda_on_host/block.h"

#if defined(CUDA_ON_HOST_TSAN)
// Of what on_page_fault does, ThreadSanitizer would report every allocation, with all the frames of the stack that overflowed:
// by clang's, 237 MB in two minutes.
extern "C" CUDA_ON_HOST_UNSEEN const char* __tsan_default_options() {
    return "report_signal_unsafe=0";
}
#endif

namespace cuda_on_host {
namespace {

constexpr size_t kSignalStackBytes = size_t(256) << 10;  // the handler looks a name up in the symbol table

std::atomic<size_t> stacks{0};  // that exist

struct sigaction before_us;

// subtle: looking the kernel's name up allocates, which a handler may not do in general. The page fault comes from
// a kernel's own frame or from one that it called; a kernel that overflows inside of malloc would hang here.
CUDA_ON_HOST_UNSEEN void on_page_fault(int, siginfo_t* info, void*) {
    const char* const address = static_cast<const char*>(info->si_addr);
    const char* const bottom = block && block->grid ? block->threads[block->current].stack : nullptr;
    if (bottom && address < bottom && address >= bottom - kGuardBytes) {
        char text[64];
        std::snprintf(text, sizeof text, "thread (%u,%u,%u) in block (%u,%u,%u)", threadIdx.x, threadIdx.y,
                      threadIdx.z, blockIdx.x, blockIdx.y, blockIdx.z);
        std::fprintf(stderr, "stack overflow in %s: its local variables need more than %zu KB\n  in %s\n",
                     text, kStackBytes >> 10, describe(*block->grid).c_str());
        std::fflush(stderr);
    }
    // The instruction is tried again, without us: a debugger stops at it, a sanitizer has its say.
    sigaction(SIGSEGV, &before_us, nullptr);
}

}  // namespace

CUDA_ON_HOST_UNSEEN char* make_stack() {
    void* memory = mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return nullptr;
    // Beyond the limit, or where Linux refuses: a stack without a guard still works.
    if (stacks++ < options().guarded_stacks) static_cast<void>(mprotect(memory, kGuardBytes, PROT_NONE));
    return static_cast<char*>(memory) + kGuardBytes;
}

CUDA_ON_HOST_UNSEEN void free_stack(char* bottom) {
    munmap(bottom - kGuardBytes, kGuardBytes + kStackBytes);
    stacks--;
}

void report_stack_overflows(Block& b) {
    stack_t present = {};
    // AddressSanitizer has given every OS thread one already.
    if (sigaltstack(nullptr, &present) == 0 && (present.ss_flags & SS_DISABLE)) {
        void* memory =
            mmap(nullptr, kSignalStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) return;
        stack_t stack = {};
        stack.ss_sp = b.signal_stack = static_cast<char*>(memory);
        stack.ss_size = kSignalStackBytes;
        sigaltstack(&stack, nullptr);
    }
    static std::once_flag once;
    std::call_once(once, [] {
        struct sigaction action = {};
        action.sa_sigaction = on_page_fault;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        sigaction(SIGSEGV, &action, &before_us);
    });
}

void stop_reporting_stack_overflows(Block& b) {
    if (!b.signal_stack) return;
    stack_t present = {};
    // The OS thread that set it may be another: under ThreadSanitizer blocks outlive theirs.
    if (sigaltstack(nullptr, &present) == 0 && present.ss_sp == b.signal_stack) {
        present.ss_flags = SS_DISABLE;
        sigaltstack(&present, nullptr);
    }
    munmap(b.signal_stack, kSignalStackBytes);
}

}  // namespace cuda_on_host
