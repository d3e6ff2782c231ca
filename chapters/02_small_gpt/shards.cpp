// shards.cpp - see shards.h.
#include "chapters/02_small_gpt/shards.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstring>

#include "core/check.h"
#include "io/file.h"
#include "io/utf8.h"
#include "io/xxhash64.h"

namespace small_gpt {

namespace {

constexpr char kMagic[9] = "GPTSHARD";
constexpr size_t kCheckedHeader = sizeof(ShardHeader) - sizeof(uint64_t);

template <class Id>
Id largest(const Id* ids, int64_t count) {
    Id most = 0;
    for (int64_t i = 0; i < count; i++) most = std::max(most, ids[i]);
    return most;
}

}  // namespace

const char* split_name(Split split) {
    return split == Split::kTrain ? "train" : split == Split::kValidation ? "validation" : "test";
}

std::string shard_name(Split split, int number) {
    return format("%s-%05d.bin", split_name(split), number);
}

std::string hash_text(uint64_t hash) {
    return format("xxh64:%016" PRIx64, hash);
}

// ---- Writing --------------------------------------------------------------------------------------------------------

uint64_t write_shard(const std::string& path, const std::vector<std::string>& ids, int id_bytes,
                     uint64_t vocabulary_hash, int64_t documents, int64_t text_bytes) {
    ShardHeader header{};
    std::memcpy(header.magic, kMagic, sizeof header.magic);
    header.version = kShardVersion;
    header.id_bytes = uint32_t(id_bytes);
    header.vocabulary_hash = vocabulary_hash;
    XxHash64 checksum;
    size_t bytes = 0;
    for (const std::string& piece : ids) checksum.add(piece.data(), piece.size()), bytes += piece.size();
    header.tokens = bytes / size_t(id_bytes);
    header.documents = uint64_t(documents);
    header.text_bytes = uint64_t(text_bytes);
    header.checksum = checksum.value();
    header.header_checksum = xxhash64(&header, kCheckedHeader);
    write_file_atomically(path, [&](FileWriter& writer) {
        writer.write(&header, sizeof header);
        for (const std::string& piece : ids) writer.write(piece);
    });
    return header.checksum;
}

// ---- Reading --------------------------------------------------------------------------------------------------------

Shard::Shard(const std::string& path, uint64_t vocabulary_hash, int64_t vocabulary) {
    const std::string shown = utf8::printable(path);
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) user_error("cannot read %s: %s", shown.c_str(), std::strerror(errno));
    struct stat status;
    const bool is_known = ::fstat(file, &status) == 0;
    const size_t bytes = is_known ? size_t(status.st_size) : 0;
    if (is_known && S_ISREG(status.st_mode) && bytes >= sizeof header_) {
        void* const memory = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, file, 0);
        if (memory != MAP_FAILED) mapped_ = static_cast<const char*>(memory), mapped_bytes_ = bytes;
    }
    const int reason = errno;
    ::close(file);
    const char* const again = "prepare the data again";
    const auto refuse = [&](const std::string& what) {
        if (mapped_) ::munmap(const_cast<char*>(mapped_), mapped_bytes_);
        mapped_ = nullptr;
        user_error("%s %s; %s", shown.c_str(), what.c_str(), again);
    };
    if (bytes < sizeof header_)
        refuse(format("has %zu bytes, a shard of tokens has a header of %zu", bytes, sizeof header_));
    if (!mapped_) refuse(format("cannot be mapped: %s", std::strerror(reason)));

    std::memcpy(&header_, mapped_, sizeof header_);
    if (std::memcmp(header_.magic, kMagic, sizeof header_.magic) != 0)
        refuse("is no shard of tokens: it does not begin with GPTSHARD");
    if (header_.version != kShardVersion)
        refuse(format("is a shard of version %u; this program reads version %u", header_.version,
                      kShardVersion));
    if (xxhash64(&header_, kCheckedHeader) != header_.header_checksum)
        refuse("is damaged: its header does not match its checksum");
    if (header_.id_bytes != 2 && header_.id_bytes != 4)
        refuse(format("claims ids of %u bytes", header_.id_bytes));
    // note: compared by division, because a count from outside times its width may overflow.
    const uint64_t present = (bytes - sizeof header_) / header_.id_bytes;
    if (header_.tokens != present || (bytes - sizeof header_) % header_.id_bytes != 0)
        refuse(format("is cut: its header claims %" PRIu64 " tokens, it holds %" PRIu64, header_.tokens,
                      present));
    if (header_.documents > header_.tokens) refuse("claims more documents than tokens");
    if (header_.vocabulary_hash != vocabulary_hash)
        refuse(format("was made with another vocabulary (xxh64:%016" PRIx64 ", wanted xxh64:%016" PRIx64 ")",
                      header_.vocabulary_hash, vocabulary_hash));
    if (xxhash64(mapped_ + sizeof header_, bytes - sizeof header_) != header_.checksum)
        refuse("is damaged: its tokens do not match their checksum");
    const uint32_t most =
        header_.id_bytes == 2 ? uint32_t(largest(narrow(), size())) : largest(wide(), size());
    if (size() > 0 && int64_t(most) >= vocabulary)
        refuse(format("has the id %u, and the vocabulary has %lld tokens", most,
                      static_cast<long long>(vocabulary)));
}

