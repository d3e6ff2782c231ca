// shards.h - tokens on disk, mapped into memory: what `prepare` writes and `train` reads. A shard is a header of 64 bytes
// and then the ids of one split's documents, one after the other, <|endoftext|> behind each; 2 bytes an id where the
// vocabulary has at most 65,536 tokens, else 4.
// Not here: how documents become ids (prepare.cpp); which windows of them a step reads (shuffled_windows.h).
// subtle: a file that is cut while it is mapped kills the process (SIGBUS). Nothing here writes into a finished shard: a
// new one is a new file that takes the old one's name.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace small_gpt {

// As it lies in the file, little-endian.
struct ShardHeader {
    char magic[8];             // "GPTSHARD"
    uint32_t version;          // kShardVersion
    uint32_t id_bytes;         // 2 or 4
    uint64_t vocabulary_hash;  // of vocabulary_hash(): ids mean nothing without it
    uint64_t tokens;
    uint64_t documents;
    uint64_t text_bytes;       // that the ids stand for, <|endoftext|> not counted
    uint64_t checksum;         // XXH64 of the ids
    uint64_t header_checksum;  // XXH64 of the 56 bytes above
};
static_assert(sizeof(ShardHeader) == 64, "the ids begin at byte 64");

constexpr uint32_t kShardVersion = 1;

enum class Split { kTrain, kValidation, kTest };
constexpr int kSplits = 3;
const char* split_name(Split split);              // "train", "validation", "test"
std::string shard_name(Split split, int number);  // "train-00000.bin"
inline int id_bytes_for(int64_t vocabulary) {
    return vocabulary <= 65536 ? 2 : 4;
}

// "xxh64:" and 16 digits, as hashes are shown and kept.
std::string hash_text(uint64_t hash);

// Written to a temporary name, synced, renamed. `ids`, in pieces, are already id_bytes each. Returns their checksum.
uint64_t write_shard(const std::string& path, const std::vector<std::string>& ids, int id_bytes,
                     uint64_t vocabulary_hash, int64_t documents, int64_t text_bytes);

// One file, mapped. Errors name the file and what is wrong: no shard, another version, cut, damaged, another vocabulary,
// an id that the vocabulary does not have.
class Shard {
  public:
    // vocabulary: how many tokens there are.
    Shard(const std::string& path, uint64_t vocabulary_hash, int64_t vocabulary);
    ~Shard();
    Shard(Shard&& other) noexcept;
    Shard& operator=(Shard&&) = delete;
    Shard(const Shard&) = delete;

    const ShardHeader& header() const { return header_; }
    int64_t size() const { return int64_t(header_.tokens); }
    int operator[](int64_t i) const { return header_.id_bytes == 2 ? int(narrow()[i]) : int(wide()[i]); }
    void copy(int64_t begin, int64_t count, int* ids) const;

  private:
    const uint16_t* narrow() const;
    const uint32_t* wide() const;

    ShardHeader header_{};
    const char* mapped_ = nullptr;
    size_t mapped_bytes_ = 0;
};

// All shards of a split. Windows do not cross from one shard to the next.
struct TokenShards {
    std::vector<Shard> shards;

    int64_t tokens() const;
    int64_t documents() const;
    int64_t text_bytes() const;
    std::string hash() const;  // "xxh64:" and 16 digits, of the shards' checksums
};

// The shards number 0, 1, ... of a split that a prepared folder has; user_error when it has none.
TokenShards open_split(const std::string& folder, Split split, uint64_t vocabulary_hash, int64_t vocabulary);

}  // namespace small_gpt
