// bpe.cpp - see bpe.h. The way of a text: it is cut into pieces (pretokenize.h); each piece is looked up among those that
// were met before (piece_cache.h); one that is new is merged byte by byte (merge_piece.h) and remembered.
// From the page of bpe_plain.h to here in steps, each with its gain: chapters/01_bpe/README.md.
#include "chapters/01_bpe/bpe.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>
#include <optional>

#include "chapters/01_bpe/merge_piece.h"
#include "chapters/01_bpe/piece_cache.h"
#include "chapters/01_bpe/token_index.h"
#include "core/check.h"
#include "core/in_order.h"
#include "core/parallel.h"
#include "io/utf8.h"

namespace {

constexpr int kCacheSetBits = 17;                    // 2^17 sets of 64 bytes: 8 MiB for each thread
constexpr size_t kLargePieces = 4096;                // that a thread remembers
constexpr size_t kLargestRemembered = 256;           // bytes
constexpr size_t kPiecesAtATime = 64;                // cut and called for before they are looked up
constexpr size_t kPortionBytes = size_t(128) << 10;  // of text, for one thread at a time
constexpr size_t kFewBytes = 16;          // longest token that decode copies as if it had this many
constexpr size_t kDecodedAtATime = 4096;  // bytes
constexpr size_t kPortionsPerThread = 8;  // at most, on their way

// Makes room for `more` ids, with which `bytes_done` bytes are done, and for as many as the rest of the text will need if
// it is like them: a vector that grows by doubling would copy all and, for a moment, need three times the memory.
void make_room(std::vector<int>* ids, size_t more, size_t ids_before, size_t bytes_done, size_t bytes) {
    if (ids->capacity() - ids->size() >= more) return;
    const double ids_per_byte =
        bytes_done == 0 ? 0.25 : double(ids->size() - ids_before + more) / double(bytes_done);
    const double expected =
        ids_per_byte * double(bytes - bytes_done) * 1.25;  // room that is not used costs nothing
    ids->reserve(ids->size() + std::max(more, size_t(expected)));
}

// For each id, whether it is a token that ordinary text can become.
std::vector<bool> ordinary_tokens(const Vocabulary& vocabulary) {
    std::vector<bool> is_ordinary = special_ids(vocabulary);
    for (size_t id = 0; id < is_ordinary.size(); id++)
        is_ordinary[id] = !is_ordinary[id] && !vocabulary.tokens[id].empty();
    return is_ordinary;
}

}  // namespace

// What all threads share.
struct Bpe::Tables {
    MergeTable merges;
    std::optional<TokenIndex> whole_pieces;  // where the vocabulary wants whole pieces first
    bool ids_fit_16_bits;
    std::array<std::vector<SpecialToken>, 256> specials;  // by first byte; of one byte the longest first

    // The bytes of all tokens, one after the other; token id is bytes [offsets[id], offsets[id + 1]).
    std::string bytes;
    std::vector<uint32_t> offsets;

    // Tokens that encoding makes of their own bytes: what caches start with. Found when the first one does, because who
    // only decodes needs none.
    const std::vector<int>& known_pieces(const Vocabulary& vocabulary);

    // Encoders that have nothing to do, with what they remember.
    std::mutex mutex;
    std::vector<std::unique_ptr<Encoder>> idle;

    explicit Tables(const Vocabulary& vocabulary);

  private:
    std::once_flag knows_pieces_;
    std::vector<int> known_pieces_;
};

Bpe::Tables::Tables(const Vocabulary& vocabulary)
    : merges(vocabulary), ids_fit_16_bits(vocabulary.size() <= 1 << 16) {
    for (const SpecialToken& special : vocabulary.specials)
        specials[uint8_t(special.text[0])].push_back(special);
    for (std::vector<SpecialToken>& alike : specials)
        std::sort(alike.begin(), alike.end(),
                  [](const SpecialToken& a, const SpecialToken& b) { return a.text.size() > b.text.size(); });
    offsets.reserve(vocabulary.tokens.size() + 1);
    bytes.reserve(vocabulary.tokens.size() * 8);
    for (const std::string& token : vocabulary.tokens) {
        offsets.push_back(uint32_t(bytes.size()));
        bytes += token;
    }
    offsets.push_back(uint32_t(bytes.size()));
    bytes.append(kFewBytes, '\0');  // so that reading kFewBytes from any token on stays inside

    if (!vocabulary.whole_piece_first) return;
    const std::vector<bool> is_ordinary = ordinary_tokens(vocabulary);
    whole_pieces.emplace(vocabulary.tokens);
    for (int id = 0; id < vocabulary.size(); id++)
        if (is_ordinary[size_t(id)]) whole_pieces->add(id);
}

