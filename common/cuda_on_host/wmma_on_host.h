// wmma_on_host.h - tensor cores: nvcuda::wmma's fragments and the product of a warp, for bfloat16 (or float)
// inputs and float sums. A fragment is a small matrix whose elements lie spread over the 32 lanes of a warp.
// Which lane holds which is nobody's business on a GPU; here it is deliberately odd, so that a kernel that
// relies on an order fails.
// Not here: fp16, int8 and tf32; mma.sync with its documented places (wrap the PTX, and give it a host twin).
// Source for names and meanings: CUDA C++ Programming Guide, "Warp matrix functions".
#pragma once
#include "cuda_on_host/cuda_machine.h"

namespace nvcuda {
namespace wmma {

// What a fragment is used for, in D = A B + C with A (M,K), B (K,N) and accumulators C and D (M,N).
struct matrix_a;
struct matrix_b;
struct accumulator;

struct row_major;
struct col_major;
enum layout_t { mem_row_major, mem_col_major };

template <class Use, int M, int N, int K, class T, class Layout = void>
struct fragment {
    static constexpr int kRows = std::is_same<Use, matrix_b>::value ? K : M;
    static constexpr int kCols = std::is_same<Use, matrix_a>::value ? K : N;
    static constexpr int num_elements = kRows * kCols / 32;
    T x[num_elements];

    // Element e of a lane is the matrix's element [place / kCols][place % kCols].
    static int place(unsigned lane, int e) { return int(lane * 7 % 32) + 32 * e; }
};

namespace on_host {

template <class Fragment, class T>
void load(Fragment& f, const T* memory, unsigned stride, bool is_row_major) {
    for (int e = 0; e < f.num_elements; e++) {
        const int place = f.place(cuda_on_host::thread_rank() % 32, e);
        const unsigned row = unsigned(place / f.kCols), col = unsigned(place % f.kCols);
        f.x[e] = is_row_major ? memory[row * stride + col] : memory[col * stride + row];
    }
}

// A lane's four fragments, for the lane that computes for all.
template <class A, class B, class C>
struct Operands {
    const A* a;
    const B* b;
    const C* c;
    C* d;
};

template <class A, class B, class C>
void multiply(cuda_on_host::WarpExchange& warp, unsigned) {
    float a[A::kRows * A::kCols], b[B::kRows * B::kCols];
    const Operands<A, B, C>* lanes[32];
    std::memcpy(lanes, warp.operand, sizeof lanes);
    for (unsigned lane = 0; lane < 32; lane++) {
        for (int e = 0; e < A::num_elements; e++) a[A::place(lane, e)] = float(lanes[lane]->a->x[e]);
        for (int e = 0; e < B::num_elements; e++) b[B::place(lane, e)] = float(lanes[lane]->b->x[e]);
    }
    for (unsigned lane = 0; lane < 32; lane++) {
        for (int e = 0; e < C::num_elements; e++) {
            const int row = C::place(lane, e) / C::kCols, col = C::place(lane, e) % C::kCols;
            float sum = lanes[lane]->c->x[e];
            for (int k = 0; k < A::kCols; k++) sum += a[row * A::kCols + k] * b[k * B::kCols + col];
            lanes[lane]->d->x[e] = sum;
        }
    }
}

}  // namespace on_host

template <class Fragment, class T>
void fill_fragment(Fragment& f, T value) {
    for (auto& x : f.x) x = value;
}

// All lanes of the warp call each of these together. `stride`: elements from one row (or column) to the next.
template <class Use, int M, int N, int K, class T, class Layout>
void load_matrix_sync(fragment<Use, M, N, K, T, Layout>& f, const T* memory, unsigned stride,
                      CUDA_ON_HOST_WHERE) {
    __syncwarp(0xffffffffu, where);
    on_host::load(f, memory, stride, std::is_same<Layout, row_major>::value);
}
template <int M, int N, int K, class T>
void load_matrix_sync(fragment<accumulator, M, N, K, T>& f, const T* memory, unsigned stride, layout_t layout,
                      CUDA_ON_HOST_WHERE) {
    __syncwarp(0xffffffffu, where);
    on_host::load(f, memory, stride, layout == mem_row_major);
}
template <int M, int N, int K, class T>
void store_matrix_sync(T* memory, const fragment<accumulator, M, N, K, T>& f, unsigned stride,
                       layout_t layout, CUDA_ON_HOST_WHERE) {
    for (int e = 0; e < f.num_elements; e++) {
        const int place = f.place(cuda_on_host::thread_rank() % 32, e);
        const unsigned row = unsigned(place / f.kCols), col = unsigned(place % f.kCols);
        memory[layout == mem_row_major ? row * stride + col : col * stride + row] = f.x[e];
    }
    __syncwarp(0xffffffffu, where);
}
// d = a b + c; d may be c.
template <int M, int N, int K, class T, class LayoutA, class LayoutB>
void mma_sync(fragment<accumulator, M, N, K, float>& d, const fragment<matrix_a, M, N, K, T, LayoutA>& a,
              const fragment<matrix_b, M, N, K, T, LayoutB>& b,
              const fragment<accumulator, M, N, K, float>& c, CUDA_ON_HOST_WHERE) {
    using A = fragment<matrix_a, M, N, K, T, LayoutA>;
    using B = fragment<matrix_b, M, N, K, T, LayoutB>;
    using C = fragment<accumulator, M, N, K, float>;
    const on_host::Operands<A, B, C> mine{&a, &b, &c, &d};
    cuda_on_host::warp_operation("wmma::mma_sync", 0xffffffffu, &mine, 0, where, on_host::multiply<A, B, C>);
}

}  // namespace wmma
}  // namespace nvcuda
