// merge_piece.cpp - see merge_piece.h.
#include "chapters/01_bpe/merge_piece.h"

#include <algorithm>
#include <iterator>

#include "core/check.h"
#include "core/parallel.h"

MergeTable::MergeTable(const Vocabulary& vocabulary) {
    CHECK(vocabulary.size() <= 1 << kIdBits, "[MergeTable] %d tokens are too many", vocabulary.size());
    int bits = 1;
    while (kSlots << bits < vocabulary.merges.size() * 5 / 4) bits++;  // at most four fifths full
    Bucket empty;
    std::fill(std::begin(empty.slots), std::end(empty.slots), kEmpty);
    buckets_.assign(size_t(1) << bits, empty);
    summaries_.assign(size_t(1) << bits, 0);
    shift_ = 64 - bits;
    token_of_rank_.reserve(vocabulary.merges.size());
    int last_rank = -1;
    for (const Merge& merge : vocabulary.merges) {
        CHECK(merge.rank >= last_rank, "[MergeTable] merges are not in the order of their ranks");
        if (merge.rank > last_rank) token_of_rank_.push_back(uint32_t(merge.token));
        last_rank = merge.rank;
        CHECK(token_of_rank_.back() == uint32_t(merge.token), "[MergeTable] rank %d makes two tokens",
              merge.rank);

        const uint64_t key = uint64_t(merge.left) << kIdBits | uint64_t(merge.right);
        if (rank_of(uint32_t(merge.left), uint32_t(merge.right)) != kNoMerge)
            continue;  // twice: the first counts
        const uint64_t hash = hash_of(key);
        size_t b = bucket_of(hash), slot = 0;
        summaries_[b] |= summary_bit(hash);
        while (buckets_[b].slots[slot] != kEmpty)
            if (++slot == kSlots) b = (b + 1) & (buckets_.size() - 1), slot = 0;
        buckets_[b].slots[slot] = key << kRankBits | (token_of_rank_.size() - 1);
    }
    is_consecutive_ = !token_of_rank_.empty();
    for (size_t rank = 0; rank < token_of_rank_.size(); rank++)
        is_consecutive_ = is_consecutive_ && token_of_rank_[rank] == token_of_rank_[0] + rank;
    for (size_t byte = 0; byte < 256; byte++) token_of_byte_[byte] = uint32_t(vocabulary.byte_ids[byte]);
    rank_of_bytes_.reserve(1 << 16);
    for (size_t pair = 0; pair < 1 << 16; pair++)
        rank_of_bytes_.push_back(rank_of(token_of_byte_[pair >> 8], token_of_byte_[pair & 0xff]));
    CHECK(token_of_rank_.size() < kNoMerge, "[MergeTable] %zu merges are too many", token_of_rank_.size());
}

// ---- Short pieces: look at all pairs for each merge -----------------------------------------------------------------

namespace {

// At most kWidth bytes. Every token stands where its first byte stood; the places of the others are dead. The best pair
// is the smallest of kWidth numbers, its rank in front and its place behind: a minimum of a fixed count needs no branch.
template <size_t kWidth>
size_t merge_within(const MergeTable& merges, std::string_view piece, uint32_t* ids) {
    const size_t count = piece.size();
    static_assert(kWidth <= 256, "a place has 8 bits");
    constexpr uint32_t kNone = MergeTable::kNoMerge << 8;
    uint32_t pairs[kWidth];                          // rank << 8 | place
    uint8_t next[kWidth + 1], previous[kWidth + 1];  // places of the neighbours; `count` is the end
    const auto pair_at = [&](size_t left, size_t right) {
        return merges.rank_of(ids[left], ids[right]) << 8 | uint32_t(left);
    };
    for (size_t i = 0; i < kWidth; i++) {
        pairs[i] = kNone;
        next[i] = uint8_t(i + 1);
        previous[i] = uint8_t(i - 1);
    }
    for (size_t i = 0; i + 1 < count; i++)
        pairs[i] = merges.rank_of_bytes(uint8_t(piece[i]), uint8_t(piece[i + 1])) << 8 | uint32_t(i);
    for (size_t i = 0; i < count; i++) ids[i] = merges.token_of_byte(uint8_t(piece[i]));
    for (;;) {
        uint32_t best = kNone;
        for (size_t i = 0; i < kWidth; i++) best = std::min(best, pairs[i]);
        if (best >= kNone) break;
        const size_t left = best & 0xff, dead = next[left], right = next[dead];
        ids[left] = merges.token_of(best >> 8);
        pairs[dead] = kNone;
        next[left] = uint8_t(right);
        previous[right] = uint8_t(left);
        pairs[left] = right < count ? pair_at(left, right) : kNone;
        if (left > 0) pairs[previous[left]] = pair_at(previous[left], left);
    }
    size_t tokens = 0;
    for (size_t i = 0; i < count; i = next[i]) ids[tokens++] = ids[i];
    return tokens;
}

}  // namespace

