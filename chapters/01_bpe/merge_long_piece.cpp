// merge_long_piece.cpp - merging a piece of any length, a megabyte of one letter included.
// Not here: a binary heap of (rank, place), the usual way: it touches log n far away places for each of its steps, and is
// several times slower (chapters/01_bpe/README.md, "From a page to the fastest"). There are only so many ranks: a list of
// places for each of them, and a bitmap of the lists that are not empty, find the smallest as well.
#include <algorithm>

#include "chapters/01_bpe/merge_piece.h"
#include "core/check.h"
#include "core/large_pages.h"

namespace {

// Pairs in waiting: the smallest rank first, of equal ranks the leftmost place. Empty after use, so it is made once for
// many pieces.
class RankQueue {
  public:
    explicit RankQueue(size_t ranks)
        : lists_(ranks, kNone), has_list_(ranks / 64 + 1), has_word_(has_list_.size() / 64 + 1) {}

    void push(uint32_t rank, uint32_t place) {
        uint32_t& list = lists_[rank];
        if (list == kNone) {
            has_list_[rank / 64] |= uint64_t(1) << rank % 64;
            has_word_[rank / 64 / 64] |= uint64_t(1) << rank / 64 % 64;
        }
        if (list == kNone || chunks_[list].count == kPlacesInChunk) {
            chunks_.push_back({list, 0, {}});
            list = uint32_t(chunks_.size() - 1);
        }
        Chunk& chunk = chunks_[list];
        chunk.places[chunk.count++] = place;
    }

    // False when nothing waits any more.
    bool pop(uint32_t* rank, uint32_t* place) {
        const uint32_t smallest = smallest_listed();
        if (open_.empty() || smallest < open_rank_) {
            if (smallest == kNone) {
                chunks_.clear();
                return false;
            }
            // subtle: in a rank file a merge may give way to one of a smaller rank; the places in hand wait then.
            for (const uint32_t waiting : open_) push(open_rank_, waiting);
            open(smallest);
        }
        *rank = open_rank_;
        *place = open_.back();
        open_.pop_back();
        return true;
    }

    // A place that pop() will give back a few calls from now, if that is known by now; else any.
    uint32_t soon() const {
        constexpr size_t kCalls = 12;
        return open_.empty() ? 0 : open_[open_.size() > kCalls ? open_.size() - 1 - kCalls : 0];
    }

  private:
    static constexpr uint32_t kNone = 0xffffffff;
    static constexpr size_t kPlacesInChunk = 14;
    struct Chunk {  // a cache line: a list that jumps for every place would wait for memory at every place
        uint32_t next, count;
        uint32_t places[kPlacesInChunk];
    };

    uint32_t smallest_listed() const {
        for (size_t top = 0; top < has_word_.size(); top++) {
            if (has_word_[top] == 0) continue;
            const size_t word = top * 64 + size_t(__builtin_ctzll(has_word_[top]));
            return uint32_t(word * 64) + uint32_t(__builtin_ctzll(has_list_[word]));
        }
        return kNone;
    }

    // Takes the places of a rank in hand, the leftmost at the end.
    void open(uint32_t rank) {
        open_rank_ = rank;
        open_.clear();
        for (uint32_t c = lists_[rank]; c != kNone; c = chunks_[c].next)
            for (size_t i = chunks_[c].count; i > 0; i--) open_.push_back(chunks_[c].places[i - 1]);
        lists_[rank] = kNone;
        uint64_t& word = has_list_[rank / 64];
        word &= ~(uint64_t(1) << rank % 64);
        if (word == 0) has_word_[rank / 64 / 64] &= ~(uint64_t(1) << rank / 64 % 64);
        const auto descending = [](uint32_t a, uint32_t b) { return a > b; };
        if (!std::is_sorted(open_.begin(), open_.end(), descending))
            std::sort(open_.begin(), open_.end(), descending);
    }

    std::vector<uint32_t> lists_;  // by rank: its newest chunk
    std::vector<Chunk, LargePages<Chunk>> chunks_;
    std::vector<uint64_t> has_list_;  // a bit for each rank
    std::vector<uint64_t> has_word_;  // a bit for each word of has_list_ that is not 0
    std::vector<uint32_t> open_;
    uint32_t open_rank_ = 0;
};

constexpr size_t kKeptPlaces = 1 << 16;  // a longer piece is rare: its memory goes back

// A byte of the piece. A token stands at its first byte; its neighbours' places are `next` and `previous`.
struct Place {
    uint32_t id, next, previous;
    uint32_t
        rank;  // of the merge with `next`; what the queue says about a place counts only if it says the same
};

}  // namespace

struct PieceMerger::Long {
    RankQueue queue;
    std::vector<Place, LargePages<Place>> places;
};

PieceMerger::PieceMerger(const MergeTable& merges) : merges_(merges) {}
PieceMerger::~PieceMerger() = default;

size_t PieceMerger::merge_long(std::string_view piece, uint32_t* ids) {
    const size_t count = piece.size();
    const MergeTable& merges = merges_;
    if (count >= 0xffffffff)
        user_error("a piece of %zu bytes cannot be encoded: 4 GiB without a place to cut", count);
    if (!long_) long_.reset(new Long{RankQueue(merges.ranks()), {}});
    RankQueue& queue = long_->queue;
    auto& places = long_->places;
    if (places.size() < count + 1) places.resize(count + 1);
    for (size_t i = 0; i < count; i++) {
        const uint32_t rank = i + 1 < count ? merges.rank_of_bytes(uint8_t(piece[i]), uint8_t(piece[i + 1]))
                                            : MergeTable::kNoMerge;
        places[i] = {merges.token_of_byte(uint8_t(piece[i])), uint32_t(i + 1), uint32_t(i) - 1, rank};
        if (rank != MergeTable::kNoMerge) queue.push(rank, uint32_t(i));
    }
    const auto pair_up = [&](uint32_t left, uint32_t right) {
        const uint32_t rank =
            right < count ? merges.rank_of(places[left].id, places[right].id) : MergeTable::kNoMerge;
        places[left].rank = rank;
        if (rank != MergeTable::kNoMerge) queue.push(rank, left);
    };
    for (uint32_t rank, left; queue.pop(&rank, &left);) {
        __builtin_prefetch(
            &places[queue.soon()]);  // places of one rank are far apart: most of the time went into waiting
        Place& token = places[left];
        if (token.rank != rank) continue;
        const uint32_t dead = token.next;
        token.id = merges.token_of(rank);
        token.next = places[dead].next;
        places[token.next].previous = left;
        places[dead].rank = MergeTable::kNoMerge;
        pair_up(left, token.next);
        if (left > 0) pair_up(token.previous, left);
    }
    size_t tokens = 0;
    for (size_t i = 0; i < count; i = places[i].next) ids[tokens++] = places[i].id;
    if (count > kKeptPlaces) long_.reset();
    return tokens;
}
