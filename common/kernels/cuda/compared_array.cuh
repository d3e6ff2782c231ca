// compared_array.cuh - device memory for the comparison of a fast form with the plain one (rungs.h). Not for
// launchers: it waits for the device, which their Scratch must not.
#pragma once
#include <cstdint>
#include <vector>

#include "core/device.h"
#include "core/rng.h"

template <class T>
class ComparedArray {
  public:
    ComparedArray(int64_t n, uint64_t stream) : n_(size_t(n)) {  // random numbers that bfloat16 holds
        std::vector<T> values(n_);
        RandomStream random{314, stream};
        for (T& x : values) x = T(float(__nv_bfloat16(random.next_normal())));
        upload(values);
    }
    explicit ComparedArray(const std::vector<T>& values) : n_(values.size()) { upload(values); }
    ~ComparedArray() { device_free(Device::kCuda, memory_, bytes()); }
    ComparedArray(const ComparedArray&) = delete;
    ComparedArray& operator=(const ComparedArray&) = delete;

    operator T*() const { return memory_; }
    std::vector<float> host() const {
        std::vector<T> values(n_);
        CUDA_CHECK(cudaDeviceSynchronize());
        device_download(Device::kCuda, values.data(), memory_, bytes());
        return {values.begin(), values.end()};
    }

  private:
    void upload(const std::vector<T>& values) {
        memory_ = static_cast<T*>(device_alloc(Device::kCuda, bytes()));
        device_upload(Device::kCuda, memory_, values.data(), bytes());
    }
    size_t bytes() const { return n_ * sizeof(T); }
    size_t n_;
    T* memory_ = nullptr;
};
