// trainer.cpp - see trainer.h. What makes it fast, in the order of the file: each different piece is kept once, with its
// count; every token's two ends are marked in one array, so that a merge finds its neighbours by arithmetic; each pair
// knows where it occurs; and a heap knows the most frequent pair.
// The cost is about the number of places that change, not text times vocabulary.
#include "chapters/01_bpe/trainer.h"

#include <algorithm>
#include <limits>
#include <queue>

#include "chapters/01_bpe/piece_counts.h"
#include "core/check.h"
#include "io/utf8.h"

namespace {

// ---- Pairs ----------------------------------------------------------------------------------------------------------

// Two tokens side by side, as one number whose order is that of (left, right).
uint64_t pair_of(int left, int right) {
    return uint64_t(uint32_t(left)) << 32 | uint32_t(right);
}
int left_of(uint64_t pair) {
    return int(pair >> 32);
}
int right_of(uint64_t pair) {
    return int(pair & 0xffffffff);
}

struct Pair {
    uint64_t pair = 0;
    int64_t count = 0;    // times that it occurs in the texts
    size_t first = 0;     // its places are a range of the pool,
    uint32_t places = 0;  // so many; those where it no longer stands are skipped when they are used
};

// Pairs by their two tokens. Open addressing with linear probing; nothing is ever removed.
class PairTable {
  public:
    PairTable() : slots_(1 << 16) {}

    // Null when there is no such pair. The pointer holds until the next insert.
    Pair* find(uint64_t pair) {
        Pair& slot = slot_of(pair);
        return slot.places > 0 ? &slot : nullptr;
    }
    void insert(const Pair& pair) {
        slot_of(pair.pair) = pair;
        if (++taken_ * 2 > slots_.size()) grow();
    }

  private:
    Pair& slot_of(uint64_t pair) {
        const size_t mask = slots_.size() - 1;
        size_t i = size_t((pair * 0x9e3779b97f4a7c15) >> 32) & mask;
        while (slots_[i].places > 0 && slots_[i].pair != pair) i = (i + 1) & mask;
        return slots_[i];
    }
    void grow() {
        std::vector<Pair> old(slots_.size() * 2);
        old.swap(slots_);
        for (const Pair& pair : old)
            if (pair.places > 0) slot_of(pair.pair) = pair;
    }

    std::vector<Pair> slots_;
    size_t taken_ = 0;
};

// What the heap orders: the most frequent first, of equals the smaller pair.
struct Candidate {
    int64_t count;
    uint64_t pair;
    bool operator<(const Candidate& other) const {
        return count != other.count ? count < other.count : pair > other.pair;
    }
};

// ---- The merge loop -------------------------------------------------------------------------------------------------

class MergeLoop {
  public:
    MergeLoop(const std::vector<PieceCount>& pieces, const Vocabulary& bytes, int64_t min_frequency);

    // The pair to merge next; false when none is frequent enough.
    bool next(uint64_t* pair);

    // Makes `token`, which is so many bytes long, of every such pair.
    void merge(uint64_t pair, int token, uint32_t bytes);

  private:
    // One byte of a piece. A token's id stands at its first and at its last byte: what begins at a place and what ends
    // before it can be read off, and where those end and begin follows from their sizes.
    struct Slot {
        int32_t token;
        uint32_t piece;
    };
    static constexpr int32_t kInside = -1;   // between the ends of a token
    static constexpr int32_t kBetween = -2;  // between two pieces

    // What one merge does to the pairs of one neighbour.
    struct Change {
        int64_t gained = 0;  // by the pair of the neighbour and the new token
        int64_t lost = 0;    // by the pair of the neighbour and the old token beside it
        uint32_t places = 0;
        size_t first = 0;
        bool is_listed = false;
    };
    // The neighbours on one side of the new token.
    struct Side {
        std::vector<Change> changes;                   // by neighbour; all zero between merges
        std::vector<int> neighbours;                   // that have a change
        std::vector<std::pair<int, uint32_t>> places;  // neighbour, where its new pair begins

        Change& change_of(int neighbour) {
            Change& change = changes[size_t(neighbour)];
            if (!change.is_listed) neighbours.push_back(neighbour);
            change.is_listed = true;
            return change;
        }
        void add(int neighbour, uint32_t place, int64_t count) {
            Change& change = change_of(neighbour);
            change.gained += count;
            change.lost += count;
            change.places++;
            places.emplace_back(neighbour, place);
        }
    };

    void merge_places(const Pair& pair, int token);
    template <class PairWith>
    void apply_gains(Side& side, PairWith&& pair_with);
    template <class PairWith>
    void apply_losses(Side& side, PairWith&& pair_with);

