// ladder.cpp - climbs the ladders of tests/bench/ladder/: every rung of every family is checked against the CPU,
// with CUDA threads in forward and in reverse order; on a GPU it is also timed, and its speed printed as a share
// of what this card reaches when it does nothing but copy, or nothing but multiply. Exit code 1 when a rung is
// wrong.
// Not here: the rungs (ladder/FAMILY.cu), their problems and tolerances (ladder/problems.h).
// With --json, one line for each rung and size that it was timed at, or that it was only checked at.
// Run: make BUILD=host build/host/bench/ladder && build/host/bench/ladder --family matmul
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "tests/bench/ladder/ladder.h"
#include "tests/bench/ladder/problems.h"
#include "tests/support/allclose.h"

namespace {

using namespace ladder;

// ---- checking ---------------------------------------------------------------------------------------------

template <class Family>
std::vector<Answer> answers_of(const Rung<Family>& rung, const typename Family::Sizes& sizes) {
    Problem<Family> problem(sizes);  // a new one: nothing is left of the rung before
    problem.run(rung.run);
    return problem.answers(rung.rounds_to_bf16);
}

// "" or what is wrong.
template <class Family>
std::string check(const Rung<Family>& rung, const typename Family::Sizes& sizes) {
    const std::vector<Answer> answers = answers_of(rung, sizes);
    for (const Answer& a : answers) {
        const std::string difference =
            allclose(std::string(Family::kName) + " " + rung.name + ", " + a.name, sizes.text(), a.got.data(),
                     a.want.data(), int64_t(a.want.size()), a.tolerance, a.tolerance);
        if (!difference.empty()) return difference;
    }
    const ReverseOrder reverse;  // on a GPU: once more
    const std::vector<Answer> again = answers_of(rung, sizes);
    for (size_t i = 0; i < answers.size(); i++)
        if (std::memcmp(answers[i].got.data(), again[i].got.data(), answers[i].got.size() * sizeof(float)) !=
            0)
            return format(
                "[%s %s, %s] %s: other bits with threads in another order: does one wait too little?",
                Family::kName, rung.name, answers[i].name, sizes.text().c_str());
    return "";
}

template <class Family>
bool takes(const Rung<Family>& rung, const typename Family::Sizes& sizes) {
    return !rung.takes || rung.takes(sizes);
}

// Rungs by name that are not right.
using Names = std::vector<std::string>;

bool is_in(const Names& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

// Prints a line for each rung; returns those that are wrong.
template <class Family>
Names check_all(const std::vector<Rung<Family>>& rungs, bool is_quiet) {
    Names wrong;
    if (!is_quiet)
        std::printf("%s: against the CPU at %zu sizes\n", Family::kName, Problem<Family>::checked().size());
    for (const Rung<Family>& rung : rungs) {
        int taken = 0;
        std::string error;
        for (const typename Family::Sizes& sizes : Problem<Family>::checked()) {
            if (!takes(rung, sizes)) continue;
            taken++;
            error = check(rung, sizes);
            if (!error.empty()) break;
        }
        if (error.empty() && taken == 0) error = "takes none of the sizes that are checked";
        if (!error.empty()) {
            wrong.push_back(rung.name);
            std::fprintf(stderr, "%s\n", error.c_str());
        }
        if (!is_quiet)
            std::printf("  %-5s %-20s %2d sizes  %s\n", error.empty() ? "ok" : "WRONG", rung.name, taken,
                        rung.idea);
        std::fflush(stdout);
    }
    return wrong;
}

// ---- what is printed of a rung that was timed, or not -----------------------------------------------------

template <class Family>
void print_json(const Rung<Family>& rung, const std::string& sizes, bool is_ok, const std::string& measured) {
    std::printf("{\"family\":\"%s\",\"rung\":\"%s\",\"sizes\":\"%s\",\"ok\":%s%s}\n", Family::kName,
                rung.name, sizes.c_str(), is_ok ? "true" : "false", measured.c_str());
    std::fflush(stdout);
}

template <class Family>
void print_checked(const std::vector<Rung<Family>>& rungs, const Names& wrong) {
    for (const Rung<Family>& rung : rungs) print_json(rung, "checked", !is_in(wrong, rung.name), "");
}

// ---- timing, on a GPU -------------------------------------------------------------------------------------

#if !defined(GPT_CUDA_ON_HOST)
class Event {
  public:
    Event() { CUDA_CHECK(cudaEventCreate(&event_)); }
    ~Event() { cudaEventDestroy(event_); }
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;
    void record() { CUDA_CHECK(cudaEventRecord(event_, nullptr)); }
    double seconds_since(const Event& start) const {
        float ms = 0;
        CUDA_CHECK(cudaEventSynchronize(event_));
        CUDA_CHECK(cudaEventElapsedTime(&ms, start.event_, event_));
        return 1e-3 * double(ms);
    }

  private:
    cudaEvent_t event_;
};

// The median of at least 5 runs and at most 51, which stop after `budget` seconds; two runs before, for clocks and
// caches.
template <class F>
double median_seconds(double budget, F run) {
    run(), run();
    std::vector<double> seconds;
    double total = 0;
    while (seconds.size() < 5 || (seconds.size() < 51 && total < budget)) {
        Event begin, end;
        begin.record();
        run();
        end.record();
        seconds.push_back(end.seconds_since(begin));
        total += seconds.back();
    }
    std::nth_element(seconds.begin(), seconds.begin() + long(seconds.size() / 2), seconds.end());
    return seconds[seconds.size() / 2];
}

// What this card does at best, measured: bytes a second of a copy, reads and writes both counted; operations a
// second of the product that training uses. Random numbers: with zeros the card draws less power and clocks higher.
struct Ceilings {
    double bytes_per_s, operations_per_s;
};

Ceilings measure_ceilings() {
    Ceilings ceilings;
    {
        const int64_t n = int64_t(1) << 28;  // 1 GiB, twenty times the largest cache
        const FloatArray from(n), to(n);
        const size_t bytes = size_t(n) * sizeof(float);
        ceilings.bytes_per_s =
            2.0 * double(bytes) / median_seconds(1, [&] {
                CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, nullptr));
            });
    }
    const int64_t n = 8192;
    const RealArray a(bf16_numbers(n * n, 1)), b(bf16_numbers(n * n, 2)), out(n * n);
    ceilings.operations_per_s = 2.0 * double(n) * double(n) * double(n) / median_seconds(1, [&] {
                                    gpu::gemm(out, a, b, nullptr, n, n, n, false, false, false, {});
                                });
    return ceilings;
}

