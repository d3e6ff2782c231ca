// in_order.h - pieces of work on their way through several threads: taken in order, worked on in any order, joined in
// order. Nobody waits for a slow neighbour until the most that may be on the way are.
// Not here: the threads (parallel.h), where pieces come from, what joining is.
#pragma once
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <vector>

template <class Piece>
class InOrder {
  public:
    explicit InOrder(size_t most_on_the_way) : ring_(most_on_the_way) {}

    // The next piece, which fill(&piece) makes of one that was joined; null when fill says false, for there is none
    // left, and after stop(). fill is called by one thread at a time and may take its time: joining goes on.
    template <class Fill>
    Piece* take(const Fill& fill) {
        const std::lock_guard<std::mutex> taking(taking_);
        {
            std::unique_lock<std::mutex> lock(mutex_);
            joined_one_.wait(lock, [&] { return taken_ - joined_ < ring_.size() || is_stopped_; });
            if (is_stopped_) return nullptr;
        }
        Piece* const piece = &ring_[taken_ % ring_.size()];
        if (!fill(piece)) return nullptr;
        const std::lock_guard<std::mutex> lock(mutex_);
        taken_++;
        return piece;
    }

    // join(&piece) is called for every piece in its order, by one thread at a time: by this one for all that have their
    // turn, unless another is at it, which will see this piece, too.
    template <class Join>
    void give_back(Piece* piece, const Join& join) {
        std::unique_lock<std::mutex> lock(mutex_);
        static_cast<Place*>(piece)->is_done = true;
        if (is_joining_) return;
        is_joining_ = true;
        for (Place* first; (first = &ring_[joined_ % ring_.size()])->is_done && !is_stopped_; joined_++) {
            lock.unlock();
            join(first);
            lock.lock();
            first->is_done = false;
            joined_one_.notify_one();
        }
        is_joining_ = false;
    }

    // By a thread whose piece failed: nothing more is taken or joined.
    void stop() {
        const std::lock_guard<std::mutex> lock(mutex_);
        is_stopped_ = true;
        joined_one_.notify_all();
    }

  private:
    struct Place : Piece {
        bool is_done = false;
    };

    std::mutex taking_;  // held while waiting for room and for fill
    std::mutex mutex_;   // for all below; of a piece, between take and give_back only its is_done
    std::condition_variable joined_one_;
    std::vector<Place> ring_;
    size_t taken_ = 0, joined_ = 0;
    bool is_joining_ = false, is_stopped_ = false;
};
