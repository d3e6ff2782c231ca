// bits_per_byte.cpp - see bits_per_byte.h.
#include "chapters/01_bpe/bits_per_byte.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <vector>

#include "chapters/00_char_gpt/model.h"
#include "core/check.h"
#include "nn/adamw.h"
#include "nn/schedule.h"

namespace {

constexpr double kLn2 = 0.69314718055994530942;

// The bytes of a word as a chain: each depends on the one before. 256 stands for both ends.
class ByteChain {
  public:
    ByteChain() : pairs_(257 * 257, 1), firsts_(257, 257) {}  // every pair was seen once before we began

    void learn(std::string_view word) {
        walk(word, [&](int from, int to) {
            pairs_[size_t(from * 257 + to)]++;
            firsts_[size_t(from)]++;
        });
    }
    double bits(std::string_view word) const {
        double sum = 0;
        walk(word, [&](int from, int to) {
            sum -= std::log2(double(pairs_[size_t(from * 257 + to)]) / double(firsts_[size_t(from)]));
        });
        return sum;
    }

  private:
    template <class Visit>
    static void walk(std::string_view word, Visit&& visit) {
        int from = 256;
        for (const char byte : word) {
            visit(from, uint8_t(byte));
            from = uint8_t(byte);
        }
        visit(from, 256);
    }

    std::vector<int64_t> pairs_, firsts_;
};

template <class Visit>
void for_each_unknown(const Scheme& scheme, std::string_view text, const Tokens& tokens, Visit&& visit) {
    size_t begin = 0;
    for (size_t i = 0; i < tokens.ids.size(); begin += tokens.sizes[i++])
        if (tokens.ids[i] == scheme.unknown) visit(text.substr(begin, tokens.sizes[i]));
}

void require_length(const Tokens& tokens, int64_t context, const char* which) {
    if (int64_t(tokens.ids.size()) < context + 2)
        user_error("the %s text has %zu tokens; the small model wants more than %lld: take a longer text",
                   which, tokens.ids.size(), static_cast<long long>(context + 1));
}

}  // namespace

double training_flop_per_token(const SmallModelOptions& options, int64_t vocabulary) {
    const double L = double(options.layers), C = double(options.channels), T = double(options.context);
    const double V = double(vocabulary);
    // Per layer: c_attn 6 C^2, c_proj 2 C^2, the MLP's two 16 C^2. Attention: scores and the weighted sum, 2 C each per
    // key, and a token sees (T + 1) / 2 of them on average.
    const double forward = L * (24 * C * C + 2 * C * (T + 1)) + 2 * V * C + C;
    return 3 * forward;
}

int64_t steps_within(const SmallModelOptions& options, int64_t vocabulary) {
    const double per_step =
        training_flop_per_token(options, vocabulary) * double(options.batch * options.context);
    return std::max<int64_t>(1, int64_t(options.flop / per_step));
}

double spelling_bits(const Scheme& scheme, std::string_view train, const Tokens& train_tokens,
                     std::string_view held_out, const Tokens& held_out_tokens) {
    ByteChain chain;
    for_each_unknown(scheme, train, train_tokens, [&](std::string_view word) { chain.learn(word); });
    double bits = 0;
    for_each_unknown(scheme, held_out, held_out_tokens,
                     [&](std::string_view word) { bits += chain.bits(word); });
    return bits;
}

BitsPerByte bits_per_byte(const Scheme& scheme, std::string_view train, std::string_view held_out,
                          const SmallModelOptions& options, const std::function<void(int64_t step)>& step) {
    const Tokens train_tokens = scheme.encode(train), held_out_tokens = scheme.encode(held_out);
    const int64_t T = options.context, V = scheme.size();
    require_length(train_tokens, T, "training");
    require_length(held_out_tokens, T, "held-out");

    GptConfig config;
    config.V = V, config.T = T, config.L = options.layers;
    config.NH = options.heads, config.HS = options.channels / options.heads, config.C = options.channels;
    Context ctx(Device::kCpu);
    ctx.seed = options.seed;
    Gpt gpt(ctx.device, config);
    gpt.init(Init::kGpt2, options.seed);
    AdamWOptions adamw;
    adamw.beta2 = 0.99f, adamw.weight_decay = 0.1f, adamw.clip = 1.0f;
    AdamW optimizer(ctx.device, gpt.params, adamw);
    Windows windows(train_tokens.ids.data(), int64_t(train_tokens.ids.size()), T, options.batch,
                    options.seed);

    BitsPerByte result;
    result.steps = steps_within(options, V);
    result.parameters = gpt.params.numel();
    result.passes = double(result.steps * options.batch * T) / double(train_tokens.ids.size());
    const CosineSchedule schedule = {4e-3f, 2e-4f, std::min<int64_t>(100, (result.steps + 9) / 10),
                                     result.steps};
    for (int64_t s = 1; s <= result.steps; s++) {
        ctx.step = s;
        gpt.params.zero_grad();
        const float loss = forward_backward(ctx, gpt, windows.at(s - 1), options.batch);
        optimizer.step(ctx, s, schedule.at(s));
        ctx.end_step();
        if (!std::isfinite(loss))
            user_error("the small model's loss is not finite at step %lld of '%s'", static_cast<long long>(s),
                       scheme.name.c_str());
        step(s);
    }

    // The held-out loss is over whole windows; what is behind the last one is left out of tokens and bytes alike, and so
    // is the first token, which nothing predicts.
    const int64_t counted = (int64_t(held_out_tokens.ids.size()) - 1) / T * T;
    Tokens counted_tokens = held_out_tokens;
    counted_tokens.ids.resize(size_t(counted + 1));
    counted_tokens.sizes.resize(size_t(counted + 1));
    const int64_t all_bytes =
        std::accumulate(counted_tokens.sizes.begin(), counted_tokens.sizes.end(), int64_t(0));
    const double bytes = double(all_bytes - int64_t(counted_tokens.sizes[0]));
    result.nats_per_token = held_out_loss(ctx, gpt, held_out_tokens.ids);
    result.model_bits = result.nats_per_token * double(counted) / bytes / kLn2;
    counted_tokens.ids[0] = scheme.unknown < 0 ? 0 : scheme.unknown + 1;  // not charged either
    result.spelling_bits = spelling_bits(scheme, train, train_tokens, held_out, counted_tokens) / bytes;
    return result;
}
