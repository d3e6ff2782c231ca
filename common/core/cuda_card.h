// cuda_card.h - whether this machine's GPU can run this program and, where not, why, in one line.
// Not here: which of several GPUs; the runtime's first one is used (CUDA_VISIBLE_DEVICES chooses).
#pragma once
#include <string>
#include <vector>

#include "core/device.h"

#if defined(GPT_WITH_GPU)

// What the runtime says of the machine. Versions as CUDA counts them: 12020 is 12.2.
struct CudaMachine {
    cudaError_t start = cudaSuccess;  // of the first call
    int driver = 0;                   // the newest CUDA that it knows; 0: there is no driver
    int runtime = 0;                  // of the toolkit that this program was built with
    int cards = 0;
    std::string name;
    int major = 0, minor = 0;  // compute capability
};

CudaMachine look_at_cuda_machine();

// archs: what the kernels were compiled for, ascending, 86 for compute capability 8.6: machine code for each, and
// intermediate code of the last, which drivers compile for newer cards. Empty: they run on any (emulated CUDA).
// Empty text: nothing is in the way.
std::string cuda_problem(const CudaMachine& machine, bool stores_bf16, const std::vector<int>& archs);

#endif