    std::vector<Slot> slots_;
    std::vector<int64_t> counts_;  // of each piece
    std::vector<uint32_t> sizes_;  // of each token, in bytes
    PairTable pairs_;
    std::vector<uint32_t> pool_;
    std::priority_queue<Candidate> heap_;
    int64_t min_frequency_;
    Side left_, right_;
};

MergeLoop::MergeLoop(const std::vector<PieceCount>& pieces, const Vocabulary& bytes, int64_t min_frequency)
    : min_frequency_(min_frequency) {
    size_t size = 1;
    for (const PieceCount& piece : pieces) size += piece.piece.size() + 1;
    if (size > std::numeric_limits<uint32_t>::max())
        user_error("the different pieces of the text are %zu bytes together; training takes at most 4 GiB",
                   size);
    slots_.reserve(size);
    counts_.reserve(pieces.size());
    slots_.push_back({kBetween, 0});
    for (size_t p = 0; p < pieces.size(); p++) {
        for (const char byte : pieces[p].piece)
            slots_.push_back({bytes.byte_ids[uint8_t(byte)], uint32_t(p)});
        slots_.push_back({kBetween, 0});
        counts_.push_back(pieces[p].count);
    }
    sizes_.assign(256, 1);

    // Two walks over the pairs of bytes: how many places each has, then the places.
    std::vector<Pair> byte_pairs(size_t(256 * 256));
    const auto for_each_pair = [&](auto&& visit) {
        for (size_t i = 1; i + 1 < size; i++)
            if (slots_[i].token >= 0 && slots_[i + 1].token >= 0)
                visit(byte_pairs[size_t(slots_[i].token * 256 + slots_[i + 1].token)], i);
    };
    for_each_pair([&](Pair& pair, size_t i) {
        pair.count += counts_[slots_[i].piece];
        pair.places++;
    });
    size_t places = 0;
    for (Pair& pair : byte_pairs) {
        pair.first = places;
        places += pair.places;
        pair.places = 0;
    }
    pool_.resize(places);
    for_each_pair([&](Pair& pair, size_t i) { pool_[pair.first + pair.places++] = uint32_t(i); });
    for (size_t i = 0; i < byte_pairs.size(); i++) {
        Pair& pair = byte_pairs[i];
        pair.pair = pair_of(int(i / 256), int(i % 256));
        if (pair.count < min_frequency_) continue;
        pairs_.insert(pair);
        heap_.push({pair.count, pair.pair});
    }
}

bool MergeLoop::next(uint64_t* pair) {
    while (!heap_.empty()) {
        const Candidate top = heap_.top();
        heap_.pop();
        const Pair* now = pairs_.find(top.pair);
        if (now->count == top.count) {
            *pair = top.pair;
            return true;
        }
        // Other merges have taken places away since it was pushed: back, with what is left of it.
        if (now->count >= min_frequency_) heap_.push({now->count, top.pair});
    }
    return false;
}

void MergeLoop::merge(uint64_t pair, int token, uint32_t bytes) {
    const int a = left_of(pair), b = right_of(pair);
    if (size_t(token) >= sizes_.size()) sizes_.resize(size_t(token) + 1);
    sizes_[size_t(token)] = bytes;
    left_.changes.resize(sizes_.size());
    right_.changes.resize(sizes_.size());

    Pair* merged = pairs_.find(pair);
    merge_places(*merged, token);
    // subtle: losses first, and the merged pair at the very end of them: "aaa" has lost a pair (a,a) to its right.
    apply_losses(left_, [&](int x) { return pair_of(x, a); });
    apply_losses(right_, [&](int y) { return pair_of(b, y); });
    merged->count = 0;
    apply_gains(left_, [&](int x) { return pair_of(x, token); });
    apply_gains(right_, [&](int y) { return pair_of(token, y); });
}

void MergeLoop::merge_places(const Pair& pair, int token) {
    const int a = left_of(pair.pair), b = right_of(pair.pair);
    const uint32_t a_size = sizes_[size_t(a)], b_size = sizes_[size_t(b)];
    const auto begin = pool_.begin() + std::ptrdiff_t(pair.first), end = begin + pair.places;
    // "aaa" is (aa)a: the leftmost goes first. Places are noted from left to right, and what a merge notes while it goes
    // from left to right is again in that order.
    DCHECK(std::is_sorted(begin, end), "[trainer] places out of order");
    for (auto place = begin; place != end; ++place) {
        const uint32_t i = *place, j = i + a_size;
        if (slots_[i].token != a || slots_[j].token != b) continue;
        const int64_t count = counts_[slots_[i].piece];
        const int x = slots_[i - 1].token, y = slots_[j + b_size].token;
        if (x >= 0) {
            left_.add(x, i - sizes_[size_t(x)], count);
            // subtle: in "abab" the second merge meets the first one's token, and what it takes away is a pair (token,a)
            // that this very merge had made, not a pair of old.
            if (x == token) {
                left_.change_of(x).lost -= count;
                right_.change_of(a).gained -= count;
            }
        }
        if (y >= 0) right_.add(y, i, count);
        slots_[j - 1].token = slots_[j].token = kInside;
        slots_[i].token = slots_[j + b_size - 1].token = token;
    }
}

template <class PairWith>
void MergeLoop::apply_losses(Side& side, PairWith&& pair_with) {
    for (const int neighbour : side.neighbours)
        if (Pair* pair = pairs_.find(pair_with(neighbour)))
            pair->count -= side.changes[size_t(neighbour)].lost;
}

// Gives the new pairs their counts and places and makes them candidates. A pair that is too rare now will never be
// frequent enough, because counts only fall: it is forgotten at once, and with it most of all pairs.
template <class PairWith>
void MergeLoop::apply_gains(Side& side, PairWith&& pair_with) {
    for (const int neighbour : side.neighbours) {
        Change& change = side.changes[size_t(neighbour)];
        change.first = pool_.size();
        if (change.gained >= min_frequency_) {
            pairs_.insert({pair_with(neighbour), change.gained, change.first, change.places});
            heap_.push({change.gained, pair_with(neighbour)});
            pool_.resize(pool_.size() + change.places);
        }
    }
    for (const auto& [neighbour, place] : side.places) {
        Change& change = side.changes[size_t(neighbour)];
        if (change.gained >= min_frequency_) pool_[change.first++] = place;
    }
    for (const int neighbour : side.neighbours) side.changes[size_t(neighbour)] = Change{};
    side.neighbours.clear();
    side.places.clear();
}

void check_specials(const std::vector<std::string>& specials) {
    for (size_t i = 0; i < specials.size(); i++) {
        if (specials[i].empty()) user_error("a special token is empty; it wants at least one character");
        if (specials[i].size() == 1)
            user_error("the special token '%s' is a single byte, which is an ordinary token already",
                       utf8::printable(specials[i]).c_str());
        if (std::find(specials.begin(), specials.begin() + std::ptrdiff_t(i), specials[i]) !=
            specials.begin() + std::ptrdiff_t(i))
            user_error("the special token '%s' is named twice", utf8::printable(specials[i]).c_str());
    }
}

}  // namespace

