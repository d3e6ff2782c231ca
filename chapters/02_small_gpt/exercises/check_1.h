// check_1.h - checks exercise 1 against the kernel that chapter 02 writes with.
#pragma once
#include <cmath>

#include "chapters/02_small_gpt/exercises/checker.h"
#include "core/check.h"
#include "core/rng.h"
#include "kernels/kernels.h"

void cached_row(float* out, const float* q, const float* k, const float* v, int keys, int HS);

int main() {
    Verdict verdict;
    RandomStream random{5, 1};
    for (const int keys : {1, 2, 7, 33})
        for (const int HS : {1, 4, 64})
            for (const float spread : {1.0f, 30.0f}) {
                std::vector<float> qkv(size_t(3 * HS)), k(size_t(keys * HS)), v(k), got(size_t(HS), NAN),
                    want(got);
                for (std::vector<float>* x : {&qkv, &k, &v})
                    for (float& value : *x) value = spread * random.next_normal();
                cpu::attention_cached_forward(want.data(), qkv.data(), k.data(), v.data(), 1, keys, keys, 1,
                                              HS, {});
                cached_row(got.data(), qkv.data(), k.data(), v.data(), keys, HS);
                for (int d = 0; d < HS; d++)
                    verdict.right(std::fabs(got[size_t(d)] - want[size_t(d)]) <= 1e-3f * spread,
                                  format("%d keys of %d channels: out[%d] is %g, should be %g", keys, HS, d,
                                         double(got[size_t(d)]), double(want[size_t(d)])));
            }
    return verdict.finish("cached row");
}
