// program_symbols.h - names and places that the running program's own symbol table knows: which kernel lies
// at an address, and where the static __shared__ arrays are. Empty answers for a stripped program.
// Not here: DWARF (lines, types); libraries. Source: the ELF format, as <elf.h> declares it.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

namespace cuda_on_host {

// "layernorm_forward_kernel", without parameters; "the kernel at 0x..." where no symbol says more.
std::string function_name(const void* address);

struct StaticShared {
    char* memory;  // of the calling OS thread's copy
    size_t bytes;
};

// The __shared__ arrays of all kernels: thread_local variables of functions, without a constructor. Other
// code must have none such. Builds that run one block at a time have plain statics instead, which nothing
// tells from other statics: there the list is empty.
std::vector<StaticShared> static_shared_arrays();

}  // namespace cuda_on_host
