// parallel.h - parallel_for over a pool of threads: the only way this code uses more than one core.
// Not here: OpenMP (it hides races from ThreadSanitizer and spins on busy machines); reductions (a sum split
// over threads would change with their number: split work over outputs instead).
// Depends on nothing. The pool is the one object that the whole process shares, as cores are.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>
#if defined(__linux__)
#include <sched.h>
#endif

namespace parallel {

inline void cpu_relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// Number of cores this process may run on (taskset and cgroups' cpusets count, unlike in the machine's
// total).
inline int available_cores() {
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set) > 0 ? CPU_COUNT(&set) : 1;
#endif
    const unsigned n = std::thread::hardware_concurrency();
    return n ? int(n) : 1;
}

// A loop is published as (function, context, count) and a generation number. Each thread has a share of the indices,
// always the same one of so many: what it wrote in one loop is still in its core's cache when it reads it in the next.
// A thread that is done with its own share helps the others with theirs.
class Pool {
  public:
    ~Pool() { resize(1); }

    int size() const { return int(workers_.size()) + 1; }
    static int this_thread() { return this_thread_; }

    void resize(int threads) {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            stop_ = true;
            generation_.fetch_add(1);
        }
        wake_.notify_all();
        for (std::thread& worker : workers_) worker.join();
        workers_.clear();
        stop_ = false;
        shares_ = std::vector<Share>(size_t(threads));
        const uint64_t seen =
            generation_.load();  // read before the workers start: none may miss the next loop
        for (int i = 1; i < threads; i++) workers_.emplace_back([this, i, seen] { work(i, seen); });
    }

    using Body = void (*)(void* context, int64_t index);

    void run(int64_t count, Body body, void* context) {
        // A loop inside a loop, or one with nothing to share, runs where it stands.
        if (count <= 1 || workers_.empty() || inside_) {
            for (int64_t i = 0; i < count; i++) body(context, i);
            return;
        }
        body_ = body;
        context_ = context;
        const int64_t threads = size();
        for (int64_t t = 0; t < threads; t++) {
            shares_[size_t(t)].next.store(count * t / threads, std::memory_order_relaxed);
            shares_[size_t(t)].end = count * (t + 1) / threads;
        }
        busy_.store(int(workers_.size()), std::memory_order_relaxed);
        {
            std::lock_guard<std::mutex> lock(mutex_);  // pairs with the sleeper's check of generation_
            generation_.fetch_add(1, std::memory_order_release);
        }
        if (sleepers_.load() > 0) wake_.notify_all();
        inside_ = true;
        take_indices(0);
        inside_ = false;
        for (int looks = 0; busy_.load(std::memory_order_acquire) > 0; looks++) wait_a_little(looks);
    }

  private:
    // A thread that waits for others looks so many times at once, 20 to 50 microseconds: longer than the gap between two kernels.
    static constexpr int kSpins = 2000;
    // Then so many times more, after letting others run on its core, some tenths of a millisecond: threads that share a large
    // product end about so far apart, and on a virtual machine it takes as long again to wake one that sleeps.
    static constexpr int kYields = 1000;

    static void wait_a_little(int looks) { looks < kSpins ? cpu_relax() : std::this_thread::yield(); }

    struct alignas(64) Share {  // a cache line of its own
        std::atomic<int64_t> next{0};
        int64_t end = 0;
    };

    void take_indices(int thread) {
        const int threads = size();
        for (int t = 0; t < threads; t++) {
            Share& share = shares_[size_t((thread + t) % threads)];
            for (int64_t i; (i = share.next.fetch_add(1, std::memory_order_relaxed)) < share.end;)
                body_(context_, i);
        }
    }

    void work(int thread, uint64_t seen) {
        inside_ = true;
        this_thread_ = thread;
        for (;;) {
            for (int looks = 0;
                 looks < kSpins + kYields && generation_.load(std::memory_order_acquire) == seen; looks++)
                wait_a_little(looks);
            if (generation_.load(std::memory_order_acquire) == seen) {
                std::unique_lock<std::mutex> lock(mutex_);
                sleepers_.fetch_add(1);
                wake_.wait(lock, [&] { return generation_.load(std::memory_order_acquire) != seen; });
                sleepers_.fetch_sub(1);
            }
            seen = generation_.load(std::memory_order_acquire);
            if (stop_) return;
            take_indices(thread);
            busy_.fetch_sub(1, std::memory_order_release);
        }
    }

    std::vector<std::thread> workers_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::vector<Share> shares_{1};
    std::atomic<uint64_t> generation_{0};
    std::atomic<int> busy_{0}, sleepers_{0};
    std::atomic<bool> stop_{false};
    Body body_ = nullptr;
    void* context_ = nullptr;
    static inline thread_local bool inside_ = false;
    static inline thread_local int this_thread_ = 0;
};

inline Pool& pool() {
    static Pool the_pool;
    return the_pool;
}

inline void set_num_threads(int threads) {
    if (threads != pool().size()) pool().resize(threads < 1 ? 1 : threads);
}
inline int num_threads() {
    return pool().size();
}
// Which of them runs the body that asks: 0 is the one that called parallel_for.
inline int this_thread() {
    return Pool::this_thread();
}

}  // namespace parallel

// Calls body(i) once for every i in [0, count), on the pool's threads, in any order; returns when all are
// done. Determinism is the caller's: body(i) must write only what belongs to i, and count must not depend on
// num_threads() wherever the split changes a floating-point sum.
template <class F>
void parallel_for(int64_t count, F&& body) {
    parallel::pool().run(
        count, [](void* context, int64_t i) { (*static_cast<std::remove_reference_t<F>*>(context))(i); },
        (void*)&body);
}

// Calls body(begin, end) on consecutive ranges of at most `grain` indices that cover [0, count).
template <class F>
void parallel_ranges(int64_t count, int64_t grain, F&& body) {
    const int64_t ranges = (count + grain - 1) / grain;
    parallel_for(ranges, [&](int64_t r) {
        const int64_t begin = r * grain;
        body(begin, begin + grain < count ? begin + grain : count);
    });
}
