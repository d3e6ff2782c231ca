// compute_options.h - what --device and --precision mean: where a program computes, and with how many bits it multiplies.
// Not here: the flags themselves, which each chapter declares with its own help text.
#pragma once
#include <string>

#include "core/device.h"

// device   "auto", "cpu" or "cuda". auto is the GPU where build and machine have one; CUDA that is emulated on the CPU is only
//          for who asks for it.
Device chosen_device(const std::string& device);

// Whether a CPU rounds the inputs of matrix products to bf16 (Stream::rounds_products).
bool rounds_products(Device device, const std::string& precision);

// Of the inputs of matrix products: "fp32" or "bf16". On a CPU the option decides, on CUDA what memory holds.
const char* chosen_precision(Device device, const std::string& precision);

// Stops where this build or machine cannot do what was asked for.
//   precision  empty where nobody asked. The type that CUDA's memory holds is compiled in (gpu::real), so there the flag can
//              only say what is there: it is for scripts that must not compute in another one by mistake.
//   program    "chapter00": for the command that builds one that can
void check_compute_options(const std::string& device, const std::string& precision, const char* program);
