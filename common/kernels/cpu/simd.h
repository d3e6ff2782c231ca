// simd.h - one vector of floats, as wide as the machine the compiler was told about: AVX-512 16, AVX2 8, NEON
// or SSE 4. GCC vector extensions (clang has them too), so that the kernels read as arithmetic and not as
// intrinsics; multiply_add alone is an instruction.
// Not here: a general library. Exactly what the kernels of this folder use.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

// Loops over registers must be unrolled, or the registers become memory.
#if defined(__clang__)
#define GPT_UNROLL _Pragma("clang loop unroll(full)")
#else
#define GPT_UNROLL _Pragma("GCC unroll 16")
#endif

namespace simd {

#if defined(__AVX512F__)
constexpr int kWidth = 16;
#elif defined(__AVX__)
constexpr int kWidth = 8;
#else
constexpr int kWidth = 4;
#endif

typedef float Vec __attribute__((vector_size(kWidth * 4)));
typedef int32_t IntVec __attribute__((vector_size(kWidth * 4)));
typedef float UnalignedVec __attribute__((vector_size(kWidth * 4), aligned(4), may_alias));

#define GPT_INLINE inline __attribute__((always_inline))

GPT_INLINE Vec load(const float* p) {
    return *reinterpret_cast<const UnalignedVec*>(p);
}
GPT_INLINE void store(float* p, Vec x) {
    *reinterpret_cast<UnalignedVec*>(p) = x;
}
GPT_INLINE Vec broadcast(float x) {
    return x - Vec{};
}

// sum += x * y. note: written as the instruction itself. In an unrolled loop GCC otherwise takes forms of it that overwrite x
// or y, which costs copies, or that read y from memory for every product.
GPT_INLINE void multiply_add(Vec& sum, Vec x, Vec y) {
#if defined(__FMA__)
    __asm__("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(x), "v"(y));
#else
    sum += x * y;
#endif
}

GPT_INLINE Vec max(Vec a, Vec b) {
    return a > b ? a : b;
}
GPT_INLINE Vec min(Vec a, Vec b) {
    return a < b ? a : b;
}

// {0, 1, 2, ...}: compared with a bound, the mask of a ragged end.
GPT_INLINE IntVec lane_index() {
    IntVec index{};
    for (int i = 0; i < kWidth; i++) index[i] = i;
    return index;
}

// The first n lanes of memory, zeros behind; reads nothing else.
GPT_INLINE Vec load_first(const float* p, int n) {
    Vec x{};
    std::memcpy(&x, p, size_t(n) * sizeof(float));
    return x;
}
GPT_INLINE void store_first(float* p, Vec x, int n) {
    std::memcpy(p, &x, size_t(n) * sizeof(float));
}

// Lanes are added pairwise: the same order for a width on every machine.
GPT_INLINE float sum(Vec x) {
    float lane[kWidth];
    std::memcpy(lane, &x, sizeof lane);
    for (int width = kWidth / 2; width > 0; width /= 2)
        for (int i = 0; i < width; i++) lane[i] += lane[i + width];
    return lane[0];
}
GPT_INLINE float max_lane(Vec x) {
    float best = x[0];
    for (int i = 1; i < kWidth; i++) best = x[i] > best ? x[i] : best;
    return best;
}

// Of a 2*distance square of lanes, x and y being its rows i and i + distance: swaps the upper right with the
// lower left.
template <int distance, int... lane>
GPT_INLINE void swap_corners(Vec& x, Vec& y, std::integer_sequence<int, lane...>) {
#if defined(__clang__) || __GNUC__ >= 12
    const Vec upper = __builtin_shufflevector(x, y, (lane & distance ? kWidth + lane - distance : lane)...);
    const Vec lower = __builtin_shufflevector(x, y, (lane & distance ? kWidth + lane : lane + distance)...);
#else
    const Vec upper = __builtin_shuffle(x, y, IntVec{(lane & distance ? kWidth + lane - distance : lane)...});
    const Vec lower = __builtin_shuffle(x, y, IntVec{(lane & distance ? kWidth + lane : lane + distance)...});
#endif
    x = upper, y = lower;
}

// Transposes a square of kWidth vectors in registers: log2(kWidth) rounds of swaps, from halves down to
// neighbours.
template <int distance = kWidth / 2>
GPT_INLINE void transpose(Vec (&rows)[kWidth]) {
    GPT_UNROLL
    for (int i = 0; i < kWidth; i++)
        if (!(i & distance))
            swap_corners<distance>(rows[i], rows[i + distance], std::make_integer_sequence<int, kWidth>{});
    if constexpr (distance > 1) transpose<distance / 2>(rows);
}

// The lanes 0, 2, 4 ... and 1, 3, 5 ... of x and y laid end to end.
template <int... lane>
GPT_INLINE void split_even_odd(Vec x, Vec y, Vec* even, Vec* odd, std::integer_sequence<int, lane...>) {
#if defined(__clang__) || __GNUC__ >= 12
    *even = __builtin_shufflevector(x, y, 2 * lane...);
    *odd = __builtin_shufflevector(x, y, 2 * lane + 1 ...);
#else
    *even = __builtin_shuffle(x, y, IntVec{2 * lane...});
    *odd = __builtin_shuffle(x, y, IntVec{2 * lane + 1 ...});
#endif
}
GPT_INLINE void split_even_odd(Vec x, Vec y, Vec* even, Vec* odd) {
    split_even_odd(x, y, even, odd, std::make_integer_sequence<int, kWidth>{});
}

// e^x, relative error below 5e-7 over [-87, 88] (near 0 about 1e-7; without FMA 4e-6 at the ends), clamped
// outside; NaN stays NaN. x = n ln 2 + f with |f| <= ln 2 / 2: e^f is a polynomial, 2^n is put into the
// exponent bits. libm's expf is as exact but does not vectorise.
GPT_INLINE Vec exp(Vec x) {
    x = min(broadcast(88.0f),
            max(broadcast(-87.0f), x));  // subtle: of a NaN, min and max return the second operand
    // note: floats just above 2^23 are whole numbers: adding 1.5 * 2^23 rounds, and leaves n + 127 in the
    // lowest bits
    constexpr float kRound = 12582912.0f + 127.0f;
    const Vec shifted = x * 1.44269504f + kRound;
    const Vec f = x - (shifted - kRound) * 0.693147181f;
    const Vec p =
        1.f +
        f * (1.f + f * (0.5f + f * (0.16666667f + f * (0.041666668f + f * (0.0083333f + f * 0.00138889f)))));
    IntVec n;
    std::memcpy(&n, &shifted, sizeof n);
    Vec scale;
    const IntVec bits = n << 23;
    std::memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

// gelu(x) = x sigmoid(2 sqrt(2/pi) (x + 0.044715 x^3)): the tanh form, since (1 + tanh(u)) / 2 = sigmoid(2u).
constexpr float kGeluSlope = 1.5957691216f;  // 2 sqrt(2/pi)
constexpr float kGeluCubic = 0.044715f;

GPT_INLINE Vec gelu(Vec x) {
    return x / (1.f + exp(-kGeluSlope * x * (1.f + kGeluCubic * x * x)));
}

// d gelu / dx = s + x s (1 - s) u', with s the sigmoid of u and u' = slope (1 + 3 cubic x^2).
GPT_INLINE Vec gelu_derivative(Vec x) {
    const Vec s = 1.f / (1.f + exp(-kGeluSlope * x * (1.f + kGeluCubic * x * x)));
    return s + x * s * (1.f - s) * (kGeluSlope * (1.f + 3.f * kGeluCubic * x * x));
}

}  // namespace simd
