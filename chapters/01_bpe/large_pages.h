// large_pages.h - memory for large tables that are read here and there. A processor remembers where a few thousand pages lie;
// of the usual 4 KiB that is a few MiB, and beyond that nearly every look-up costs a second one, for the page.
#pragma once
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <cstddef>
#include <cstdlib>
#include <new>

// An allocator: std::vector<T, LargePages<T>>. Takes pages of 2 MiB where the system has them to give.
template <class T>
struct LargePages {
    using value_type = T;
    static constexpr size_t kPageBytes = size_t(2) << 20;

    LargePages() = default;
    template <class U>
    LargePages(const LargePages<U>&) {}

    T* allocate(size_t count) {
        const size_t wanted = count * sizeof(T), pages = (wanted + kPageBytes - 1) / kPageBytes;
        if (count > size_t(-1) / sizeof(T) - kPageBytes) throw std::bad_alloc();
        // A small table is not worth a page of its own.
        void* memory = wanted < kPageBytes / 2 ? std::aligned_alloc(64, (wanted + 63) / 64 * 64)
                                               : std::aligned_alloc(kPageBytes, pages * kPageBytes);
        if (memory == nullptr) throw std::bad_alloc();
#if defined(__linux__)
        if (wanted >= kPageBytes / 2) madvise(memory, wanted, MADV_HUGEPAGE);
#endif
        return static_cast<T*>(memory);
    }
    void deallocate(T* memory, size_t) {
        std::free(memory);
    }

    template <class U>
    bool operator==(const LargePages<U>&) const {
        return true;
    }
    template <class U>
    bool operator!=(const LargePages<U>&) const {
        return false;
    }
};
