// attention_cached.cpp - attention of the newest tokens over keys and values that earlier calls left in a cache.
// Forward only: who trains has all positions at hand (attention.cpp).
#include "ops/ops.h"

KeyValueCache::~KeyValueCache() {
    device_free(device, k, bytes);
    device_free(device, v, bytes);
}

void KeyValueCache::allocate(const Tensor& qkv) {
    if (k) return;
    device = qkv.device;
    dtype = qkv.dtype;
    bytes = size_t(B * NH * capacity * HS) * dtype_size(dtype);
    k = device_alloc(device, bytes);
    v = device_alloc(device, bytes);
}

void cache_keys_values(Context& ctx, KeyValueCache& cache, const Tensor& qkv, int64_t b, int64_t first) {
    const int64_t B = qkv.shape[0], T = qkv.shape[1], NH = cache.NH, HS = cache.HS;
    CHECK(qkv.ndim == 3 && qkv.last() == 3 * NH * HS,
          "[cache_keys_values] qkv is %s, the cache has NH=%lld HS=%lld", qkv.shape_text().c_str(),
          (long long)NH, (long long)HS);
    CHECK(b >= 0 && b + B <= cache.B, "[cache_keys_values] sequences [%lld, %lld), the cache has %lld",
          (long long)b, (long long)(b + B), (long long)cache.B);
    cache.allocate(qkv);
    const Pointer k = cache.sequence(cache.k, b), v = cache.sequence(cache.v, b);
    DISPATCH(ctx, cache_keys_values, k, v, qkv.ptr(), B, T, first, cache.capacity, NH, HS);
}

Tensor attention_cached(Context& ctx, const Tensor& qkv, const KeyValueCache& cache, int64_t keys) {
    CHECK(!ctx.is_recording, "[attention_cached] has no backward: use NoGrad");
    CHECK(qkv.ndim == 3 && qkv.shape[0] == cache.B && qkv.shape[1] == 1 &&
              qkv.last() == 3 * cache.NH * cache.HS,
          "[attention_cached] wants (%lld,1,%lld), got %s", (long long)cache.B,
          (long long)(3 * cache.NH * cache.HS), qkv.shape_text().c_str());
    CHECK(cache.k, "[attention_cached] the cache is empty");
    Tensor y = ctx.make("attention_cached", {cache.B, 1, cache.NH * cache.HS});
    const Pointer k = cache.sequence(cache.k, 0), v = cache.sequence(cache.v, 0);
    DISPATCH(ctx, attention_cached_forward, y.ptr(), qkv.ptr(), k, v, cache.B, keys, cache.capacity, cache.NH,
             cache.HS);
    ctx.inspect("attention_cached", "forward", y.ptr(), y);
    return y;
}
