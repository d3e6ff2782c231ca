// attention.cuh - what the forms of attention share: where a head's rows lie, which rows a block has, and the
// factors of the dropout.
// Not here: arithmetic (attention.cu on CUDA cores, attention_mma.cuh on tensor cores).
#pragma once
#include "core/device.h"
#include "core/rng.h"

// Below every score. Not -infinity: the difference of two infinities is not a number.
constexpr float kLowest = -1e30f;

// One head's rows: row t is at x + t * stride.
template <class T>
struct Rows {
    T* x;
    int64_t stride;
};

template <class T>
__device__ Rows<T> rows_of_head(T* x, int64_t b, int64_t rows_per_sequence, int64_t row_size, int64_t at) {
    return {x + b * rows_per_sequence * row_size + at, row_size};
}

// Queries, keys and values of head h of sequence b in qkv (B,T,3*NH*HS); gradients lie in the same way.
template <class T>
struct HeadRows {
    Rows<T> q, k, v;
};

template <class T>
__device__ HeadRows<T> qkv_of_head(T* qkv, int64_t b, int64_t rows_per_sequence, int64_t C, int64_t at) {
    const Rows<T> q = rows_of_head(qkv, b, rows_per_sequence, 3 * C, at);
    return {q, {q.x + C, q.stride}, {q.x + 2 * C, q.stride}};
}

// Which sequence and which tile of rows a block has. Both are in blockIdx.x: y and z end at 65,535, and a batch may
// be larger.
struct BlockPlace {
    int tiles;  // of a sequence
    int64_t b;
    int tile;
};

__device__ inline BlockPlace block_place(int T, int rows) {
    const int tiles = (T + rows - 1) / rows;
    return {tiles, blockIdx.x / tiles, int(blockIdx.x % tiles)};
}

// The factor that dropout gives the probability of query i and key j of a head; first_index is the mask's
// index of the head's first query and key. note: each call of Philox gives four numbers, of which this uses
// one.
__device__ inline float keep_factor(const DropoutMask& mask, uint64_t first_index, int i, int j, int T) {
    return mask.p > 0 ? mask.scale(first_index + uint64_t(i) * T + j) : 1.0f;
}