const std::vector<int>& Bpe::Tables::known_pieces(const Vocabulary& vocabulary) {
    std::call_once(knows_pieces_, [&] {
        const std::vector<bool> is_known = ordinary_tokens(vocabulary);
        const std::vector<char> is_reached = whole_pieces
                                                 ? std::vector<char>(is_known.size(), true)
                                                 : tokens_that_merge_to_themselves(vocabulary, merges);
        for (size_t id = 0; id < is_known.size(); id++)
            if (is_known[id] && is_reached[id] && vocabulary.tokens[id].size() <= PieceKey::kMaxBytes)
                known_pieces_.push_back(int(id));
    });
    return known_pieces_;
}

Bpe::Bpe(Vocabulary vocabulary) : vocabulary_(std::move(vocabulary)), tables_(new Tables(vocabulary_)) {}
Bpe::~Bpe() = default;

// ---- One thread -----------------------------------------------------------------------------------------------------

struct Encoder::State {
    const Bpe& bpe;
    PieceMerger merger;
    std::unique_ptr<PieceCache<uint16_t>> cache16;  // one of these two
    std::unique_ptr<PieceCache<uint32_t>> cache32;
    std::vector<uint32_t> work;  // the ids of one piece

    // Pieces for which the cache has no room, too long or of too many tokens: indentation, lines of dashes, Chinese.
    struct LargePiece {
        std::string piece;
        std::vector<uint32_t> ids;
    };
    std::vector<LargePiece> large_pieces{kLargePieces};  // by hash; a new one takes the place of an old one

    explicit State(const Bpe& owner) : bpe(owner), merger(owner.tables_->merges) {
        if (owner.tables_->ids_fit_16_bits)
            start(&cache16);
        else
            start(&cache32);
    }

    template <class Id>
    void start(std::unique_ptr<PieceCache<Id>>* cache) {
        *cache = std::make_unique<PieceCache<Id>>(kCacheSetBits);
        // Backwards, because of two pieces in a set the one that was added last stays longer; small ids are frequent.
        const std::vector<int>& known = bpe.tables_->known_pieces(bpe.vocabulary_);
        for (auto id = known.rbegin(); id != known.rend(); ++id) {
            const std::string_view piece = bpe.bytes_of(*id);
            const PieceKey key(piece.data(), piece.size(), piece.data() + piece.size());
            (*cache)->add((*cache)->set_of(key), key, &*id, 1);
        }
    }

    // Fills `ids` with those of a piece that is not remembered.
    void merge(std::string_view piece, std::vector<uint32_t>* ids) {
        const Bpe::Tables& tables = *bpe.tables_;
        if (tables.whole_pieces) {
            const int id = tables.whole_pieces->find(piece);
            if (id != TokenIndex::kNone) return ids->assign(1, uint32_t(id));
        }
        ids->resize(piece.size());
        ids->resize(merger.merge(piece, ids->data()));
    }

    const std::vector<uint32_t>& ids_of_large_piece(std::string_view piece) {
        if (piece.size() > kLargestRemembered) {
            merge(piece, &work);
            return work;
        }
        LargePiece& large = large_pieces[hash_of_bytes(piece) % kLargePieces];
        if (large.piece != piece) {
            merge(piece, &large.ids);
            large.piece = piece;
        }
        return large.ids;
    }

    // A piece on its way: cut, its place in the cache called for, not yet looked up.
    template <class Id>
    struct Waiting {
        PieceKey key;
        typename PieceCache<Id>::Set* set;
        std::string_view piece;
    };

