// device.cpp - memory on the CPU: zero pages from the kernel, so that nothing is touched before it is used.
#include "core/device.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "core/check.h"

void* device_alloc(Device device, size_t bytes) {
    CHECK(has_device(device), "[device_alloc] this build has no kernels for %s", device_name(device));
    if (bytes == 0) bytes = 1;
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        user_error(
            "cannot get %.1f MiB of memory (%s); a smaller --batch, --context or --channels needs less",
            double(bytes) / (1 << 20), std::strerror(errno));
#ifdef MADV_HUGEPAGE
    if (bytes >= (size_t(4) << 20)) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
    return memory;
}

void device_free(Device, void* memory, size_t bytes) {
    if (memory) munmap(memory, bytes ? bytes : 1);
}
