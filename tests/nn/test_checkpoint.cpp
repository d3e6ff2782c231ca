// test_checkpoint.cpp - a model and its optimiser to a file and back, to the bit; what does not fit is
// refused by name.
// Not here: damaged files (tests/io/test_safetensors_refusals.cpp).
#include "nn/checkpoint.h"

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/support/arrays.h"
#include "tests/support/catch.h"
#include "tests/support/gpu.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/throwing_failures.h"

namespace {

struct Model {
    Context ctx;
    Parameters params{Device::kCpu};
    Tensor weight, bias, norm;
    std::unique_ptr<AdamW> optimizer;

    // seed 0: everything zero, as a program that is about to resume finds it.
    explicit Model(uint64_t seed, int64_t width = 5, bool has_norm = true) {
        params.declare("h.0.weight", {7, width}, &weight);
        params.declare("h.0.bias", {7}, &bias);
        if (has_norm) params.declare("ln_f.weight", {3}, &norm);
        params.allocate();
        optimizer = std::make_unique<AdamW>(Device::kCpu, params, AdamWOptions{});
        if (!seed) return;
        for (size_t i = 0; i < params.size(); i++) {
            const std::vector<float> value = random_floats(params[i].numel(), seed + i);
            std::copy(value.begin(), value.end(), params.values() + params.offset(i));
            std::copy(value.begin(), value.end(), params.grads() + params.offset(i));
        }
        optimizer->step(ctx, 1, 1e-2f);
    }
    std::vector<float> state() {
        std::vector<float> all(params.values(), params.values() + params.count());
        all.insert(all.end(), optimizer->m(), optimizer->m() + params.count());
        all.insert(all.end(), optimizer->v(), optimizer->v() + params.count());
        return all;
    }
};

const std::vector<std::pair<std::string, std::string>> kMetadata = {{"step", "41"}, {"activation", "gelu"}};

std::string bytes_of(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

TEST_CASE("a checkpoint brings back weights, moments and metadata, to the bit", "[nn][cpu]") {
    const TemporaryFolder folder;
    const std::string path = folder.file(kCheckpointName);
    Model saved(10), loaded(0);
    save_checkpoint(path, saved.params, *saved.optimizer, kMetadata);

    const SafetensorsFile file = SafetensorsFile::open(path, Checksum::kRequired);
    load_weights(file, loaded.params);
    load_moments(file, loaded.params, *loaded.optimizer);
    REQUIRE(same_bytes(loaded.state(), saved.state()));
    REQUIRE(file.metadata().at("step") == "41");
    REQUIRE(file.metadata().at("activation") == "gelu");

    // Saved again, the file has the same bytes.
    save_checkpoint(folder.file("again"), loaded.params, *loaded.optimizer, kMetadata);
    REQUIRE(bytes_of(folder.file("again")) == bytes_of(path));
}

TEST_CASE("a checkpoint has each tensor under its name, and its moments beside it", "[nn][cpu]") {
    const TemporaryFolder folder;
    Model model(10);
    save_checkpoint(folder.file("c"), model.params, *model.optimizer, kMetadata);
    const SafetensorsFile file = SafetensorsFile::open(folder.file("c"));
    REQUIRE(file.names().size() == 9);
    for (const std::string name : {"h.0.weight", "h.0.bias", "ln_f.weight"})
        for (const std::string prefix : {"", "optimizer.m.", "optimizer.v."}) {
            CAPTURE(prefix + name);
            REQUIRE(file.has(prefix + name));
            REQUIRE(file.entry(prefix + name).dtype == "F32");
        }
    REQUIRE(file.entry("h.0.weight").shape == std::vector<int64_t>{7, 5});
}

TEST_CASE("a checkpoint of another shape is refused, and the tensor and both shapes are named", "[nn][cpu]") {
    const TemporaryFolder folder;
    Model narrow(10, 5), wide(0, 6);
    save_checkpoint(folder.file("c"), narrow.params, *narrow.optimizer, kMetadata);
    const SafetensorsFile file = SafetensorsFile::open(folder.file("c"));
    const Failure failure = failure_of([&] { load_weights(file, wide.params); });
    REQUIRE(failure.kind == FailureKind::kUser);
    REQUIRE_THAT(failure.message, contains("h.0.weight"));
    REQUIRE_THAT(failure.message, contains("7,5") || contains("7, 5"));
    REQUIRE_THAT(failure.message, contains("7,6") || contains("7, 6"));
}

TEST_CASE("a checkpoint that lacks a tensor is refused, and the tensor is named", "[nn][cpu]") {
    const TemporaryFolder folder;
    Model small(10, 5, false), large(0);
    save_checkpoint(folder.file("c"), small.params, *small.optimizer, kMetadata);
    const SafetensorsFile file = SafetensorsFile::open(folder.file("c"));
    const Failure failure = failure_of([&] { load_weights(file, large.params); });
    REQUIRE(failure.kind == FailureKind::kUser);
    REQUIRE_THAT(failure.message, contains("ln_f.weight"));
}

TEST_CASE("a file with weights alone has no moments to resume from", "[nn][cpu]") {
    const TemporaryFolder folder;
    Model model(10), loaded(0);
    std::vector<TensorInfo> tensors;
    for (size_t i = 0; i < model.params.size(); i++) {
        const Tensor& p = model.params[i];
        tensors.push_back({p.name, DType::kFloat32, {p.shape, p.shape + p.ndim}, p.memory});
    }
    write_safetensors(folder.file("c"), tensors, {});
    const SafetensorsFile file = SafetensorsFile::open(folder.file("c"));
    load_weights(file, loaded.params);
    const Failure failure = failure_of([&] { load_moments(file, loaded.params, *loaded.optimizer); });
    REQUIRE_THAT(failure.message, contains("optimizer.m.h.0.weight"));
}

#ifdef GPT_WITH_GPU
namespace {

struct CudaModel {
    Context ctx{Device::kCuda};
    Parameters params{Device::kCuda};
    Tensor weight, bias, norm;
    std::unique_ptr<AdamW> optimizer;

    CudaModel() {
        ctx.seed = 4;
        params.declare("h.0.weight", {7, 5}, &weight);
        params.declare("h.0.bias", {7}, &bias);
        params.declare("ln_f.weight", {3}, &norm);
        params.allocate();
        optimizer = std::make_unique<AdamW>(Device::kCuda, params, AdamWOptions{});
    }
};

}  // namespace

TEST_CASE("a checkpoint of a CUDA device: float32 masters, and a training that goes on where it was",
          "[nn][cuda]") {
    const TemporaryFolder folder;
    const std::string path = folder.file(kCheckpointName);
    const int64_t steps = GENERATE(0, 1, 3);
    CAPTURE(steps);
    CudaModel saved, loaded;
    for (size_t i = 0; i < saved.params.size(); i++)
        saved.params.set(saved.params[i], random_floats(saved.params[i].numel(), 10 + i));
    for (int64_t step = 1; step <= steps; step++) {
        const std::vector<float> gradients = random_floats(saved.params.count(), uint64_t(20 + step));
        device_upload(Device::kCuda, saved.params.grads(), gradients.data(),
                      gradients.size() * sizeof(float));
        saved.optimizer->step(saved.ctx, step, 1e-2f);
    }
    save_checkpoint(path, saved.params, *saved.optimizer, kMetadata);

    const SafetensorsFile file = SafetensorsFile::open(path, Checksum::kRequired);
    for (const std::string name : {"h.0.weight", "optimizer.m.h.0.weight"})
        REQUIRE(file.entry(name).dtype == "F32");
    load_training(loaded.ctx, file, steps, loaded.params, *loaded.optimizer);
    // padding of the moments has had gradients here, which no model has: only real elements are compared
    save_checkpoint(folder.file("again"), loaded.params, *loaded.optimizer, kMetadata);
    REQUIRE(bytes_of(folder.file("again")) == bytes_of(path));
    for (size_t i = 0; i < saved.params.size(); i++) {
        CAPTURE(saved.params[i].name);
        const int64_t n = saved.params[i].numel();
        REQUIRE(same_bytes(floats_on_host(Device::kCuda, loaded.params[i].ptr(), n),
                           floats_on_host(Device::kCuda, saved.params[i].ptr(), n)));
    }

    Model on_cpu(0);  // the file says nothing of a device
    load_weights(file, on_cpu.params);
    const float* weight = on_cpu.weight.ptr();
    REQUIRE(same_bytes(std::vector<float>(weight, weight + 35),
                       floats_on_host(Device::kCuda, saved.params.values() + saved.params.offset(0), 35)));
}
#endif
