// generate.cpp - see generate.h.
#include "chapters/02_small_gpt/generate.h"

#include <algorithm>

namespace small_gpt {

namespace {

// Rows [first, ...) of a matrix, as a handle of their own.
Tensor rows_from(const Tensor& matrix, int64_t first) {
    Tensor rows = matrix;
    rows.memory = matrix.ptr().at(first * matrix.last()).memory;
    rows.shape[0] -= first;
    rows.stamp = 0;
    return rows;
}

std::vector<float> to_host(Context& ctx, const Tensor& logits) {
    return floats_on_host(ctx.device, logits.ptr(), logits.numel());
}

}  // namespace

int64_t window_begin(int64_t length, int64_t T) {
    if (length <= T) return 0;
    const int64_t half = T - T / 2;
    return (length - T + half - 1) / half * half;
}

Decoder::Decoder(Context& ctx, const Gpt& gpt, int64_t B, const Int8Weights* int8)
    : ctx_(ctx), gpt_(gpt), int8_(int8), B_(B) {
    for (int64_t l = 0; l < gpt.config.L; l++)
        layers_.emplace_back(B, gpt.config.T, gpt.config.NH, gpt.config.HS);
}

size_t Decoder::cache_bytes() const {
    size_t sum = 0;
    for (const KeyValueCache& layer : layers_) sum += 2 * layer.bytes;
    return sum;
}

// Gpt::forward with three differences: positions go on where the cache ends; only the last row of each sequence goes
// through the output layer; and a single token reads weights as codes, where there are some. Either T tokens of one sequence
// from position 0 on, whose keys and values are kept for `count` sequences from b on; or one token of each sequence (T = 1,
// length_ > 0).
Tensor Decoder::forward(const int* ids, int64_t B, int64_t T, int64_t b, int64_t count) {
    const bool reads_codes = int8_ && length_ > 0;
    Tensor x = embedding(ctx_, ctx_.ids(ids, {B, T}), gpt_.wte, rows_from(gpt_.wpe, length_));  // (B,T,C)
    for (size_t l = 0; l < layers_.size(); l++) {
        const GptBlock& block = gpt_.h[l];
        const Int8Weights::Block* codes = reads_codes ? &int8_->h[l] : nullptr;
        KeyValueCache& cache = layers_[l];
        Tensor a = layernorm(ctx_, x, block.ln_1);  // (B,T,C)
        Tensor qkv = codes ? linear_int8(ctx_, a, block.c_attn, codes->c_attn)
                           : linear(ctx_, a, block.c_attn);  // (B,T,3*NH*HS)
        Tensor att;                                          // (B,T,NH*HS)
        if (length_ == 0) {
            for (int64_t sequence = b; sequence < b + count; sequence++)
                cache_keys_values(ctx_, cache, qkv, sequence, 0);
            att = attention(ctx_, qkv, gpt_.config.NH, 0);
        } else {
            cache_keys_values(ctx_, cache, qkv, 0, length_);
            att = attention_cached(ctx_, qkv, cache, length_ + 1);
        }
        x = codes ? linear_int8(ctx_, att, block.attn_c_proj, codes->attn_c_proj, x)
                  : linear_residual(ctx_, att, block.attn_c_proj, x);  // (B,T,C)
        Tensor m = layernorm(ctx_, x, block.ln_2);                     // (B,T,C)
        if (codes) {
            Tensor pre = linear_int8(ctx_, m, block.c_fc, codes->c_fc);  // (B,T,4*C)
            Tensor act = activation(ctx_, pre, gpt_.config.activation);  // (B,T,4*C)
            x = linear_int8(ctx_, act, block.mlp_c_proj, codes->mlp_c_proj, x);
        } else {
            x = mlp(ctx_, m, block.c_fc, block.mlp_c_proj, gpt_.config.activation, x);
        }
    }
    if (T > 1) {  // one sequence: its last row
        Tensor rows = x;
        rows.ndim = 2, rows.shape[0] = T, rows.shape[1] = x.last();
        x = rows_from(rows, T - 1);  // (1,C)
    }
    x = layernorm(ctx_, x, gpt_.ln_f);  // (B,1,C)
    return reads_codes ? linear_int8(ctx_, x, gpt_.lm_head, int8_->lm_head)
                       : linear(ctx_, x, gpt_.lm_head);  // (B,1,V)
}

std::vector<float> Decoder::read(const int* ids, int64_t n, int64_t b, int64_t count) {
    CHECK(n >= 1 && n <= gpt_.config.T, "[decoder] %lld ids, the context has %lld", (long long)n,
          (long long)gpt_.config.T);
    CHECK(b >= 0 && count >= 1 && b + count <= B_, "[decoder] sequences [%lld, %lld) of %lld", (long long)b,
          (long long)(b + count), (long long)B_);
    const NoGrad no_grad(ctx_);
    const ArenaScope scope(ctx_);
    length_ = 0;
    std::vector<float> logits = to_host(ctx_, forward(ids, 1, n, b, count));
    length_ = n;
    return logits;
}

std::vector<float> Decoder::step(const int* ids) {
    CHECK(length_ > 0 && has_room(), "[decoder] no room: %lld of %lld positions are taken",
          (long long)length_, (long long)gpt_.config.T);
    const NoGrad no_grad(ctx_);
    const ArenaScope scope(ctx_);
    std::vector<float> logits = to_host(ctx_, forward(ids, B_, 1, 0, B_));
    length_++;
    return logits;
}

namespace {

// The next tokens' logits (V) of every sequence, each text given whole.
class NextLogits {
  public:
    NextLogits(Context& ctx, const Gpt& gpt, bool use_cache, size_t sequences, const Int8Weights* int8)
        : ctx_(ctx), gpt_(gpt), use_cache_(use_cache), decoder_(ctx, gpt, int64_t(sequences), int8) {}

