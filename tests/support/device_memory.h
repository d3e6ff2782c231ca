// device_memory.h - for programs that call gpu:: kernels with numbers of their own: arrays in device memory, what
// the storage type costs, and the reverse order of CUDA threads.
// Not here: Catch2 (gpu.h has what tests add). Only for builds that have gpu::.
#pragma once
#include <cstdint>
#include <vector>

#include "core/device.h"
#include "kernels/kernels.h"

#ifdef GPT_WITH_GPU

// Rounding to gpu::real: relative, half a unit in the last place. 0 where it is float, as results are then
// compared with the CPU's own tolerances.
constexpr double kStorageRounding = sizeof(gpu::real) == sizeof(float) ? 0.0 : 0x1p-8;

// What gpu::real keeps of x, so that a reference loop starts from the same numbers.
inline std::vector<float> stored(std::vector<float> x) {
    for (float& value : x) value = float(gpu::real(value));
    return x;
}

// Memory of the device, an allocation of its own: AddressSanitizer sees an access behind its end.
template <class T>
class DeviceArray {
  public:
    explicit DeviceArray(int64_t n) : n_(size_t(n)) {  // full of NaN
        memory_ = static_cast<T*>(device_alloc(Device::kCuda, bytes()));
        device_fill(Device::kCuda, memory_, 0xFF, bytes());
    }
    template <class From>
    DeviceArray(const std::vector<From>& values) : DeviceArray(int64_t(values.size())) {
        const std::vector<T> converted(values.begin(), values.end());
        device_upload(Device::kCuda, memory_, converted.data(), bytes());
    }
    ~DeviceArray() { device_free(Device::kCuda, memory_, bytes()); }
    DeviceArray(const DeviceArray&) = delete;
    DeviceArray& operator=(const DeviceArray&) = delete;

    operator T*() const { return memory_; }
    std::vector<float> host() const {
        std::vector<T> values(n_);
        device_download(Device::kCuda, values.data(), memory_, bytes());
        return {values.begin(), values.end()};
    }

  private:
    size_t bytes() const { return n_ * sizeof(T); }
    size_t n_;
    T* memory_;
};

using RealArray = DeviceArray<gpu::real>;
using FloatArray = DeviceArray<float>;
using IntArray = DeviceArray<int>;

// For the life of a scope: CUDA threads and blocks take their turns from the last to the first, and each block
// finds NaN in its shared memory (static arrays only in BUILD=host). On a GPU: nothing.
class ReverseOrder {
  public:
#if defined(GPT_CUDA_ON_HOST)
    ReverseOrder() : before_(cuda_on_host::options()) {
        cuda_on_host::options().order = cuda_on_host::Order::kReverse;
        cuda_on_host::options().poison_static_shared = true;
    }
    ~ReverseOrder() {
        cuda_on_host::options() = before_;
    }
#else
    ReverseOrder() {}
#endif
    ReverseOrder(const ReverseOrder&) = delete;
    ReverseOrder& operator=(const ReverseOrder&) = delete;

#if defined(GPT_CUDA_ON_HOST)
  private:
    const cuda_on_host::Options before_;
#endif
};

#endif
