// cooperative_groups_on_host.h - CUDA's groups of threads as objects: the block, and tiles of 1 to 32 lanes
// with the warp operations as members.
// Not here: groups across blocks (a grid that waits for itself needs all its blocks at once) and clusters.
// Source for names and meanings: CUDA C++ Programming Guide, "Cooperative groups".
#pragma once
#include "cuda_on_host/cuda_machine.h"

namespace cooperative_groups {

struct thread_block {
    unsigned thread_rank() const { return cuda_on_host::thread_rank(); }
    unsigned num_threads() const { return blockDim.x * blockDim.y * blockDim.z; }
    unsigned size() const { return num_threads(); }
    dim3 group_index() const { return blockIdx; }
    dim3 thread_index() const { return threadIdx; }
    void sync(CUDA_ON_HOST_WHERE) const { __syncthreads(where); }
};
inline thread_block this_thread_block() {
    return {};
}

template <unsigned Size>
struct thread_block_tile {
    static_assert(Size >= 1 && Size <= 32 && (Size & (Size - 1)) == 0,
                  "a tile is 1, 2, 4, 8, 16 or 32 lanes");

    // Its lanes, as a mask of the warp's.
    unsigned mask() const {
        return unsigned((uint64_t(1) << Size) - 1) << (cuda_on_host::thread_rank() % 32 / Size * Size);
    }
    unsigned thread_rank() const { return cuda_on_host::thread_rank() % Size; }
    unsigned meta_group_rank() const { return cuda_on_host::thread_rank() / Size; }
    static constexpr unsigned num_threads() { return Size; }
    static constexpr unsigned size() { return Size; }

    void sync(CUDA_ON_HOST_WHERE) const { __syncwarp(mask(), where); }
    template <class T>
    T shfl(T value, int source, CUDA_ON_HOST_WHERE) const {
        return __shfl_sync(mask(), value, source, Size, where);
    }
    template <class T>
    T shfl_xor(T value, int bits, CUDA_ON_HOST_WHERE) const {
        return __shfl_xor_sync(mask(), value, bits, Size, where);
    }
    template <class T>
    T shfl_down(T value, unsigned delta, CUDA_ON_HOST_WHERE) const {
        return __shfl_down_sync(mask(), value, delta, Size, where);
    }
    template <class T>
    T shfl_up(T value, unsigned delta, CUDA_ON_HOST_WHERE) const {
        return __shfl_up_sync(mask(), value, delta, Size, where);
    }
    unsigned ballot(int predicate, CUDA_ON_HOST_WHERE) const {
        const unsigned bits = __ballot_sync(mask(), predicate, where);
        return bits >> (cuda_on_host::thread_rank() % 32 / Size * Size);
    }
    int any(int predicate, CUDA_ON_HOST_WHERE) const { return __any_sync(mask(), predicate, where); }
    int all(int predicate, CUDA_ON_HOST_WHERE) const { return __all_sync(mask(), predicate, where); }
};

template <unsigned Size>
thread_block_tile<Size> tiled_partition(const thread_block&) {
    return {};
}

template <class T>
struct plus {
    T operator()(T a, T b) const { return a + b; }
};
template <class T>
struct less {  // the smaller one
    T operator()(T a, T b) const { return b < a ? b : a; }
};
template <class T>
struct greater {  // the larger one
    T operator()(T a, T b) const { return a < b ? b : a; }
};

// Every lane of the tile gets the same result.
template <class T, class Combine, unsigned Size>
T reduce(const thread_block_tile<Size>& tile, T value, const Combine&, CUDA_ON_HOST_WHERE) {
    return cuda_on_host::reduce<Combine>("cooperative_groups::reduce", tile.mask(), value, where);
}

}  // namespace cooperative_groups
