// gemm_choice.h - a library offers several ways to compute the same product: which one to take. At the first use of
// a kind of product (its key: sizes, layouts, what happens to the result) the candidates are timed, and the winner
// is remembered until the program ends, so that the same product has the same bits all along a run.
//
// The price: another run may time otherwise, choose another algorithm, and add in another order. Two things hold
// against that. The library's first proposal stays unless another is faster by more than kClearlyFaster. And
// GPT_GEMM_TUNE=0 takes the first proposal unseen: then runs are equal bit for bit, across processes too, at a cost
// of some percent of the time that products take.
// Not here: the library (gemm_cublaslt.cu).
#pragma once
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "core/check.h"

constexpr double kClearlyFaster =
    0.97;  // of the first proposal's time; repeated timings differ by a percent or two

// Whether GPT_GEMM_TUNE allows to time.
inline bool may_time_products() {
    const char* asked = std::getenv("GPT_GEMM_TUNE");
    if (!asked || !*asked || std::strcmp(asked, "1") == 0) return true;
    if (std::strcmp(asked, "0") != 0) user_error("GPT_GEMM_TUNE=%s is neither 0 nor 1", asked);
    return false;
}

template <class Key, class Algorithm>
class FastestChoice {
  public:
    // The algorithm to use, or nullptr where none is offered, or none runs.
    //   propose()           std::vector<Algorithm>, the library's favourite first
    //   may_time()          whether to time them; else the favourite is taken
    //   seconds(algorithm)  what it takes, below 0 where it does not run
    // Asked at the first use of a key alone. The pointer stays good.
    template <class Propose, class MayTime, class Seconds>
    const Algorithm* get(const Key& key, Propose propose, MayTime may_time, Seconds seconds) {
        const std::lock_guard<std::mutex> lock(mutex_);
        const auto known = choices_.find(key);
        if (known != choices_.end()) return known->second.empty() ? nullptr : known->second.data();
        const std::vector<Algorithm> candidates = propose();
        const bool is_timed = candidates.size() > 0 && may_time();
        size_t best = is_timed ? candidates.size() : 0;  // candidates.size(): none
        double best_seconds = 0;
        for (size_t c = 0; c < candidates.size() && is_timed; c++) {
            const double time = seconds(candidates[c]);
            const double needed = best == 0 ? kClearlyFaster * best_seconds : best_seconds;
            if (time >= 0 && (best == candidates.size() || time < needed)) best = c, best_seconds = time;
        }
        std::vector<Algorithm>& choice = choices_[key];
        if (best < candidates.size()) choice.push_back(candidates[best]);
        return choice.empty() ? nullptr : choice.data();
    }

    // For tests: pointers that were given out are good no more.
    void forget() {
        const std::lock_guard<std::mutex> lock(mutex_);
        choices_.clear();
    }

  private:
    std::mutex mutex_;
    std::map<Key, std::vector<Algorithm>> choices_;  // of one algorithm, or of none
};
