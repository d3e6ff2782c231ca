// rng.h - counter-based random numbers (Philox 4x32-10): number i of a stream is a function of (seed, stream,
// i). No state to save, nothing to share between threads, and the same numbers on the CPU and on the GPU.
// Source: Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3".
#pragma once
#include <cmath>
#include <cstdint>

#if defined(__CUDACC__)
#define GPT_HOST_DEVICE __host__ __device__
#else
#define GPT_HOST_DEVICE
#endif

struct Philox4 {
    uint32_t word[4];
};

// Four random words for a 64-bit key and a 128-bit counter.
GPT_HOST_DEVICE inline Philox4 philox(uint64_t key, uint64_t counter_low, uint64_t counter_high) {
    uint32_t c0 = uint32_t(counter_low), c1 = uint32_t(counter_low >> 32);
    uint32_t c2 = uint32_t(counter_high), c3 = uint32_t(counter_high >> 32);
    uint32_t k0 = uint32_t(key), k1 = uint32_t(key >> 32);
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = uint64_t(0xD2511F53u) * c0;
        const uint64_t p1 = uint64_t(0xCD9E8D57u) * c2;
        c0 = uint32_t(p1 >> 32) ^ c1 ^ k0;
        c1 = uint32_t(p1);
        c2 = uint32_t(p0 >> 32) ^ c3 ^ k1;
        c3 = uint32_t(p0);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
}

// [0, 1) in steps of 2^-24: every value is exact in float.
GPT_HOST_DEVICE inline float uniform_from_word(uint32_t word) {
    return float(word >> 8) * 0x1p-24f;
}

// One named source of random numbers: (seed, stream) fixed, numbers drawn by index or one after another.
struct RandomStream {
    uint64_t seed = 0, stream = 0, position = 0;

    uint32_t word(uint64_t index) const { return philox(seed, index / 4, stream).word[index % 4]; }
    uint32_t next_word() { return word(position++); }
    float next_uniform() { return uniform_from_word(next_word()); }

    // An integer in [0, n), without the bias of a plain remainder (Lemire's multiply; n < 2^32).
    uint32_t next_below(uint32_t n) {
        const uint32_t threshold = (0u - n) % n;
        for (;;) {
            const uint64_t product = uint64_t(next_word()) * n;
            if (uint32_t(product) >= threshold) return uint32_t(product >> 32);
        }
    }

    // Standard normal, by Box and Muller; the second value of each pair is not kept, so that the position
    // alone is the state. Computed in double: float's logarithm would differ between math libraries in the
    // last bit more often.
    float next_normal() {
        const double u1 = (double(next_word()) + 1.0) * 0x1p-32, u2 = double(next_word()) * 0x1p-32;
        return float(std::sqrt(-2.0 * std::log(u1)) * std::cos(6.283185307179586 * u2));
    }
};

// Which dropout mask: element i of the mask is kept iff uniform(seed, i, site) >= p. A site is a use of
// dropout in a step: ctx numbers them, so that no mask repeats and the backward finds the forward's again.
struct DropoutMask {
    float p = 0;  // probability of dropping, [0, 1); 0 means no dropout and nothing is drawn
    uint64_t seed = 0, site = 0;
    uint64_t first =
        0;  // of the elements that are asked for: where they are a part of a larger mask; a multiple of 4
    // Where it is not null the mask belongs to the step that is written there: a recorded step (step_graph.h) is run again with
    // the same arguments, and only memory can tell it which step it is. On the device.
    const uint64_t* step = nullptr;

    template <class See>
    void pointers(See see) const {  // for the check of host pointers: cuda_runtime_on_host.h
        see("step", step);
    }

    GPT_HOST_DEVICE uint64_t place() const { return step ? *step << kStepShift | site : site; }
    static constexpr int kStepShift = 16;  // bits: the uses of dropout in a step, numbered

    // 0 where dropped, 1 / (1 - p) where kept.
    GPT_HOST_DEVICE float scale(uint64_t index) const {
        const Philox4 r = philox(seed, (first + index) / 4, place());
        return uniform_from_word(r.word[index % 4]) >= p ? 1.0f / (1.0f - p) : 0.0f;
    }

    // scale() of index .. index + 3 for one Philox call; index must be a multiple of 4.
    GPT_HOST_DEVICE void scale4(uint64_t index, float out[4]) const {
        const Philox4 r = philox(seed, (first + index) / 4, place());
        const float kept = 1.0f / (1.0f - p);
        for (int k = 0; k < 4; k++) out[k] = uniform_from_word(r.word[k]) >= p ? kept : 0.0f;
    }
};
