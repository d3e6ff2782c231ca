// kernels.h - declares every kernel of signatures.h, in namespace cpu and, where the build has it, in
// namespace gpu. DISPATCH(ctx, gelu_forward, ...) calls the one of the context's device: one conditional
// expression, so that grep finds it and gdb steps through it. KernelCall (core/context.h) is the kernel's
// stream and, when asked, its stopwatch.
#pragma once
#include <cstdint>

#include "core/bfloat16.h"
#include "core/device.h"
#include "core/dtype.h"
#include "core/rng.h"

// A target that counts for nothing: its row has loss 0 and gradient 0.
constexpr int kIgnore = -1;

enum class Activation { kGelu, kRelu };

constexpr float kLayerNormEpsilon = 1e-5f;

namespace cpu {
using real = float;
#include "kernels/signatures.h"

// What multiplies bf16 on this machine when Stream::rounds_products says so: "bf16 by AMX tiles", for people.
const char* bf16_products();
}  // namespace cpu

#ifdef GPT_WITH_GPU
namespace gpu {
#ifdef GPT_PRECISION_BF16
using real = __nv_bfloat16;
#else
using real = float;
#endif
#include "kernels/signatures.h"
}  // namespace gpu
static_assert(DTypeOf<gpu::real>::value == storage_dtype(Device::kCuda), "tensors hold what kernels take");

#define DISPATCH(ctx, kernel, ...)                                                        \
    ((ctx).device == Device::kCuda ? gpu::kernel(__VA_ARGS__, KernelCall((ctx), #kernel)) \
                                   : cpu::kernel(__VA_ARGS__, KernelCall((ctx), #kernel)))
#else
#define DISPATCH(ctx, kernel, ...) (cpu::kernel(__VA_ARGS__, KernelCall((ctx), #kernel)))
#endif
