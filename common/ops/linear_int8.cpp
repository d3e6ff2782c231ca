// linear_int8.cpp - a linear with its weight in 8 bits: how the codes are made, and the product for a model that writes.
// Forward only: who trains needs all bits of a weight (linear.cpp).
#include <algorithm>
#include <cmath>

#include "ops/ops.h"

Int8Weight::Int8Weight(const Tensor& weight)
    : name(weight.name),
      OC(weight.shape[0]),
      IC(weight.shape[1]),
      device(weight.device),
      codes(static_cast<int8_t*>(device_alloc(device, size_t(OC * IC)))),
      scale(static_cast<float*>(device_alloc(device, size_t(OC) * sizeof(float)))) {
    constexpr float kLargestCode = 127;
    const std::vector<float> floats = floats_on_host(device, weight.ptr(), OC * IC);
    std::vector<int8_t> all_codes(floats.size());
    std::vector<float> scales(static_cast<size_t>(OC));
    for (int64_t o = 0; o < OC; o++) {
        const float* row = &floats[size_t(o * IC)];
        float largest = 0;
        for (int64_t i = 0; i < IC; i++) {
            if (!std::isfinite(row[i]))
                user_error("%s has a weight that is not finite: it has no 8-bit form", weight.name);
            largest = std::max(largest, std::fabs(row[i]));
        }
        scales[size_t(o)] = largest / kLargestCode;
        if (scales[size_t(o)] == 0) continue;  // nothing but zeros, or next to nothing
        for (int64_t i = 0; i < IC; i++)
            all_codes[size_t(o * IC + i)] = int8_t(std::nearbyint(row[i] / largest * kLargestCode));
    }
    device_upload(device, codes, all_codes.data(), all_codes.size());
    device_upload(device, scale, scales.data(), scales.size() * sizeof(float));
}

Int8Weight::~Int8Weight() {
    device_free(device, codes, size_t(OC * IC));
    device_free(device, scale, size_t(OC) * sizeof(float));
}

std::vector<float> Int8Weight::floats() const {
    std::vector<int8_t> all_codes(static_cast<size_t>(OC * IC));
    device_download(device, all_codes.data(), codes, all_codes.size());
    const std::vector<float> scales = floats_on_host(device, scale, OC);
    std::vector<float> floats(all_codes.size());
    for (size_t i = 0; i < floats.size(); i++) floats[i] = scales[i / size_t(IC)] * float(all_codes[i]);
    return floats;
}

Tensor linear_int8(Context& ctx, const Tensor& x, const Int8Weight& weight, const Tensor& bias,
                   const Tensor& residual) {
    CHECK(!ctx.is_recording, "[linear_int8] has no backward: use NoGrad");
    CHECK(x.last() == weight.IC, "[linear_int8] x has %lld columns, %s wants %lld",
          static_cast<long long>(x.last()), weight.name, static_cast<long long>(weight.IC));
    CHECK(bias.is_null() || bias.numel() == weight.OC,
          "[linear_int8] the weight gives %lld columns, %s has %lld", static_cast<long long>(weight.OC),
          bias.name, static_cast<long long>(bias.numel()));
    Tensor y = x.ndim == 3 ? ctx.make("linear_int8", {x.shape[0], x.shape[1], weight.OC})
                           : ctx.make("linear_int8", {x.rows(), weight.OC});
    CHECK(residual.is_null() || same_shape(y, residual), "[linear_int8] residual is %s, the product %s",
          residual.shape_text().c_str(), y.shape_text().c_str());
    const auto pointer = [&](const Tensor& t) { return t.is_null() ? Pointer{nullptr, y.dtype} : t.ptr(); };
    ctx.work(2.0 * double(x.rows()) * double(weight.IC) * double(weight.OC), weight.name);
    DISPATCH(ctx, linear_int8_forward, y.ptr(), x.ptr(), weight.codes, weight.scale, pointer(bias),
             pointer(residual), x.rows(), weight.IC, weight.OC);
    ctx.inspect("linear_int8", "forward", y.ptr(), y);
    return y;
}
