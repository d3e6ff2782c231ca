// token_index.h - the id of a token, given its bytes: a hash table with open addressing.
// Not here: the cache of pieces (piece_cache.h), which forgets; this one is complete.
// Why not std::unordered_map: it allocates once per token, and loading GPT-2 would take three times as long.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

// Eight bytes at a time; the multiplier is the golden ratio's, and its well mixed high bits are folded down.
inline uint64_t hash_of_bytes(std::string_view bytes) {
    const auto load = [](const char* from, auto word) {
        std::memcpy(&word, from, sizeof word);
        return uint64_t(word);
    };
    const auto mix = [](uint64_t h, uint64_t word) {
        h = (h ^ word) * 0x9E3779B97F4A7C15u;
        return h ^ h >> 32;
    };
    const char* from = bytes.data();
    const size_t size = bytes.size();
    uint64_t h = size;
    if (size >= 8) {
        for (size_t i = 0; i + 8 < size; i += 8) h = mix(h, load(from + i, uint64_t()));
        return mix(h, load(from + size - 8, uint64_t()));  // the last ones may overlap those before
    }
    if (size >= 4) return mix(h, load(from, uint32_t()) | load(from + size - 4, uint32_t()) << 32);
    if (size == 0) return mix(h, 0);
    return mix(h, uint64_t(uint8_t(from[0])) | uint64_t(uint8_t(from[size / 2])) << 8 |
                      uint64_t(uint8_t(from[size - 1])) << 16);
}

class TokenIndex {
  public:
    static constexpr int kNone = -1;

    // Of some of `tokens`, which must stay where they are; none is in it yet.
    explicit TokenIndex(const std::vector<std::string>& tokens) : tokens_(tokens) {
        size_t slots = 16;
        while (slots < 2 * tokens.size())
            slots *= 2;  // half empty, so that a search ends after a step or two
        slots_.resize(slots);
    }

    // False, and nothing changes, when the bytes of this token have an id already.
    bool add(int id) {
        const uint64_t hash = hash_of_bytes(tokens_[size_t(id)]);
        Slot& slot = slots_[place_of(tokens_[size_t(id)], hash)];
        if (slot.id != kNone) return false;
        slot = {tag_of(hash), id};
        return true;
    }

    int find(std::string_view bytes) const { return slots_[place_of(bytes, hash_of_bytes(bytes))].id; }

  private:
    struct Slot {
        uint32_t tag = 0;  // more of the hash: where it differs, the bytes need not be compared
        int id = kNone;
    };
    static uint32_t tag_of(uint64_t hash) { return uint32_t(hash >> 32); }

    // The slot that holds `bytes`, or the empty one where they would go.
    size_t place_of(std::string_view bytes, uint64_t hash) const {
        const size_t mask = slots_.size() - 1;
        for (size_t i = hash & mask;; i = (i + 1) & mask) {
            const Slot& slot = slots_[i];
            if (slot.id == kNone || (slot.tag == tag_of(hash) && tokens_[size_t(slot.id)] == bytes)) return i;
        }
    }

    const std::vector<std::string>& tokens_;
    std::vector<Slot> slots_;
};
