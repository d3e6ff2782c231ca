// context.cpp - making tensors, gathering gradients, walking the tape; see context.h.
#include "core/context.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "core/check.h"

namespace {
bool switched_on(const char* variable) {
    const char* value = std::getenv(variable);
    return value && *value && std::strcmp(value, "0") != 0;
}
bool traces() {
    static const bool trace = switched_on("GPT_TRACE");
    return trace;
}
bool stops_at_nan() {
    static const bool stop_at_nan = switched_on("GPT_NAN");
    return stop_at_nan;
}
}  // namespace

Context::Context(Device device) : device(device), arena(device) {
    CHECK(has_device(device), "[context] this build has no kernels for %s", device_name(device));
    if (!device_problem(device).empty()) user_error("%s", device_problem(device).c_str());
    stream = stream_create(device);
    one_ = static_cast<float*>(device_alloc(device, sizeof *one_));
    const float one = 1;
    device_upload(device, one_, &one, sizeof one);
}

Context::~Context() {
    device_free(device, one_, sizeof *one_);
    stream_destroy(device, stream);
}

Tensor Context::make(const char* op, std::initializer_list<int64_t> shape, DType dtype) {
    Tensor t;
    t.name = op;
    t.dtype = dtype;
    CHECK(shape.size() >= 1 && shape.size() <= 4, "[%s] wants 1 to 4 dimensions, got %zu", op, shape.size());
    for (int64_t size : shape) {
        CHECK(size > 0, "[%s] wants sizes above 0, got %lld", op, static_cast<long long>(size));
        t.shape[t.ndim++] = size;
    }
    t.memory = arena.allocate(t.bytes());
    t.device = device;
    t.stamp = Arena::stamp(t.memory, device);
    if (is_recording && dtype != DType::kInt32) {
        if (gradients_used_ == gradients_.size()) gradients_.emplace_back();
        t.gradient = &gradients_[gradients_used_++];
        *t.gradient = Gradient();
    }
    return t;
}

Tensor Context::make_like(const char* op, const Tensor& x) {
    switch (x.ndim) {
        case 1:
            return make(op, {x.shape[0]}, x.dtype);
        case 2:
            return make(op, {x.shape[0], x.shape[1]}, x.dtype);
        case 3:
            return make(op, {x.shape[0], x.shape[1], x.shape[2]}, x.dtype);
        default:
            return make(op, {x.shape[0], x.shape[1], x.shape[2], x.shape[3]}, x.dtype);
    }
}

Pointer Context::grad_of(const Tensor& y) const {
    CHECK(y.gradient && y.gradient->memory, "[%s] has no gradient yet: backward was called out of order",
          y.name);
    return {y.gradient->memory, y.dtype};
}

GradientTarget Context::grad(const Tensor& x) {
    CHECK(x.gradient, "[%s] was made without a gradient (under NoGrad?)", x.name);
    Gradient& g = *x.gradient;
    const bool accumulate = g.is_written;
    if (!g.memory) g.memory = arena.allocate(x.bytes());
    if (!accumulate) g.is_written = true;  // no store where it is true: lanes side by side share parameters
    if (g.is_parameter) return {{parameter_gradients.place(g.memory), DType::kFloat32}, accumulate};
    return {{g.memory, x.dtype}, accumulate};
}

float* Context::param_grad(const Tensor& parameter) const {
    if (parameter.is_null()) return nullptr;
    return parameter_gradients.place(gradient_to_add_to(parameter));
}

Tensor Context::ids(const int* host_ids, std::initializer_list<int64_t> shape) {
    Tensor t = make("ids", shape, DType::kInt32);
    device_upload(device, t.memory, host_ids, t.bytes());
    return t;
}

Tensor Context::ids_later(const int* host_ids, std::initializer_list<int64_t> shape) {
    Tensor t = make("ids", shape, DType::kInt32);
    device_upload_later(device, t.memory, host_ids, t.bytes(), stream);
    return t;
}

void Context::to_host_later(float* host, const Tensor& scalar) const {
    CHECK_EQ(scalar.numel(), 1);
    const float* on_device = scalar.ptr();
    device_download_later(device, host, on_device, sizeof *host, stream);
}

float Context::to_host(const Tensor& scalar) const {
    CHECK_EQ(scalar.numel(), 1);
    const float* on_device = scalar.ptr();
    float value;
    device_download(device, &value, on_device, sizeof value);
    return value;
}

void Context::backward(const Tensor& loss) {
    CHECK(is_recording, "[backward] nothing was recorded: NoGrad is in force");
    CHECK(loss.gradient, "[backward] the loss was made without a gradient");
    CHECK(loss.dtype == DType::kFloat32, "[backward] a loss is float32, [%s] is %s", loss.name,
          dtype_name(loss.dtype));
    // The op that makes a loss knows its own derivative; 1 is all that is passed to it.
    CHECK_EQ(loss.numel(), 1);
    *loss.gradient = {one_, true, false};
    for (auto node = tape.rbegin(); node != tape.rend(); ++node) {
        Node& n = **node;
        if (!n.has_gradient()) continue;
        if (n.y.gradient->is_written) inspect(n.op, "backward", grad_of(n.y), n.y);
        n.backward(*this);
        if (n.y.gradient->memory && n.y.gradient->memory != one_) {
            arena.recycle(n.y.gradient->memory, n.y.bytes());
            n.y.gradient->memory = nullptr;
        }
    }
    tape.clear();
}

void Context::release_activations() {
    tape.clear();
    arena.rewind({});
    gradients_used_ = 0;
}

void Context::end_step() {
    release_activations();
    next_site = 0;
}

bool Context::inspects() const {
    return traces() || stops_at_nan() || watch_non_finite;
}

void Context::inspect(const char* op, const char* pass, Pointer values, const Tensor& like) {
    const bool trace = traces(), stop_at_nan = stops_at_nan();
    if (!inspects() || like.dtype == DType::kInt32) return;
    const int64_t n = like.numel();
    const std::vector<float> x = floats_on_host(device, values, n);
    double sum = 0;
    float low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < x.size(); i++) {
        if (!std::isfinite(x[i]) && (stop_at_nan || watch_non_finite)) {
            const std::string what =
                format("%s of [%s] %s, element %lld is %g", pass, op, like.shape_text().c_str(),
                       static_cast<long long>(i), double(x[i]));
            if (stop_at_nan) user_error("GPT_NAN: step %lld: %s", static_cast<long long>(step), what.c_str());
            if (first_non_finite.empty()) first_non_finite = what;
            return;
        }
        sum += double(x[i]);
        low = std::min(low, x[i]);
        high = std::max(high, x[i]);
    }
    if (trace)
        std::fprintf(stderr, "%-8s %-22s %-18s min %11.4g  mean %11.4g  max %11.4g\n", pass, op,
                     like.shape_text().c_str(), double(low), sum / double(n), double(high));
}

void KernelCall::finish() {
    device_wait(ctx_.device);  // a launch returns before its kernel has run
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    // "h.0.attn.c_attn.weight" of every layer is one row: the layer's number is left out.
    std::string key = kernel_;
    if (*ctx_.next_detail_) key += " ";
    for (const char* c = ctx_.next_detail_; *c; c++)
        if (*c < '0' || *c > '9') key += *c;
    Profile::Entry& entry = ctx_.profile->entries[key];
    entry.seconds += seconds;
    entry.flops += ctx_.next_flops_;
    entry.calls++;
    ctx_.next_flops_ = 0;
    ctx_.next_detail_ = "";
}
