// test_cuda_card.cpp - what a program says of a machine whose GPU it cannot use, and of kernels that fail there: the
// emulated runtime imitates them. The same through a whole program: tests/chapter00/test_device.sh.
#include "core/cuda_card.h"

#include <string>
#include <vector>

#include "core/context.h"
#include "core/device.h"
#include "kernels/kernels.h"
#include "tests/support/catch.h"
#include "tests/support/throwing_failures.h"

#ifdef GPT_WITH_GPU

namespace {

CudaMachine hopper() {
    CudaMachine machine;
    machine.driver = machine.runtime = 13000;
    machine.cards = 1;
    machine.name = "NVIDIA H100";
    machine.major = 9;
    return machine;
}

}  // namespace

TEST_CASE("each reason not to use the GPU has its line", "[core][cuda]") {
    CudaMachine machine = hopper();
    REQUIRE(cuda_problem(machine, true, {90}) == "");
    REQUIRE(cuda_problem(machine, true, {}) == "");

    machine.start = cudaErrorNoDevice;
    machine.cards = 0;
    REQUIRE_THAT(cuda_problem(machine, true, {}), contains("no NVIDIA GPU"));

    machine.start = cudaErrorInsufficientDriver;
    machine.driver = 12020;
    REQUIRE_THAT(cuda_problem(machine, true, {}),
                 contains("driver knows CUDA 12.2 and this program was built with 13.0: update the driver"));
    machine.driver = 0;
    REQUIRE_THAT(cuda_problem(machine, true, {}), contains("no NVIDIA driver"));

    machine = hopper();
    machine.start = cudaErrorInvalidValue;
    REQUIRE_THAT(cuda_problem(machine, true, {}), contains("does not start: invalid argument"));

    machine = hopper();
    machine.name = "NVIDIA T4", machine.major = 7, machine.minor = 5;
    REQUIRE_THAT(cuda_problem(machine, true, {}),
                 contains("NVIDIA T4 (compute capability 7.5) has no bfloat16"));
    REQUIRE(cuda_problem(machine, false, {}) == "");
}

TEST_CASE(
    "a program runs on the architectures it was compiled for, within a major version, and on newer ones",
    "[core][cuda]") {
    CudaMachine machine = hopper();
    const auto runs_on = [&](int major, int minor, const std::vector<int>& archs) {
        machine.major = major, machine.minor = minor;
        return cuda_problem(machine, true, archs) == "";
    };
    REQUIRE(runs_on(8, 0, {80}));
    REQUIRE(runs_on(8, 6, {80}));        // sm_80 code runs on every 8.x
    REQUIRE_FALSE(runs_on(8, 0, {86}));  // but not on an older one
    REQUIRE_FALSE(runs_on(8, 0, {90}));
    REQUIRE(runs_on(8, 9, {80, 90}));
    REQUIRE(runs_on(12, 0, {80, 90}));  // the driver compiles the last one's intermediate code
    REQUIRE(runs_on(10, 0, {80, 90, 100}));
    REQUIRE_FALSE(runs_on(9, 0, {80, 100}));  // intermediate code is of 10.0 alone
    REQUIRE_THAT(cuda_problem(machine, true, {80, 100}),
                 contains("is an sm_90 and this program has kernels for sm_80, sm_100: build with BUILD=cuda "
                          "CUDA_ARCH=90"));
}

#if defined(GPT_CUDA_ON_HOST)

namespace {

// The machine that is imitated, for a scope.
class Imitate {
  public:
    Imitate() : before_(cuda_on_host::imitation()) {}
    ~Imitate() {
        cuda_on_host::imitation() = before_;
        cuda_on_host::forget_fault();
        cuda_waits_after_launch() = false;
    }
    Imitate(const Imitate&) = delete;
    Imitate& operator=(const Imitate&) = delete;
    cuda_on_host::Imitation* operator->() { return &cuda_on_host::imitation(); }

  private:
    const cuda_on_host::Imitation before_;
};

std::string problem_here() {
    return cuda_problem(look_at_cuda_machine(), true, {});
}

}  // namespace

TEST_CASE("the runtime's own answers lead to these lines", "[core][cuda]") {
    Imitate machine;
    REQUIRE(problem_here() == "");
    machine->minor = 0, machine->major = 7;
    REQUIRE_THAT(problem_here(), contains("no bfloat16"));
    machine->cards = 0;
    REQUIRE_THAT(problem_here(), contains("no NVIDIA GPU"));
    machine->driver = 12040;
    REQUIRE_THAT(problem_here(), contains("driver knows CUDA 12.4"));
    machine->driver = 0;
    REQUIRE_THAT(problem_here(), contains("no NVIDIA driver"));
    REQUIRE(cudaGetLastError() == cudaSuccess);  // nothing is left for the next call to report
}

TEST_CASE("device memory that is used up: what was asked, what is free, which flag needs less",
          "[core][cuda]") {
    Imitate machine;
    machine->memory = size_t(1) << 20;
    const auto message = [](auto asking) { return failure_of(asking).message; };
    const std::string alloc = message([] { device_alloc(Device::kCuda, size_t(3) << 20); });
    REQUIRE_THAT(alloc, contains("cannot get 3.0 MiB of device memory: "));
    REQUIRE_THAT(alloc, contains("of 1.0 MiB are free; a smaller --batch"));
    REQUIRE_THAT(message([] { device_scratch(size_t(2) << 20, {}); }),
                 contains("cannot get 2.0 MiB of device memory"));
    REQUIRE(cudaGetLastError() == cudaSuccess);
}

TEST_CASE("a kernel that fails is named with GPT_SYNC=1, and without it the message says so",
          "[core][cuda]") {
    Context ctx(Device::kCuda);
    const Tensor x = ctx.make("x", {8}), y = ctx.make("y", {8});
    device_clear(Device::kCuda, x.memory, x.bytes());
    Imitate machine;
    machine->fails = "add_forward_kernel";
    const auto add = [&] { DISPATCH(ctx, add_forward, y.ptr(), x.ptr(), x.ptr(), 8); };

    SECTION("later, by whoever waits") {
        add();
        const std::string message = failure_of([&] { floats_on_host(Device::kCuda, y.ptr(), 1); }).message;
        REQUIRE_THAT(message, contains("an illegal memory access was encountered (cudaErrorIllegalAddress)"));
        REQUIRE_THAT(message, contains("GPT_SYNC=1 names it"));
    }
    SECTION("at once") {
        cuda_waits_after_launch() = true;
        const std::string message = failure_of(add).message;
        REQUIRE_THAT(
            message,
            contains("[add_forward] add_forward_kernel, launched at common/kernels/cuda/elementwise.cu:"));
        REQUIRE_THAT(message, contains("failed: an illegal memory access was encountered"));
        REQUIRE_THAT(message, !contains("GPT_SYNC"));
    }
}

#endif
#endif