size_t PieceMerger::merge_short(std::string_view piece, uint32_t* ids) const {
    if (piece.size() <= 16) return merge_within<16>(merges_, piece, ids);
    return merge_within<kShortPiece>(merges_, piece, ids);
}

// ---- Which tokens are reached ---------------------------------------------------------------------------------------

namespace {

// Whether the token that `merge` makes comes out of its bytes, given that its two halves come out of theirs. They do so
// side by side unless some merge across the border between them comes first. Walk back in time: `left` and `right` are
// the tokens at the border, they end their lives at the ranks left_end and right_end; the younger one is taken apart.
bool halves_meet(const Merge& merge, const MergeTable& merges, const std::vector<const Merge*>& made_by) {
    int left = merge.left, right = merge.right, left_end = merge.rank, right_end = merge.rank;
    for (;;) {
        const Merge *left_made = made_by[size_t(left)], *right_made = made_by[size_t(right)];
        if (left_made == nullptr && right_made == nullptr) return true;
        if (right_made == nullptr || (left_made != nullptr && left_made->rank > right_made->rank)) {
            left_end = left_made->rank;
            left = left_made->right;
        } else {
            right_end = right_made->rank;
            right = right_made->left;
        }
        // Of equal ranks the leftmost goes first: that of the border before one inside the right half.
        const uint32_t rank = merges.rank_of(uint32_t(left), uint32_t(right));
        if (rank != MergeTable::kNoMerge && int(rank) < left_end && int(rank) <= right_end) return false;
    }
}

}  // namespace

std::vector<char> tokens_that_merge_to_themselves(const Vocabulary& vocabulary, const MergeTable& merges) {
    std::vector<char> is_reached(vocabulary.tokens.size(), false);
    for (const int id : vocabulary.byte_ids) is_reached[size_t(id)] = true;
    std::vector<const Merge*> made_by(vocabulary.tokens.size(), nullptr);
    bool is_in_order = true;  // each token is made once, of tokens made before, as training does it
    for (size_t i = 0; i < vocabulary.merges.size(); i++) {
        const Merge& merge = vocabulary.merges[i];
        const auto is_ready = [&](int id) {
            return is_reached[size_t(id)] || made_by[size_t(id)] != nullptr;
        };
        is_in_order = is_in_order && merge.rank == int(i) && is_ready(merge.left) && is_ready(merge.right) &&
                      !is_ready(merge.token);
        made_by[size_t(merge.token)] = &merge;
    }
    if (is_in_order) {
        std::vector<char> meet(vocabulary.merges.size());
        constexpr int64_t kAtATime = 1024;
        parallel_ranges(int64_t(meet.size()), kAtATime, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; i++)
                meet[size_t(i)] = halves_meet(vocabulary.merges[size_t(i)], merges, made_by);
        });
        for (const Merge& merge : vocabulary.merges)
            is_reached[size_t(merge.token)] =
                is_reached[size_t(merge.left)] && is_reached[size_t(merge.right)] && meet[size_t(merge.rank)];
        return is_reached;
    }
    // A file from elsewhere: try each token.
    PieceMerger merger(merges);
    for (size_t id = 0; id < is_reached.size(); id++) {
        if (made_by[id] == nullptr) continue;
        const std::string& bytes = vocabulary.tokens[id];
        std::vector<uint32_t> ids(bytes.size());
        const size_t count = merger.merge(bytes, ids.data());
        is_reached[id] = count == 1 && ids[0] == id;
    }
    return is_reached;
}
