// golden.h - reads the golden files of tests/golden/, and makes the weights and batches behind them.
// Not here: comparing (tests/golden/test_gpt_golden.cpp), or safetensors: a golden test should not depend on
// the reader that another test is about.
// Twin of tests/golden/formula.py: change both or neither.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "core/check.h"

namespace golden {

// ---- the formula ------------------------------------------------------------------------------------------

// FNV-1a of the bytes of a name.
inline uint64_t name_hash(const std::string& name) {
    uint64_t h = 0xCBF29CE484222325u;
    for (const char c : name) h = (h ^ uint8_t(c)) * 0x100000001B3u;
    return h;
}

// 24 random bits for an index under a name: splitmix64 (Steele, Lea, Flood 2014), its top 24 bits.
inline uint32_t hash24(uint64_t seed, uint64_t index) {
    uint64_t z = seed + (index + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return uint32_t((z ^ (z >> 31)) >> 40);
}

inline bool is_layernorm_weight(const std::string& name) {
    for (const char* suffix : {"ln_1.weight", "ln_2.weight", "ln_f.weight"}) {
        const size_t length = std::strlen(suffix);
        if (name.size() >= length && name.compare(name.size() - length, length, suffix) == 0) return true;
    }
    return false;
}

// scale * uniform [-1, 1); LayerNorm weights are 1 + scale * uniform. scale is a power of two, so that the
// products are exact and a fused multiply-add on either side changes no bit.
inline void fill_parameter(const std::string& name, float* parameter, size_t size, float scale) {
    const uint64_t seed = name_hash(name);
    const float base = is_layernorm_weight(name) ? 1.0f : 0.0f;
    for (size_t i = 0; i < size; i++) {
        const float unit = float(int32_t(hash24(seed, i)) - (1 << 23)) * 0x1p-23f;
        parameter[i] = base + scale * unit;
    }
}

// Inputs and targets (B,T) of a step, from 1: B rows of T+1 hashed ids; target = the next id of the row.
// With ignore_every = k, each k-th target (counted along the batch) is -1, kernels.h's kIgnore.
inline void fill_batch(std::vector<int>& ids, std::vector<int>& targets, int step, int B, int T, int V,
                       int ignore_every = 0) {
    const uint64_t seed = name_hash("batch." + std::to_string(step));
    ids.resize(size_t(B) * size_t(T));
    targets.resize(ids.size());
    for (int b = 0; b < B; b++)
        for (int t = 0; t < T; t++) {
            const size_t i = size_t(b) * size_t(T) + size_t(t);
            const uint64_t position = uint64_t(b) * uint64_t(T + 1) + uint64_t(t);
            ids[i] = int(hash24(seed, position) % uint32_t(V));
            targets[i] = int(hash24(seed, position + 1) % uint32_t(V));
            if (ignore_every > 0 && (i + 1) % size_t(ignore_every) == 0) targets[i] = -1;
        }
}

// n token ids for benchmarks: half follow (7 * previous + 3) mod V, which can be learnt; the others are
// log-uniform in rank, as words are, roughly. Random bits: a congruential generator, Knuth's constants.
inline std::vector<int> token_stream(size_t n, int V) {
    uint64_t state = 1337;
    int64_t previous = 0;
    std::vector<int> tokens(n);
    for (int& token : tokens) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        const uint64_t r = state >> 40;
        if (r & 1) {
            previous = (previous * 7 + 3) % V;
        } else {
            const int64_t rank = int64_t(std::pow(double(V), double(r >> 1) / 8388608.0)) - 1;
            previous = rank < V - 1 ? rank : V - 1;
        }
        token = int(previous);
    }
    return tokens;
}

// ---- the files --------------------------------------------------------------------------------------------

// What twin.py trained every case with.
constexpr float kWeightScale = 0.25f;
constexpr float kLr = 1e-2f, kBeta1 = 0.9f, kBeta2 = 0.999f, kEps = 1e-8f, kWeightDecay = 0.1f;

struct ExpectedGradient {
    std::string name;           // h.0.attn.c_attn.weight, ...
    std::vector<float> values;  // in nn.Linear's layout, (out,in)
    double norm = 0;
};

struct Case {
    std::string name;
    int V = 0, T = 0, B = 0, L = 0, NH = 0, HS = 0, C = 0;
    bool tied = false;
    std::string activation;               // "gelu" or "relu"
    float clip = 0;                       // global gradient norm; 0 for none
    int ignore_every = 0;                 // each k-th target is ignored; 0 for none
    std::vector<double> losses;           // before each update, nats per counted token
    std::vector<double> norms;            // of the whole gradient, before clipping
    std::vector<ExpectedGradient> grads;  // at step 1, before clipping, in the twin's order
};

// A "case NAME key value key value ..." line.
inline Case parse_case(std::istringstream& line, const std::string& path) {
    Case c;
    line >> c.name;
    std::map<std::string, std::string> field;
    for (std::string key, value; line >> key >> value;) field[key] = value;
    const auto number = [&](const char* key) {
        if (!field.count(key)) user_error("%s: case %s has no %s", path.c_str(), c.name.c_str(), key);
        return std::stod(field[key]);
    };
    c.V = int(number("V")), c.T = int(number("T")), c.B = int(number("B")), c.L = int(number("L"));
    c.NH = int(number("NH")), c.HS = int(number("HS")), c.C = int(number("C"));
    c.tied = number("tied") != 0;
    c.activation = field["activation"];
    c.clip = float(number("clip"));
    c.ignore_every = int(number("ignore_every"));
    return c;
}

// `size` little-endian floats that start at float `offset`. (Every machine we build for is little-endian.)
inline std::vector<float> read_floats(std::ifstream& file, size_t offset, size_t size,
                                      const std::string& path) {
    std::vector<float> values(size);
    file.seekg(std::streamoff(offset * sizeof(float)));
    file.read(reinterpret_cast<char*>(values.data()), std::streamsize(size * sizeof(float)));
    if (!file)
        user_error("%s: ends before float %zu: run python3 tests/golden/twin.py", path.c_str(),
                   offset + size);
    return values;
}

// folder holds gpt_tiny.txt and gpt_tiny_grads.f32; relative to where tests run, the root of the repository.
inline std::vector<Case> read_cases(const std::string& folder = "tests/golden") {
    const std::string text_path = folder + "/gpt_tiny.txt", grads_path = folder + "/gpt_tiny_grads.f32";
    std::ifstream text(text_path), grads(grads_path, std::ios::binary);
    if (!text) user_error("cannot read %s: run the tests from the root of the repository", text_path.c_str());
    if (!grads) user_error("cannot read %s: run python3 tests/golden/twin.py", grads_path.c_str());
    std::vector<Case> cases;
    for (std::string row; std::getline(text, row);) {
        std::istringstream line(row);
        std::string kind;
        line >> kind;
        if (kind.empty() || kind[0] == '#') continue;
        if (kind == "case") {
            cases.push_back(parse_case(line, text_path));
            continue;
        }
        CHECK(!cases.empty(), "[golden] %s: '%s' before the first case", text_path.c_str(), kind.c_str());
        Case& c = cases.back();
        if (kind == "step") {
            int number = 0;
            double loss = 0, norm = 0;
            line >> number >> loss >> norm;
            c.losses.push_back(loss);
            c.norms.push_back(norm);
            CHECK_EQ(size_t(number), c.losses.size());
        } else if (kind == "grad") {
            ExpectedGradient gradient;
            size_t size = 0, offset = 0;
            line >> gradient.name >> size >> offset >> gradient.norm;
            gradient.values = read_floats(grads, offset, size, grads_path);
            c.grads.push_back(gradient);
        } else {
            user_error("%s: unknown line '%s'", text_path.c_str(), row.c_str());
        }
        CHECK(!line.fail(), "[golden] %s: cannot parse '%s'", text_path.c_str(), row.c_str());
    }
    return cases;
}

}  // namespace golden
