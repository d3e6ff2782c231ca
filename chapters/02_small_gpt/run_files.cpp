// run_files.cpp - see run_files.h.
#include "chapters/02_small_gpt/run_files.h"

#include <algorithm>
#include <cinttypes>
#include <iterator>
#include <sstream>

#include "chapters/02_small_gpt/corpora.h"
#include "chapters/02_small_gpt/manifest.h"
#include "chapters/02_small_gpt/model_file.h"
#include "io/file.h"
#include "io/html.h"
#include "io/machine.h"
#include "io/report.h"
#include "io/utf8.h"
#include "nn/run_folder.h"

namespace small_gpt {

namespace {

std::string evaluation_key(size_t index, const char* what) {
    return "evaluation." + std::to_string(index + 1) + "." + what;
}

Metadata described(const Config& config, const TrainingData& data, int64_t weights) {
    Metadata rows = {{"preset", config.preset}, {"parameters", std::to_string(weights)}};
    for (const auto& option : result_options(config)) rows.push_back(option);
    rows.emplace_back("precision", chosen_precision(config));
    rows.emplace_back("vocabulary", data.vocabulary.name);
    rows.emplace_back("vocabulary.size", std::to_string(data.vocabulary.size()));
    rows.emplace_back("vocabulary.hash", data.vocabulary_hash);
    rows.emplace_back("data", data.name);
    rows.emplace_back("data.hash", data.hash);
    return rows;
}

}  // namespace

int64_t Progression::best_step() const {
    const auto best =
        std::min_element(evaluations.begin(), evaluations.end(),
                         [](const Evaluation& a, const Evaluation& b) { return a.loss < b.loss; });
    return best == evaluations.end() ? 0 : best->step;
}

bool is_kept(int64_t step, int64_t planned, int64_t states) {
    if (step == 0) return states > 0;
    for (int64_t k = 1; k < states; k++)
        if (step == planned >> k) return true;
    return false;
}

TrainingData open_training_data(const std::string& folder) {
    const Manifest manifest = read_finished_manifest(folder);
    TrainingData data;
    data.folder = folder;
    for (const auto& [name, value] : manifest.options)
        if (name == "sources") data.name = value;
    std::istringstream names(data.name);
    data.warnings = warnings_about({std::istream_iterator<std::string>(names), {}});
    data.vocabulary = load_vocabulary(join_path(folder, kVocabFolder));
    data.vocabulary.name = manifest.vocabulary;
    data.vocabulary_hash = vocabulary_hash(data.vocabulary);
    data.end_of_text = end_of_text_id(data.vocabulary, folder);
    const uint64_t hash = std::strtoull(data.vocabulary_hash.c_str() + 6, nullptr, 16);
    const int64_t V = data.vocabulary.size();
    data.train = open_split(folder, manifest, Split::kTrain, hash, V);
    data.validation = open_split(folder, manifest, Split::kValidation, hash, V);
    data.test = open_split(folder, manifest, Split::kTest, hash, V);
    data.hash = data.train.hash() + " " + data.validation.hash();
    return data;
}

Metadata run_metadata(const Config& config, const TrainingData& data, const Progression& at) {
    Metadata metadata = {{"format", kFormat}};
    for (const auto& option : result_options(config)) metadata.push_back(option);
    metadata.emplace_back("preset", config.preset);
    metadata.emplace_back("max-steps", std::to_string(config.max_steps));
    metadata.emplace_back("eval-every", std::to_string(config.eval_every));
    metadata.emplace_back("keep-states", std::to_string(config.keep_states));
    metadata.emplace_back("sample-tokens", std::to_string(config.sample_tokens));
    metadata.emplace_back("precision", chosen_precision(config));
    metadata.emplace_back("step", std::to_string(at.step));
    metadata.emplace_back("rng", "philox4x32-10, counters from seed and step");
    metadata.emplace_back("data.position", std::to_string(at.step));
    metadata.emplace_back("data.name", data.name);
    metadata.emplace_back("data.hash", data.hash);
    metadata.emplace_back("vocabulary.hash", data.vocabulary_hash);
    metadata.emplace_back("tokens", std::to_string(at.tokens));
    metadata.emplace_back("evaluations", std::to_string(at.evaluations.size()));
    for (size_t e = 0; e < at.evaluations.size(); e++) {
        metadata.emplace_back(evaluation_key(e, "step"), std::to_string(at.evaluations[e].step));
        metadata.emplace_back(evaluation_key(e, "loss"), bits_of(at.evaluations[e].loss));
        metadata.emplace_back(evaluation_key(e, "bits_per_byte"), bits_of(at.evaluations[e].bits_per_byte));
        metadata.emplace_back(evaluation_key(e, "sample"), at.evaluations[e].sample);
    }
    return metadata;
}

Progression restore_progression(const std::map<std::string, std::string>& metadata,
                                const std::string& where) {
    const MetadataReader reader(metadata, where, kFormat);
    Progression at;
    at.step = reader.count("step");
    if (!reader.has("tokens"))
        user_error("%s has weights but no state of a run: it was imported, and cannot be resumed",
                   where.c_str());
    at.tokens = reader.count("tokens");
    const int64_t evaluations = reader.count("evaluations");
    for (int64_t e = 0; e < evaluations; e++)  // a count that lies stops at the first that is not there
        at.evaluations.push_back({reader.count(evaluation_key(size_t(e), "step")),
                                  reader.real(evaluation_key(size_t(e), "loss")),
                                  reader.real(evaluation_key(size_t(e), "bits_per_byte")),
                                  reader.text(evaluation_key(size_t(e), "sample"))});
    return at;
}

void require_same_data(const TrainingData& data, const std::map<std::string, std::string>& metadata,
                       const std::string& where) {
    const MetadataReader reader(metadata, where, kFormat);
    const std::string& expected = reader.text("data.hash");
    if (reader.text("vocabulary.hash") != data.vocabulary_hash)
        user_error("%s was trained with another vocabulary (%s); %s has %s", utf8::printable(where).c_str(),
                   utf8::printable(reader.text("vocabulary.hash")).c_str(),
                   utf8::printable(data.folder).c_str(), data.vocabulary_hash.c_str());
    if (data.hash != expected)
        user_error(
            "%s was trained on other tokens (%s); %s has %s\nname the folder that it was trained on with "
            "--data",
            utf8::printable(where).c_str(), utf8::printable(expected).c_str(),
            utf8::printable(data.folder).c_str(), data.hash.c_str());
}

void write_config_json(const std::string& folder, const Config& config, const TrainingData& data,
                       int64_t weights, const std::string& command) {
    std::string json = "{\n";
    const auto add = [&](const std::string& name, const std::string& value) {
        json += "  " + html::json_string(name) + ": " + html::json_string(value) + ",\n";
    };
    add("command", command);
    for (const auto& [name, value] : described(config, data, weights)) add(name, value);
    add("threads", std::to_string(config.threads));
    add("compiler", compiler_line());
    json += "  \"machine\": " + html::json_string(machine_line()) + "\n}\n";
    write_file_atomically(join_path(folder, "config.json"), json);
}

void write_run_report(const std::string& folder, const Config& config, const TrainingData& data,
                      int64_t weights, const Progression& at, const FinalNumbers& numbers,
                      const std::vector<std::string>& findings, const std::vector<std::string>& samples,
                      const std::string& command) {
    ReportData report;
    report.title = "Chapter 02: a small GPT";
    report.subtitle =
        format("%" PRId64 " parameters, trained on %s (%s)", weights, data.name.c_str(), data.hash.c_str());
    report.warnings = data.warnings;
    for (const std::string& finding : findings) report.warnings.push_back(finding);
    report.log = read_run_log(join_path(folder, kLogName));
    report.headline.push_back({"test, bits per byte", format("%.4f", numbers.test.bits_per_byte()),
                               format("at the last step; %.4f nats per token, perplexity %.1f",
                                      numbers.test.loss(), numbers.test.perplexity())});
    report.headline.push_back({"validation, bits per byte",
                               format("%.4f", numbers.validation.bits_per_byte()),
                               format("%.4f nats per token", numbers.validation.loss())});
    report.headline.push_back(
        {"training loss", format("%.4f", numbers.train_loss), "last step, nats per token"});
    report.headline.push_back({"steps", std::to_string(at.step),
                               format("%" PRId64 " tokens read, %.2f passes over the training split",
                                      at.tokens, double(at.tokens) / double(data.train.tokens()))});
    ReportData::Table table;
    table.title = "Validation";
    table.columns = {"step", "nats per token", "bits per byte"};
    for (const Evaluation& evaluation : at.evaluations) {
        table.rows.push_back({std::to_string(evaluation.step), format("%.4f", evaluation.loss),
                              format("%.4f", evaluation.bits_per_byte)});
        report.samples.push_back({format("after step %" PRId64, evaluation.step), "", evaluation.sample});
    }
    table.note = format("lowest at step %" PRId64 "; kept in %s", at.best_step(), kBestName);
    if (!table.rows.empty()) report.tables.push_back(table);
    for (size_t s = 0; s < samples.size(); s++)
        report.samples.push_back({format("after the last step, %zu", s + 1), "", samples[s]});
    report.config.push_back({"Options", described(config, data, weights)});
    report.command = command;
    report.machine = machine_line() + "; " + compiler_line();
    write_report(join_path(folder, kReportName), report);
}

}  // namespace small_gpt
