// tensor.h - a handle: where the numbers lie, their shape, their name, and where their gradient is gathered.
// Copying a Tensor copies the handle.
// Not here: strides, views, broadcasting, ownership (parameters: nn/parameters.h; activations: the context's
// arena).
#pragma once
#include <cstdint>
#include <initializer_list>
#include <string>
#include <type_traits>
#include <vector>

#include "core/arena.h"
#include "core/bfloat16.h"
#include "core/check.h"
#include "core/dtype.h"

// An untyped pointer that remembers its type and refuses to become another.
struct Pointer {
    void* memory;
    DType dtype;

    template <class T>
    operator T*() const {
        constexpr DType wanted = DTypeOf<std::remove_const_t<T>>::value;
        CHECK(dtype == wanted, "[tensor] holds %s, kernel wants %s", dtype_name(dtype), dtype_name(wanted));
        return static_cast<T*>(memory);
    }
    Pointer at(int64_t element) const {
        return {static_cast<char*>(memory) + element * int64_t(dtype_size(dtype)), dtype};
    }
};

// A copy of n elements where the host can read them, float32 as they are, bfloat16 widened.
inline std::vector<float> floats_on_host(Device device, Pointer from, int64_t n) {
    if (from.dtype != DType::kBFloat16) return floats_on_host(device, static_cast<const float*>(from), n);
    std::vector<uint16_t> halves(static_cast<size_t>(n));
    device_download(device, halves.data(), from.memory, halves.size() * sizeof(uint16_t));
    std::vector<float> floats(halves.size());
    for (size_t i = 0; i < halves.size(); i++) floats[i] = bfloat16_to_float(halves[i]);
    return floats;
}

// Where the gradient of one tensor is gathered; shared by all handles of that tensor. It is stored as the tensor is, but a
// parameter's is float32.
struct Gradient {
    void* memory = nullptr;  // allocated at the first write of a backward pass; a parameter's is always there
    bool is_written = false;    // the first writer sets, later ones add; before it nobody may read memory
    bool is_parameter = false;  // adds from one backward to the next, until zero_grad
};

struct Tensor {
    void* memory = nullptr;
    Gradient* gradient = nullptr;  // null: no gradient flows here (ids, losses, anything made under NoGrad)
    const char* name = "";         // a parameter's dotted name, or the op that made it
    DType dtype = DType::kFloat32;
    Device device = Device::kCpu;  // whose memory it is
    int ndim = 0;
    int64_t shape[4] = {0, 0, 0, 0};
    uint64_t stamp = 0;  // debug builds: the arena's stamp at birth; 0 for parameters

    int64_t numel() const {
        int64_t n = 1;
        for (int i = 0; i < ndim; i++) n *= shape[i];
        return n;
    }
    size_t bytes() const { return size_t(numel()) * dtype_size(dtype); }
    int64_t last() const { return shape[ndim - 1]; }   // C of (B,T,C)
    int64_t rows() const { return numel() / last(); }  // N = B*T of (B,T,C)
    bool is_null() const { return memory == nullptr; }

    Pointer ptr() const {
#ifdef GPT_DEBUG
        CHECK(stamp == 0 || Arena::stamp(memory, device) == stamp,
              "[%s] stale tensor: its memory was given back (end_step, ArenaScope) after it was made", name);
#endif
        return {memory, dtype};
    }

    std::string shape_text() const {  // "(64,32,128)"
        std::string text = "(";
        for (int i = 0; i < ndim; i++) text += (i ? "," : "") + std::to_string(shape[i]);
        return text + ")";
    }
};

// A parameter's gradient, zeros where nothing has been written since zero_grad.
inline float* gradient_to_add_to(const Tensor& parameter) {
    CHECK(parameter.gradient && parameter.gradient->is_parameter, "[%s] is no parameter", parameter.name);
    Gradient& g = *parameter.gradient;
    if (!g.is_written) {
        device_clear(parameter.device, g.memory, size_t(parameter.numel()) * sizeof(float));
        g.is_written = true;
    }
    return static_cast<float*>(g.memory);
}

inline bool same_shape(const Tensor& a, const Tensor& b) {
    if (a.ndim != b.ndim) return false;
    for (int i = 0; i < a.ndim; i++)
        if (a.shape[i] != b.shape[i]) return false;
    return true;
}
