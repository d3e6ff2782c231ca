// large_pages.h - memory for large tables that are read here and there. A processor remembers where a few thousand pages lie;
// of the usual 4 KiB that is a few MiB, and beyond that nearly every look-up costs a second one, for the page.
#pragma once
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <cstddef>
#include <cstdlib>
#include <new>

constexpr size_t kLargePageBytes = size_t(2) << 20;

// Memory for std::free, on pages of 2 MiB where the system has them to give; nullptr where there is no memory.
inline void* allocate_on_large_pages(size_t bytes) {
    if (bytes > size_t(-1) - kLargePageBytes) return nullptr;
    // A small table is not worth a page of its own.
    if (bytes < kLargePageBytes / 2) return std::aligned_alloc(64, (bytes + 63) / 64 * 64);
    bytes = (bytes + kLargePageBytes - 1) / kLargePageBytes * kLargePageBytes;
    void* memory = std::aligned_alloc(kLargePageBytes, bytes);
#if defined(__linux__)
    if (memory) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
    return memory;
}

// The same as an allocator: std::vector<T, LargePages<T>>.
template <class T>
struct LargePages {
    using value_type = T;

    LargePages() = default;
    template <class U>
    LargePages(const LargePages<U>&) {}

    T* allocate(size_t count) {
        void* memory = count > size_t(-1) / sizeof(T) ? nullptr : allocate_on_large_pages(count * sizeof(T));
        if (memory == nullptr) throw std::bad_alloc();
        return static_cast<T*>(memory);
    }
    void deallocate(T* memory, size_t) { std::free(memory); }

    template <class U>
    bool operator==(const LargePages<U>&) const {
        return true;
    }
    template <class U>
    bool operator!=(const LargePages<U>&) const {
        return false;
    }
};
