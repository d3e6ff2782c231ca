// gemm.h - the forms of the matrix product that may take the plain one's place (rungs.h), for who wants to ask for
// one: tests and benchmarks.
#pragma once
#include "kernels/cuda/rungs.h"

FastForm& gemm_on_tensor_cores();
FastForm& gemm_by_library();  // cuBLASLt; never asked where CUDA is emulated
