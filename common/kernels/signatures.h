// signatures.h - every kernel once, with its docstring: plain functions on raw pointers, outputs first, then
// inputs, sizes, scalars, stream. kernels.h includes this file in namespace cpu and in namespace gpu, hence
// no guard and no include; `real` is the type that activations and weights are stored in there (float on the
// CPU). Statistics (mean, rstd, lse), losses, gradients of parameters and optimiser state are float
// everywhere. Sizes: B batch, T context, C channels, NH heads, HS head size, V vocabulary, N = B*T rows.
// Matrices are row-major.

// ---- gemm -------------------------------------------------------------------------------------------------

// out = op(a) op(b) + bias, or out += op(a) op(b).
//   out   (M,N)             out or in/out
//   a     (M,K), or (K,M)   in    the second when trans_a
//   b     (K,N), or (N,K)   in    the second when trans_b
//   bias  (N)               in    added to every row; nullptr for none; must be nullptr when accumulate
// Numerics: float sums in an order fixed by (M,N,K) alone. Deterministic. On a CPU where s.rounds_products, this and the
// linear kernels below round a and b to bf16 first, except products of at most four rows.
// Source: Goto and van de Geijn 2008, "Anatomy of high-performance matrix multiplication".
void gemm(real* out, const real* a, const real* b, const real* bias, int64_t M, int64_t N, int64_t K,
          bool trans_a, bool trans_b, bool accumulate, Stream s);

// out = residual + inp weight^T + bias: the last linear of a block and the addition to the residual stream,
// fused.
//   out       (N,OC)   out   may be the same memory as residual
//   inp       (N,IC)   in
//   weight    (OC,IC)  in
//   bias      (OC)     in    nullptr for none
//   residual  (N,OC)   in
void linear_residual_forward(real* out, const real* inp, const real* weight, const real* bias,
                             const real* residual, int64_t N, int64_t IC, int64_t OC, Stream s);

// pre = inp weight^T + bias, out = activation(pre): both are kept, the backward needs pre.
//   out, pre  (N,OC)   out
//   inp       (N,IC)   in
//   weight    (OC,IC)  in
//   bias      (OC)     in    nullptr for none
void linear_activation_forward(real* out, real* pre, const real* inp, const real* weight, const real* bias,
                               int64_t N, int64_t IC, int64_t OC, Activation activation, Stream s);

// dpre = (dout weight) * activation'(pre): the gradient through a linear and the activation in front of it.
//   dpre    (N,IC)   out
//   dout    (N,OC)   in
//   weight  (OC,IC)  in
//   pre     (N,IC)   in    what the activation was applied to
void linear_activation_backward(real* dpre, const real* dout, const real* weight, const real* pre, int64_t N,
                                int64_t IC, int64_t OC, Activation activation, Stream s);

// dweight = dout^T inp, dbias += column sums of dout.
//   dweight  (OC,IC)  out, or in/out when accumulate: then the product is added
//   dbias    (OC)     in/out  always added to; nullptr for none
//   dout     (N,OC)   in
//   inp      (N,IC)   in
void linear_backward_params(float* dweight, float* dbias, const real* dout, const real* inp, int64_t N,
                            int64_t IC, int64_t OC, bool accumulate, Stream s);

// out = inp weight^T + bias + residual with a weight in 8 bits: weight[o,:] = scale[o] * codes[o,:]. For a model that writes:
// a token multiplies few rows and waits for memory, of which this reads a quarter. Forward only.
//   out       (N,OC)   out   may be the same memory as residual
//   inp       (N,IC)   in
//   codes     (OC,IC)  in
//   scale     (OC)     in
//   bias      (OC)     in    nullptr for none
//   residual  (N,OC)   in    nullptr for none
// Numerics: codes become floats, sums are float; an element's sum does not depend on N. Deterministic.
void linear_int8_forward(real* out, const real* inp, const int8_t* codes, const float* scale,
                         const real* bias, const real* residual, int64_t N, int64_t IC, int64_t OC, Stream s);

// ---- embedding --------------------------------------------------------------------------------------------

// out[b,t,:] = wte[ids[b,t],:] + wpe[t,:].
//   out  (B,T,C)  out
//   ids  (B,T)    in    in [0,V)
//   wte  (V,C)    in
//   wpe  (>=T,C)  in
// Errors: DCHECK on an id outside [0,V).
void embedding_forward(real* out, const int* ids, const real* wte, const real* wpe, int64_t B, int64_t T,
                       int64_t C, int64_t V, Stream s);

// dwte[ids[b,t],:] += dout[b,t,:], dwpe[t,:] += dout[b,t,:]. Deterministic: rows that share an id are added
// in an order that is fixed, without atomics.
void embedding_backward(float* dwte, float* dwpe, const real* dout, const int* ids, int64_t B, int64_t T,
                        int64_t C, int64_t V, Stream s);

// ---- layernorm --------------------------------------------------------------------------------------------

