// device_memory.cpp - the device's memory as a list of heap blocks; see device_memory.h.
#include "cuda_on_host/device_memory.h"

#include <algorithm>
#include <map>
#include <mutex>

#include "core/check.h"
#include "cuda_on_host/cuda_runtime_on_host.h"
#include "cuda_on_host/program_symbols.h"

namespace cuda_on_host {
namespace {

// What cudaMalloc has given out: begin and bytes.
struct DeviceMemory {
    std::mutex mutex;
    std::map<const char*, size_t> blocks;
    size_t bytes = 0;  // in all of them
    int users = 0;     // kernels and copies that are running

    // The block that a pointer points into (or to the end of), or nullptr.
    const std::pair<const char* const, size_t>* find(const void* memory) {
        const char* const address = static_cast<const char*>(memory);
        auto after = blocks.upper_bound(address);
        if (after == blocks.begin()) return nullptr;
        --after;
        return address <= after->first + after->second ? &*after : nullptr;
    }
};

DeviceMemory& device_memory() {
    static DeviceMemory the_memory;
    return the_memory;
}

void close_block([[maybe_unused]] const char* begin, [[maybe_unused]] size_t bytes) {
#if defined(CUDA_ON_HOST_ASAN)
    __asan_poison_memory_region(begin, bytes);
#endif
}
void open_block([[maybe_unused]] const char* begin, [[maybe_unused]] size_t bytes) {
#if defined(CUDA_ON_HOST_ASAN)
    __asan_unpoison_memory_region(begin, bytes);
#endif
}

}  // namespace

void give_out(const void* memory, size_t bytes) {
    const char* const begin = static_cast<const char*>(memory);
    DeviceMemory& device = device_memory();
    std::lock_guard<std::mutex> lock(device.mutex);
    device.blocks[begin] = bytes;
    device.bytes += bytes;
    if (device.users == 0) close_block(begin, bytes);
}

bool take_back(const void* memory) {
    DeviceMemory& device = device_memory();
    std::lock_guard<std::mutex> lock(device.mutex);
    const auto block = device.blocks.find(static_cast<const char*>(memory));
    if (block == device.blocks.end()) return false;
    open_block(block->first, block->second);
    device.bytes -= block->second;
    device.blocks.erase(block);
    return true;
}

size_t bytes_given_out() {
    DeviceMemory& device = device_memory();
    std::lock_guard<std::mutex> lock(device.mutex);
    return device.bytes;
}

void check_side(const char* call, const char* role, const void* memory, size_t bytes, bool wants_device,
                Where where) {
    DeviceMemory& device = device_memory();
    std::lock_guard<std::mutex> lock(device.mutex);
    const auto* found = device.find(memory);
    // An address behind the end of a block may be the first of a host's.
    const bool is_device = found && (memory != found->first + found->second || found->second == 0);
    if (!wants_device) {
        CHECK(!is_device, "[%s] %s is device memory, the call says host\n  called at %s:%u", call, role,
              where.file, where.line);
        return;
    }
    CHECK(is_device, "[%s] %s is host memory, the call says device\n  called at %s:%u", call, role,
          where.file, where.line);
    const size_t offset = size_t(static_cast<const char*>(memory) - found->first);
    CHECK(bytes <= found->second - offset,
          "[%s] %s: %zu bytes from byte %zu on, of a block that has %zu\n  called at %s:%u", call, role,
          bytes, offset, found->second, where.file, where.line);
}

OpenRange::OpenRange(const void* memory, size_t bytes) {
    DeviceMemory& device = device_memory();
    const std::lock_guard<std::mutex> lock(device.mutex);
    const auto* block = device.find(memory);
    if (!block || device.users > 0) return;
    const size_t offset = size_t(static_cast<const char*>(memory) - block->first);
    const size_t from = offset / 8 * 8,
                 to = (offset + bytes + 7) / 8 * 8;  // the sanitizer's unit is 8 bytes
    begin_ = block->first + from;
    bytes_ = std::min(to, block->second) - from;
    open_block(begin_, bytes_);
}

OpenRange::~OpenRange() {
    if (begin_) close_block(begin_, bytes_);
}

DeviceMemoryAccess::DeviceMemoryAccess() {
    DeviceMemory& device = device_memory();
    std::lock_guard<std::mutex> lock(device.mutex);
    if (device.users++ == 0)
        for (const auto& [begin, bytes] : device.blocks) open_block(begin, bytes);
}

DeviceMemoryAccess::~DeviceMemoryAccess() {
    DeviceMemory& device = device_memory();
    std::lock_guard<std::mutex> lock(device.mutex);
    if (--device.users == 0)
        for (const auto& [begin, bytes] : device.blocks) close_block(begin, bytes);
}

bool is_device_memory(const void* memory) {
    DeviceMemory& device = device_memory();
    std::lock_guard<std::mutex> lock(device.mutex);
    return device.find(memory) != nullptr;
}

void check_pointer_argument(const Grid& grid, int number, const char* member, const void* pointer) {
    const std::string what = format("argument %d%s%s", number, member ? "." : "", member ? member : "");
    CHECK(!pointer || is_device_memory(pointer),
          "[%s] %s points to host memory, which a GPU cannot read: pass what cudaMalloc gave\n  %s",
          function_name(grid.kernel).c_str(), what.c_str(), describe(grid).c_str());
}

}  // namespace cuda_on_host
