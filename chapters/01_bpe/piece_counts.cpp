// piece_counts.cpp - a hash table per thread, filled at the speed of the scanner, then one table of all.
#include "chapters/01_bpe/piece_counts.h"

#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "core/parallel.h"

namespace {

// What a piece is looked up by, 16 bytes. Up to 15 bytes of text are their own key, with their number in the last byte:
// one comparison, and nothing of the text is touched. A longer piece has its hash and, below the mark, its size.
struct Key {
    uint64_t low, high;
    bool operator==(const Key& other) const { return low == other.low && high == other.high; }
};

constexpr size_t kMostInline = 15;
constexpr uint64_t kLongMark = uint64_t(0xff) << 56;

bool is_long(const Key& key) {
    return key.high >= kLongMark;
}

size_t size_of(const Key& key) {
    return size_t(is_long(key) ? key.high & ~kLongMark : key.high >> 56);
}

// Multiplies and folds the 128-bit product: every bit of the result depends on every bit of both factors.
uint64_t mix(uint64_t a, uint64_t b) {
    __extension__ using Wide = unsigned __int128;
    const Wide product = Wide(a) * b;
    return uint64_t(product) ^ uint64_t(product >> 64);
}

uint64_t load(const char* bytes, size_t count) {
    uint64_t word = 0;
    std::memcpy(&word, bytes, count);
    return word;
}

// text_end: up to there bytes may be read, although they are not the piece's. Reading 16 and masking what is too much
// is faster than copying the right number.
Key key_of(std::string_view piece, const char* text_end) {
    const char* p = piece.data();
    const size_t n = piece.size();
    if (n > kMostInline) {
        uint64_t hash = n;
        for (size_t i = 0; i < n; i += 8)
            hash = mix(hash ^ load(p + i, std::min<size_t>(n - i, 8)), 0x9e3779b97f4a7c15);
        return {hash, kLongMark | uint64_t(n)};
    }
    if (size_t(text_end - p) < 16)
        return {load(p, std::min<size_t>(n, 8)), load(p + 8, n > 8 ? n - 8 : 0) | uint64_t(n) << 56};
    const uint64_t low = load(p, 8), high = load(p + 8, 8);
    if (n < 8) return {low & ((uint64_t(1) << 8 * n) - 1), uint64_t(n) << 56};
    return {low, (high & ((uint64_t(1) << 8 * (n - 8)) - 1)) | uint64_t(n) << 56};
}

// Open addressing with linear probing; a power of two of slots, at most half of them taken.
class PieceTable {
  public:
    PieceTable() : slots_(kFirstSlots) {}

    void add(const Key& key, const char* begin, int64_t count) {
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
        Key key{0, 0};
        const char* begin = nullptr;  // of the first such piece, somewhere in the texts
        int64_t count = 0;            // 0: free
    };
    static constexpr size_t kFirstSlots = 1 << 14;

    Slot& find(const Key& key, const char* begin) {
        const size_t mask = slots_.size() - 1;
        size_t i = size_t(mix(key.low ^ 0x2545f4914f6cdd1d, key.high ^ 0xd6e8feb86659fd93)) & mask;
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
