// checkpoint.h - the whole state of a training run in one safetensors file: weights under their names (the float32 masters,
// on every device), AdamW's moments as optimizer.m.NAME and optimizer.v.NAME, and the chapter's own metadata (step, options,
// data).
// Not here: what the metadata means; each chapter's main.cpp decides that.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "io/safetensors.h"
#include "nn/adamw.h"
#include "nn/parameters.h"

constexpr const char* kCheckpointName = "checkpoint.safetensors";

// A block of floats where the host can read it: itself on the CPU, a copy of another device's.
class OnHost {
  public:
    OnHost(Device device, const float* block, int64_t n) : floats_(block) {
        if (device == Device::kCpu) return;
        copy_ = floats_on_host(device, block, n);
        floats_ = copy_.data();
    }
    OnHost(const OnHost&) = delete;
    OnHost& operator=(const OnHost&) = delete;
    const float* get() const { return floats_; }

  private:
    const float* floats_;
    std::vector<float> copy_;
};

// A block that is laid out as the parameters are, as tensors of a file: prefix + the parameter's name.
inline std::vector<TensorInfo> tensors_of(const Parameters& params, const std::string& prefix,
                                          const float* block) {
    std::vector<TensorInfo> tensors;
    for (size_t i = 0; i < params.size(); i++)
        tensors.push_back({prefix + params[i].name,
                           DType::kFloat32,
                           {params[i].shape, params[i].shape + params[i].ndim},
                           block + params.offset(i)});
    return tensors;
}

// Written to a temporary name, synced, renamed: at any moment the file is the old one or the new one.
inline void save_checkpoint(const std::string& path, Parameters& params, AdamW& optimizer,
                            const std::vector<std::pair<std::string, std::string>>& metadata) {
    const OnHost values(params.device(), params.values(), params.count());
    const OnHost m(params.device(), optimizer.m(), params.count());
    const OnHost v(params.device(), optimizer.v(), params.count());
    std::vector<TensorInfo> tensors = tensors_of(params, "", values.get());
    for (const auto& [prefix, block] :
         {std::pair("optimizer.m.", m.get()), std::pair("optimizer.v.", v.get())})
        for (TensorInfo& tensor : tensors_of(params, prefix, block)) tensors.push_back(std::move(tensor));
    write_safetensors(path, tensors, metadata);
}

// Reads a tensor for each parameter i and hands it to set(i, values); a missing one or one of another shape is a user_error
// that names it.
template <class F>
void load_each(const SafetensorsFile& file, const std::string& prefix, const Parameters& params, F set) {
    std::vector<float> values;
    for (size_t i = 0; i < params.size(); i++) {
        values.resize(size_t(params[i].numel()));
        file.read_floats(prefix + params[i].name, {params[i].shape, params[i].shape + params[i].ndim},
                         values.data());
        set(i, values);
    }
}

// For a model that is only asked: where the device stores bfloat16, its weights are rounded to the nearest.
inline void load_weights(const SafetensorsFile& file, Parameters& params) {
    load_each(file, "", params,
              [&](size_t i, const std::vector<float>& values) { params.set(params[i], values); });
}

inline void load_moments(const SafetensorsFile& file, Parameters& params, AdamW& optimizer) {
    const auto load = [&](const char* prefix, float* block) {
        load_each(file, prefix, params, [&](size_t i, const std::vector<float>& values) {
            device_upload(params.device(), block + params.offset(i), values.data(),
                          values.size() * sizeof(float));
        });
    };
    load("optimizer.m.", optimizer.m());
    load("optimizer.v.", optimizer.v());
}

// For a run that goes on behind `step`, with the seed that ctx has: all of the above, and every bit as that step left it.
inline void load_training(const Context& ctx, const SafetensorsFile& file, int64_t step, Parameters& params,
                          AdamW& optimizer) {
    load_weights(file, params);
    load_moments(file, params, optimizer);
    optimizer.restore_rounding(ctx, step);
}