template <class Family>
void time_all(const std::vector<Rung<Family>>& rungs, const Names& wrong, const Ceilings& ceilings,
              double budget, bool as_json) {
    const bool counts_bytes = Family::kCeiling == Ceiling::kMemory;
    for (const typename Family::Sizes& sizes : Problem<Family>::timed()) {
        if (!as_json)
            std::printf("%s, %s: median\n  %-20s %10s %10s %10s\n", Family::kName, sizes.text().c_str(),
                        "rung", "ms", counts_bytes ? "GB/s" : "TFLOP/s",
                        counts_bytes ? "of copy" : "of product");
        Problem<Family> problem(sizes);
        for (const Rung<Family>& rung : rungs) {
            if (!takes(rung, sizes)) continue;
            const double seconds = median_seconds(budget, [&] { problem.run(rung.run); });
            const double gbs = 1e-9 * problem.bytes() / seconds,
                         tflops = 1e-12 * problem.operations() / seconds;
            const double share =
                counts_bytes ? 1e9 * gbs / ceilings.bytes_per_s : 1e12 * tflops / ceilings.operations_per_s;
            if (as_json)
                print_json(rung, sizes.text(), !is_in(wrong, rung.name),
                           format(",\"seconds\":%.6g,\"tflops\":%.6g,\"gb_per_s\":%.6g,\"of_ceiling\":%.4f",
                                  seconds, tflops, gbs, share));
            else
                std::printf("  %-20s %10.4f %10.1f %8.1f %%\n", rung.name, 1e3 * seconds,
                            counts_bytes ? gbs : tflops, 100 * share);
            std::fflush(stdout);
        }
    }
}

