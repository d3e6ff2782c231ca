// gpu_step.cpp - what `make gpu-check STAGES=time` measures of ours on a GPU: a whole training step, one kernel, or
// what the card reaches when it does nothing else. A server: "run N" on stdin does the work N times and answers
// with one line of JSON, so that a driver (tools/gpu_check/timing.py) can let it and its rival,
// torch_gpu_rival.py, take turns. Both know the same workloads by the same names.
// Not here: two CPU cores (train_step.cpp); the ladders' slower rungs (ladder.cpp); dropout, evaluation, checkpoints.
// Run: echo run 5 | build/cuda/bench/gpu_step step a --batch 16 --accumulate 32
//      echo run 50 | build/cuda/bench/gpu_step attention-forward 16 1024 12 64
// In BUILD=host the same runs thread by thread, for the sizes of `step tiny`: to be tested, not timed.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "chapters/00_char_gpt/gpt.h"
#include "chapters/00_char_gpt/training_step.h"
#include "core/context.h"
#include "nn/adamw.h"
#include "tests/support/device_memory.h"
#include "tests/support/golden.h"

#if defined(GPT_WITH_GPU)

namespace {

// What a server does again and again. work: tokens, gigabytes or TFLOP of one time, whatever `unit` says per second.
struct Workload {
    std::function<void()> warm_up;  // before each turn's clock starts
    std::function<double()> once;   // its loss, or 0
    double work = 0;
    const char* unit = "";
    bool has_loss = false;
};

// ---- a training step --------------------------------------------------------------------------------------

// The same table is in torch_gpu_rival.py, and so are the constants behind it.
struct StepConfig {
    const char* name;
    float clip;
    GptConfig model;
};

GptConfig gpt(int64_t V, int64_t T, int64_t L, int64_t NH, int64_t HS, int64_t C) {
    GptConfig config;
    config.V = V, config.T = T, config.L = L, config.NH = NH, config.HS = HS, config.C = C;
    return config;
}

GptConfig untied_relu(GptConfig config) {
    config.tied = false;
    config.activation = Activation::kRelu;
    return config;
}

// clang-format off
const StepConfig kConfigs[] = {  // V, T, L, NH, HS, C
    {"a",    1, gpt(50257, 1024, 12, 12, 64, 768)},         // GPT-2's 124M
    {"b",    1, gpt(50257, 512, 2, 4, 4, 768)},
    {"c",    0, untied_relu(gpt(65, 32, 4, 4, 16, 64))},    // the original's run
    {"tiny", 1, gpt(65, 16, 1, 2, 8, 16)},                  // to test this program with
};
// clang-format on
constexpr float kLr = 1e-4f, kWeightDecay = 0.01f;
constexpr int64_t kStreamMicroBatches = 64;  // of the token stream, taken in turn

class Trainer {
  public:
    Trainer(const StepConfig& config, int64_t B, int64_t accumulate)
        : ctx_(Device::kCuda),
          model_(ctx_.device, config.model),
          optimizer_(ctx_.device, model_.params, optimizer_options(config.clip)),
          forward_backward_(ctx_, model_, B) {
        model_.init(Init::kGpt2, 1);
        const int64_t T = config.model.T, steps = std::max<int64_t>(kStreamMicroBatches / accumulate, 1);
        const std::vector<int> ids =
            golden::token_stream(size_t(steps * accumulate * B * T + 1), int(config.model.V));
        for (int64_t step = 0; step < steps; step++)
            batches_.push_back(cut(ids.data() + step * accumulate * B * T, accumulate * B));
        first_micro_batch_ = cut(ids.data(), B);
    }

    double step() {
        ctx_.step = ++taken_;
        model_.params.zero_grad();
        forward_backward_.run(batches_[size_t(taken_ - 1) % batches_.size()]);
        optimizer_.step(ctx_, taken_, kLr);
        ctx_.end_step();
        return double(forward_backward_.loss());
    }

    void warm_up() {  // the next step clears its gradients
        forward_backward_.run(first_micro_batch_);
        forward_backward_.loss();
    }

  private:
    static AdamWOptions optimizer_options(float clip) {
        AdamWOptions options;
        options.weight_decay = kWeightDecay;
        options.clip = clip;
        return options;
    }

    // Windows side by side; the target of each id is the next one.
    Batch cut(const int* ids, int64_t windows) const {
        const int64_t n = windows * model_.config.T;
        return {windows, {ids, ids + n}, {ids + 1, ids + n + 1}};
    }

