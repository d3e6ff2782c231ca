#include "core/compute_options.h"

#include "core/check.h"
#include "core/dtype.h"

Device chosen_device(const std::string& device) {
    const bool has_gpu =
        has_device(Device::kCuda) && !is_cuda_emulated() && device_problem(Device::kCuda).empty();
    return device == "cuda" || (device == "auto" && has_gpu) ? Device::kCuda : Device::kCpu;
}

bool rounds_products(Device device, const std::string& precision) {
    return device == Device::kCpu && precision == "bf16";
}

const char* chosen_precision(Device device, const std::string& precision) {
    return rounds_products(device, precision) ? "bf16" : precision_name(storage_dtype(device));
}

void check_compute_options(const std::string& device, const std::string& precision, const char* program) {
    if (device == "cuda" && !has_device(Device::kCuda))
        user_error(
            "this build has no CUDA kernels; use --device cpu, or let the CPU emulate CUDA: make %s "
            "BUILD=host",
            program);
    if (device == "cuda" && !device_problem(Device::kCuda).empty())
        user_error("--device cuda: %s; --device cpu needs none", device_problem(Device::kCuda).c_str());
    if (precision.empty()) return;  // and the driver is not asked before somebody computes
    const std::string has = chosen_precision(chosen_device(device), precision);
    if (precision != has)
        user_error("--precision %s: the CUDA kernels of this build store %s; make %s BUILD=%s PRECISION=%s",
                   precision.c_str(), has.c_str(), program, is_cuda_emulated() ? "host" : "cuda",
                   precision.c_str());
}
