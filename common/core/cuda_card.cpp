// cuda_card.cpp - the machine's GPU against what this program needs; see cuda_card.h.
// Source: CUDA C++ Programming Guide, "Versioning and Compatibility" and "Binary Compatibility".
#include "core/cuda_card.h"

#include <algorithm>

#include "core/check.h"

#if defined(GPT_WITH_GPU)

namespace {

#if defined(GPT_PRECISION_BF16)
constexpr bool kStoresBf16 = true;
#else
constexpr bool kStoresBf16 = false;
#endif

// The Makefile passes -DGPT_CUDA_ARCHS=80,90.
std::vector<int> compiled_archs() {
#if defined(GPT_CUDA_ARCHS)
    return {GPT_CUDA_ARCHS};
#else
    return {};
#endif
}

std::string version_text(int version) {
    return format("%d.%d", version / 1000, version % 1000 / 10);
}

}  // namespace

CudaMachine look_at_cuda_machine() {
    CudaMachine machine;
    cudaDriverGetVersion(&machine.driver);
    cudaRuntimeGetVersion(&machine.runtime);
    machine.start = cudaGetDeviceCount(&machine.cards);
    cudaDeviceProp card;
    if (machine.start == cudaSuccess && machine.cards > 0 &&
        (machine.start = cudaGetDeviceProperties(&card, 0)) == cudaSuccess) {
        machine.name = card.name;
        machine.major = card.major;
        machine.minor = card.minor;
    }
    cudaGetLastError();  // what is wrong is reported from here, not by the next call
    return machine;
}

std::string cuda_problem(const CudaMachine& machine, bool stores_bf16, const std::vector<int>& archs) {
    if (machine.driver == 0) return "there is no NVIDIA driver on this machine, so no GPU to compute on";
    if (machine.start == cudaErrorInsufficientDriver)
        return format(
            "the NVIDIA driver knows CUDA %s and this program was built with %s: update the driver, or "
            "build with CUDA Toolkit %s or older",
            version_text(machine.driver).c_str(), version_text(machine.runtime).c_str(),
            version_text(machine.driver).c_str());
    if (machine.start == cudaErrorNoDevice || (machine.start == cudaSuccess && machine.cards == 0))
        return "there is no NVIDIA GPU on this machine (or CUDA_VISIBLE_DEVICES hides it)";
    if (machine.start != cudaSuccess)
        return format("CUDA does not start: %s (%s)", cudaGetErrorString(machine.start),
                      cudaGetErrorName(machine.start));

    const int arch = machine.major * 10 + machine.minor;
    if (stores_bf16 && machine.major < 8)
        return format(
            "%s (compute capability %d.%d) has no bfloat16, which begins with 8.0: build with "
            "BUILD=cuda PRECISION=fp32 CUDA_ARCH=%d",
            machine.name.c_str(), machine.major, machine.minor, arch);
    const bool has_machine_code = std::any_of(archs.begin(), archs.end(), [&](int compiled) {
        return compiled / 10 == machine.major && compiled % 10 <= machine.minor;
    });
    if (!archs.empty() && !has_machine_code && arch < archs.back()) {
        std::string built;
        for (const int compiled : archs)
            built += (built.empty() ? "sm_" : ", sm_") + std::to_string(compiled);
        return format(
            "%s is an sm_%d and this program has kernels for %s: build with BUILD=cuda CUDA_ARCH=%d",
            machine.name.c_str(), arch, built.c_str(), arch);
    }
    return "";
}

#endif

const std::string& device_problem(Device device) {
    static const std::string none, not_built = "this build has no CUDA kernels";
    if (device == Device::kCpu) return none;
#if defined(GPT_WITH_GPU)
    static const std::string problem = cuda_problem(look_at_cuda_machine(), kStoresBf16, compiled_archs());
    return problem;
#else
    return not_built;
#endif
}

std::string where_computed(Device device, bool is_automatic, int threads) {
    const std::string on_cpu = format("%d threads", threads);
#if defined(GPT_WITH_GPU)
    if (device == Device::kCuda && !is_cuda_emulated())
        return "CUDA on " + look_at_cuda_machine().name + (kStoresBf16 ? ", bf16" : ", fp32");
    if (device == Device::kCuda)
        return on_cpu + " that emulate CUDA, for reading and checking, not for speed";
    if (is_automatic && !is_cuda_emulated()) return on_cpu + " of the CPU: " + device_problem(Device::kCuda);
#endif
    static_cast<void>(device), static_cast<void>(is_automatic);
    return on_cpu;
}
