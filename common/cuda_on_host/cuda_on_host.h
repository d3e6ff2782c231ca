// cuda_on_host.h - lets a plain C++ compiler compile and run this project's CUDA sources on the CPU: the
// language and its types. A .cu file that includes "core/device.h" needs no change, whether nvcc or g++ reads
// it.
//
//     CUDA                                on the host                               where
//     __global__, __device__              nothing: a kernel is a function           here
//     __shared__ float x[64]              static (thread_local: one for each core)  here
//     float4, __nv_bfloat16, atomicAdd    structs and functions                     here
//     threadIdx, __syncthreads, shuffles  variables and fibers                      cuda_machine.h
//     kernel<<<...>>>(...)                launch(kernel, ...), for nvcc too         cuda_runtime_on_host.h
//     cudaMalloc, cudaMemcpy, streams     the heap, memcpy, nothing                 cuda_runtime_on_host.h
//     wmma fragments                      an array per lane, one lane multiplies    wmma_on_host.h
//     mma.sync, ldmatrix, cp.async        what kernels/cuda/mma.cuh wraps            mma_on_host.h
//     thread_block_tile                   masks of the warp operations              cooperative_groups.h
//
// Not here: textures, surfaces, graphs, cooperative launches, inline PTX (wrap it, and give it a host twin).
// Source for names and meanings: CUDA C++ Programming Guide; CUDA Math API reference.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#include "cuda_on_host/cuda_machine.h"
#include "cuda_on_host/cuda_runtime_on_host.h"
#include "cuda_on_host/mma_on_host.h"
#include "cuda_on_host/readable_name.h"
#include "cuda_on_host/wmma_on_host.h"

// ---- the language -----------------------------------------------------------------------------------------

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __shared__ static CUDA_ON_HOST_PER_OS_THREAD
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))

// ---- vector types: loaded and stored at once, so they are aligned to their size ---------------------------

// may_alias: kernels read arrays of float or bf16 through them, which C++ forbids and CUDA does not.
#define CUDA_ON_HOST_VECTOR(bytes) __attribute__((may_alias, aligned(bytes)))
struct CUDA_ON_HOST_VECTOR(8) float2 {
    float x, y;
};
struct float3 {
    float x, y, z;
};
struct CUDA_ON_HOST_VECTOR(16) float4 {
    float x, y, z, w;
};
struct CUDA_ON_HOST_VECTOR(8) int2 {
    int x, y;
};
struct CUDA_ON_HOST_VECTOR(16) int4 {
    int x, y, z, w;
};
struct CUDA_ON_HOST_VECTOR(8) uint2 {
    unsigned x, y;
};
struct CUDA_ON_HOST_VECTOR(16) uint4 {
    unsigned x, y, z, w;
};
struct CUDA_ON_HOST_VECTOR(16) double2 {
    double x, y;
};
#undef CUDA_ON_HOST_VECTOR

inline float2 make_float2(float x, float y) {
    return {x, y};
}
inline float3 make_float3(float x, float y, float z) {
    return {x, y, z};
}
inline float4 make_float4(float x, float y, float z, float w) {
    return {x, y, z, w};
}
inline int2 make_int2(int x, int y) {
    return {x, y};
}
inline int4 make_int4(int x, int y, int z, int w) {
    return {x, y, z, w};
}
inline uint2 make_uint2(unsigned x, unsigned y) {
    return {x, y};
}
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) {
    return {x, y, z, w};
}
inline double2 make_double2(double x, double y) {
    return {x, y};
}

// ---- the bits of a number ---------------------------------------------------------------------------------

namespace cuda_on_host {
template <class To, class From>
To bit_cast(From from) {
    static_assert(sizeof(To) == sizeof(From), "bit_cast keeps the size");
    To to;
    std::memcpy(&to, &from, sizeof to);
    return to;
}
}  // namespace cuda_on_host

inline int __float_as_int(float x) {
    return cuda_on_host::bit_cast<int>(x);
}
inline unsigned __float_as_uint(float x) {
    return cuda_on_host::bit_cast<unsigned>(x);
}
inline float __int_as_float(int x) {
    return cuda_on_host::bit_cast<float>(x);
}
inline float __uint_as_float(unsigned x) {
    return cuda_on_host::bit_cast<float>(x);
}

// ---- bfloat16: the upper half of a float ------------------------------------------------------------------

struct __nv_bfloat16 {
    uint16_t bits;

    __nv_bfloat16() = default;
    __nv_bfloat16(float x) {  // rounded to the nearest; halfway to the even one
        const uint32_t u = __float_as_uint(x);
        bits = std::isnan(x) ? uint16_t(0x7fff) : uint16_t((u + 0x7fff + (u >> 16 & 1)) >> 16);
    }
    operator float() const { return __uint_as_float(uint32_t(bits) << 16); }
};
struct alignas(4) __nv_bfloat162 {
    __nv_bfloat16 x, y;
};

inline __nv_bfloat16 __float2bfloat16(float x) {
    return x;
}
inline __nv_bfloat16 __float2bfloat16_rn(float x) {
    return x;
}
inline float __bfloat162float(__nv_bfloat16 x) {
    return x;
}
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) {
    return {x, y};
}
inline __nv_bfloat162 __float22bfloat162_rn(float2 v) {
    return {v.x, v.y};
}
inline float2 __bfloat1622float2(__nv_bfloat162 v) {
    return {v.x, v.y};
}
inline float __low2float(__nv_bfloat162 v) {
    return v.x;
}
inline float __high2float(__nv_bfloat162 v) {
    return v.y;
}
inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits) {
    return cuda_on_host::bit_cast<__nv_bfloat16>(bits);
}
inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 x) {
    return x.bits;
}

