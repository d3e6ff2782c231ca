// manifest.cpp - see manifest.h.
#include "chapters/02_small_gpt/manifest.h"

#include <nlohmann/json.hpp>

#include "core/check.h"
#include "io/file.h"
#include "io/utf8.h"

namespace small_gpt {

namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kManifestFormat = "gpt-from-scratch shards 1";
constexpr size_t kMostBytes = size_t(64) << 20;

Json json_of(const SplitCounts& counts) {
    return {{"documents", counts.documents},
            {"text_bytes", counts.text_bytes},
            {"tokens", counts.tokens},
            {"checksum", counts.checksum}};
}

SplitCounts counts_of(const Json& json) {
    SplitCounts counts;
    counts.documents = json.at("documents").get<int64_t>();
    counts.text_bytes = json.at("text_bytes").get<int64_t>();
    counts.tokens = json.at("tokens").get<int64_t>();
    counts.checksum = json.at("checksum").get<std::string>();
    return counts;
}

}  // namespace

void write_manifest(const std::string& folder, const Manifest& manifest) {
    Json json;
    json["format"] = kManifestFormat;
    json["complete"] = manifest.is_complete;
    for (const auto& [name, value] : manifest.options) json["options"][name] = utf8::printable(value);
    json["vocabulary"] = utf8::printable(manifest.vocabulary);
    json["vocabulary_size"] = manifest.vocabulary_size;
    json["documents"] = manifest.documents;
    json["skipped"] = manifest.skipped;
    json["content_hash"] = manifest.content_hash;
    json["blocks"] = manifest.blocks;
    for (int s = 0; s < kSplits; s++)
        json["totals"][split_name(Split(s))] = json_of(total(manifest, Split(s)));
    json["portions"] = Json::array();
    for (const Portion& portion : manifest.portions) {
        Json splits;
        for (int s = 0; s < kSplits; s++) splits[split_name(Split(s))] = json_of(portion.splits[s]);
        json["portions"].push_back(splits);
    }
    write_file_atomically(join_path(folder, kManifestName), json.dump(1) + "\n");
}

std::optional<Manifest> read_manifest(const std::string& folder) {
    const std::string path = join_path(folder, kManifestName);
    if (!file_exists(path)) return std::nullopt;
    const std::string text = read_file(path, kMostBytes);
    Manifest manifest;
    std::string problem;
    try {
        const Json json = Json::parse(text);
        if (json.at("format").get<std::string>() != kManifestFormat) problem = "it is of another version";
        manifest.is_complete = json.at("complete").get<bool>();
        for (const auto& [name, value] : json.at("options").items())
            manifest.options.emplace_back(name, value.get<std::string>());
        manifest.vocabulary = json.at("vocabulary").get<std::string>();
        manifest.vocabulary_size = json.at("vocabulary_size").get<int64_t>();
        manifest.documents = json.at("documents").get<int64_t>();
        manifest.skipped = json.at("skipped").get<int64_t>();
        manifest.content_hash = json.at("content_hash").get<std::string>();
        manifest.blocks = json.at("blocks").get<int64_t>();
        for (const Json& splits : json.at("portions")) {
            Portion portion;
            for (int s = 0; s < kSplits; s++) portion.splits[s] = counts_of(splits.at(split_name(Split(s))));
            manifest.portions.push_back(portion);
        }
    } catch (const nlohmann::json::exception& error) {
        problem = error.what();
    }
    if (!problem.empty())
        user_error("%s is no manifest of `prepare` (%s); remove the folder and prepare again",
                   utf8::printable(path).c_str(), utf8::printable(problem).substr(0, 200).c_str());
    return manifest;
}

Manifest read_finished_manifest(const std::string& folder) {
    const std::string shown = utf8::printable(folder);
    std::optional<Manifest> manifest = read_manifest(folder);
    if (!manifest)
        user_error(
            "%s is no prepared folder: it has no %s; make one with: chapter02 prepare --data FILE --out DIR",
            shown.c_str(), kManifestName);
    if (!manifest->is_complete)
        user_error("%s is not finished; run the same `chapter02 prepare` again, it goes on where it stopped",
                   shown.c_str());
    return *std::move(manifest);
}

void require_as_named(const Shard& shard, const std::string& path, const SplitCounts& named) {
    if (shard.size() != named.tokens || hash_text(shard.header().checksum) != named.checksum)
        user_error("%s is not the shard that %s names (%s); remove the folder and prepare again",
                   utf8::printable(path).c_str(), kManifestName, utf8::printable(named.checksum).c_str());
}

TokenShards open_split(const std::string& folder, const Manifest& manifest, Split split,
                       uint64_t vocabulary_hash, int64_t vocabulary) {
    TokenShards data = open_split(folder, split, vocabulary_hash, vocabulary);
    if (data.shards.size() != manifest.portions.size())
        user_error(
            "%s has %zu shards of the split '%s', its %s names %zu; remove the folder and prepare again",
            utf8::printable(folder).c_str(), data.shards.size(), split_name(split), kManifestName,
            manifest.portions.size());
    for (size_t p = 0; p < data.shards.size(); p++)
        require_as_named(data.shards[p], join_path(folder, shard_name(split, int(p))),
                         manifest.portions[p].splits[int(split)]);
    return data;
}

SplitCounts total(const Manifest& manifest, Split split) {
    SplitCounts sum;
    for (const Portion& portion : manifest.portions) {
        const SplitCounts& counts = portion.splits[int(split)];
        sum.documents += counts.documents;
        sum.text_bytes += counts.text_bytes;
        sum.tokens += counts.tokens;
        sum.checksum += (sum.checksum.empty() ? "" : " ") + counts.checksum;
    }
    if (manifest.portions.size() != 1) sum.checksum.clear();  // each portion has its own
    return sum;
}

}  // namespace small_gpt