// out = (inp - mean) * rstd * weight + bias over each row, rstd = 1 / sqrt(variance + 1e-5).
//   out         (N,C)  out
//   mean, rstd  (N)    out   saved for the backward
//   inp         (N,C)  in
//   weight,bias (C)    in
// Numerics: two passes, variance around the mean. Source: Ba, Kiros, Hinton 2016, eq. 3.
void layernorm_forward(real* out, float* mean, float* rstd, const real* inp, const real* weight,
                       const real* bias, int64_t N, int64_t C, Stream s);

// Gradients of layernorm_forward; derivation in chapters/00_char_gpt/README.md, "LayerNorm, backwards".
//   dinp           (N,C)  out, or in/out when accumulate
//   dweight,dbias  (C)    in/out  always added to
//   dout, inp      (N,C)  in
//   mean, rstd     (N)    in
void layernorm_backward(real* dinp, float* dweight, float* dbias, const real* dout, const real* inp,
                        const real* weight, const float* mean, const float* rstd, int64_t N, int64_t C,
                        bool accumulate, Stream s);

// sum = residual + dropout(branch), out = layernorm(sum): the end of one sublayer and the beginning of the next.
//   out         (N,C)  out
//   sum         (N,C)  out   the residual stream goes on from here, and the backward reads it
//   mean, rstd  (N)    out   of sum
//   residual    (N,C)  in
//   branch      (N,C)  in
//   mask               in    of branch: element i*C + c; p = 0 for none
// Numerics: rounded wherever the three kernels one after another would store, so that the bits are theirs.
void add_layernorm_forward(real* out, real* sum, float* mean, float* rstd, const real* residual,
                           const real* branch, const real* weight, const real* bias, int64_t N, int64_t C,
                           DropoutMask mask, Stream s);

// Gradients of add_layernorm_forward. dsum gathers both ways that sum went: what it holds already (when
// accumulate) and what comes back through the LayerNorm. It is the gradient of residual as well.
//   dsum           (N,C)  out, or in/out when accumulate
//   dbranch        (N,C)  out, or in/out when accumulate_branch    dsum through the mask
//   dweight,dbias  (C)    in/out  always added to
//   dout, sum      (N,C)  in
//   mean, rstd     (N)    in
void add_layernorm_backward(real* dsum, real* dbranch, float* dweight, float* dbias, const real* dout,
                            const real* sum, const real* weight, const float* mean, const float* rstd,
                            int64_t N, int64_t C, DropoutMask mask, bool accumulate, bool accumulate_branch,
                            Stream s);

// ---- activations ------------------------------------------------------------------------------------------

// out = 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), GPT-2's tanh form of GELU (Hendrycks and Gimpel
// 2016).
void gelu_forward(real* out, const real* inp, int64_t n, Stream s);
// dinp = dout * gelu'(inp), or dinp += ...
void gelu_backward(real* dinp, const real* dout, const real* inp, int64_t n, bool accumulate, Stream s);

// out = max(x, 0); the derivative at 0 is taken as 0.
void relu_forward(real* out, const real* inp, int64_t n, Stream s);
void relu_backward(real* dinp, const real* dout, const real* inp, int64_t n, bool accumulate, Stream s);

// ---- elementwise ------------------------------------------------------------------------------------------

// out = a + b: the residual connection.
void add_forward(real* out, const real* a, const real* b, int64_t n, Stream s);
// out += inp: a gradient that arrives by a second way.
void accumulate(real* out, const real* inp, int64_t n, Stream s);
// out = inp * mask.scale(i): dropout, and its own backward when applied to dout. In place when out == inp;
// out += ... when add.
void dropout(real* out, const real* inp, int64_t n, DropoutMask mask, bool add, Stream s);

// ---- attention --------------------------------------------------------------------------------------------

// Causal multi-head self-attention. att = softmax(q k^T / sqrt(HS)) over keys j <= i, out = dropout(att) v.
//   out  (B,T,NH*HS)       out   head h in columns [h*HS, (h+1)*HS)
//   lse  (B,NH,T)          out   log of the sum of exponentials of each row's scaled scores, for the backward
//   qkv  (B,T,3*NH*HS)     in    queries, keys, values, each laid out as out is; on CUDA HS <= 128
//   mask                   in    dropout of the probabilities; element ((b*NH + h)*T + i)*T + j
// Numerics: online softmax over tiles of keys; no T x T matrix is ever stored. Deterministic.
// Source: Vaswani et al. 2017, eq. 1; tiles: Dao et al. 2022, algorithm 1; Milakov and Gimelshein 2018.
void attention_forward(real* out, float* lse, const real* qkv, int64_t B, int64_t T, int64_t NH, int64_t HS,
                       DropoutMask mask, Stream s);

