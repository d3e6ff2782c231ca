// generate.cpp - how fast a model writes, one token after the other, with its cache of keys and values: tokens per second,
// and the share of what reading all weights once per token allows. Served as train_step.cpp is: "run N" on stdin writes N
// tokens from a prompt of one, "plain N" the same without the cache, "read" how fast memory gives as many bytes.
// With --int8 the model's weights are 8 bits.
// Not here: the comparison and its bars (generate.py); sampling's cost (the likeliest token is taken).
// Run: printf 'read\nrun 64\nplain 64\n' | build/cpu/bench/generate d --threads 2
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "chapters/02_small_gpt/generate.h"
#include "core/context.h"
#include "core/parallel.h"
#include "tests/bench/peak.h"
#include "tests/support/golden.h"

namespace {

// The same table is in torch_generate.py.
struct BenchConfig {
    const char* name;
    int64_t V, T, L, NH, HS, C;
};

// clang-format off
const BenchConfig kConfigs[] = {
    {"a",    65,   64,  4,  4, 32, 128},
    {"b",    65,  256,  6,  6, 64, 384},
    {"c", 50257,  512,  2,  4,  4, 768},  // chapter 02's `original`
    {"d", 50257, 1024, 12, 12, 64, 768},  // GPT-2's 124M
};
// clang-format on
constexpr float kWeightScale = 0x1p-5f;

struct Options {
    const BenchConfig* bench = nullptr;
    int threads = 2;
    bool is_int8 = false;
};

Options parse(int argc, char** argv) {
    Options options;
    for (int i = 1; i < argc; i++) {
        const std::string word = argv[i];
        if (word == "--threads" && i + 1 < argc) {
            options.threads = std::atoi(argv[++i]);
        } else if (word == "--int8") {
            options.is_int8 = true;
        } else {
            for (const BenchConfig& bench : kConfigs)
                if (word == bench.name) options.bench = &bench;
            if (!options.bench) usage_error("unknown argument '%s'", word.c_str());
        }
    }
    if (!options.bench || options.threads < 1) usage_error("usage: generate a|b|c|d [--threads N] [--int8]");
    return options;
}

// What a token cannot do without: every weight once (of the position embedding and the token embedding a row, but the
// latter is also the output layer), and on average half of the keys and values of n tokens.
double bytes_per_token(const Gpt& gpt, int64_t n, bool is_int8) {
    const GptConfig& m = gpt.config;
    double bytes = 4 * double(m.L) * 2 * double(m.NH * m.HS) * double(n + 1) / 2;
    for (size_t i = 0; i < gpt.params.size(); i++) {
        const Tensor& parameter = gpt.params[i];
        if (parameter.memory == gpt.wpe.memory) continue;
        const bool has_codes = is_int8 && parameter.ndim == 2;
        bytes += double(parameter.numel()) * (has_codes ? 1 : 4);
        if (has_codes) bytes += 4 * double(parameter.shape[0]);  // the rows' scales
    }
    return bytes;
}

uint64_t hash_of(const std::vector<int>& ids) {
    uint64_t hash = 0xCBF29CE484222325u;
    for (const int id : ids) hash = (hash ^ uint64_t(id)) * 0x100000001B3u;
    return hash;
}

}  // namespace

int main(int argc, char** argv) {
    const Options options = parse(argc, argv);
    const BenchConfig& b = *options.bench;
    parallel::set_num_threads(options.threads);
    GptConfig config;
    config.V = b.V, config.T = b.T, config.L = b.L, config.NH = b.NH, config.HS = b.HS, config.C = b.C;
    Context ctx;
    Gpt gpt(ctx.device, config);
    for (size_t i = 0; i < gpt.params.size(); i++)
        golden::fill_parameter(gpt.params[i].name, static_cast<float*>(gpt.params[i].memory),
                               size_t(gpt.params[i].numel()), kWeightScale);
    const auto int8 = options.is_int8 ? std::make_unique<small_gpt::Int8Weights>(gpt) : nullptr;

    char word[16];
    long long count = 0;
    while (std::scanf("%15s", word) == 1) {
        if (!std::strcmp(word, "read")) {
            std::printf(
                "{\"read_gbs\": %.1f}\n",
                peak::read_gbs(options.threads, int64_t(bytes_per_token(gpt, 1, options.is_int8) / 4)));
            std::fflush(stdout);
            continue;
        }
        const bool use_cache = !std::strcmp(word, "run");
        if ((!use_cache && std::strcmp(word, "plain") != 0) || std::scanf("%lld", &count) != 1 || count < 1 ||
            count > b.T)
            usage_error("expected 'run N', 'plain N' or 'read' on stdin, N in [1, %lld]", (long long)b.T);
        std::vector<Sampler> greedy(1);
        greedy[0].temperature = 0;
        std::vector<int> ids;
        const double begin = peak::now();
        const auto keep = [&](size_t, int id) {
            ids.push_back(id);
            return true;
        };
        small_gpt::generate(ctx, gpt, {0}, count, greedy, use_cache, keep, int8.get());
        const double seconds = peak::now() - begin;
        rusage usage;
        getrusage(RUSAGE_SELF, &usage);
        std::printf(
            "{\"seconds\": %.9f, \"tokens\": %lld, \"ids\": \"%016llx\", \"bytes_per_token\": %.0f, "
            "\"peak_rss_mib\": %ld, \"version\": \"\"}\n",
            seconds, count, (unsigned long long)hash_of(ids), bytes_per_token(gpt, count, options.is_int8),
            usage.ru_maxrss / 1024);
        std::fflush(stdout);
    }
}
