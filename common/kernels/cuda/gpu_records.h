// gpu_records.h - generated: tools/gpu-records >common/kernels/cuda/gpu_records.h, as gpu-check does at its end.
// Architectures (90: sm_90) with a passing record under docs/gpu. 0: no card has it.
#pragma once
constexpr int kPassedArchitectures[] = {0};
