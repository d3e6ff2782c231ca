// layernorm.cu - LayerNorm forward, up to the kernel that training uses.
#include "tests/bench/ladder/ladder.h"

const std::vector<ladder::Rung<ladder::LayerNorm>> ladder::kLayerNorm = {
    {"common/", "the kernel that training uses", gpu::layernorm_forward},
};
