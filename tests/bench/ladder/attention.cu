// attention.cu - causal attention forward and backward, up to the kernels that training uses.
#include "tests/bench/ladder/ladder.h"

const std::vector<ladder::Rung<ladder::AttentionForward>> ladder::kAttentionForward = {
    {"common/", "the kernel that training uses", gpu::attention_forward},
};

const std::vector<ladder::Rung<ladder::AttentionBackward>> ladder::kAttentionBackward = {
    {"common/", "the kernel that training uses", gpu::attention_backward},
};
