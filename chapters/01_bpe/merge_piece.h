// merge_piece.h - the inside of a piece: bytes become tokens, merge by merge.
// Not here: the split into pieces (pretokenize.h), pieces that were met before (piece_cache.h).
#pragma once
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "chapters/01_bpe/vocabulary.h"

// (left, right) -> the rank of their merge. Rank r makes token_of(r); here ranks are 0, 1, 2 ... without gaps.
class MergeTable {
  public:
    static constexpr uint32_t kNoMerge = 0xffffff;  // greater than every rank

    explicit MergeTable(const Vocabulary& vocabulary);

    uint32_t token_of_byte(uint8_t byte) const { return token_of_byte_[byte]; }

    uint32_t rank_of(uint32_t left, uint32_t right) const {
        const uint64_t key = uint64_t(left) << kIdBits | right, hash = hash_of(key);
        if ((summaries_[bucket_of(hash)] & summary_bit(hash)) == 0) return kNoMerge;
        for (size_t b = bucket_of(hash);; b = (b + 1) & (buckets_.size() - 1)) {
            // All slots, found or not: whether two tokens merge is a coin toss that no branch can predict.
            uint32_t rank = kNoMerge;
            for (const uint64_t slot : buckets_[b].slots)
                rank = slot >> kRankBits == key ? uint32_t(slot & kNoMerge) : rank;
            if (rank != kNoMerge || buckets_[b].slots[kSlots - 1] == kEmpty) return rank;
        }
    }

    // The same for two bytes: how every piece begins. These few pairs stay close together, so they stay near the processor.
    uint32_t rank_of_bytes(uint8_t left, uint8_t right) const {
        return rank_of_bytes_[size_t(left) << 8 | right];
    }

    size_t ranks() const { return token_of_rank_.size(); }
    uint32_t token_of(uint32_t rank) const {
        return is_consecutive_ ? token_of_rank_[0] + rank
                               : token_of_rank_[rank];  // the usual case needs no memory
    }

  private:
    // A slot is one number: 20 bits left, 20 bits right, 24 bits rank. A bucket fills its slots from the first on, and what
    // it has no room for goes to the next.
    static constexpr int kIdBits = 20, kRankBits = 24;
    static constexpr size_t kSlots = 8;
    static constexpr uint64_t kEmpty = ~uint64_t(0);
    struct alignas(64) Bucket {
        uint64_t slots[kSlots];
    };
    static uint64_t hash_of(uint64_t key) { return key * 0x9E3779B97F4A7C15u; }
    size_t bucket_of(uint64_t hash) const { return size_t(hash >> shift_); }
    uint64_t summary_bit(uint64_t hash) const { return uint64_t(1) << (hash >> (shift_ - 6) & 63); }

    std::vector<Bucket> buckets_;
    // For each bucket one of 64 bits for each of its keys: an eighth of the memory knows most of the pairs that do not merge.
    std::vector<uint64_t> summaries_;
    uint32_t token_of_byte_[256];
    std::vector<uint32_t> rank_of_bytes_;
    std::vector<uint32_t> token_of_rank_;
    bool is_consecutive_;
    int shift_;
};

// Merges one piece after the other; has memory of its own for it, so one for each thread.
class PieceMerger {
  public:
    explicit PieceMerger(const MergeTable& merges);
    ~PieceMerger();
    PieceMerger(const PieceMerger&) = delete;
    PieceMerger& operator=(const PieceMerger&) = delete;

    // Writes the tokens of a piece, at most one for each byte, to `ids`; returns how many.
    size_t merge(std::string_view piece, uint32_t* ids) {
        return piece.size() <= kShortPiece ? merge_short(piece, ids) : merge_long(piece, ids);
    }

    // Up to here it is quicker to look at all pairs for each merge; beyond, pairs are kept in order, and the time grows
    // (almost) with the length alone.
    static constexpr size_t kShortPiece = 64;
    size_t merge_short(std::string_view piece, uint32_t* ids) const;
    size_t merge_long(std::string_view piece, uint32_t* ids);

  private:
    struct Long;
    const MergeTable& merges_;
    std::unique_ptr<Long> long_;
};

// For each token, whether merges make it of its own bytes. (A merge that comes earlier may cut across it: then the token
// exists only inside longer pieces, or never.) Tokens that no merge makes: only single bytes are true.
std::vector<char> tokens_that_merge_to_themselves(const Vocabulary& vocabulary, const MergeTable& merges);
