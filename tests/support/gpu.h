// gpu.h - what the tests of gpu:: share: arrays in device memory, every result computed twice, and what the
// storage type costs. On the CPU, where CUDA is emulated, "twice" is once with the threads and blocks in
// reverse order and with NaN in shared memory that nobody wrote: two threads that forgot to wait for each other
// have then changed places. On a GPU it is once more, for sums that depend on who comes first.
// Not here: comparing within a tolerance (allclose.h). Only for builds that have gpu::.
#pragma once
#include <cstdint>
#include <vector>

#include "core/device.h"
#include "kernels/kernels.h"
#include "tests/support/arrays.h"
#include "tests/support/catch.h"

#ifdef GPT_WITH_GPU

// ThreadSanitizer pays for every CUDA thread as for one of the system's: there tests leave their larger sizes out.
#if defined(__SANITIZE_THREAD__)
constexpr bool kUnderTsan = true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
constexpr bool kUnderTsan = true;
#else
constexpr bool kUnderTsan = false;
#endif
#else
constexpr bool kUnderTsan = false;
#endif

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

// compute() launches kernels and returns what they wrote, an array for each output.
template <class F>
std::vector<std::vector<float>> in_any_order(F compute) {
    const std::vector<std::vector<float>> forward = compute();
    const ReverseOrder reverse;
    const std::vector<std::vector<float>> again = compute();
    REQUIRE(forward.size() == again.size());
    for (size_t output = 0; output < forward.size(); output++) {
        CAPTURE(output);
        REQUIRE(same_bytes(forward[output], again[output]));
    }
    return forward;
}

#endif