Shard::~Shard() {
    if (mapped_) ::munmap(const_cast<char*>(mapped_), mapped_bytes_);
}

Shard::Shard(Shard&& other) noexcept
    : header_(other.header_), mapped_(other.mapped_), mapped_bytes_(other.mapped_bytes_) {
    other.mapped_ = nullptr;
}

const uint16_t* Shard::narrow() const {
    return reinterpret_cast<const uint16_t*>(mapped_ + sizeof header_);
}
const uint32_t* Shard::wide() const {
    return reinterpret_cast<const uint32_t*>(mapped_ + sizeof header_);
}

void Shard::copy(int64_t begin, int64_t count, int* ids) const {
    CHECK(begin >= 0 && count >= 0 && begin + count <= size(), "[shard] %lld tokens from %lld on, of %lld",
          static_cast<long long>(count), static_cast<long long>(begin), static_cast<long long>(size()));
    if (header_.id_bytes == 2)
        std::copy_n(narrow() + begin, count, ids);
    else
        std::copy_n(wide() + begin, count, ids);
}

// ---- A split --------------------------------------------------------------------------------------------------------

int64_t TokenShards::tokens() const {
    int64_t sum = 0;
    for (const Shard& shard : shards) sum += shard.size();
    return sum;
}
int64_t TokenShards::documents() const {
    int64_t sum = 0;
    for (const Shard& shard : shards) sum += int64_t(shard.header().documents);
    return sum;
}
int64_t TokenShards::text_bytes() const {
    int64_t sum = 0;
    for (const Shard& shard : shards) sum += int64_t(shard.header().text_bytes);
    return sum;
}
std::string TokenShards::hash() const {
    XxHash64 hash;
    for (const Shard& shard : shards) {
        const uint64_t checksum = shard.header().checksum;
        hash.add(&checksum, sizeof checksum);
    }
    return hash_text(hash.value());
}

TokenShards open_split(const std::string& folder, Split split, uint64_t vocabulary_hash, int64_t vocabulary) {
    TokenShards result;
    for (int number = 0;; number++) {
        const std::string path = join_path(folder, shard_name(split, number));
        if (!file_exists(path)) break;
        result.shards.emplace_back(path, vocabulary_hash, vocabulary);
    }
    if (result.shards.empty())
        user_error("%s has no %s; make it with: chapter02 prepare --data FILE --out %s",
                   utf8::printable(folder).c_str(), shard_name(split, 0).c_str(),
                   utf8::printable(folder).c_str());
    return result;
}

}  // namespace small_gpt
