// non_finite.h - a loss that is no number: what went wrong first, weights, gradients or an op of the forward pass?
#pragma once
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "core/context.h"
#include "io/utf8.h"
#include "nn/checkpoint.h"
#include "nn/parameters.h"

inline bool are_finite(Parameters& params) {
    const OnHost values(params.device(), params.values(), params.count());
    return std::all_of(values.get(), values.get() + params.count(), [](float x) { return std::isfinite(x); });
}

// Ends the program with the name of the first tensor that is not finite.
//   again   runs the step's forward and backward pass once more; ops are then watched one by one
//   folder  of the run, for the message
template <class F>
[[noreturn]] void stop_at_non_finite(Context& ctx, Parameters& params, int64_t step,
                                     const std::string& folder, F&& again) {
    std::string culprit;
    const auto look = [&](const char* what, const float* block_on_device) {
        const std::vector<float> block = floats_on_host(ctx.device, block_on_device, params.count());
        for (size_t i = 0; i < params.size() && culprit.empty(); i++)
            for (int64_t k = 0; k < params[i].numel() && culprit.empty(); k++)
                if (!std::isfinite(block[size_t(params.offset(i) + k)]))
                    culprit = format("%s %s, element %lld", what, params[i].name, static_cast<long long>(k));
    };
    look("weight", params.values());
    if (culprit.empty()) {
        ctx.end_step();               // the step's dropout masks begin anew
        ctx.watch_non_finite = true;  // run the step again, slowly, and note the first op whose output is bad
        again();
        culprit = ctx.first_non_finite;
    }
    if (culprit.empty()) look("gradient of", params.grads());
    if (culprit.empty()) culprit = "the loss itself";
    user_error(
        "the loss is not finite at step %lld; first bad tensor: %s\n"
        "the last good checkpoint is kept in %s; try a smaller --lr, or --clip 1",
        static_cast<long long>(step), culprit.c_str(), utf8::printable(folder).c_str());
}