// Gradient of attention_forward; derivation in chapters/00_char_gpt/README.md, "Attention, backwards".
//   dqkv  (B,T,3*NH*HS)  out   overwritten
//   dout  (B,T,NH*HS)    in
//   qkv, out, lse        in    as the forward left them; probabilities are computed again from qkv and lse
void attention_backward(real* dqkv, const real* dout, const real* qkv, const real* out, const float* lse,
                        int64_t B, int64_t T, int64_t NH, int64_t HS, DropoutMask mask, Stream s);

// ---- attention with a cache -------------------------------------------------------------------------------

// Keeps the keys and values of T positions for the queries of later ones: a model that writes a text computes
// each of them once.
//   k_cache, v_cache  (B,NH,capacity,HS)  in/out  positions [first, first+T) are written, the others kept
//   qkv               (B,T,3*NH*HS)       in      as for attention_forward
// Requires first + T <= capacity.
void cache_keys_values(real* k_cache, real* v_cache, const real* qkv, int64_t B, int64_t T, int64_t first,
                       int64_t capacity, int64_t NH, int64_t HS, Stream s);

// Attention of one query per sequence over the first `keys` positions of the cache, its own being the last of
// them: the last row of attention_forward, without the work for the others.
//   out               (B,NH*HS)           out
//   qkv               (B,3*NH*HS)         in    only the queries are read
//   k_cache, v_cache  (B,NH,capacity,HS)  in    on CUDA HS <= 128
// Numerics: maximum subtracted, float sums in an order fixed by (keys,HS) alone. Deterministic.
// Source: Vaswani et al. 2017, eq. 1, for one row; Pope et al. 2022, section 2.1, on what the cache is for.
void attention_cached_forward(real* out, const real* qkv, const real* k_cache, const real* v_cache, int64_t B,
                              int64_t keys, int64_t capacity, int64_t NH, int64_t HS, Stream s);

// ---- cross-entropy ----------------------------------------------------------------------------------------

// Negative log-likelihood of each target under softmax(logits).
//   losses   (N)    out   nats; 0 where the target is kIgnore
//   logits   (N,V)  in
//   targets  (N)    in    ids in [0,V), or kIgnore
// Numerics: row maximum subtracted. Errors: DCHECK on a target outside [0,V).
void cross_entropy_forward(float* losses, const real* logits, const int* targets, int64_t N, int64_t V,
                           Stream s);

// dlogits = (softmax(logits) - onehot(target)) * scale; rows whose target is kIgnore are 0.
//   dlogits  (N,V)  out, or in/out when accumulate
//   scale           1 / number of counted targets, of the whole batch where these rows are a part of it
void cross_entropy_backward(real* dlogits, const real* logits, const int* targets, int64_t N, int64_t V,
                            float scale, bool accumulate, Stream s);

// Both at once, with one buffer: logits are read, then overwritten by dlogits.
//   losses  (N)    out
//   logits  (N,V)  in/out
// Source: derivation in chapters/00_char_gpt/README.md, "Cross-entropy, backwards".
void cross_entropy_forward_backward(float* losses, real* logits, const int* targets, int64_t N, int64_t V,
                                    float scale, Stream s);

// mean = (sum of losses) / counted, summed in double in a fixed order.
//   mean    (1)  out
//   losses  (N)  in
//   counted      in   number of targets that are not kIgnore, at least 1; of the whole batch where these rows are a part of it
void mean_loss(float* mean, const float* losses, int64_t N, int64_t counted, Stream s);

// ---- optimiser --------------------------------------------------------------------------------------------

// sum += the sum of squares of x, in double over fixed ranges, so that it is the same for any number of
// threads.
//   sum  (1)  in/out
//   x    (n)  in
void squared_norm(double* sum, const float* x, int64_t n, Stream s);

// What clips gradients, left where the device finds it: the host queues the step without knowing the norm.
//   norm_and_scale  (2)  out  the norm, sqrt(squares); and adamw's grad_scale: clip / norm where the norm is above clip > 0,
//                             0 where it is not finite, else 1
//   squares         (1)  in   of all gradients
// Source: Pascanu, Mikolov, Bengio 2013, algorithm 1.
void clip_scale(float* norm_and_scale, const double* squares, float clip, Stream s);

// One AdamW step on a flat block, decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2):
//   m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2, with g = grads * grad_scale
//   params -= lr * ((m / (1 - beta1^step)) / (sqrt(v / (1 - beta2^step)) + eps) + weight_decay * params)
//   params, m, v  (n)  in/out  params are the masters: what is trained and saved
//   weights       (n)  out     params as the other kernels read them, rounded to real; nullptr where they read params
//   grads         (n)  in
//   grad_scale    (1)  in      nullptr: 1. Where it holds 0 the gradients are no numbers, and nothing is changed
//   step               from 1
//   rounding           of weights, stochastic (core/bfloat16.h says why); without effect where real is float
// Source of the rounding: Gupta et al. 2015, section 3.
void adamw(float* params, real* weights, float* m, float* v, const float* grads, int64_t n, float lr,
           float beta1, float beta2, float eps, float weight_decay, const float* grad_scale, int64_t step,
           WeightRounding rounding, Stream s);