    std::vector<float> operator()(const std::vector<std::vector<int>>& texts) {
        const int64_t length = int64_t(texts[0].size()), begin = window_begin(length, gpt_.config.T);
        const bool is_first = read_ == 0;
        if (use_cache_ && !is_first && begin == begin_) {
            std::vector<int> newest;
            for (const std::vector<int>& text : texts) newest.push_back(text.back());
            read_ = length;
            return decoder_.step(newest.data());
        }
        begin_ = begin, read_ = length;
        std::vector<float> logits;  // (B,V)
        for (size_t i = 0; i < texts.size(); i++) {
            const int* ids = &texts[i][size_t(begin)];
            // Before the first token all texts are the prompt.
            const int64_t count = is_first ? int64_t(texts.size()) : 1;
            const std::vector<float> row = use_cache_ ? decoder_.read(ids, length - begin, int64_t(i), count)
                                                      : last_row(ids, length - begin);
            for (int64_t copy = 0; copy < count; copy++) logits.insert(logits.end(), row.begin(), row.end());
            if (is_first) break;
        }
        return logits;
    }

  private:
    std::vector<float> last_row(const int* ids, int64_t n) {
        const NoGrad no_grad(ctx_);
        const ArenaScope scope(ctx_);
        Tensor logits = gpt_.forward(ctx_, ctx_.ids(ids, {1, n}));  // (1,n,V)
        logits.ndim = 2, logits.shape[0] = n, logits.shape[1] = gpt_.config.V;
        return to_host(ctx_, rows_from(logits, n - 1));
    }

    Context& ctx_;
    const Gpt& gpt_;
    const bool use_cache_;
    Decoder decoder_;
    int64_t begin_ = 0, read_ = 0;  // the window's begin, and how many tokens of the texts have been read
};

}  // namespace

void generate(Context& ctx, const Gpt& gpt, const std::vector<int>& prompt, int64_t n,
              std::vector<Sampler>& samplers, bool use_cache,
              const std::function<bool(size_t sample, int id)>& on_id, const Int8Weights* int8) {
    CHECK(!prompt.empty(), "[generate] wants a prompt of at least one token");
    const int V = int(gpt.config.V);
    for (size_t first = 0; first < samplers.size(); first += size_t(kSequencesAtOnce)) {
        const size_t count = std::min(size_t(kSequencesAtOnce), samplers.size() - first);
        std::vector<std::vector<int>> texts(count, prompt);
        std::vector<bool> is_done(count, false);
        NextLogits next_logits(ctx, gpt, use_cache, count, int8);
        for (int64_t i = 0; i < n && std::count(is_done.begin(), is_done.end(), false) > 0; i++) {
            std::vector<float> logits = next_logits(texts);  // (count,V)
            for (size_t s = 0; s < count; s++) {
                if (is_done[s]) {  // goes on unheard, until all are done
                    texts[s].push_back(texts[s].back());
                    continue;
                }
                const int id = samplers[first + s].pick(&logits[s * size_t(V)], V, texts[s]);
                texts[s].push_back(id);
                is_done[s] = !on_id(first + s, id);
            }
        }
    }
}

}  // namespace small_gpt
