// context.h - everything an op needs to know, as its explicit first argument: device, stream, memory, tape,
// dropout. Two contexts can live side by side; nothing here is global.
#pragma once
#include <chrono>
#include <deque>
#include <map>
#include <string>
#include <utility>

#include "core/arena.h"
#include "core/device.h"
#include "core/rng.h"
#include "core/tape.h"
#include "core/tensor.h"

// Time and arithmetic per kernel, gathered when profiling is on (bench --profile).
struct Profile {
    struct Entry {
        double seconds = 0, flops = 0;
        int64_t calls = 0;
    };
    std::map<std::string, Entry> entries;
};

// Where a backward writes the gradient of x, and whether it adds to what is there.
struct GradientTarget {
    Pointer ptr;
    bool accumulate;
};

// Where a context puts the gradients of parameters instead of into the model's own block: into another one that is laid
// out alike (nn/lanes.h).
struct ParameterGradients {
    const float* of = nullptr;  // the model's own; null: they go there
    float* instead = nullptr;

    float* place(void* own) const {
        float* const gradient = static_cast<float*>(own);
        return of ? instead + (gradient - of) : gradient;
    }
};

struct Context {
    Device device;
    Stream stream;
    Arena arena;
    Tape tape;
    bool is_recording = true;  // false under NoGrad
    uint64_t seed = 0;         // of dropout; with `step` it names every mask of a run
    int64_t step = 0;          // the optimiser step being computed
    uint64_t next_site = 0;    // dropouts so far in this step
    int64_t first_window = 0;  // of the batch whose masks dropout draws
    ParameterGradients parameter_gradients;
    Profile* profile = nullptr;
    bool watch_non_finite = false;  // note the first op whose output or gradient is not finite
    std::string first_non_finite;

    const uint64_t* recorded_step = nullptr;  // StepGraph's, while it records: where the device finds `step`

    explicit Context(Device device = Device::kCpu);
    ~Context();
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;

    // ---- for ops ----
    // An activation in the arena, of what the device stores; it gets a gradient when the tape is recording.
    Tensor make(const char* op, std::initializer_list<int64_t> shape) {
        return make(op, shape, storage_dtype(device));
    }
    // The same of another type: statistics and losses are DType::kFloat32 on every device.
    Tensor make(const char* op, std::initializer_list<int64_t> shape, DType dtype);
    Tensor make_like(const char* op, const Tensor& x);
    // Appends a node to the tape, or returns null when nothing is recorded. Also the place of GPT_TRACE and
    // GPT_NAN.
    template <class N>
    N* record(const char* op, const Tensor& y) {
        inspect(op, "forward", {y.memory, y.dtype}, y);
        if (!is_recording) return nullptr;
        auto node = std::make_unique<N>();
        N* raw = node.get();
        raw->op = op;
        raw->y = y;
        tape.push_back(std::move(node));
        return raw;
    }
    // The gradient of a node's output, complete.
    Pointer grad_of(const Tensor& y) const;
    // The gradient of an input or a parameter, to write or to add to.
    GradientTarget grad(const Tensor& x);
    // A parameter's gradient for a kernel that always adds; null where there is no such parameter.
    float* param_grad(const Tensor& parameter) const;
    // A mask of which each window of the batch takes `per_window` elements.
    DropoutMask next_dropout(float p, int64_t per_window) {
        const uint64_t first = uint64_t(first_window * per_window);
        if (recorded_step) return {p, seed, next_site++, first, recorded_step};
        return {p, seed, uint64_t(step) << DropoutMask::kStepShift | next_site++, first};
    }

    // ---- for chapters ----
    // Copies n ids from the host into the arena.
    Tensor ids(const int* host_ids, std::initializer_list<int64_t> shape);
    // The same for ids that lie in a HostArray: the host does not wait.
    Tensor ids_later(const int* host_ids, std::initializer_list<int64_t> shape);
    // A float that a kernel left on the device; waits until it is there.
    float to_host(const Tensor& scalar) const;
    // The same into a HostArray, without waiting: it is there when the host has next waited for the device.
    void to_host_later(float* host, const Tensor& scalar) const;
    // Fills the gradients of everything the loss depends on. The tape is used up.
    void backward(const Tensor& loss);
    // Gives all activations back, after a micro-batch. Their handles are stale from here on (debug builds refuse them).
    void release_activations();
    // The same at the end of a step: the next one draws its dropout masks anew from the first site on.
    void end_step();

    // Says what the next DISPATCH computes, for the profile.
    void work(double flops, const char* detail = "") {
        if (!profile) return;
        next_flops_ = flops;
        next_detail_ = detail;
    }
    // Whether anybody wants to look into tensors as they are made: GPT_TRACE, GPT_NAN, watch_non_finite.
    bool inspects() const;
    void inspect(const char* op, const char* pass, Pointer values, const Tensor& like);

  private:
    friend class KernelCall;
    // Where each activation's gradient is. Not in the arena: that may be another device's memory. Used again
    // after release_activations, so that a stale handle still points to one.
    std::deque<Gradient> gradients_;
    size_t gradients_used_ = 0;
    float* one_ = nullptr;  // on the device: the gradient of every loss with respect to itself
    double next_flops_ = 0;
    const char* next_detail_ = "";
};

// Nothing is recorded while one lives: for sampling and evaluation.
class NoGrad {
  public:
    explicit NoGrad(Context& ctx) : ctx_(ctx), before_(ctx.is_recording) { ctx.is_recording = false; }
    ~NoGrad() { ctx_.is_recording = before_; }
    NoGrad(const NoGrad&) = delete;
    NoGrad& operator=(const NoGrad&) = delete;

  private:
    Context& ctx_;
    bool before_;
};

// Everything allocated while one lives is given back at its end.
class ArenaScope {
  public:
    explicit ArenaScope(Context& ctx) : arena_(ctx.arena), mark_(ctx.arena.mark()) {}
    ~ArenaScope() { arena_.rewind(mark_); }
    ArenaScope(const ArenaScope&) = delete;
    ArenaScope& operator=(const ArenaScope&) = delete;

  private:
    Arena& arena_;
    Arena::Mark mark_;
};

// What DISPATCH passes as a kernel's stream: lives as long as the call, and times it when a profile is kept.
class KernelCall {
  public:
    KernelCall(Context& ctx, const char* kernel) : ctx_(ctx), kernel_(kernel) {
#if defined(GPT_WITH_GPU)
        cuda_dispatched_kernel() = kernel;
#endif
        if (ctx.profile) start_ = std::chrono::steady_clock::now();
    }
    ~KernelCall() {
        if (ctx_.profile) finish();
#if defined(GPT_WITH_GPU)
        cuda_dispatched_kernel() = nullptr;
#endif
    }
    KernelCall(const KernelCall&) = delete;
    KernelCall& operator=(const KernelCall&) = delete;
    operator Stream() const {
        return ctx_.stream;
    }

  private:
    void finish();
    Context& ctx_;
    const char* kernel_;
    std::chrono::steady_clock::time_point start_;
};