// ---- arithmetic. note: fast functions are exact here; compare with a GPU by tolerance ---------------------

inline float rsqrtf(float x) {
    return 1.0f / std::sqrt(x);
}
inline float __expf(float x) noexcept {
    return std::exp(x);
}
inline float __logf(float x) noexcept {
    return std::log(x);
}
inline float __fdividef(float a, float b) {
    return a / b;
}
inline float __frcp_rn(float x) {
    return 1.0f / x;
}
inline float __fsqrt_rn(float x) {
    return std::sqrt(x);
}
inline float __frsqrt_rn(float x) {
    return 1.0f / std::sqrt(x);
}
// subtle: rounded here and not fused with what follows, as CUDA promises of these two. The compiler must believe
// that somebody may have changed the result on its way through memory.
inline float __fadd_rn(float a, float b) {
    float sum = a + b;
    __asm__("" : "+m"(sum));
    return sum;
}
inline float __fmul_rn(float a, float b) {
    float product = a * b;
    __asm__("" : "+m"(product));
    return product;
}
inline float __fmaf_rn(float a, float b, float c) {
    return std::fma(a, b, c);
}
inline float __saturatef(float x) {
    return x > 0 ? (x < 1 ? x : 1.0f) : 0.0f;
}

// CUDA has these without std::, for equal types.
#define CUDA_ON_HOST_MIN_MAX(T) \
    inline T min(T a, T b) {    \
        return b < a ? b : a;   \
    }                           \
    inline T max(T a, T b) {    \
        return a < b ? b : a;   \
    }
CUDA_ON_HOST_MIN_MAX(int)
CUDA_ON_HOST_MIN_MAX(unsigned)
CUDA_ON_HOST_MIN_MAX(long)
CUDA_ON_HOST_MIN_MAX(unsigned long)
CUDA_ON_HOST_MIN_MAX(long long)
CUDA_ON_HOST_MIN_MAX(unsigned long long)
#undef CUDA_ON_HOST_MIN_MAX

// Of a number and a NaN, the number.
inline float min(float a, float b) {
    return std::fmin(a, b);
}
inline float max(float a, float b) {
    return std::fmax(a, b);
}
inline double min(double a, double b) {
    return std::fmin(a, b);
}
inline double max(double a, double b) {
    return std::fmax(a, b);
}

// ---- integers ---------------------------------------------------------------------------------------------

inline int __popc(unsigned x) {
    return __builtin_popcount(x);
}
inline int __clz(int x) {
    return x == 0 ? 32 : __builtin_clz(unsigned(x));
}
inline int __ffs(int x) {  // 1 + the place of the lowest bit; 0 for none
    return __builtin_ffs(x);
}
inline unsigned __umulhi(unsigned a, unsigned b) {
    return unsigned(uint64_t(a) * b >> 32);
}
inline unsigned
__activemask() {  // on a GPU: the lanes that happen to run together; here every lane runs alone
    return 1u << cuda_on_host::thread_rank() % 32;
}

// ---- loads and stores with a cache hint, which a CPU does not take ----------------------------------------

template <class T>
T __ldg(const T* p) {
    return *p;
}
template <class T>
T __ldcs(const T* p) {
    return *p;
}
template <class T>
T __ldcg(const T* p) {
    return *p;
}
template <class T>
void __stcs(T* p, T value) {
    *p = value;
}
template <class T>
void __stcg(T* p, T value) {
    *p = value;
}

// ---- atomics: each returns what was there before ----------------------------------------------------------

namespace cuda_on_host {
// Replaces *p by change(*p), whatever other threads do meanwhile.
template <class T, class F>
T atomic_change(T* p, F change) {
    T before, after;
    __atomic_load(p, &before, __ATOMIC_RELAXED);
    do after = change(before);
    while (!__atomic_compare_exchange(p, &before, &after, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return before;
}
template <class T>
struct Same {  // a parameter of this type takes no part in deducing T: atomicAdd(&x, 1) with a float x
    using type = T;
};
}  // namespace cuda_on_host

template <class T>
T atomicAdd(T* p, typename cuda_on_host::Same<T>::type value) {
    return cuda_on_host::atomic_change(p, [&](T x) { return x + value; });
}
template <class T>
T atomicSub(T* p, typename cuda_on_host::Same<T>::type value) {
    return cuda_on_host::atomic_change(p, [&](T x) { return x - value; });
}
template <class T>
T atomicMin(T* p, typename cuda_on_host::Same<T>::type value) {
    return cuda_on_host::atomic_change(p, [&](T x) { return value < x ? value : x; });
}
template <class T>
T atomicMax(T* p, typename cuda_on_host::Same<T>::type value) {
    return cuda_on_host::atomic_change(p, [&](T x) { return x < value ? value : x; });
}
template <class T>
T atomicAnd(T* p, typename cuda_on_host::Same<T>::type value) {
    return cuda_on_host::atomic_change(p, [&](T x) { return x & value; });
}
template <class T>
T atomicOr(T* p, typename cuda_on_host::Same<T>::type value) {
    return cuda_on_host::atomic_change(p, [&](T x) { return x | value; });
}
template <class T>
T atomicExch(T* p, typename cuda_on_host::Same<T>::type value) {
    return cuda_on_host::atomic_change(p, [&](T) { return value; });
}
// Stores value where `expected` was.
template <class T>
T atomicCAS(T* p, typename cuda_on_host::Same<T>::type expected, typename cuda_on_host::Same<T>::type value) {
    __atomic_compare_exchange(p, &expected, &value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    return expected;
}

inline void __threadfence() {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
inline void __threadfence_block() {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

// A kernel that finds that something is wrong: on a GPU the launch fails, here the program says where.
[[noreturn]] inline void __trap() {
    cuda_on_host::stop_block("__trap()");
}
