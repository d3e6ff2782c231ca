// fiber.cpp - leaving one stack and entering another; see fiber.h.
#include "cuda_on_host/fiber.h"

#include <cstdint>

#include "core/check.h"
#include "cuda_on_host/sanitizers.h"

#if defined(__x86_64__)
extern "C" void cuda_on_host_switch(void** save, void* load);

// A function must give back rbx, rbp and r12 to r15 as it got them, so these are what makes up a fiber; all
// other registers are dead across a call, and the compiler knows. The .cfi lines tell gdb and the unwinder
// how far the stack pointer is from the caller's frame. note: the rounding modes in mxcsr are not switched;
// kernels do not change them.
asm(R"(
    .pushsection .text
    .type cuda_on_host_switch, @function
cuda_on_host_switch:
    .cfi_startproc
    push %rbp
    .cfi_adjust_cfa_offset 8
    push %rbx
    .cfi_adjust_cfa_offset 8
    push %r12
    .cfi_adjust_cfa_offset 8
    push %r13
    .cfi_adjust_cfa_offset 8
    push %r14
    .cfi_adjust_cfa_offset 8
    push %r15
    .cfi_adjust_cfa_offset 8
    mov %rsp, (%rdi)    # here this fiber stands still ...
    mov %rsi, %rsp      # ... and here the other one wakes up
    pop %r15
    .cfi_adjust_cfa_offset -8
    pop %r14
    .cfi_adjust_cfa_offset -8
    pop %r13
    .cfi_adjust_cfa_offset -8
    pop %r12
    .cfi_adjust_cfa_offset -8
    pop %rbx
    .cfi_adjust_cfa_offset -8
    pop %rbp
    .cfi_adjust_cfa_offset -8
    ret
    .cfi_endproc
    .size cuda_on_host_switch, .-cuda_on_host_switch
    .popsection
)");
#endif

namespace cuda_on_host {

#if defined(__x86_64__)

CUDA_ON_HOST_UNSEEN void AssemblyFiber::prepare(char* stack, size_t bytes, FiberMain main) {
    // The stack as cuda_on_host_switch would have left it, had main called it in its first instruction.
    void** top = reinterpret_cast<void**>(stack + bytes);
    top[-1] = nullptr;                               // main's return address: here backtraces end
    top[-2] = reinterpret_cast<void*>(main);         // what `ret` jumps to
    for (int i = 3; i <= 8; i++) top[-i] = nullptr;  // the six registers
    stack_pointer = top - 8;
}

CUDA_ON_HOST_UNSEEN void switch_fiber(AssemblyFiber& from, const AssemblyFiber& to) {
    cuda_on_host_switch(&from.stack_pointer, to.stack_pointer);
}

#endif

CUDA_ON_HOST_UNSEEN void UcontextFiber::prepare(char* stack, size_t bytes, FiberMain main) {
    CHECK(getcontext(&context) == 0, "[cuda_on_host] getcontext failed");
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = bytes;
    context.uc_link = nullptr;
    makecontext(&context, main, 0);
}

CUDA_ON_HOST_UNSEEN void switch_fiber(UcontextFiber& from, const UcontextFiber& to) {
    swapcontext(&from.context, &to.context);
}

}  // namespace cuda_on_host
