// cooperative_groups.h - CUDA's cooperative groups, for nvcc and for the host. What uses them includes this beside
// core/device.h, which leaves them out: they are twice as much to read as all the rest of CUDA.
#pragma once
#if defined(GPT_CUDA_ON_HOST)
#include "cuda_on_host/cooperative_groups_on_host.h"
#else
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
#endif
