// cuda_grid.cpp - running all blocks of a grid, on as many cores as parallel.h has; see cuda_machine.h.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/check.h"
#include "core/parallel.h"
#include "cuda_on_host/block.h"

namespace cuda_on_host {
namespace {

Block& this_block() {
    if (!block) {
        block = new Block;
        report_stack_overflows(*block);
#if !defined(CUDA_ON_HOST_TSAN)
        // Frees it when the OS thread ends; under ThreadSanitizer run_blocks does.
        static CUDA_ON_HOST_PER_OS_THREAD std::unique_ptr<Block> owner;
        owner.reset(block);
#endif
    }
    return *block;
}

thread_local bool runs_kernel = false;

// What went wrong in a grid: by the first block that says so.
struct Outcome {
    std::atomic<bool> has_failed{false};
    std::mutex mutex;
    std::string fault;
    FailureKind kind = FailureKind::kBug;

    void take_from(Block& b) {
        if (b.fault.empty()) return;
        const std::lock_guard<std::mutex> lock(mutex);
        if (!has_failed.exchange(true)) {
            fault = b.fault;
            kind = b.fault_kind;
        }
        b.fault.clear();
    }
};

// While one lives, a failed CHECK throws a KernelFailure.
class ThrowFromKernels {
  public:
    ThrowFromKernels() : previous_(failure_handler()) {
        failure_handler() = [](FailureKind kind, const std::string& message) {
            throw KernelFailure{kind, message};
        };
    }
    ~ThrowFromKernels() { failure_handler() = previous_; }
    ThrowFromKernels(const ThrowFromKernels&) = delete;
    ThrowFromKernels& operator=(const ThrowFromKernels&) = delete;

  private:
    FailureHandler previous_;
};

void run_blocks(const Grid& grid, int64_t blocks, Outcome& outcome) {
    const auto one_block = [&](int64_t n) {
        if (outcome.has_failed) return;
        const int64_t i = options().order == Order::kReverse ? blocks - 1 - n : n;
        const int64_t x = grid.blocks.x, y = grid.blocks.y;
        Block& b = this_block();
        runs_kernel = true;
        try {
            run_block(b, grid, {unsigned(i % x), unsigned(i / x % y), unsigned(i / (x * y))});
        } catch (const KernelFailure& failure) {  // of the machine itself: no memory for a stack
            b.fault = failure.message;
            b.fault_kind = failure.kind;
        }
        runs_kernel = false;
        outcome.take_from(b);
    };
#if defined(CUDA_ON_HOST_TSAN)
    // A new OS thread for each block: its __shared__ memory is new too, and nothing orders one block after
    // another. The blocks' dynamic shared memory is freed when all have ended: freeing counts as writing.
    std::vector<std::unique_ptr<Block>> used;
    for (int64_t n = 0; n < blocks; n++) {
        std::thread worker([&] {
            one_block(n);
            used.emplace_back(block);
        });
        worker.join();
    }
#elif defined(CUDA_ON_HOST_ONE_THREAD)
    for (int64_t n = 0; n < blocks; n++) one_block(n);
#else
    parallel_for(blocks, one_block);
#endif
    see_end_of_grid();
}

// What cudaFuncSetAttribute allowed, by kernel.
struct AllowedShared {
    std::mutex mutex;
    std::map<const void*, size_t> bytes;
};

AllowedShared& allowed_shared() {
    static AllowedShared the_allowed;
    return the_allowed;
}

size_t shared_bytes_allowed(const void* kernel) {
    AllowedShared& allowed = allowed_shared();
    const std::lock_guard<std::mutex> lock(allowed.mutex);
    const auto found = allowed.bytes.find(kernel);
    return found == allowed.bytes.end() ? kSharedBytes : std::max(found->second, kSharedBytes);
}

// Half of the mappings that a process may have, at two for each stack.
size_t stacks_to_guard() {
    if (const char* text = std::getenv("CUDA_ON_HOST_GUARDS")) return size_t(std::atoll(text));
    long long maps = 0;
    std::ifstream("/proc/sys/vm/max_map_count") >> maps;
    return maps > 0 ? size_t(maps) / 4 : 16000;
}

bool is_set(const char* variable, const char* value) {
    const char* text = std::getenv(variable);
    return text && std::strcmp(text, value) == 0;
}

}  // namespace

Options& options() {
    static Options the_options = [] {
        Options o;
        if (is_set("CUDA_ON_HOST_ORDER", "reverse")) o.order = Order::kReverse;
        o.poison_static_shared = is_set("CUDA_ON_HOST_POISON", "1");
        o.guarded_stacks = stacks_to_guard();
        return o;
    }();
    return the_options;
}

bool allow_shared_bytes(const void* kernel, size_t bytes) {
    if (bytes > kMaxSharedBytes) return false;
    AllowedShared& allowed = allowed_shared();
    const std::lock_guard<std::mutex> lock(allowed.mutex);
    allowed.bytes[kernel] = bytes;
    return true;
}

void run_grid(const Grid& grid) {
    const int64_t blocks = int64_t(grid.blocks.x) * grid.blocks.y * grid.blocks.z;
    const uint64_t threads = uint64_t(grid.threads.x) * grid.threads.y * grid.threads.z;
    CHECK(blocks > 0 && threads > 0, "[cuda_on_host] an empty grid: %s", describe(grid).c_str());
    CHECK(threads <= kMaxThreads, "[cuda_on_host] a block has at most %u threads: %s", kMaxThreads,
          describe(grid).c_str());
    CHECK(grid.threads.z <= 64, "[cuda_on_host] a block has at most 64 threads along z: %s",
          describe(grid).c_str());
    CHECK(grid.blocks.x < 1u << 31 && grid.blocks.y <= 65535 && grid.blocks.z <= 65535,
          "[cuda_on_host] a grid has at most 2147483647 x 65535 x 65535 blocks: %s", describe(grid).c_str());
    CHECK(grid.shared_bytes <= kMaxSharedBytes,
          "[cuda_on_host] %zu bytes of shared memory, a block has at most %zu: %s", grid.shared_bytes,
          kMaxSharedBytes, describe(grid).c_str());
    const size_t allowed = shared_bytes_allowed(grid.kernel);
    CHECK(grid.shared_bytes <= allowed,
          "[cuda_on_host] %zu bytes of shared memory, this kernel may have %zu: cudaFuncSetAttribute(kernel, "
          "cudaFuncAttributeMaxDynamicSharedMemorySize, bytes) allows up to %zu: %s",
          grid.shared_bytes, allowed, kMaxSharedBytes, describe(grid).c_str());
    CHECK(!runs_kernel, "[cuda_on_host] a kernel launches a kernel: %s", describe(grid).c_str());

    static std::mutex one_grid_at_a_time;
    const std::lock_guard<std::mutex> lock(one_grid_at_a_time);
    Outcome outcome;
    {
        const ThrowFromKernels guard;
        run_blocks(grid, blocks, outcome);
    }
    if (outcome.has_failed) fail(outcome.kind, outcome.fault);
}

}  // namespace cuda_on_host
