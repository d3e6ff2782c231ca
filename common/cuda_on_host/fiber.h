// fiber.h - a function call on a stack of its own, which can be left in the middle and entered again. Each
// CUDA thread is one: it leaves when it has to wait for others, and is entered when it may go on.
// Not here: who runs when (cuda_machine.cpp); memory for the stacks. Two implementations: fifteen
// instructions for x86-64, and ucontext, which every Linux has and which takes two system calls per switch
// (about 30 times as long). Define CUDA_ON_HOST_UCONTEXT to choose the second one.
#pragma once
#include <ucontext.h>
#include <cstddef>

namespace cuda_on_host {

using FiberMain = void (*)();  // must never return: there is nobody to return to

// ---- in assembly ----
#if defined(__x86_64__)

struct AssemblyFiber {
    // Of a fiber that is not running: points to rbp, rbx, r12 to r15 (last one first) and its next
    // instruction.
    void* stack_pointer = nullptr;

    // The next switch to this fiber calls main on [stack, stack + bytes).
    void prepare(char* stack, size_t bytes, FiberMain main);
};

// Goes on where `to` left off; returns when somebody switches to `from`, which must be another fiber.
void switch_fiber(AssemblyFiber& from, const AssemblyFiber& to);

#endif

// ---- with ucontext ----

struct UcontextFiber {
    ucontext_t context;

    void prepare(char* stack, size_t bytes, FiberMain main);
};

void switch_fiber(UcontextFiber& from, const UcontextFiber& to);

#if defined(__x86_64__) && !defined(CUDA_ON_HOST_UCONTEXT)
using Fiber = AssemblyFiber;
#else
using Fiber = UcontextFiber;
#endif

}  // namespace cuda_on_host
