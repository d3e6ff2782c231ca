// generate.h - a trained model writes: keys and values of what it has read are kept, so that a new token costs one row
// of every matrix product and not one for each token before it.
// Not here: which token is taken (nn/sampler.h); text, prompts and stop strings (sample.cpp).
// Source: Pope et al. 2022, "Efficiently Scaling Transformer Inference", section 2.1.
#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

#include "chapters/00_char_gpt/gpt.h"
#include "chapters/02_small_gpt/int8_weights.h"
#include "nn/sampler.h"

namespace small_gpt {

// A text may be longer than the context. GPT-2's positions are learned, so a kept key cannot move to another position:
// when the window is full, the model goes on with the newer half of it and reads that half again. Returns how many of a
// text's first tokens are out of sight when it has `length`: 0 up to T, then a multiple of T - T/2.
int64_t window_begin(int64_t length, int64_t T);

// Up to this many sequences are written at a time. As many rows are what the matrix kernels multiply without packing, an
// element at a time: the numbers of a sequence do not depend on its neighbours, and each weight is read once for all.
constexpr int64_t kSequencesAtOnce = 4;

// A model and what it has read, for B sequences of the same length.
class Decoder {
  public:
    // int8: the model's weights in 8 bits, which a step then reads instead of the floats; or nullptr.
    Decoder(Context& ctx, const Gpt& gpt, int64_t B, const Int8Weights* int8 = nullptr);

    // Forgets everything and reads n ids as the sequences [b, b + count). Logits of the next token: (V), on the host.
    std::vector<float> read(const int* ids, int64_t n, int64_t b, int64_t count);

    // Reads one more id per sequence; there must be room. Logits of the next tokens: (B,V).
    std::vector<float> step(const int* ids);

    int64_t length() const { return length_; }  // positions that are kept
    bool has_room() const { return length_ < gpt_.config.T; }
    size_t cache_bytes() const;  // of all layers

  private:
    Tensor forward(const int* ids, int64_t B, int64_t T, int64_t b, int64_t count);

    Context& ctx_;
    const Gpt& gpt_;
    const Int8Weights* const int8_;
    const int64_t B_;
    int64_t length_ = 0;
    std::deque<KeyValueCache> layers_;
};

// Writes up to n tokens behind `prompt` (at least one id) for each sampler; each draws from its own random numbers, so
// that a sequence is the same whatever others are written beside it.
// on_id(sample, id) is called with every new token, samples in turns; false ends that sample.
// use_cache = false computes all rows of the window for each token: the same ids, for comparison.
// int8: see Decoder.
void generate(Context& ctx, const Gpt& gpt, const std::vector<int>& prompt, int64_t n,
              std::vector<Sampler>& samplers, bool use_cache,
              const std::function<bool(size_t sample, int id)>& on_id, const Int8Weights* int8 = nullptr);

}  // namespace small_gpt
