// background.h - one piece of work at a time on a thread of its own, and its failure told by whoever waits for it.
// Not here: loops (parallel.h).
#pragma once
#include <optional>
#include <thread>
#include <utility>

#include "core/check.h"

class Background {
  public:
    Background() = default;
    ~Background() {
        if (thread_.joinable()) thread_.join();
    }
    Background(const Background&) = delete;
    Background& operator=(const Background&) = delete;

    // Waits for what was started before.
    template <class F>
    void start(F work) {
        wait();
        thread_ = std::thread([this, work = std::move(work)]() mutable {
            is_in_background() = true;
            try {
                work();
            } catch (const BackgroundFailure& failure) {
                failure_ = failure;
            }
        });
    }

    // Returns when the work is done; where it failed, so does this.
    void wait() {
        if (thread_.joinable()) thread_.join();
        if (!failure_) return;
        const BackgroundFailure failure = *failure_;
        failure_.reset();
        fail(failure.kind, failure.message);
    }

  private:
    std::thread thread_;
    std::optional<BackgroundFailure> failure_;  // of the thread; read when it has ended
};
