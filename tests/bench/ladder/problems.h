// problems.h - what the rungs of each family are given and what they should answer: inputs in device memory, the
// answer of the CPU's kernel (of a double-precision loop where the CPU has none), how close is close enough, and
// how much work it is.
// Not here: comparing and timing (../ladder.cpp).
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/rng.h"
#include "kernels/kernels.h"
#include "tests/bench/ladder/ladder.h"
#include "tests/support/device_memory.h"

namespace ladder {

// An array that a rung writes, and what the CPU says should be in it.
struct Answer {
    const char* name;
    std::vector<float> got, want;
    double tolerance;  // of |want|, and of the scale that numbers here have
};

constexpr double kBf16Rounding = 0x1p-8;  // relative, half a unit in the last place

// n standard normal numbers that bfloat16 holds, different for each stream. Long arrays repeat themselves, at a
// distance that is no size's multiple: to draw half a billion numbers takes a CPU a minute.
inline std::vector<float> bf16_numbers(int64_t n, uint64_t stream) {
    constexpr int64_t kPeriod = 65521;
    std::vector<float> x(static_cast<size_t>(n));
    RandomStream random{2718, stream};
    for (int64_t i = 0; i < n; i++)
        x[size_t(i)] = i < kPeriod ? float(__nv_bfloat16(random.next_normal())) : x[size_t(i - kPeriod)];
    return x;
}

inline std::vector<float> nothing(int64_t n) {
    return std::vector<float>(static_cast<size_t>(n), NAN);
}

// Every problem: sizes to be checked at (1, odd, ragged, real but small) and timed at; run() on the device; the
// answers, with NaN wherever a rung did not write; the operations and bytes that the task needs, however it is
// done.
template <class Family>
class Problem;

template <>
class Problem<Matmul> {
  public:
    static std::vector<Matmul::Sizes> checked() {
        return {{1, 1, 1},     {1, 65, 128},   {2, 3, 5},      {7, 17, 9},     {65, 63, 17},   {65, 129, 65},
                {48, 49, 515}, {128, 128, 64}, {130, 200, 97}, {72, 200, 104}, {256, 384, 128}};
    }
    static std::vector<Matmul::Sizes> timed() { return {{4096, 4096, 4096}, {8192, 3072, 768}}; }

    explicit Problem(Matmul::Sizes s)
        : s(s),
          a(bf16_numbers(s.M * s.K, 1)),
          b(bf16_numbers(s.K * s.N, 2)),
          a_d(a),
          b_d(b),
          out(s.M * s.N) {}
    void run(Matmul::Function* matmul) { matmul(out, a_d, b_d, s.M, s.N, s.K, {}); }
    std::vector<Answer> answers(bool) const {
        std::vector<float> want = nothing(s.M * s.N);
        cpu::gemm(want.data(), a.data(), b.data(), nullptr, s.M, s.N, s.K, false, false, false, {});
        // Float sums of K products with a spread of 1: their rounding grows like sqrt(K), here with a margin of ten.
        return {{"out", out.host(), want, 1e-6 * (4 + std::sqrt(double(s.K))) + kStorageRounding}};
    }
    double operations() const { return 2.0 * double(s.M) * double(s.N) * double(s.K); }
    double bytes() const { return sizeof(real) * double(s.M * s.K + s.K * s.N + s.M * s.N); }

  private:
    Matmul::Sizes s;
    std::vector<float> a, b;
    RealArray a_d, b_d, out;
};

template <>
class Problem<Softmax> {
  public:
    static std::vector<RowSizes> checked() {
        return {{1, 1},   {3, 2},    {5, 17},   {2, 33},   {33, 65},
                {4, 257}, {7, 1000}, {2, 1025}, {3, 4099}, {16, 768}};
    }
    static std::vector<RowSizes> timed() { return {{65536, 1024}, {4096, 50257}}; }

    explicit Problem(RowSizes s) : s(s), inp(bf16_numbers(s.N * s.C, 1)), out(s.N * s.C) {
        // One row whose exponentials overflow when nobody subtracts the maximum.
        for (int64_t c = 0; c < s.C; c++) inp[size_t(c)] = c % 3 ? 96.0f : 100.0f;
        inp_d = std::make_unique<RealArray>(inp);
    }
    void run(Softmax::Function* softmax) { softmax(out, *inp_d, s.N, s.C, {}); }
    std::vector<Answer> answers(bool) const {
        std::vector<float> want = nothing(s.N * s.C);
        for (int64_t n = 0; n < s.N; n++) {
            const float* x = &inp[size_t(n * s.C)];
            const double most = double(*std::max_element(x, x + s.C));
            double sum = 0;
            for (int64_t c = 0; c < s.C; c++) sum += std::exp(double(x[c]) - most);
            for (int64_t c = 0; c < s.C; c++)
                want[size_t(n * s.C + c)] = float(std::exp(double(x[c]) - most) / sum);
        }
        return {{"out", out.host(), want, 2e-5 + kStorageRounding}};
    }
    double operations() const { return 5.0 * double(s.N * s.C); }
    double bytes() const { return 2.0 * sizeof(real) * double(s.N * s.C); }