Ceilings print_ceilings(bool as_json) {
    cudaDeviceProp card;
    CUDA_CHECK(cudaGetDeviceProperties(&card, 0));
    const Ceilings ceilings = measure_ceilings();
    const double gbs = 1e-9 * ceilings.bytes_per_s, tflops = 1e-12 * ceilings.operations_per_s;
    const char* precision = sizeof(real) == 2 ? "bf16" : "fp32";
    if (as_json)
        std::printf("{\"card\":\"%s\",\"precision\":\"%s\",\"copy_gb_per_s\":%.6g,\"product_tflops\":%.6g}\n",
                    card.name, precision, gbs, tflops);
    else
        std::printf("%s: copy %.0f GB/s; product of 8192 x 8192 matrices in %s %.1f TFLOP/s\n", card.name,
                    gbs, precision, tflops);
    return ceilings;
}
#else
struct Ceilings {};
Ceilings print_ceilings(bool as_json) {
    if (!as_json) std::printf("CUDA runs on the CPU in this build: rungs are checked, not timed\n");
    return {};
}
template <class Family>
void time_all(const std::vector<Rung<Family>>& rungs, const Names& wrong, const Ceilings&, double,
              bool as_json) {
    if (as_json) print_checked(rungs, wrong);
}
#endif

// ---- the families -----------------------------------------------------------------------------------------

struct Options {
    bool checks_only = false, as_json = false;
    double seconds = 1;
};

// Climbs one ladder; returns how many rungs are wrong.
template <class Family, const std::vector<Rung<Family>>& kRungs>
int climb(const Options& options, const Ceilings& ceilings) {
    const Names wrong = check_all(kRungs, options.as_json);
    if (!options.checks_only)
        time_all(kRungs, wrong, ceilings, options.seconds, options.as_json);
    else if (options.as_json)
        print_checked(kRungs, wrong);
    return int(wrong.size());
}

struct FamilyOfAnyKind {
    const char* name;
    int (*climb)(const Options&, const Ceilings&);
};

const FamilyOfAnyKind kFamilies[] = {
    {Matmul::kName, climb<Matmul, kMatmul>},
    {Softmax::kName, climb<Softmax, kSoftmax>},
    {LayerNorm::kName, climb<LayerNorm, kLayerNorm>},
    {LayerNormBackward::kName, climb<LayerNormBackward, kLayerNormBackward>},
    {AttentionForward::kName, climb<AttentionForward, kAttentionForward>},
    {AttentionBackward::kName, climb<AttentionBackward, kAttentionBackward>},
};

}  // namespace

int main(int argc, char** argv) {
    Names names;
    for (const FamilyOfAnyKind& family : kFamilies) names.push_back(family.name);
    Names wanted = names;
    Options options;
    CLI::App app{
        "The ladders of kernels, naive to fast: each rung against the CPU, and timed where there is a GPU."};
    app.add_option("--family", wanted, "families to climb, all without this option")
        ->check(CLI::IsMember(names));
    app.add_flag("--check", options.checks_only, "time nothing");
    app.add_flag("--json", options.as_json, "one line of JSON for each rung");
    app.add_option("--seconds", options.seconds, "time for each rung and size, at least five runs")
        ->capture_default_str()
        ->check(CLI::Range(0.0, 60.0));
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 2;
    }

    int wrong = 0;
    const Ceilings ceilings = options.checks_only ? Ceilings{} : print_ceilings(options.as_json);
    for (const FamilyOfAnyKind& family : kFamilies)
        if (is_in(wanted, family.name)) wrong += family.climb(options, ceilings);
    if (wrong > 0) std::fprintf(stderr, "%d rungs are wrong\n", wrong);
    return wrong > 0 ? 1 : 0;
}
