// attention.cpp - how fast the attention kernels are: time per call and GFLOP/s, forward and backward, 1 and
// 2 threads. Counted is the causal half alone: a pair (query, key <= query) costs 2 HS operations in each
// product, and there are 2 products in the forward and 5 in the backward.
//
// Not here: a bar. Attention is part of a training step, and the step has one.
//
// Run: make benches && build/cpu/bench/attention [dropout probability]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "core/parallel.h"
#include "core/rng.h"
#include "kernels/kernels.h"

namespace {

struct Size {
    const char* name;
    int64_t B, T, NH, HS;
};

const Size kSizes[] = {
    {"(a) B64 T64 NH4 HS32", 64, 64, 4, 32},
    {"(b) B16 T256 NH6 HS64", 16, 256, 6, 64},
    {"(c) B4 T512 NH4 HS4", 4, 512, 4, 4},
    {"(e) B64 T32 NH4 HS16", 64, 32, 4, 16},
};

double now_ms() {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

// The shortest of many calls: on a shared machine the others measure the neighbours.
template <class F>
double shortest_ms(F&& call) {
    double best = 1e30;
    const double stop = now_ms() + 400;
    for (int i = 0; i < 5 || now_ms() < stop; i++) {
        const double begin = now_ms();
        call();
        best = std::min(best, now_ms() - begin);
    }
    return best;
}

void measure(const Size& size, int threads, float dropout) {
    const int64_t B = size.B, T = size.T, NH = size.NH, HS = size.HS;
    parallel::set_num_threads(threads);
    std::vector<float> qkv(size_t(B * T * 3 * NH * HS)), dqkv(qkv.size());
    std::vector<float> out(size_t(B * T * NH * HS)), dout(out.size()), lse(size_t(B * NH * T));
    RandomStream random{1, 2};
    for (float& x : qkv) x = random.next_normal();
    for (float& x : dout) x = random.next_normal();
    const DropoutMask mask{dropout, 3, 4};

    const double forward_ms = shortest_ms(
        [&] { cpu::attention_forward(out.data(), lse.data(), qkv.data(), B, T, NH, HS, mask, {}); });
    const double backward_ms = shortest_ms([&] {
        cpu::attention_backward(dqkv.data(), dout.data(), qkv.data(), out.data(), lse.data(), B, T, NH, HS,
                                mask, {});
    });
    const double gflop = double(B * NH) * double(T * (T + 1) / 2) * 2 * double(HS) * 1e-9;  // of one product
    std::printf("%-24s %7d %9.3f %9.1f %9.3f %9.1f %9.3f %9.1f\n", size.name, threads, forward_ms,
                2e3 * gflop / forward_ms, backward_ms, 5e3 * gflop / backward_ms, forward_ms + backward_ms,
                7e3 * gflop / (forward_ms + backward_ms));
}

}  // namespace

int main(int argc, char** argv) {
    const float dropout = argc > 1 ? float(std::atof(argv[1])) : 0.0f;
    std::printf("attention, dropout %g\n%-24s %7s %9s %9s %9s %9s %9s %9s\n", double(dropout), "size",
                "threads", "fwd ms", "GFLOP/s", "bwd ms", "GFLOP/s", "both ms", "GFLOP/s");
    for (const Size& size : kSizes)
        for (int threads : {1, 2}) measure(size, threads, dropout);
}
