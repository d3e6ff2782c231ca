// test_signatures.cpp - every kernel that signatures.h declares is defined in every namespace of this build:
// its address is taken here, so a missing one is a link error, and one that this table lacks fails the test.
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "tests/support/catch.h"

namespace {

using Address = void (*)();

struct Kernel {
    std::string name;
    std::vector<Address> addresses;
};

#ifdef GPT_WITH_GPU
#define KERNEL(name)                                                                     \
    Kernel {                                                                             \
#name, {                                                                         \
            reinterpret_cast<Address>(&cpu::name), reinterpret_cast<Address>(&gpu::name) \
        }                                                                                \
    }
#else
#define KERNEL(name)                              \
    Kernel {                                      \
#name, {                                  \
            reinterpret_cast<Address>(&cpu::name) \
        }                                         \
    }
#endif

// In the order of signatures.h.
const std::vector<Kernel> kKernels = {
    KERNEL(gemm),
    KERNEL(linear_residual_forward),
    KERNEL(linear_activation_forward),
    KERNEL(linear_activation_backward),
    KERNEL(linear_backward_params),
    KERNEL(linear_int8_forward),
    KERNEL(embedding_forward),
    KERNEL(embedding_backward),
    KERNEL(layernorm_forward),
    KERNEL(layernorm_backward),
    KERNEL(add_layernorm_forward),
    KERNEL(add_layernorm_backward),
    KERNEL(gelu_forward),
    KERNEL(gelu_backward),
    KERNEL(relu_forward),
    KERNEL(relu_backward),
    KERNEL(add_forward),
    KERNEL(accumulate),
    KERNEL(dropout),
    KERNEL(attention_forward),
    KERNEL(attention_backward),
    KERNEL(cache_keys_values),
    KERNEL(attention_cached_forward),
    KERNEL(cross_entropy_forward),
    KERNEL(cross_entropy_backward),
    KERNEL(cross_entropy_forward_backward),
    KERNEL(mean_loss),
    KERNEL(squared_norm),
    KERNEL(clip_scale),
    KERNEL(adamw),
};

// The names that a header of plain functions declares: the word in front of each opening bracket outside
// comments.
std::vector<std::string> declared_names(const std::string& source) {
    std::vector<std::string> names;
    std::istringstream lines(source);
    for (std::string line; std::getline(lines, line);) {
        line = line.substr(0, line.find("//"));
        for (size_t bracket = line.find('('); bracket != std::string::npos;
             bracket = line.find('(', bracket + 1)) {
            const size_t before = line.find_last_of(" *", bracket);
            names.push_back(line.substr(before + 1, bracket - before - 1));
        }
    }
    return names;
}

}  // namespace

TEST_CASE("every kernel of signatures.h is defined, and this table has them all", "[cpu]") {
    std::ifstream file("common/kernels/signatures.h");
    REQUIRE(file);  // tests run in the root of the repository
    std::stringstream source;
    source << file.rdbuf();
    std::vector<std::string> names;
    for (const Kernel& kernel : kKernels) {
        names.push_back(kernel.name);
        for (const Address address : kernel.addresses) REQUIRE(address != nullptr);
    }
    REQUIRE(declared_names(source.str()) == names);
}

TEST_CASE("the list of signatures would notice a new kernel", "[cpu]") {
    REQUIRE(declared_names("// a comment (of one);\nvoid first(real* out, int64_t n,\n           Stream s);\n"
                           "void second(float x, Stream s);  // (M,N) out\n") ==
            std::vector<std::string>{"first", "second"});
}