  private:
    RowSizes s;
    std::vector<float> inp;
    RealArray out;
    std::unique_ptr<RealArray> inp_d;
};

template <>
class Problem<LayerNorm> {
  public:
    static std::vector<RowSizes> checked() {
        return {{1, 1},    {4, 7},   {5, 16},   {3, 17},   {33, 65},
                {65, 100}, {2, 257}, {3, 1030}, {3, 4099}, {16, 768}};
    }
    static std::vector<RowSizes> timed() { return {{65536, 768}, {8192, 1600}}; }

    explicit Problem(RowSizes s)
        : s(s),
          inp(bf16_numbers(s.N * s.C, 1)),
          weight(bf16_numbers(s.C, 2)),
          bias(bf16_numbers(s.C, 3)),
          inp_d(inp),
          weight_d(weight),
          bias_d(bias),
          out(s.N * s.C),
          mean(s.N),
          rstd(s.N) {}
    void run(LayerNorm::Function* layernorm) {
        layernorm(out, mean, rstd, inp_d, weight_d, bias_d, s.N, s.C, {});
    }
    std::vector<Answer> answers(bool) const {
        std::vector<float> out_want = nothing(s.N * s.C), mean_want = nothing(s.N), rstd_want = nothing(s.N);
        cpu::layernorm_forward(out_want.data(), mean_want.data(), rstd_want.data(), inp.data(), weight.data(),
                               bias.data(), s.N, s.C, {});
        // Float sums over C of numbers around 1, and one division.
        const double tolerance = 2e-5;
        return {{"out", out.host(), out_want, tolerance + kStorageRounding},
                {"mean", mean.host(), mean_want, tolerance},
                {"rstd", rstd.host(), rstd_want, tolerance}};
    }
    double operations() const { return 8.0 * double(s.N * s.C); }
    double bytes() const { return 2.0 * sizeof(real) * double(s.N * s.C) + 8.0 * double(s.N); }

  private:
    RowSizes s;
    std::vector<float> inp, weight, bias;
    RealArray inp_d, weight_d, bias_d, out;
    FloatArray mean, rstd;
};

// dinp has a gradient already, as in a residual stream: it is added to.
template <>
class Problem<LayerNormBackward> {
  public:
    static std::vector<RowSizes> checked() { return Problem<LayerNorm>::checked(); }
    static std::vector<RowSizes> timed() { return {{65536, 768}, {8192, 1600}}; }

    explicit Problem(RowSizes s)
        : s(s),
          inp(bf16_numbers(s.N * s.C, 1)),
          weight(bf16_numbers(s.C, 2)),
          dout(bf16_numbers(s.N * s.C, 3)),
          dinp_before(bf16_numbers(s.N * s.C, 4)),
          mean(nothing(s.N)),
          rstd(nothing(s.N)),
          inp_d(inp),
          weight_d(weight),
          dout_d(dout),
          dinp(dinp_before),
          dweight(std::vector<float>(size_t(s.C))),
          dbias(std::vector<float>(size_t(s.C))) {
        std::vector<float> out = nothing(s.N * s.C);
        const std::vector<float> bias(size_t(s.C));
        cpu::layernorm_forward(out.data(), mean.data(), rstd.data(), inp.data(), weight.data(), bias.data(),
                               s.N, s.C, {});
        mean_d = std::make_unique<FloatArray>(mean);
        rstd_d = std::make_unique<FloatArray>(rstd);
    }
    void run(LayerNormBackward::Function* backward) {
        backward(dinp, dweight, dbias, dout_d, inp_d, weight_d, *mean_d, *rstd_d, s.N, s.C, true, {});
    }
    std::vector<Answer> answers(bool) const {
        std::vector<float> dinp_want = dinp_before, dweight_want(weight.size()), dbias_want(weight.size());
        cpu::layernorm_backward(dinp_want.data(), dweight_want.data(), dbias_want.data(), dout.data(),
                                inp.data(), weight.data(), mean.data(), rstd.data(), s.N, s.C, true, {});
        // Float sums over C, and over N of numbers around 1: their rounding grows like sqrt(N).
        const double columns = 4e-6 * (4 + std::sqrt(double(s.N)));
        return {{"dinp", dinp.host(), dinp_want, 2e-5 + kStorageRounding},
                {"dweight", dweight.host(), dweight_want, columns},
                {"dbias", dbias.host(), dbias_want, columns}};
    }
    double operations() const { return 14.0 * double(s.N * s.C); }
    double bytes() const { return 4.0 * sizeof(real) * double(s.N * s.C) + 8.0 * double(s.N); }

