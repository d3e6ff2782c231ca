// manifest.h - manifest.json of a prepared folder: what the shards were made from, and what is in them. While `prepare`
// works it is also its journal: it is written anew behind every portion of shards, so that a killed run goes on there.
// Not here: the shards, each of which proves itself by its own checksums.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "chapters/02_small_gpt/shards.h"
#include "io/option_text.h"

namespace small_gpt {

struct SplitCounts {
    int64_t documents = 0, text_bytes = 0, tokens = 0;
    std::string checksum;  // of the shard's ids, "xxh64:..."
};

// One shard of each split: what a stretch of the sources became.
struct Portion {
    SplitCounts splits[kSplits];
};

struct Manifest {
    Metadata options;        // all that the shards depend on beside the sources' content; compared as text
    std::string vocabulary;  // for people: "gpt2", "bpe:8192"
    int64_t vocabulary_size = 0;
    std::vector<Portion> portions;
    int64_t blocks = 0;        // of the sources, read so far
    std::string content_hash;  // of the bytes read so far; at the end: of the corpus
    int64_t documents = 0, skipped = 0;
    bool is_complete = false;
};

constexpr const char* kManifestName = "manifest.json";

void write_manifest(const std::string& folder, const Manifest& manifest);

// Nothing when the folder has none; user_error when it is damaged.
std::optional<Manifest> read_manifest(const std::string& folder);

// The manifest of a folder that is ready; user_error when there is none, or `prepare` has not come to its end.
Manifest read_finished_manifest(const std::string& folder);

// user_error unless the shard at `path` is the one with these counts and this checksum.
void require_as_named(const Shard& shard, const std::string& path, const SplitCounts& named);

// open_split(), compared with the manifest: as many shards as it names, and each as it is named there.
TokenShards open_split(const std::string& folder, const Manifest& manifest, Split split,
                       uint64_t vocabulary_hash, int64_t vocabulary);

SplitCounts total(const Manifest& manifest, Split split);

}  // namespace small_gpt
