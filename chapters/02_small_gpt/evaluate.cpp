// evaluate.cpp - see evaluate.h.
#include "chapters/02_small_gpt/evaluate.h"

#include <algorithm>

#include "chapters/02_small_gpt/shuffled_windows.h"

namespace small_gpt {

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
        const ArenaScope scope(ctx);
        const int64_t B = std::min(rows, count - begin);
        inputs.resize(size_t(B * T)), targets.resize(size_t(B * T));
        for (int64_t b = 0; b < B; b++) {
            const Window& window = windows[size_t((begin + b) * all / count)];
            window.shard->copy(window.begin, T, &inputs[size_t(b * T)]);
            window.shard->copy(window.begin + 1, T, &targets[size_t(b * T)]);
        }
        Tensor ids = ctx.ids(inputs.data(), {B, T}), wanted = ctx.ids(targets.data(), {B, T});
        Tensor loss = cross_entropy(ctx, gpt.forward(ctx, ids), wanted, B * T);  // mean nats
        sum.nats += double(ctx.to_host(loss)) * double(B * T);
        sum.tokens += B * T;
        for (const int id : targets) sum.bytes += token_bytes[size_t(id)];
    }
    return sum;
}

}  // namespace small_gpt
