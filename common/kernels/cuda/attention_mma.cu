// attention_mma.cu - the fast form of attention: the kernels of attention_mma.cuh for each width of head.
#include "kernels/cuda/attention_mma.cuh"

#include "kernels/cuda/attention_forms.h"

namespace attention_mma {

namespace {

template <int kWidth>
using Fast = Form<kWidth, true, 2, true>;

// Calls launch_with(Form), the narrowest that holds a head of HS channels.
template <class Launch>
void with_form(int64_t HS, Launch launch_with) {
    CHECK(has_head_size(HS), "[attention] head size %lld: on tensor cores it is a multiple of 8, 8 to 128",
          static_cast<long long>(HS));
    if (HS <= 16) return launch_with(Fast<16>());
    if (HS <= 32) return launch_with(Fast<32>());
    if (HS <= 64) return launch_with(Fast<64>());
    launch_with(Fast<128>());
}

// Copies go 16 bytes at a time; rows are multiples of that, so it is enough that the first begins well.
void check_aligned(const void* p, const char* name) {
    CHECK(reinterpret_cast<uintptr_t>(p) % 16 == 0,
          "[attention] %s begins at an address that is no multiple of 16", name);
}

}  // namespace

bool has_head_size(int64_t HS) {
    return HS >= 8 && HS <= 128 && HS % 8 == 0;
}

void forward(bf16* out, float* lse, const bf16* qkv, int64_t B, int64_t T, int64_t NH, int64_t HS,
             DropoutMask mask, Stream s) {
    check_aligned(qkv, "qkv"), check_aligned(out, "out");
    with_form(HS, [&](auto form) {
        if (B * T * NH > 0) forward_in_form<decltype(form)>(out, lse, qkv, {B, T, NH, HS}, mask, s);
    });
}

void backward(bf16* dqkv, const bf16* dout, const bf16* qkv, const bf16* out, const float* lse, int64_t B,
              int64_t T, int64_t NH, int64_t HS, DropoutMask mask, Stream s) {
    check_aligned(qkv, "qkv"), check_aligned(dqkv, "dqkv"), check_aligned(dout, "dout");
    with_form(HS, [&](auto form) {
        if (B * T * NH > 0)
            backward_in_form<decltype(form)>(dqkv, dout, qkv, out, lse, {B, T, NH, HS}, mask, s);
    });
}

}  // namespace attention_mma
