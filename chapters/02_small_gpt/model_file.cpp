// model_file.cpp - see model_file.h.
#include "chapters/02_small_gpt/model_file.h"

#include <algorithm>
#include <cinttypes>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "chapters/00_char_gpt/cost.h"
#include "io/file.h"
#include "io/utf8.h"
#include "io/xxhash64.h"
#include "nn/checkpoint.h"
#include "nn/run_folder.h"

namespace small_gpt {

namespace {

std::string folder_of(const std::string& path) {
    const size_t slash = path.find_last_of('/');
    return slash == std::string::npos ? "." : path.substr(0, std::max<size_t>(slash, 1));
}

}  // namespace

std::string vocabulary_hash(const Vocabulary& vocabulary) {
    XxHash64 hash;
    const auto add_number = [&](uint64_t number) { hash.add(&number, sizeof number); };
    const auto add_text = [&](const std::string& text) {
        add_number(text.size());  // so that "ab" "c" is not "a" "bc"
        hash.add(text.data(), text.size());
    };
    add_number(uint64_t(vocabulary.pattern));
    add_number(uint64_t(vocabulary.size()));
    for (const std::string& token : vocabulary.tokens) add_text(token);
    add_number(vocabulary.merges.size());
    for (const Merge& merge : vocabulary.merges) {
        add_number(uint64_t(merge.left));
        add_number(uint64_t(merge.right));
        add_number(uint64_t(merge.token));
    }
    add_number(vocabulary.specials.size());
    for (const SpecialToken& special : vocabulary.specials) {
        add_number(uint64_t(special.id));
        add_text(special.text);
    }
    return format("xxh64:%016" PRIx64, hash.value());
}

int end_of_text_id(const Vocabulary& vocabulary, const std::string& where) {
    for (const SpecialToken& special : vocabulary.specials)
        if (special.text == kEndOfText) return special.id;
    user_error("%s has no special token %s, which stands between documents", utf8::printable(where).c_str(),
               kEndOfText);
}

std::string find_model(const std::string& path) {
    return find_checkpoint(path, kRuns, kCheckpointName);
}

LoadedModel load_model(const std::string& path, Device device) {
    const SafetensorsFile file = SafetensorsFile::open(path);
    const MetadataReader reader(file.metadata(), file.path(), kFormat);
    LoadedModel model;
    model.path = file.path();
    model.metadata = file.metadata();
    restore_options(&model.config, file.metadata(), {}, file.path());
    model.step = reader.count("step");

    const std::string folder = join_path(folder_of(path), kVocabFolder);
    Vocabulary vocabulary = load_vocabulary(folder);
    const std::string hash = vocabulary_hash(vocabulary), &expected = reader.text("vocabulary.hash");
    if (hash != expected)
        user_error("%s: the vocabulary in %s is another (%s) than the model's (%s)",
                   utf8::printable(file.path()).c_str(), utf8::printable(folder).c_str(), hash.c_str(),
                   utf8::printable(expected).c_str());
    model.end_of_text = end_of_text_id(vocabulary, folder);
    const GptConfig shape = model_config(model.config, vocabulary.size());
    check_training_memory(shape, 1, 1, "the file claims a model that is larger than this machine");
    model.bpe = std::make_unique<Bpe>(std::move(vocabulary));
    model.gpt = std::make_unique<Gpt>(device, shape);
    load_weights(file, model.gpt->params);
    return model;
}

Metadata weights_metadata(const Config& config, const std::string& vocabulary_hash, int64_t step) {
    Metadata metadata = {{"format", kFormat}};
    for (const auto& option : result_options(config)) metadata.push_back(option);
    metadata.emplace_back("preset", config.preset);
    metadata.emplace_back("step", std::to_string(step));
    metadata.emplace_back("vocabulary.hash", vocabulary_hash);
    return metadata;
}

std::string state_name(int64_t step) {
    return format("state-%06" PRId64 ".safetensors", step);
}

std::vector<std::string> earlier_states(const LoadedModel& model, size_t* foreign) {
    const auto is_of_same_run = [&](const std::map<std::string, std::string>& metadata) {
        std::vector<std::string> keys = {"vocabulary.hash", "data.hash"};
        for (const auto& [name, value] : result_options(model.config)) keys.push_back(name);
        return std::all_of(keys.begin(), keys.end(), [&](const std::string& key) {
            const auto here = model.metadata.find(key), there = metadata.find(key);
            return here != model.metadata.end() && there != metadata.end() && here->second == there->second;
        });
    };
    std::vector<std::pair<int64_t, std::string>> found;
    *foreign = 0;
    std::error_code error;
    for (std::filesystem::directory_iterator entry(folder_of(model.path), error), end; !error && entry != end;
         entry.increment(error)) {
        const std::string name = entry->path().filename().string();
        if (name.compare(0, 6, "state-") != 0) continue;
        const int64_t step = std::strtoll(name.c_str() + 6, nullptr, 10);
        if (name != state_name(step) || step >= model.step) continue;
        const std::string path = join_path(folder_of(model.path), name);
        if (is_of_same_run(SafetensorsFile::open(path).metadata()))
            found.emplace_back(step, path);
        else
            ++*foreign;
    }
    std::sort(found.begin(), found.end());
    std::vector<std::string> paths;
    for (const auto& [step, path] : found) paths.push_back(path);
    return paths;
}

void save_model(const std::string& folder, Gpt& gpt, const Config& config, const Vocabulary& vocabulary) {
    save_vocabulary(vocabulary, join_path(folder, kVocabFolder));
    const OnHost values(gpt.params.device(), gpt.params.values(), gpt.params.count());
    write_safetensors(join_path(folder, kCheckpointName), tensors_of(gpt.params, "", values.get()),
                      weights_metadata(config, vocabulary_hash(vocabulary), 0));
}

}  // namespace small_gpt
