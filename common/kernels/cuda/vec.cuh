// vec.cuh - 16-byte accesses: the widest load and store that one CUDA thread has. A warp moves 512 bytes with
// each, in a quarter of the instructions that single floats need.
// Not here: arithmetic in bfloat16. Whatever memory holds, kernels compute in float.
#pragma once
#include "core/device.h"

// As many neighbouring elements of type T as 16 bytes hold, as floats.
template <class T>
struct Vec {
    static constexpr int kSize = 16 / int(sizeof(T));
    float x[kSize];

    __device__ float& operator[](int k) { return x[k]; }
    __device__ float operator[](int k) const { return x[k]; }
};

// What memory holds: moved as one piece.
template <class T>
struct alignas(16) RawVec {
    T x[Vec<T>::kSize];
};

// Whether p may be accessed 16 bytes at once. Rows of an odd number of columns begin anywhere.
__device__ inline bool is_aligned(const void* p) {
    return reinterpret_cast<uintptr_t>(p) % 16 == 0;
}

// p[0 .. kSize) as floats. rest: how many elements there are from p on; behind them the result is 0.
template <class T>
__device__ Vec<T> load_vec(const T* p, int64_t rest) {
    Vec<T> v;
    if (rest >= v.kSize && is_aligned(p)) {
        const RawVec<T> raw = *reinterpret_cast<const RawVec<T>*>(p);
        for (int k = 0; k < v.kSize; k++) v[k] = float(raw.x[k]);
    } else {
        for (int k = 0; k < v.kSize; k++) v[k] = k < rest ? float(p[k]) : 0.0f;
    }
    return v;
}

// The way back, rounded to T.
template <class T>
__device__ void store_vec(T* p, const Vec<T>& v, int64_t rest) {
    if (rest >= v.kSize && is_aligned(p)) {
        RawVec<T> raw;
        for (int k = 0; k < v.kSize; k++) raw.x[k] = T(v[k]);
        *reinterpret_cast<RawVec<T>*>(p) = raw;
    } else {
        for (int k = 0; k < v.kSize; k++)
            if (k < rest) p[k] = T(v[k]);
    }
}

// Where the elements of this thread begin, when each thread of a one-dimensional grid takes one Vec<T>.
template <class T>
__device__ int64_t first_element() {
    return (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) * Vec<T>::kSize;
}
