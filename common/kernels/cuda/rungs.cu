// rungs.cu - the choice between the plain form of a kernel and a fast one; rungs.h explains it.
#include "kernels/cuda/rungs.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core/check.h"
#include "core/device.h"
#include "kernels/cuda/gpu_records.h"

CardForRungs card_for_rungs() {
    CardForRungs card;
    card.is_emulated = is_cuda_emulated();
    if (card.is_emulated) return card;
    int device = 0;
    cudaDeviceProp properties;
    CUDA_CHECK(cudaGetDevice(&device));
    CUDA_CHECK(cudaGetDeviceProperties(&properties, device));
    card.architecture = 10 * properties.major + properties.minor;
    for (int passed : kPassedArchitectures) card.has_record = card.has_record || passed == card.architecture;
    return card;
}

bool choose_fast_form(const char* name, const CardForRungs& card, const char* asked,
                      FastForm::Compare* compare, std::string& note) {
    if (asked && *asked) {
        if (std::strcmp(asked, "fast") == 0) return true;
        if (std::strcmp(asked, "plain") == 0) return false;
        user_error("GPT_KERNELS=%s is neither plain nor fast", asked);
    }
    if (card.is_emulated) return false;
    if (card.has_record) return true;
    const std::string difference = compare();
    if (difference.empty()) return true;
    note = format(
        "note: %s is wrong on this card (sm_%d, of which docs/gpu has no record): %s; the plain kernel runs",
        name, card.architecture, difference.c_str());
    return false;
}

bool FastForm::is_chosen() {
    if (forced_ != State::kUndecided) return forced_ == State::kFast;
    const std::lock_guard<std::mutex> lock(mutex_);
    if (state_ == State::kUndecided) {
        std::string note;
        const bool is_fast =
            choose_fast_form(name_, card_for_rungs(), std::getenv("GPT_KERNELS"), compare_, note);
        if (!note.empty()) std::fprintf(stderr, "%s\n", note.c_str());
        state_ = is_fast ? State::kFast : State::kPlain;
    }
    return state_ == State::kFast;
}

std::string difference_of(const char* what, const std::vector<float>& got, const std::vector<float>& want,
                          double tolerance) {
    double error = 0, norm = 0;
    for (size_t i = 0; i < want.size(); i++) {
        const double difference = double(got[i]) - double(want[i]);
        error += difference * difference;
        norm += double(want[i]) * double(want[i]);
    }
    const double relative = std::sqrt(error / (norm > 0 ? norm : 1));
    if (relative <= tolerance) return "";  // not so for NaN
    return format("%s differs by %.3g of its norm, %.3g is allowed", what, relative, tolerance);
}