Vocabulary train_bpe(const std::vector<std::string_view>& texts, const TrainOptions& options) {
    const int specials = int(options.specials.size());
    check_specials(options.specials);
    if (options.vocab_size < 256 + specials)
        user_error("a vocabulary of %d has no room for 256 bytes and %d special tokens: it wants %d or more",
                   options.vocab_size, specials, 256 + specials);
    CHECK(options.min_frequency >= 1, "[trainer] a pair that never occurs cannot be merged");
    if (std::all_of(texts.begin(), texts.end(), [](std::string_view text) { return text.empty(); }))
        user_error("there is no text to train on");

    Vocabulary vocabulary = byte_vocabulary(options.pattern);
    MergeLoop loop(count_pieces(texts, options.pattern), vocabulary, options.min_frequency);
    const int64_t first = vocabulary.size(), total = options.vocab_size - specials - first;
    for (uint64_t pair; vocabulary.size() < options.vocab_size - specials && loop.next(&pair);) {
        const int a = left_of(pair), b = right_of(pair);
        const int token = vocabulary.size();
        // note: no two tokens have the same bytes. Merges never cross a token's ends, so what happened inside them is
        // what would have happened to those bytes alone: a string has one way to become a token.
        vocabulary.tokens.push_back(vocabulary.tokens[size_t(a)] + vocabulary.tokens[size_t(b)]);
        vocabulary.merges.push_back({a, b, token, int(vocabulary.merges.size())});
        loop.merge(pair, token, uint32_t(vocabulary.tokens.back().size()));
        if (options.progress && token % 256 == 0) options.progress(vocabulary.size() - first, total);
    }
    // note: merges may have made an ordinary token of the same bytes, where the text has them. Ordinary text keeps to that one.
    for (const std::string& special : options.specials) {
        vocabulary.specials.push_back({special, vocabulary.size()});
        vocabulary.tokens.push_back(special);
    }
    return vocabulary;
}
