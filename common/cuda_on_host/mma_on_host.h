// mma_on_host.h - the host twins of kernels/cuda/mma.cuh: products on tensor cores, loads of their operands,
// and copies that go on while a kernel computes. Every twin keeps the layout that the PTX manual promises:
// unlike wmma's, kernels rely on it.
// A twin is stricter than a GPU where it can be: it refuses addresses that are no multiples of 16 bytes (a GPU
// traps, without a line), a memory location that cp.async is about to fill holds NaN until the kernel has
// waited for it, and it counts bank conflicts.
// Not here: what the functions are for and who holds what (kernels/cuda/mma.cuh); time.
// Source: PTX ISA manual, "mma.m16n8k16", "ldmatrix", "cp.async".
#pragma once
#include <atomic>

#include "core/check.h"
#include "cuda_on_host/cuda_machine.h"

namespace cuda_on_host {

// How ldmatrix met the banks of shared memory, over all threads since the program began: a load of eight
// addresses takes one pass, plus one for every further address in the same 16-byte column of the 128 bytes that
// the banks deliver at once.
struct BankCount {
    std::atomic<int64_t> loads{0}, extra_passes{0};
};
inline BankCount bank_count;

inline void check_aligned(const char* name, const void* address, size_t bytes, Where where) {
    CHECK(reinterpret_cast<uintptr_t>(address) % bytes == 0,
          "[%s] the address ends in %zu: it must be a multiple of %zu; at %s:%u", name,
          size_t(reinterpret_cast<uintptr_t>(address) % 16), bytes, where.file, where.line);
}

inline void check_whole_warps(const char* name, Where where) {
    const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
    CHECK(threads % 32 == 0, "[%s] works with all 32 lanes of a warp, but the block has %u threads; at %s:%u",
          name, threads, where.file, where.line);
}

// Element k (0 or 1) of a pair of bf16 numbers in one register.
inline float half_of(uint32_t pair, int k) {
    const uint32_t bits = k == 0 ? pair << 16 : pair & 0xffff0000u;
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}

// The four operands of a lane, for the one that computes for all.
template <class A, class B, class C>
struct MmaOperands {
    const A* a;
    const B* b;
    C* c;
};

template <class A, class B, class C>
void multiply_m16n8k16(WarpExchange& warp, unsigned) {
    float a[16][16], b[16][8];
    const MmaOperands<A, B, C>* lanes[32];
    std::memcpy(lanes, warp.operand, sizeof lanes);
    for (int lane = 0; lane < 32; lane++) {
        const int g = lane / 4, p = 2 * (lane % 4);
        for (int k = 0; k < 2; k++) {
            for (int r = 0; r < 4; r++)
                a[g + r % 2 * 8][p + r / 2 * 8 + k] = half_of(lanes[lane]->a->x[r], k);
            for (int r = 0; r < 2; r++) b[p + r * 8 + k][g] = half_of(lanes[lane]->b->x[r], k);
        }
    }
    for (int lane = 0; lane < 32; lane++) {
        const int g = lane / 4, p = 2 * (lane % 4);
        for (int r = 0; r < 4; r++) {
            const int row = g + r / 2 * 8, col = p + r % 2;
            float sum = lanes[lane]->c->x[r];
            for (int k = 0; k < 16; k++) sum += a[row][k] * b[k][col];
            lanes[lane]->c->x[r] = sum;
        }
    }
}

// A lane's row of 16 bytes, where it came from, and the four registers that it gets.
struct LdmatrixOperands {
    uint16_t row[8];
    const void* address;
    uint32_t* registers;
};

template <bool kTransposed>
void distribute_rows(WarpExchange& warp, unsigned) {
    const LdmatrixOperands* lanes[32];
    std::memcpy(lanes, warp.operand, sizeof lanes);
    for (int matrix = 0; matrix < 4; matrix++) {
        int in_column[8] = {}, passes = 0;
        for (int r = 0; r < 8; r++) {
            const void* address = lanes[8 * matrix + r]->address;
            bool is_new = true;  // lanes that want the same 16 bytes share them
            for (int before = 0; before < r; before++)
                is_new = is_new && lanes[8 * matrix + before]->address != address;
            int& here = in_column[reinterpret_cast<uintptr_t>(address) / 16 % 8];
            if (is_new) here++;
            if (here > passes) passes = here;
        }
        // relaxed: counting must not look like one lane waiting for another
        bank_count.loads.fetch_add(1, std::memory_order_relaxed);
        bank_count.extra_passes.fetch_add(passes - 1, std::memory_order_relaxed);
        for (int lane = 0; lane < 32; lane++) {
            const int g = lane / 4, p = 2 * (lane % 4);
            uint32_t pair = 0;
            for (int k = 0; k < 2; k++) {
                const uint16_t x =
                    kTransposed ? lanes[8 * matrix + p + k]->row[g] : lanes[8 * matrix + g]->row[p + k];
                pair |= uint32_t(x) << 16 * k;
            }
            lanes[lane]->registers[matrix] = pair;
        }
    }
}

template <bool kTransposed>
void ldmatrix(const char* name, uint32_t (&registers)[4], const void* row, Where where) {
    check_whole_warps(name, where);
    check_aligned(name, row, 16, where);
    LdmatrixOperands mine;
    std::memcpy(mine.row, row, sizeof mine.row);  // this lane reads it: a sanitizer names the right one
    mine.address = row;
    mine.registers = registers;
    warp_operation(name, 0xffffffffu, &mine, 0, where, distribute_rows<kTransposed>);
}

}  // namespace cuda_on_host

// Registers of a lane; pictures in kernels/cuda/mma.cuh.
template <class A, class B, class C>
void mma_m16n8k16(C& c, const A& a, const B& b, CUDA_ON_HOST_WHERE) {
    cuda_on_host::check_whole_warps("mma_m16n8k16", where);
    const cuda_on_host::MmaOperands<A, B, C> mine{&a, &b, &c};
    cuda_on_host::warp_operation("mma_m16n8k16", 0xffffffffu, &mine, 0, where,
                                 cuda_on_host::multiply_m16n8k16<A, B, C>);
}
inline void ldmatrix_x4(uint32_t (&registers)[4], const void* row, CUDA_ON_HOST_WHERE) {
    cuda_on_host::ldmatrix<false>("ldmatrix_x4", registers, row, where);
}
inline void ldmatrix_x4_trans(uint32_t (&registers)[4], const void* row, CUDA_ON_HOST_WHERE) {
    cuda_on_host::ldmatrix<true>("ldmatrix_x4_trans", registers, row, where);
}

template <int kBytes>
void cp_async(void* to, const void* from, bool is_inside = true, CUDA_ON_HOST_WHERE) {
    cuda_on_host::check_aligned("cp_async", to, kBytes, where);
    if (is_inside) cuda_on_host::check_aligned("cp_async", from, kBytes, where);
    std::memset(to, 0xFF, kBytes);  // NaN for whoever does not wait
    cuda_on_host::begin_copy({to, is_inside ? from : nullptr, kBytes});
}
inline void cp_async_commit() {
    cuda_on_host::commit_copies();
}
template <int kGroups>
void cp_async_wait() {
    cuda_on_host::AsyncCopy copy;
    while (cuda_on_host::take_copy(kGroups, &copy)) {
        if (copy.from)
            std::memcpy(copy.to, copy.from, copy.bytes);
        else
            std::memset(copy.to, 0, copy.bytes);
    }
}