    template <class Id>
    void encode(PieceCache<Id>* cache, std::string_view text, std::vector<int>* ids) {
        const size_t ids_before = ids->size();
        const char* const end = text.data() + text.size();
        Waiting<Id> waiting[kPiecesAtATime];
        size_t count = 0;
        for_each_piece(bpe.vocabulary_.pattern, text, [&](std::string_view piece) {
            Waiting<Id>& next = waiting[count];
            next.piece = piece;
            if (piece.size() <= PieceKey::kMaxBytes) {
                next.key = PieceKey(piece.data(), piece.size(), end);
                next.set = cache->set_of(next.key);
                cache->prefetch(next.set);
            }
            if (++count == kPiecesAtATime) {
                make_room(ids, kPiecesAtATime * PieceCache<Id>::kMaxIds, ids_before,
                          size_t(piece.data() - text.data()), text.size());
                look_up(cache, waiting, count, ids);
                count = 0;
            }
        });
        look_up(cache, waiting, count, ids);
    }

    // Ids of the waiting pieces go to `ids`.
    template <class Id>
    void look_up(PieceCache<Id>* cache, const Waiting<Id>* waiting, size_t pieces, std::vector<int>* ids) {
        int collected[(kPiecesAtATime + 1) * PieceCache<Id>::kMaxIds];
        int* next = collected;
        for (size_t k = 0; k < pieces; k++) {
            const Waiting<Id>& w = waiting[k];
            if (w.piece.size() <= PieceKey::kMaxBytes) {
                const auto* entry = cache->find(w.set, w.key);
                if (entry == nullptr) {
                    merge(w.piece, &work);
                    entry = cache->add(w.set, w.key, work.data(), work.size());
                }
                // All places of the entry, in use or not: a fixed number is one instruction, not a loop.
                for (size_t i = 0; i < PieceCache<Id>::kMaxIds; i++) next[i] = int(entry->ids[i]);
                next += entry->count();
                if (entry->count() != PieceCache<Id>::kElsewhere) continue;
            }
            ids->insert(ids->end(), collected, next);
            next = collected;
            const std::vector<uint32_t>& large = ids_of_large_piece(w.piece);
            ids->insert(ids->end(), large.begin(), large.end());
        }
        ids->insert(ids->end(), collected, next);
    }
};

Encoder::Encoder(const Bpe& bpe) : state_(new State(bpe)) {}
Encoder::~Encoder() = default;

void Encoder::encode(std::string_view text, std::vector<int>* ids) {
    if (state_->cache16)
        state_->encode(state_->cache16.get(), text, ids);
    else
        state_->encode(state_->cache32.get(), text, ids);
}

// ---- Many threads ---------------------------------------------------------------------------------------------------

namespace {

// Borrows an idle encoder, or makes one, and gives it back: a short text should not pay for a new cache.
class BorrowedEncoder {
  public:
    BorrowedEncoder(const Bpe& bpe, std::mutex* mutex, std::vector<std::unique_ptr<Encoder>>* idle)
        : mutex_(mutex), idle_(idle) {
        {
            std::lock_guard<std::mutex> lock(*mutex_);
            if (!idle_->empty()) {
                encoder_ = std::move(idle_->back());
                idle_->pop_back();
            }
        }
        if (!encoder_) encoder_ = std::make_unique<Encoder>(bpe);
    }
    ~BorrowedEncoder() {
        std::lock_guard<std::mutex> lock(*mutex_);
        idle_->push_back(std::move(encoder_));
    }
    BorrowedEncoder(const BorrowedEncoder&) = delete;
    BorrowedEncoder& operator=(const BorrowedEncoder&) = delete;
    Encoder* operator->() { return encoder_.get(); }

  private:
    std::mutex* mutex_;
    std::vector<std::unique_ptr<Encoder>>* idle_;
    std::unique_ptr<Encoder> encoder_;
};

// Of a text, for one thread at a time.
struct Portion {
    std::string_view text;
    std::vector<int> ids;
};

}  // namespace

std::vector<int> Bpe::encode(std::string_view text) const {
    std::vector<int> ids;
    append_encoded(text, &ids);
    return ids;
}

