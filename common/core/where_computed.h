// where_computed.h - the words for where a run computes, for its first lines.
#pragma once
#include <string>

#include "core/check.h"
#include "core/device.h"

// "2 threads", "CUDA on NVIDIA ...", "2 threads of the CPU: why there is no CUDA". is_auto: nobody asked for a device.
inline std::string where_computed(Device device, bool is_auto, int threads) {
    const std::string on_threads = format("%d threads", threads);
    if (device == Device::kCuda)
        return is_cuda_emulated() ? on_threads + " that emulate CUDA, for reading and checking, not for speed"
                                  : "CUDA on " + device_description(Device::kCuda);
    const bool lacks_gpu = is_auto && has_device(Device::kCuda) && !is_cuda_emulated();
    return lacks_gpu ? on_threads + " of the CPU: " + device_problem(Device::kCuda) : on_threads;
}
