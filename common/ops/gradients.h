// gradients.h - how a gradient reaches an input without a kernel of its own.
#pragma once
#include "core/context.h"
#include "kernels/kernels.h"

// Adds y's gradient to x's. Where x has none yet it takes over y's memory, so the residual stream's gradient
// is never copied. Call it last in a backward: y's gradient belongs to x afterwards.
inline void pass_grad(Context& ctx, const Tensor& y, const Tensor& x) {
    CHECK(x.gradient && y.gradient && y.gradient->memory, "[%s] cannot pass a gradient on to [%s]", y.name,
          x.name);
    CHECK(x.dtype == y.dtype, "[%s] is %s and cannot pass its gradient on to [%s], which is %s", y.name,
          dtype_name(y.dtype), x.name, dtype_name(x.dtype));
    if (!x.gradient->is_written && !x.gradient->is_parameter) {
        *x.gradient = {y.gradient->memory, true, false};
        y.gradient->memory = nullptr;
        return;
    }
    const Pointer dy = ctx.grad_of(y);
    const Pointer dx =
        x.gradient->is_parameter ? Pointer{ctx.param_grad(x), DType::kFloat32} : ctx.grad(x).ptr;
    DISPATCH(ctx, accumulate, dx, dy, x.numel());
}