  private:
    RowSizes s;
    std::vector<float> inp, weight, dout, dinp_before, mean, rstd;
    RealArray inp_d, weight_d, dout_d, dinp;
    FloatArray dweight, dbias;
    std::unique_ptr<FloatArray> mean_d, rstd_d;
};

// What both directions of attention need: the CPU's results, on the host and rounded on the device.
struct AttentionData {
    AttentionSizes s;
    int64_t rows, C;
    std::vector<float> qkv, dout, out, lse;

    explicit AttentionData(AttentionSizes s)
        : s(s),
          rows(s.B * s.T),
          C(s.NH * s.HS),
          qkv(bf16_numbers(rows * 3 * C, 1)),
          dout(bf16_numbers(rows * C, 2)),
          out(nothing(rows * C)),
          lse(nothing(rows * s.NH)) {}
    // Not in the constructor: at the sizes that are timed nobody asks, and a CPU takes its time.
    void forward_on_cpu() {
        cpu::attention_forward(out.data(), lse.data(), qkv.data(), s.B, s.T, s.NH, s.HS, {}, {});
    }
    static std::vector<AttentionSizes> checked() {
        return {{1, 1, 1, 1},   {2, 3, 1, 4},    {1, 31, 2, 16},  {2, 33, 3, 5},   {1, 65, 2, 32},
                {1, 64, 1, 64}, {1, 100, 2, 33}, {1, 129, 1, 64}, {1, 40, 1, 128}, {1, 256, 2, 64}};
    }
    static std::vector<AttentionSizes> timed() { return {{8, 1024, 12, 64}, {4, 2048, 8, 128}}; }
    // Two products of T x T scores and HS channels, half of them behind the causal mask.
    double operations() const { return 2.0 * double(s.B * s.NH * s.HS) * double(s.T) * double(s.T); }
};

template <>
class Problem<AttentionForward> {
  public:
    static std::vector<AttentionSizes> checked() { return AttentionData::checked(); }
    static std::vector<AttentionSizes> timed() { return AttentionData::timed(); }

    explicit Problem(AttentionSizes s)
        : data(s), qkv(data.qkv), out(data.rows * data.C), lse(data.rows * s.NH) {}
    void run(AttentionForward::Function* attention) {
        attention(out, lse, qkv, data.s.B, data.s.T, data.s.NH, data.s.HS, {}, {});
    }
    std::vector<Answer> answers(bool rounds_to_bf16) {
        data.forward_on_cpu();
        const double tolerance = 1e-5;  // as tests/kernels/problems/attention.h has it
        return {
            {"out", out.host(), data.out, tolerance + (rounds_to_bf16 ? kBf16Rounding : kStorageRounding)},
            {"lse", lse.host(), data.lse, tolerance}};
    }
    double operations() const { return data.operations(); }
    double bytes() const { return 4.0 * sizeof(real) * double(data.rows * data.C); }

  private:
    AttentionData data;
    RealArray qkv, out;
    FloatArray lse;
};

template <>
class Problem<AttentionBackward> {
  public:
    static std::vector<AttentionSizes> checked() { return AttentionData::checked(); }
    static std::vector<AttentionSizes> timed() { return AttentionData::timed(); }

    explicit Problem(AttentionSizes s)
        : data(s),
          qkv(data.qkv),
          dout(data.dout),
          out(data.rows * data.C),
          dqkv(data.rows * 3 * data.C),
          lse(data.rows * s.NH) {
        gpu::attention_forward(out, lse, qkv, s.B, s.T, s.NH, s.HS, {}, {});
    }
    void run(AttentionBackward::Function* attention) {
        attention(dqkv, dout, qkv, out, lse, data.s.B, data.s.T, data.s.NH, data.s.HS, {}, {});
    }
    std::vector<Answer> answers(bool rounds_to_bf16) {
        data.forward_on_cpu();
        std::vector<float> want = nothing(data.rows * 3 * data.C);
        cpu::attention_backward(want.data(), data.dout.data(), data.qkv.data(), data.out.data(),
                                data.lse.data(), data.s.B, data.s.T, data.s.NH, data.s.HS, {}, {});
        // Sums of up to T terms of either sign: errors are relative to the largest element, not to each.
        double largest = 1;
        for (float x : want) largest = std::max(largest, std::fabs(double(x)));
        const double rounding = rounds_to_bf16 ? 2 * kBf16Rounding : 2 * kStorageRounding;
        return {{"dqkv", dqkv.host(), want, (3e-5 + rounding) * largest}};
    }
    double operations() const { return 2.5 * data.operations(); }  // five products, where the forward has two
    double bytes() const { return 8.0 * sizeof(real) * double(data.rows * data.C); }

  private:
    AttentionData data;
    RealArray qkv, dout, out, dqkv;
    FloatArray lse;
};

}  // namespace ladder
