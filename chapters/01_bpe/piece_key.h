// piece_key.h - what a short piece is looked up by: its own bytes, as two numbers. One comparison, and nothing of the text is
// touched. For the cache of encoding (piece_cache.h) and the counts of training (piece_counts.cpp).
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "byte i of a piece is byte i of its key");

// Multiplies and folds the 128-bit product: every bit of the result depends on every bit of both factors.
inline uint64_t fold_multiply(uint64_t a, uint64_t b) {
    __extension__ using Wide = unsigned __int128;
    const Wide product = Wide(a) * b;
    return uint64_t(product) ^ uint64_t(product >> 64);
}

// Up to 15 bytes of text and their number, as two 64-bit words: equal when the words are.
struct PieceKey {
    static constexpr size_t kMaxBytes = 15;
    static constexpr int kSizeShift = 56;  // the last byte of `high` holds the size

    uint64_t low = 0, high = 0;

    PieceKey() = default;

    // `end`: of the whole text. Where it lets us, 16 bytes are read at once and those behind the piece masked away.
    PieceKey(const char* piece, size_t size, const char* end) {
        uint64_t words[2] = {0, 0};
        if (size_t(end - piece) >= sizeof words) {
            std::memcpy(words, piece, sizeof words);
            words[0] &= low_bytes(size);
            words[1] &= (size > 8 ? low_bytes(size - 8) : 0);
        } else {
            std::memcpy(words, piece, size);
        }
        low = words[0];
        high = words[1] | uint64_t(size) << kSizeShift;
    }

    uint64_t hash() const { return fold_multiply(low ^ 0x9E3779B97F4A7C15u, high ^ 0xD1B54A32D192ED03u); }
    bool operator==(const PieceKey& other) const { return low == other.low && high == other.high; }

  private:
    // The lowest `count` bytes set.
    static uint64_t low_bytes(size_t count) {
        return count >= 8 ? ~uint64_t(0) : (uint64_t(1) << 8 * count) - 1;
    }
};
