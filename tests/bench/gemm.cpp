// gemm.cpp - how fast the matrix multiply is at the shapes of the models in the note, in GFLOP/s and as a
// share of what the machine can do: of the multiply-adds per second that peak.h measures, at the vector width
// of this build. Exit code 1 when the shapes with C = 768 together stay below 70 % of that, at any of the
// numbers of threads. Run: make bench, or build/<...>/bench/gemm --shapes bc --threads 2
// --precision bf16 rounds the inputs; its share is of float32's peak all the same, and may be above 100 %.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/large_pages.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "kernels/kernels.h"
#include "tests/bench/peak.h"

namespace {

// A linear layer of one of the models: (N,IC) -> (N,OC).
struct Layer {
    char model;
    const char* name;
    int64_t N, IC, OC;
};

const std::vector<Layer> kLayers = {
    {'a', "qkv", 4096, 128, 384},     {'a', "proj", 4096, 128, 128},     {'a', "fc", 4096, 128, 512},
    {'a', "fc_proj", 4096, 512, 128}, {'a', "head", 4096, 128, 65},      {'b', "qkv", 4096, 384, 1152},
    {'b', "proj", 4096, 384, 384},    {'b', "fc", 4096, 384, 1536},      {'b', "fc_proj", 4096, 1536, 384},
    {'b', "head", 4096, 384, 65},     {'c', "qkv", 2048, 768, 48},       {'c', "proj", 2048, 16, 768},
    {'c', "fc", 2048, 768, 3072},     {'c', "fc_proj", 2048, 3072, 768}, {'c', "head", 2048, 768, 50257},
    {'d', "qkv", 256, 768, 2304},     {'d', "proj", 256, 768, 768},      {'d', "fc", 256, 768, 3072},
    {'d', "fc_proj", 256, 3072, 768}, {'d', "head", 256, 768, 50257},    {'e', "qkv", 2048, 64, 192},
    {'e', "proj", 2048, 64, 64},      {'e', "fc", 2048, 64, 256},        {'e', "fc_proj", 2048, 256, 64},
    {'e', "head", 2048, 64, 65},
};

// The three products of a layer in training.
enum Direction { kForward, kBackwardInput, kBackwardParams };
const char* const kDirectionNames[] = {"forward", "dinp", "dweight"};

struct Buffers {
    std::vector<float, LargePages<float>> inp, weight, out, bias;  // as a model's

    explicit Buffers(const Layer& layer)
        : inp(layer.N * layer.IC), weight(layer.OC * layer.IC), out(layer.N * layer.OC), bias(layer.OC) {
        uint64_t stream = 1;
        for (auto* x : {&inp, &weight, &out, &bias}) {
            const RandomStream random{1, stream++};
            // note: small numbers, so that hundreds of accumulations stay finite
            for (size_t i = 0; i < x->size(); i++)
                (*x)[i] = 0.02f * (uniform_from_word(random.word(i % 4096)) - 0.5f);
        }
    }
};

void run_once(const Layer& l, Direction direction, Buffers& x, Stream s) {
    if (direction == kForward)
        cpu::gemm(x.out.data(), x.inp.data(), x.weight.data(), x.bias.data(), l.N, l.OC, l.IC, false, true,
                  false, s);
    else if (direction == kBackwardInput)
        cpu::gemm(x.inp.data(), x.out.data(), x.weight.data(), nullptr, l.N, l.IC, l.OC, false, false, false,
                  s);
    else
        cpu::linear_backward_params(x.weight.data(), x.bias.data(), x.out.data(), x.inp.data(), l.N, l.IC,
                                    l.OC, false, s);
}

// Seconds of the fastest of the runs that fit into `budget` seconds: at least three.
double seconds_of_fastest(const Layer& layer, Direction direction, Buffers& buffers, Stream s,
                          double budget) {
    run_once(layer, direction, buffers, s);
    double best = 1e30;
    const double end = peak::now() + budget;
    for (int run = 0; run < 3 || peak::now() < end; run++) {
        const double begin = peak::now();
        run_once(layer, direction, buffers, s);
        best = std::min(best, peak::now() - begin);
    }
    return best;
}

}  // namespace