void Bpe::append_encoded(std::string_view text, std::vector<int>* ids) const {
    if (parallel::num_threads() == 1 || text.size() < 2 * kPortionBytes) {
        BorrowedEncoder(*this, &tables_->mutex, &tables_->idle)->encode(text, ids);
        return;
    }
    tables_->known_pieces(
        vocabulary_);  // now with all threads; inside the loop one would do it and the others wait
    const size_t ids_before = ids->size();
    size_t begin = 0;  // of what nobody has taken
    const auto cut = [&](Portion* portion) {
        const size_t end =
            certain_cut(vocabulary_.pattern, text, std::min(begin + kPortionBytes, text.size()));
        portion->text = text.substr(begin, end - begin);
        begin = end;
        return !portion->text.empty();
    };
    const auto join = [&](Portion* portion) {
        make_room(ids, portion->ids.size(), ids_before, size_t(portion->text.data() - text.data()),
                  text.size());
        ids->insert(ids->end(), portion->ids.begin(), portion->ids.end());
        portion->ids.clear();
    };
    InOrder<Portion> portions(kPortionsPerThread * size_t(parallel::num_threads()));
    parallel_for(parallel::num_threads(), [&](int64_t) {
        BorrowedEncoder encoder(*this, &tables_->mutex, &tables_->idle);
        while (Portion* const portion = portions.take(cut)) {
            encoder->encode(portion->text, &portion->ids);
            portions.give_back(portion, join);
        }
    });
}

std::vector<int> Bpe::encode_with_special(std::string_view text) const {
    std::vector<int> ids;
    size_t begin = 0;  // of the ordinary text before the next special token
    for (size_t at = 0; at < text.size();) {
        const std::vector<SpecialToken>& alike = tables_->specials[uint8_t(text[at])];
        const auto longest = std::find_if(alike.begin(), alike.end(), [&](const SpecialToken& special) {
            return text.compare(at, special.text.size(), special.text) == 0;
        });
        if (longest == alike.end()) {
            at++;
            continue;
        }
        append_encoded(text.substr(begin, at - begin), &ids);
        ids.push_back(longest->id);
        begin = at = at + longest->text.size();
    }
    append_encoded(text.substr(begin), &ids);
    return ids;
}

std::vector<std::vector<int>> Bpe::encode_batch(const std::vector<std::string_view>& texts) const {
    std::vector<std::vector<int>> ids(texts.size());
    parallel_for(int64_t(texts.size()), [&](int64_t i) {
        BorrowedEncoder(*this, &tables_->mutex, &tables_->idle)->encode(texts[size_t(i)], &ids[size_t(i)]);
    });
    return ids;
}

// ---- Decoding -------------------------------------------------------------------------------------------------------

std::string_view Bpe::bytes_of(int id) const {
    CHECK(id >= 0 && id < vocabulary_.size(), "[Bpe] id %d is not in 0 ... %d", id, vocabulary_.size() - 1);
    const size_t begin = tables_->offsets[size_t(id)], end = tables_->offsets[size_t(id) + 1];
    return std::string_view(tables_->bytes).substr(begin, end - begin);
}

std::string Bpe::decode(const std::vector<int>& ids) const {
    const uint32_t* offsets = tables_->offsets.data();
    size_t total = 0;
    for (size_t i = 0; i < ids.size(); i++) {
        const bool is_id = ids[i] >= 0 && ids[i] < vocabulary_.size();
        const size_t size = is_id ? offsets[ids[i] + 1] - offsets[ids[i]] : 0;
        if (size == 0)
            user_error("id %d at place %zu is not in the vocabulary %s (0 ... %d)", ids[i], i,
                       utf8::printable(vocabulary_.name).c_str(), vocabulary_.size() - 1);
        total += size;
    }
    std::string text;
    text.reserve(total);
    // Through a small buffer that stays near the processor. A copy of kFewBytes is two instructions where a copy of just
    // the token's bytes is a call; what it writes behind the token, the next token overwrites.
    char buffer[kDecodedAtATime + kFewBytes];
    size_t filled = 0;
    for (const int id : ids) {
        const char* from = tables_->bytes.data() + offsets[id];
        const size_t size = offsets[id + 1] - offsets[id];
        if (size <= kFewBytes) {
            std::memcpy(buffer + filled, from, kFewBytes);
            filled += size;
        } else {
            text.append(buffer, filled).append(from, size);
            filled = 0;
        }
        if (filled >= kDecodedAtATime) {
            text.append(buffer, filled);
            filled = 0;
        }
    }
    return text.append(buffer, filled);
}

std::vector<TokenSpan> token_spans(const Bpe& bpe, const std::vector<int>& ids) {
    std::vector<TokenSpan> spans;
    spans.reserve(ids.size());
    size_t begin = 0;
    for (const int id : ids) {
        const size_t end = begin + bpe.bytes_of(id).size();
        spans.push_back({begin, end});
        begin = end;
    }
    return spans;
}
