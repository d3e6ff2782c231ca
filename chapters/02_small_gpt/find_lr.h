// find_lr.h - `find-lr`: which learning rate suits a model, before it is trained. A short run whose rate rises
// exponentially, a factor a step, until the loss does; where it fell well is where to train.
// Not here: training (train.h). Nothing of this run is kept.
// Source: Smith 2017, "Cyclical Learning Rates for Training Neural Networks", section 3.3.
#pragma once
#include <cstdint>
#include <vector>

#include "chapters/02_small_gpt/config.h"

namespace small_gpt {

struct RateLoss {
    float lr;
    double loss;    // of the step that was taken with this rate, before it was taken
    double smooth;  // a moving mean: single batches differ too much
};

// The rate of a step, which counts from 1: `lowest` at the first, `highest` at the last, the same factor in between.
float rate_at(double lowest, double highest, int64_t step, int64_t steps);

// The losses seen so far.
class RateSweep {
  public:
    // False when the sweep is over: the loss is no number, or has risen so far that larger rates have no more to say.
    bool add(float lr, double loss);
    const std::vector<RateLoss>& rows() const { return rows_; }
    bool has_diverged() const { return has_diverged_; }

    size_t lowest() const;  // the row with the lowest smoothed loss
    // A tenth of the rate at which the smoothed loss was lowest: there it was already about to rise. 0: the loss never fell.
    float suggestion() const;

  private:
    std::vector<RateLoss> rows_;
    double mean_ = 0;
    bool has_diverged_ = false;
};

// Returns the exit code: 0, or 130 when Ctrl-C ended it.
int run_find_lr(const Config& config);

}  // namespace small_gpt
