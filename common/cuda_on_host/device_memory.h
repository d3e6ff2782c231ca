// device_memory.h - which memory cudaMalloc has given out, and whether host code may touch it: under AddressSanitizer it is
// poisoned but for the time of a kernel (DeviceMemoryAccess) or of a copy (OpenRange), so that `*device_pointer` stops there.
// For cuda_runtime_on_host.cpp; what launches need of it is declared in cuda_runtime_on_host.h.
// Not here: allocating, and how much a card has.
#pragma once
#include <cstddef>

#include "cuda_on_host/cuda_machine.h"

namespace cuda_on_host {

void give_out(const void* memory, size_t bytes);
bool take_back(const void* memory);  // false: it is no block's beginning
size_t bytes_given_out();

// The range [memory, memory + bytes) must lie on the side that the call says.
void check_side(const char* call, const char* role, const void* memory, size_t bytes, bool wants_device,
                Where where);

// Opens the part of device memory that a copy touches, while it lives. Host memory it leaves alone.
class OpenRange {
  public:
    OpenRange(const void* memory, size_t bytes);
    ~OpenRange();
    OpenRange(const OpenRange&) = delete;
    OpenRange& operator=(const OpenRange&) = delete;

  private:
    const char* begin_ = nullptr;
    size_t bytes_ = 0;
};

}  // namespace cuda_on_host
