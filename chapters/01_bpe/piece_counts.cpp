// piece_counts.cpp - a hash table per thread, filled at the speed of the scanner, then one table of all.
#include "chapters/01_bpe/piece_counts.h"

#include <algorithm>
#include <cstring>

#include "chapters/01_bpe/piece_key.h"
#include "chapters/01_bpe/token_index.h"
#include "core/check.h"
#include "core/parallel.h"

namespace {

// A piece that is too long to be its own key (PieceKey) has its hash and, below the mark, its size.
constexpr uint64_t kLongMark = uint64_t(0xff) << 56;

bool is_long(const PieceKey& key) {
    return key.high >= kLongMark;
}

size_t size_of(const PieceKey& key) {
    return size_t(is_long(key) ? key.high & ~kLongMark : key.high >> PieceKey::kSizeShift);
}

// text_end: up to there bytes may be read, although they are not the piece's.
PieceKey key_of(std::string_view piece, const char* text_end) {
    const size_t n = piece.size();
    if (n <= PieceKey::kMaxBytes) return PieceKey(piece.data(), n, text_end);
    PieceKey key;
    key.low = hash_of_bytes(piece);
    key.high = kLongMark | uint64_t(n);
    return key;
}

// Open addressing with linear probing; a power of two of slots, at most half of them taken.
class PieceTable {
  public:
    PieceTable() : slots_(kFirstSlots) {}

    void add(const PieceKey& key, const char* begin, int64_t count) {
        Slot& slot = find(key, begin);
        if (slot.count == 0) {
            slot.key = key;
            slot.begin = begin;
            taken_++;
        }
        slot.count += count;
        if (taken_ * 2 > slots_.size()) grow();
    }

    void add_all_of(const PieceTable& other) {
        for (const Slot& slot : other.slots_)
            if (slot.count > 0) add(slot.key, slot.begin, slot.count);
    }

    std::vector<PieceCount> list() const {
        std::vector<PieceCount> pieces;
        pieces.reserve(taken_);
        for (const Slot& slot : slots_)
            if (slot.count > 0) pieces.push_back({{slot.begin, size_of(slot.key)}, slot.count});
        return pieces;
    }

  private:
    struct Slot {
        PieceKey key;
        const char* begin = nullptr;  // of the first such piece, somewhere in the texts
        int64_t count = 0;            // 0: free
    };
    static constexpr size_t kFirstSlots = 1 << 14;

    Slot& find(const PieceKey& key, const char* begin) {
        const size_t mask = slots_.size() - 1;
        size_t i = size_t(key.hash()) & mask;
        for (;; i = (i + 1) & mask) {
            Slot& slot = slots_[i];
            if (slot.count == 0) return slot;
            if (!(slot.key == key)) continue;
            if (!is_long(key) || std::memcmp(slot.begin, begin, size_of(key)) == 0) return slot;
        }
    }

    void grow() {
        std::vector<Slot> old(slots_.size() * 4);
        old.swap(slots_);
        for (const Slot& slot : old)
            if (slot.count > 0) find(slot.key, slot.begin) = slot;
    }

    std::vector<Slot> slots_;
    size_t taken_ = 0;
};

// A stretch of one text that begins and ends where every split has a cut.
struct Stretch {
    std::string_view text;
    const char* text_end;
};

std::vector<Stretch> stretches_of(const std::vector<std::string_view>& texts, Pattern pattern) {
    constexpr size_t kBytes = 1 << 20;  // enough for a thread to forget what a cut cost
    std::vector<Stretch> stretches;
    for (const std::string_view text : texts)
        for (size_t begin = 0; begin < text.size();) {
            const size_t end =
                text.size() - begin > kBytes ? certain_cut(pattern, text, begin + kBytes) : text.size();
            stretches.push_back({text.substr(begin, end - begin), text.data() + text.size()});
            begin = end;
        }
    return stretches;
}

}  // namespace

std::vector<PieceCount> count_pieces(const std::vector<std::string_view>& texts, Pattern pattern,
                                     bool sorted) {
    const std::vector<Stretch> stretches = stretches_of(texts, pattern);
    const int64_t total = int64_t(stretches.size());
    const int64_t threads = std::max<int64_t>(1, std::min<int64_t>(parallel::num_threads(), total));
    std::vector<PieceTable> tables{size_t(threads)};
    parallel_for(threads, [&](int64_t t) {
        for (int64_t s = total * t / threads; s < total * (t + 1) / threads; s++) {
            const Stretch& stretch = stretches[size_t(s)];
            for_each_piece(pattern, stretch.text, [&](std::string_view piece) {
                tables[size_t(t)].add(key_of(piece, stretch.text_end), piece.data(), 1);
            });
        }
    });
    for (size_t t = 1; t < tables.size(); t++) tables[0].add_all_of(tables[t]);
    std::vector<PieceCount> pieces = tables[0].list();
    if (sorted)
        std::sort(pieces.begin(), pieces.end(),
                  [](const PieceCount& a, const PieceCount& b) { return a.piece < b.piece; });
    return pieces;
}