int main(int argc, char** argv) {
    std::string models = "abce";
    std::vector<int> thread_counts = {1, 2};
    double budget = 0.2, bar = 0.70;
    CLI::App app{"Speed of the matrix multiply at the shapes of the models, against the measured peak."};
    app.add_option("--shapes", models, "models to run: a, b, c, d, e (see tests/bench/gemm.cpp)")
        ->capture_default_str();
    app.add_option("--threads", thread_counts, "numbers of threads")
        ->capture_default_str()
        ->check(CLI::Range(1, 64));
    app.add_option("--seconds", budget, "seconds for each shape")
        ->capture_default_str()
        ->check(CLI::Range(0.0, 60.0));
    app.add_option("--bar", bar, "smallest share of the peak for the C=768 shapes")->capture_default_str();
    std::string precision = "fp32";
    app.add_option("--precision", precision, "of the inputs")
        ->capture_default_str()
        ->check(CLI::IsMember({"fp32", "bf16"}));
    CLI11_PARSE(app, argc, argv);
    Stream stream;
    stream.rounds_products = precision == "bf16";

    std::printf("vectors of %d floats; GFLOP/s of the fastest run, and its share of the measured peak\n",
                simd::kWidth);
    std::printf("%-26s %6s %6s %6s", "product", "M", "N", "K");
    for (int threads : thread_counts) std::printf("   %2d thread%s     ", threads, threads > 1 ? "s" : " ");
    std::printf("\n");

    bool all_met = true;
    std::vector<double> flops_768(thread_counts.size()), peak_flops_768(thread_counts.size());
    for (const Layer& layer : kLayers) {
        if (models.find(layer.model) == std::string::npos) continue;
        Buffers buffers(layer);
        for (Direction direction : {kForward, kBackwardInput, kBackwardParams}) {
            const int64_t M = direction == kBackwardParams ? layer.OC : layer.N;
            const int64_t N = direction == kForward ? layer.OC : layer.IC;
            const int64_t K = direction == kForward         ? layer.IC
                              : direction == kBackwardInput ? layer.OC
                                                            : layer.N;
            const std::string name =
                format("(%c) %s %s", layer.model, layer.name, kDirectionNames[direction]);
            std::printf("%-26s %6lld %6lld %6lld", name.c_str(), (long long)M, (long long)N, (long long)K);
            for (size_t t = 0; t < thread_counts.size(); t++) {
                parallel::set_num_threads(thread_counts[t]);
                // note: the peak is measured again each time, since clocks and neighbours change within a run
                const double peak_gflops = peak::gflops(thread_counts[t], 3);
                const double flops = 2.0 * double(M) * double(N) * double(K);
                const double seconds = seconds_of_fastest(layer, direction, buffers, stream, budget);
                std::printf("  %7.1f  %5.1f %%  ", 1e-9 * flops / seconds,
                            1e-7 * flops / seconds / peak_gflops);
                std::fflush(stdout);
                if (layer.model == 'c') {
                    flops_768[t] += flops;
                    peak_flops_768[t] += seconds * peak_gflops * 1e9;
                }
            }
            std::printf("\n");
        }
    }
    for (size_t t = 0; t < thread_counts.size(); t++) {
        if (peak_flops_768[t] == 0) continue;
        const double share = flops_768[t] / peak_flops_768[t];
        const bool met = share >= bar;
        std::printf("C=768 shapes together, %d threads: %.1f %% of the peak, bar %.0f %%: %s\n",
                    thread_counts[t], 100 * share, 100 * bar, met ? "met" : "NOT MET");
        all_met = all_met && met;
    }
    return all_met ? 0 : 1;
}
