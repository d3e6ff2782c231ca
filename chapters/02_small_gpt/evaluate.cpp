// evaluate.cpp - see evaluate.h.
#include "chapters/02_small_gpt/evaluate.h"

#include <algorithm>

#include "chapters/02_small_gpt/shuffled_windows.h"

namespace small_gpt {

namespace {

// One batch of windows (B,T) more.
void add_windows(Context& ctx, const Gpt& gpt, const std::vector<int>& inputs,
                 const std::vector<int>& targets, int64_t B, int64_t T,
                 const std::vector<uint32_t>& token_bytes, HeldOut* sum) {
    const ArenaScope scope(ctx);
    Tensor ids = ctx.ids(inputs.data(), {B, T}), wanted = ctx.ids(targets.data(), {B * T});
    Tensor logits = gpt.forward(ctx, ids);  // (B,T,V)
    Tensor losses = ctx.make("losses", {B * T}, DType::kFloat32);
    DISPATCH(ctx, cross_entropy_forward, losses.ptr(), logits.ptr(), wanted.ptr(), B * T, gpt.config.V);
    const std::vector<float> nats = floats_on_host(ctx.device, losses.ptr(), B * T);
    for (int64_t b = 0; b < B; b++) {
        double of_window = 0;
        for (int64_t t = 0; t < T; t++) of_window += double(nats[size_t(b * T + t)]);
        sum->nats += of_window;
        sum->weighted_squares += of_window * of_window / double(T);
        sum->windows++;
    }
    sum->tokens += B * T;
    for (int64_t i = 0; i < B * T; i++) sum->bytes += token_bytes[size_t(targets[size_t(i)])];
}

}  // namespace

double HeldOut::loss_error() const {
    if (windows < 2) return 0;
    const double variance = std::max(0.0, weighted_squares / double(tokens) - loss() * loss());
    return std::sqrt(variance / double(windows - 1));
}

std::vector<uint32_t> bytes_of_tokens(const Vocabulary& vocabulary) {
    std::vector<uint32_t> bytes;
    for (const std::string& token : vocabulary.tokens) bytes.push_back(uint32_t(token.size()));
    for (const SpecialToken& special : vocabulary.specials) bytes[size_t(special.id)] = 0;
    return bytes;
}

HeldOut evaluate(Context& ctx, const Gpt& gpt, const TokenShards& data,
                 const std::vector<uint32_t>& token_bytes, int64_t rows, int64_t most_windows) {
    const NoGrad no_grad(ctx);
    const int64_t T = gpt.config.T;
    struct Window {
        const Shard* shard;
        int64_t begin;
    };
    std::vector<Window> windows;
    for (const Shard& shard : data.shards)
        for (int64_t w = 0; w < windows_in(shard.size(), T, T); w++) windows.push_back({&shard, w * T});
    if (windows.empty())
        user_error(
            "the held-out split has %lld tokens, fewer than --context %lld + 1; choose a smaller "
            "--context, or hold out more",
            static_cast<long long>(data.tokens()), static_cast<long long>(T));
    const int64_t all = int64_t(windows.size()), count = most_windows > 0 ? std::min(most_windows, all) : all;

    HeldOut sum;
    std::vector<int> inputs, targets;
    for (int64_t begin = 0; begin < count; begin += rows) {
        const int64_t B = std::min(rows, count - begin);
        inputs.resize(size_t(B * T)), targets.resize(size_t(B * T));
        for (int64_t b = 0; b < B; b++) {
            const Window& window = windows[size_t((begin + b) * all / count)];
            window.shard->copy(window.begin, T, &inputs[size_t(b * T)]);
            window.shard->copy(window.begin + 1, T, &targets[size_t(b * T)]);
        }
        add_windows(ctx, gpt, inputs, targets, B, T, token_bytes, &sum);
    }
    return sum;
}

HeldOut evaluate_text(Context& ctx, const Gpt& gpt, const std::vector<int>& ids, int end_of_text,
                      const std::vector<uint32_t>& token_bytes, int64_t rows, int64_t most_windows) {
    CHECK(!ids.empty(), "[evaluate_text] no text");
    const NoGrad no_grad(ctx);
    std::vector<int> all = {end_of_text};
    all.insert(all.end(), ids.begin(), ids.end());
    const int64_t T = gpt.config.T, n = int64_t(ids.size()), full = n / T;
    const int64_t count = most_windows > 0 ? std::min(most_windows, full) : full;
    const auto inputs = [&](int64_t window, int64_t length) {
        return std::vector<int>(all.begin() + window * T, all.begin() + window * T + length);
    };
    const auto targets = [&](int64_t window, int64_t length) {
        return std::vector<int>(ids.begin() + window * T, ids.begin() + window * T + length);
    };
    HeldOut sum;
    for (int64_t w = 0; w < count; w += rows) {
        const int64_t B = std::min(rows, count - w);
        add_windows(ctx, gpt, inputs(w, B * T), targets(w, B * T), B, T, token_bytes, &sum);
    }
    const int64_t rest = n - full * T;
    if (rest > 0 && (most_windows == 0 || count < most_windows))
        add_windows(ctx, gpt, inputs(full, rest), targets(full, rest), 1, rest, token_bytes, &sum);
    return sum;
}

}  // namespace small_gpt