    Context ctx_;
    Gpt model_;
    AdamW optimizer_;
    TrainingStep forward_backward_;
    std::vector<Batch> batches_;  // of a step each, taken in turn
    Batch first_micro_batch_;
    int64_t taken_ = 0;
};

Workload training_step(const StepConfig& config, int64_t B, int64_t accumulate) {
    const auto trainer = std::make_shared<Trainer>(config, B, accumulate);
    return {[trainer] { trainer->warm_up(); }, [trainer] { return trainer->step(); },
            double(B * accumulate * config.model.T), "tokens/s", true};
}

// ---- one kernel -------------------------------------------------------------------------------------------

// In [-1,1), and no zeros: with them a card draws less power and runs faster.
std::vector<float> random_numbers(int64_t n) {
    std::vector<float> numbers(static_cast<size_t>(n));
    for (size_t i = 0; i < numbers.size(); i++)
        numbers[i] = float(golden::hash24(uint64_t(n), i)) * 0x1p-23f - 1.0f;
    return numbers;
}

std::shared_ptr<RealArray> reals(int64_t n) {
    return std::make_shared<RealArray>(random_numbers(n));
}

template <class F>
Workload kernel(double work, const char* unit, F run) {
    const auto once = [run] {
        run();
        return 0.0;
    };
    return {once, once, work, unit, false};
}

Workload copy(int64_t gib) {
    const int64_t n = gib << 28;  // floats
    const size_t bytes = size_t(n) * sizeof(float);
    const auto from = std::make_shared<FloatArray>(random_numbers(n)), to = std::make_shared<FloatArray>(n);
    // Each byte is read and written.
    return kernel(2e-9 * double(bytes), "GB/s", [from, to, bytes] {
        CUDA_CHECK(cudaMemcpyAsync(*to, *from, bytes, cudaMemcpyDeviceToDevice, nullptr));
    });
}

// out (M,N) = a (M,K) b (N,K)^T, as a linear's forward.
Workload product(int64_t M, int64_t N, int64_t K) {
    const auto out = std::make_shared<RealArray>(M * N), a = reals(M * K), b = reals(N * K);
    return kernel(2e-12 * double(M) * double(N) * double(K), "TFLOP/s",
                  [=] { gpu::gemm(*out, *a, *b, nullptr, M, N, K, false, true, false, Stream{}); });
}

Workload attention_kernel(bool is_backward, int64_t B, int64_t T, int64_t NH, int64_t HS) {
    const auto qkv = reals(B * T * 3 * NH * HS), dqkv = reals(B * T * 3 * NH * HS),
               out = reals(B * T * NH * HS), dout = reals(B * T * NH * HS);
    const auto lse = std::make_shared<FloatArray>(B * NH * T);
    const auto forward = [=] {
        gpu::attention_forward(*out, *lse, *qkv, B, T, NH, HS, DropoutMask{}, Stream{});
    };
    forward();
    // Two products of the causal half of T x T scores forward, five backward: the convention of FlashAttention's papers.
    const double tflop = 2e-12 * 2 * double(B * NH) * double(T) * double(T) / 2 * double(HS);
    if (!is_backward) return kernel(tflop, "TFLOP/s", forward);
    return kernel(2.5 * tflop, "TFLOP/s", [=] {
        gpu::attention_backward(*dqkv, *dout, *qkv, *out, *lse, B, T, NH, HS, DropoutMask{}, Stream{});
    });
}

// ---- the command line and the server ----------------------------------------------------------------------

constexpr const char* kUsage =
    "usage: gpu_step step a|b|c|tiny --batch B --accumulate A | copy GIB | gemm M N K | "
    "attention-forward|attention-backward B T NH HS";

int64_t count(const char* word) {
    char* end = nullptr;
    const long long value = std::strtoll(word, &end, 10);
    if (*end || value < 1 || value > 1 << 20)
        usage_error("%s\n'%s' is no number from 1 to 1048576", kUsage, word);
    return value;
}

Workload parse(int argc, char** argv) {
    const std::string name = argc > 1 ? argv[1] : "";
    if (name == "step" && argc == 7 && !std::strcmp(argv[3], "--batch") &&
        !std::strcmp(argv[5], "--accumulate"))
        for (const StepConfig& config : kConfigs)
            if (!std::strcmp(argv[2], config.name))
                return training_step(config, count(argv[4]), count(argv[6]));
    if (name == "copy" && argc == 3) return copy(count(argv[2]));
    if (name == "gemm" && argc == 5) return product(count(argv[2]), count(argv[3]), count(argv[4]));
    if ((name == "attention-forward" || name == "attention-backward") && argc == 6)
        return attention_kernel(name == "attention-backward", count(argv[2]), count(argv[3]), count(argv[4]),
                                count(argv[5]));
    usage_error("%s", kUsage);
}

double now_s() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

int main(int argc, char** argv) {
    const Workload workload = parse(argc, argv);
    long long times = 0;
    char word[16];
    while (std::scanf("%15s", word) == 1) {
        if (std::strcmp(word, "run") != 0 || std::scanf("%lld", &times) != 1 || times < 1)
            usage_error("expected 'run N' on stdin, got '%s'", word);
        workload.warm_up();
        CUDA_CHECK(cudaDeviceSynchronize());
        const double begin = now_s();
        double loss = 0;
        for (long long i = 0; i < times; i++) loss = workload.once();
        CUDA_CHECK(cudaDeviceSynchronize());
        std::printf("{\"seconds\": %.9f, \"steps\": %lld, \"work\": %.9g, \"unit\": \"%s\"", now_s() - begin,
                    times, workload.work, workload.unit);
        if (workload.has_loss) std::printf(", \"loss\": %.9g", loss);
        std::printf("}\n");
        std::fflush(stdout);
    }
}

#else

int main() {
    user_error("gpu_step: this build has no CUDA kernels; BUILD=cuda has, and BUILD=host for the CPU");
}

#endif
