// mma.cuh - tensor cores by hand: the product of a warp, the loads that bring its operands into the right
// lanes, and copies from global to shared memory that go on while the kernel computes. Each is one PTX
// instruction; in builds without nvcc cuda_on_host/mma_on_host.h does the same, lane by lane.
//
// A warp multiplies together: D (16,8) += A (16,16) B (16,8), bf16 times bf16 into float. No lane has a whole
// matrix; each holds a fragment of all three. With g = lane / 4 (0 to 7) and p = 2 * (lane % 4) (0, 2, 4, 6):
//
//     A (m,k)             k = 0..7          8..15          B (k,n)            n = 0..7
//          m = 0..7    x[0] = A[g][p,p+1]    x[2]            k = 0..7    x[0] = B[p,p+1][g]
//              8..15   x[1]                  x[3]                8..15   x[1]
//
//     D (m,n)             n = 0..7
//          m = 0..7    x[0], x[1] = D[g][p], D[g][p+1]
//              8..15   x[2], x[3]
//
// In words: the 8x8 quarters of A go to registers 0 to 3, column of quarters by column. In a quarter, lane 0
// has the first two elements of row 0, lane 1 the next two, lane 4 the first two of row 1:
//
//     row 0:   0  0  1  1  2  2  3  3         the numbers are lanes; each has two neighbours, which
//     row 1:   4  4  5  5  6  6  7  7         lie in one 32-bit register, the first in its lower half
//      ...
//     row 7:  28 28 29 29 30 30 31 31
//
// B is the same picture with rows and columns exchanged: a lane's two elements lie below each other.
//
// Two things follow that attention lives on. Of D, the four lanes of a row (those of equal g) hold all of it,
// so that a row's sum is two shuffles. And two D's side by side, rounded to bf16, are an A: register by
// register, without moving anything to another lane (as_a below).
//
// Source: PTX ISA manual, "Matrix Fragments for mma.m16n8k16", "ldmatrix", "cp.async" (sm_80 and later).
#pragma once
#include <cstring>

#include "core/device.h"

struct FragmentA {
    uint32_t x[4];
};
struct FragmentB {
    uint32_t x[2];
};
struct FragmentD {
    float x[4];
};

#if defined(__CUDACC__)

// c += a b. Called by all 32 lanes together, like everything here but cp_async.
__device__ inline void mma_m16n8k16(FragmentD& c, const FragmentA& a, const FragmentB& b) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c.x[0]), "+f"(c.x[1]), "+f"(c.x[2]), "+f"(c.x[3])
        : "r"(a.x[0]), "r"(a.x[1]), "r"(a.x[2]), "r"(a.x[3]), "r"(b.x[0]), "r"(b.x[1]));
}

// An address in shared memory as PTX wants it: 32 bits, counted from where shared memory begins.
__device__ inline uint32_t shared_address(const void* p) {
    return uint32_t(__cvta_generic_to_shared(p));
}

// Four 8x8 quarters from shared memory. Their 32 rows, of 8 elements and so 16 bytes, may lie anywhere: lane l
// says where row l % 8 of quarter l / 8 begins, at a multiple of 16 bytes. Register r of each lane gets its two
// elements of quarter r, as in the picture above.
__device__ inline void ldmatrix_x4(uint32_t (&registers)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// The same, each quarter transposed on its way: a lane gets elements [p][g] and [p+1][g].
__device__ inline void ldmatrix_x4_trans(uint32_t (&registers)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// Begins to copy kBytes (4 or 16; both addresses multiples of it) from global to shared memory, past the
// registers; where not is_inside, zeros are written and `from` is not read. What it began is there after
// cp_async_commit and cp_async_wait, for this thread; for others after a barrier behind that.
template <int kBytes>
__device__ void cp_async(void* to, const void* from, bool is_inside = true) {
    static_assert(kBytes == 4 || kBytes == 16, "cp.async moves 4, 8 or 16 bytes; .cg, past L1, only 16");
    const int bytes_read = is_inside ? kBytes : 0;
    if constexpr (kBytes == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from),
                     "r"(bytes_read)
                     : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(to)), "l"(from),
                     "r"(bytes_read)
                     : "memory");
}

// All copies that this thread began since the last commit are a group. A group may be empty.
__device__ inline void cp_async_commit() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}

// Waits until all of this thread's groups but the newest kGroups are there.
template <int kGroups>
__device__ void cp_async_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(kGroups) : "memory");
}

#endif

// Two floats, rounded to bf16, in a register; `low` is the first of the two.
__device__ inline uint32_t pack_bf16(float low, float high) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    uint32_t bits;
    memcpy(&bits, &pair, sizeof bits);
    return bits;
}

// The left and the right half of a (16,16) product, as an operand A of the next one.
__device__ inline FragmentA as_a(const FragmentD& left, const FragmentD& right) {
    return {{pack_bf16(left.x[0], left.x[1]), pack_bf16(left.x[2], left.x[3]),
             pack_bf16(right.x[0], right.x[1]), pack_bf16(right.x[2], right.x[3])}};
}
