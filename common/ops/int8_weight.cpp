// int8_weight.cpp - a matrix rounded to 8 bits, row by row, and what the codes stand for.
// Not here: the product with the codes (linear.cpp, kernels/*/linear_int8).
#include <algorithm>
#include <cmath>

#include "ops/ops.h"

namespace {

constexpr float kLargestCode = 127;

float largest_magnitude(const float* row, int64_t n, const char* name) {
    float largest = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!std::isfinite(row[i]))
            user_error(
                "%s has a weight that is not finite and has no 8-bit form: take the floats, or another "
                "checkpoint",
                name);
        largest = std::max(largest, std::fabs(row[i]));
    }
    return largest;
}

}  // namespace

Int8Weight::Int8Weight(const Tensor& weight)
    : OC(weight.shape[0]), IC(weight.shape[1]), device(weight.device) {
    CHECK(weight.ndim == 2, "[int8_weight] %s is %s, no matrix", weight.name, weight.shape_text().c_str());
    const std::vector<float> floats = floats_on_host(device, weight.ptr(), OC * IC);
    std::vector<int8_t> all_codes(floats.size());
    std::vector<float> scales(static_cast<size_t>(OC));
    for (int64_t o = 0; o < OC; o++) {
        const float* row = floats.data() + o * IC;
        const float largest = largest_magnitude(row, IC, weight.name);
        scales[size_t(o)] = largest / kLargestCode;
        if (scales[size_t(o)] == 0) continue;  // nothing but zeros, or next to nothing
        for (int64_t i = 0; i < IC; i++)
            all_codes[size_t(o * IC + i)] = int8_t(std::nearbyint(row[i] / largest * kLargestCode));
    }
    codes = static_cast<int8_t*>(device_alloc(device, all_codes.size()));
    scale = static_cast<float*>(device_alloc(device, scales.size() * sizeof(float)));
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
    for (int64_t o = 0; o < OC; o++)
        for (int64_t i = o * IC; i < (o + 1) * IC; i++)
            floats[size_t(i)] = scales[size_t(o)] * float(all_codes[size_t(i)]);
    return floats;
}
