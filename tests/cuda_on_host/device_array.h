// device_array.h - an array in device memory for the time of a test, and its way back.
#pragma once
#include <vector>

#include "core/device.h"

template <class T>
class DeviceArray {
  public:
    explicit DeviceArray(const std::vector<T>& values) : size_(values.size()) {
        CUDA_CHECK(cudaMalloc(&memory_, size_ * sizeof(T)));
        CUDA_CHECK(cudaMemcpy(memory_, values.data(), size_ * sizeof(T), cudaMemcpyHostToDevice));
    }
    DeviceArray(size_t n, T value) : DeviceArray(std::vector<T>(n, value)) {}
    ~DeviceArray() { cudaFree(memory_); }
    DeviceArray(const DeviceArray&) = delete;
    DeviceArray& operator=(const DeviceArray&) = delete;

    T* get() const { return memory_; }
    std::vector<T> host() const {
        std::vector<T> values(size_);
        CUDA_CHECK(cudaMemcpy(values.data(), memory_, size_ * sizeof(T), cudaMemcpyDeviceToHost));
        return values;
    }

  private:
    T* memory_ = nullptr;
    size_t size_;
};

// While one lives, blocks and threads get their turns in this order.
class InOrder {
  public:
    explicit InOrder(cuda_on_host::Order order) : before_(cuda_on_host::options().order) {
        cuda_on_host::options().order = order;
    }
    ~InOrder() { cuda_on_host::options().order = before_; }
    InOrder(const InOrder&) = delete;
    InOrder& operator=(const InOrder&) = delete;

  private:
    cuda_on_host::Order before_;
};
