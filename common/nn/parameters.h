// parameters.h - all weights of a model in one flat block, their gradients in another: one AdamW call, one
// write to disk, and later one all-reduce. Matrices come first and vectors (biases, LayerNorm)
// behind them, so that weight decay on matrices only is one range.
// Both blocks are float32. Where the device stores bfloat16, the first holds the masters, which are trained and saved, and
// a third one, laid out in the same way, holds what kernels read: the masters, rounded. core/bfloat16.h says why there are two.
#pragma once
#include <deque>
#include <string>
#include <vector>

#include "core/bfloat16.h"
#include "core/check.h"
#include "core/device.h"
#include "core/tensor.h"

class Parameters {
  public:
    explicit Parameters(Device device) : device_(device) {}
    ~Parameters() { release(); }
    Parameters(const Parameters&) = delete;
    Parameters& operator=(const Parameters&) = delete;

    // First every parameter is declared; `slot` becomes its handle and must stay where it is. Then allocate()
    // once.
    void declare(const std::string& name, std::initializer_list<int64_t> shape, Tensor* slot) {
        CHECK(!values_, "[parameters] %s declared after allocate()", name.c_str());
        names_.push_back(name);
        slot->name = names_.back().c_str();
        slot->device = device_;
        slot->dtype = storage_dtype(device_);
        slot->ndim = 0;
        for (int64_t size : shape) slot->shape[slot->ndim++] = size;
        slots_.push_back(slot);
    }

    void allocate() {
        CHECK(!values_, "[parameters] allocated twice");
        gradients_.resize(slots_.size());
        offsets_.resize(slots_.size());
        count_ = 0;
        for (bool matrices : {true, false}) {
            for (size_t i = 0; i < slots_.size(); i++) {
                if ((slots_[i]->ndim >= 2) != matrices) continue;
                offsets_[i] = count_;
                count_ += (slots_[i]->numel() + kAlign - 1) / kAlign * kAlign;  // padding stays 0 for ever
            }
            if (matrices) matrix_count_ = count_;
        }
        values_ = static_cast<float*>(device_alloc(device_, size_t(count_) * sizeof(float)));
        grads_ = static_cast<float*>(device_alloc(device_, size_t(count_) * sizeof(float)));
        if (has_rounded_copy()) rounded_ = device_alloc(device_, rounded_bytes());
        for (size_t i = 0; i < slots_.size(); i++) {
            gradients_[i] = {grads_ + offsets_[i], true, true};
            slots_[i]->memory = has_rounded_copy() ? rounded_copy(offsets_[i]).memory : values_ + offsets_[i];
            slots_[i]->gradient = &gradients_[i];
        }
    }

    // One parameter's weights, from the host; what kernels read is rounded to the nearest.
    void set(const Tensor& parameter, const std::vector<float>& weights) {
        CHECK(parameter.gradient && parameter.gradient->is_parameter, "[%s] is no parameter", parameter.name);
        CHECK_EQ(int64_t(weights.size()), parameter.numel());
        const int64_t at = static_cast<float*>(parameter.gradient->memory) - grads_;
        device_upload(device_, values_ + at, weights.data(), weights.size() * sizeof(float));
        if (has_rounded_copy())
            upload_rounded(at, weights, [](float x, size_t) { return bfloat16_nearest(x); });
    }

    // What kernels read, made anew from the masters: as AdamW leaves it after a step, to the bit.
    void round(const WeightRounding& rounding) {
        if (!has_rounded_copy()) return;
        upload_rounded(0, floats_on_host(device_, values_, count_), [&](float x, size_t i) {
            return bfloat16_stochastic(x, rounding.words(i / 4 * 4).word[i % 4]);
        });
    }

    // On the CPU a matrix is cleared only where somebody wants to add to it: the product that comes first to its gradient
    // sets it, which saves two passes over all weights.
    // subtle: not on a GPU. A step that StepGraph replays writes gradients and asks no Context::grad, so that nobody would
    // note that they are written.
    void zero_grad() {
        CHECK(grads_, "[parameters] zero_grad before allocate()");
        const bool is_lazy = device_ == Device::kCpu;
        const int64_t begin = is_lazy ? matrix_count_ : 0;
        device_clear(device_, grads_ + begin, size_t(count_ - begin) * sizeof(float));
        for (size_t i = 0; i < slots_.size(); i++) gradients_[i].is_written = offsets_[i] >= begin;
    }

    // In the order of their declaration.
    size_t size() const { return slots_.size(); }
    const Tensor& operator[](size_t i) const { return *slots_[i]; }
    int64_t offset(size_t i) const { return offsets_[i]; }

    Device device() const { return device_; }
    float* values() { return values_; }  // on the device: the masters, where there are two kinds of weights
    // Complete: what no backward has written since zero_grad is cleared first.
    float* grads() const {
        for (const Tensor* slot : slots_) gradient_to_add_to(*slot);
        return grads_;
    }
    // What kernels read, from an element of the block on, where that is not values(): null otherwise.
    Pointer rounded_copy(int64_t from) const {
        const Pointer copy{rounded_, storage_dtype(device_)};
        return rounded_ ? copy.at(from) : copy;
    }
    int64_t count() const { return count_; }                // floats in the block, padding included
    int64_t matrix_count() const { return matrix_count_; }  // floats in its first part, the matrices
    int64_t numel() const {                                 // weights of the model, padding left out
        int64_t n = 0;
        for (const Tensor* slot : slots_) n += slot->numel();
        return n;
    }

  private:
    static constexpr int64_t kAlign = 16;  // floats: a cache line

    bool has_rounded_copy() const { return storage_dtype(device_) != DType::kFloat32; }
    size_t rounded_bytes() const { return size_t(count_) * dtype_size(storage_dtype(device_)); }

    // round(x, i): weight i of these as bfloat16.
    template <class F>
    void upload_rounded(int64_t at, const std::vector<float>& weights, F round) {
        std::vector<uint16_t> halves(weights.size());
        for (size_t i = 0; i < halves.size(); i++) halves[i] = round(weights[i], i);
        device_upload(device_, rounded_copy(at).memory, halves.data(), halves.size() * sizeof(uint16_t));
    }

    void release() {
        device_free(device_, values_, size_t(count_) * sizeof(float));
        device_free(device_, grads_, size_t(count_) * sizeof(float));
        device_free(device_, rounded_, rounded_bytes());
    }

    Device device_;
    std::deque<std::string> names_;  // a deque: the handles point into it
    std::vector<Tensor*> slots_;
    std::vector<Gradient> gradients_;
    std::vector<int64_t> offsets_;
    float* values_ = nullptr;
    float* grads_ = nullptr;
    void* rounded_ = nullptr;
    int64_t count_ = 0, matrix_count_ = 0;
};
