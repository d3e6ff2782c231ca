// xxhash64.h - XXH64, a checksum for files of gigabytes: four lanes of 64 bits, two multiplies and a rotation
// per 8 bytes, about as fast as memory is read. Finds damage; does not stop a forger (that takes SHA-256).
// Source: Collet, "xxHash fast digest algorithm", the part on XXH64; the command `xxhsum -H64` agrees.
// Depends on nothing.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are read from memory as they are");

// Feed it any number of pieces: XxHash64 hash; hash.add(data, bytes); ... hash.value(). The seed is 0.
class XxHash64 {
  public:
    void add(const void* data, size_t bytes) {
        if (bytes == 0) return;
        const unsigned char* next = static_cast<const unsigned char*>(data);
        total_ += bytes;
        if (kept_bytes_ + bytes < kBlock) {
            std::memcpy(kept_ + kept_bytes_, next, bytes);
            kept_bytes_ += bytes;
            return;
        }
        if (kept_bytes_ > 0) {  // complete the block that the last piece left open
            const size_t missing = kBlock - kept_bytes_;
            std::memcpy(kept_ + kept_bytes_, next, missing);
            add_blocks(kept_, 1);
            next += missing;
            bytes -= missing;
        }
        add_blocks(next, bytes / kBlock);
        kept_bytes_ = bytes % kBlock;
        std::memcpy(kept_, next + (bytes - kept_bytes_), kept_bytes_);
    }

    uint64_t value() const {
        uint64_t h = kPrime5;
        if (total_ >= kBlock) {
            h = rotate(lanes_[0], 1) + rotate(lanes_[1], 7) + rotate(lanes_[2], 12) + rotate(lanes_[3], 18);
            for (uint64_t lane : lanes_) h = (h ^ round(0, lane)) * kPrime1 + kPrime4;
        }
        h += total_;
        const unsigned char* next = kept_;
        size_t left = kept_bytes_;
        for (; left >= 8; next += 8, left -= 8)
            h = rotate(h ^ round(0, load<uint64_t>(next)), 27) * kPrime1 + kPrime4;
        for (; left >= 4; next += 4, left -= 4)
            h = rotate(h ^ (load<uint32_t>(next) * kPrime1), 23) * kPrime2 + kPrime3;
        for (; left > 0; next++, left--) h = rotate(h ^ (*next * kPrime5), 11) * kPrime1;
        h = (h ^ (h >> 33)) * kPrime2;
        h = (h ^ (h >> 29)) * kPrime3;
        return h ^ (h >> 32);
    }

  private:
    static constexpr size_t kBlock = 32;  // 8 bytes for each lane
    static constexpr uint64_t kPrime1 = 0x9E3779B185EBCA87u, kPrime2 = 0xC2B2AE3D27D4EB4Fu,
                              kPrime3 = 0x165667B19E3779F9u, kPrime4 = 0x85EBCA77C2B2AE63u,
                              kPrime5 = 0x27D4EB2F165667C5u;

    static uint64_t rotate(uint64_t x, int bits) { return (x << bits) | (x >> (64 - bits)); }

    static uint64_t round(uint64_t lane, uint64_t word) {
        return rotate(lane + word * kPrime2, 31) * kPrime1;
    }

    template <class T>
    static T load(const unsigned char* from) {
        T value;
        std::memcpy(&value, from, sizeof value);
        return value;
    }

    void add_blocks(const unsigned char* next, size_t blocks) {
        uint64_t a = lanes_[0], b = lanes_[1], c = lanes_[2], d = lanes_[3];  // in registers
        for (; blocks > 0; blocks--, next += kBlock) {
            a = round(a, load<uint64_t>(next));
            b = round(b, load<uint64_t>(next + 8));
            c = round(c, load<uint64_t>(next + 16));
            d = round(d, load<uint64_t>(next + 24));
        }
        lanes_[0] = a, lanes_[1] = b, lanes_[2] = c, lanes_[3] = d;
    }

    uint64_t lanes_[4] = {kPrime1 + kPrime2, kPrime2, 0, 0 - kPrime1};
    uint64_t total_ = 0;
    unsigned char kept_[kBlock] = {};  // the bytes of the last, incomplete block
    size_t kept_bytes_ = 0;
};

inline uint64_t xxhash64(const void* data, size_t bytes) {
    XxHash64 hash;
    hash.add(data, bytes);
    return hash.value();
}
