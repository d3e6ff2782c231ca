// run.cpp - see run.h.
#include "chapters/00_char_gpt/run.h"

#include <algorithm>
#include <cinttypes>

#include "io/file.h"
#include "io/html.h"
#include "io/machine.h"
#include "io/report.h"
#include "io/utf8.h"
#include "io/xxhash64.h"

namespace {

constexpr const char* kFormat = "gpt-from-scratch chapter00 1";

std::string epoch_key(size_t epoch, const char* what) {
    return "epoch." + std::to_string(epoch + 1) + "." + what;
}

std::vector<std::pair<std::string, std::string>> described(const Config& config, int64_t weights) {
    Metadata rows = {{"preset", config.preset}, {"parameters", std::to_string(weights)}};
    for (const auto& option : result_options(config)) rows.push_back(option);
    return rows;
}

}  // namespace

Dataset load_dataset(const Config& config) {
    Dataset data;
    data.corpus = load_corpus(config.data);
    const std::string& name = data.corpus.name;
    if (data.corpus.text.empty()) user_error("%s is empty; --data wants a text", name.c_str());
    const std::vector<uint32_t> characters = utf8::decode(data.corpus.text, name);
    data.tokenizer = CharTokenizer(characters);
    const std::vector<int> ids = data.tokenizer.encode(characters);
    const size_t train = ids.size() * 9 / 10, needed = size_t(config.context) + 1;
    const size_t shorter = std::min(train, ids.size() - train);
    if (shorter < 2)
        user_error("%s has %zu characters; training needs at least 11, better 100,000", name.c_str(),
                   ids.size());
    if (shorter < needed)
        user_error(
            "%s has %zu characters: 90 %% to train on and 10 %% held out must each hold --context %lld + 1; "
            "choose a --context of at most %zu, or a longer text",
            name.c_str(), ids.size(), static_cast<long long>(config.context), shorter - 1);
    data.train.assign(ids.begin(), ids.begin() + std::ptrdiff_t(train));
    data.held_out.assign(ids.begin() + std::ptrdiff_t(train), ids.end());
    XxHash64 hash;
    hash.add(data.corpus.text.data(), data.corpus.text.size());
    data.hash = format("xxh64:%016" PRIx64, hash.value());
    return data;
}

Metadata run_metadata(const Config& config, const Dataset& data, const Progression& at) {
    Metadata metadata = {{"format", kFormat}};
    for (const auto& option : result_options(config)) metadata.push_back(option);
    metadata.emplace_back("preset", config.preset);
    metadata.emplace_back("max-steps", std::to_string(config.max_steps));
    metadata.emplace_back("eval-every", std::to_string(config.eval_every));
    metadata.emplace_back("sample-tokens", std::to_string(config.sample_tokens));
    metadata.emplace_back("precision", chosen_precision(config));
    metadata.emplace_back("step", std::to_string(at.step));
    metadata.emplace_back("rng", "philox4x32-10, counters from seed and step");
    metadata.emplace_back("data.position", std::to_string(at.step));
    metadata.emplace_back("data.hash", data.hash);
    metadata.emplace_back("data.alphabet", utf8::encode(data.tokenizer.alphabet()));
    metadata.emplace_back("tokens", std::to_string(at.tokens));
    metadata.emplace_back("epoch_loss_sum", bits_of(at.epoch_loss_sum));
    metadata.emplace_back("epochs_done", std::to_string(at.epochs.size()));
    for (size_t e = 0; e < at.epochs.size(); e++) {
        metadata.emplace_back(epoch_key(e, "train_loss"), bits_of(at.epochs[e].train_loss));
        metadata.emplace_back(epoch_key(e, "val_loss"), bits_of(at.epochs[e].val_loss));
        metadata.emplace_back(epoch_key(e, "sample"), at.epochs[e].sample);
    }
    return metadata;
}

void require_same_text(const Dataset& data, const std::map<std::string, std::string>& metadata,
                       const std::string& where) {
    const std::string& expected = MetadataReader(metadata, where, kFormat).text("data.hash");
    if (data.hash != expected)
        user_error(
            "%s was trained on another text (%s); %s has %s\nname the text that it was trained on with "
            "--data FILE",
            utf8::printable(where).c_str(), utf8::printable(expected).c_str(), data.corpus.name.c_str(),
            data.hash.c_str());
}

Progression restore_progression(const std::map<std::string, std::string>& metadata,
                                const std::string& where) {
    const MetadataReader reader(metadata, where, kFormat);
    Progression at;
    at.step = reader.count("step");
    at.tokens = reader.count("tokens");
    at.epoch_loss_sum = reader.real("epoch_loss_sum");
    const int64_t epochs = reader.count("epochs_done");
    for (int64_t e = 0; e < epochs; e++)  // a count that lies stops at the first epoch that is not there
        at.epochs.push_back({reader.real(epoch_key(size_t(e), "train_loss")),
                             reader.real(epoch_key(size_t(e), "val_loss")),
                             reader.text(epoch_key(size_t(e), "sample"))});
    return at;
}

CharTokenizer restore_tokenizer(const std::map<std::string, std::string>& metadata,
                                const std::string& where) {
    const MetadataReader reader(metadata, where, kFormat);
    CharTokenizer tokenizer(utf8::decode(reader.text("data.alphabet"), where + ": data.alphabet"));
    if (tokenizer.vocabulary() == 0) reader.bad("data.alphabet");
    return tokenizer;
}

void write_config_json(const std::string& folder, const Config& config, const Dataset& data,
                       const GptConfig& model, int64_t weights, const std::string& command) {
    std::string json = "{\n";
    const auto add = [&](const std::string& name, const std::string& value) {
        json += "  " + html::json_string(name) + ": " + html::json_string(value) + ",\n";
    };
    add("command", command);
    for (const auto& [name, value] : described(config, weights)) add(name, value);
    add("vocabulary", std::to_string(model.V));
    add("data", data.corpus.name);
    add("data.hash", data.hash);
    add("device", device_name(chosen_device(config)));
    add("precision", chosen_precision(config));
    add("threads", std::to_string(config.threads));
    add("compiler", compiler_line());
    json += "  \"machine\": " + html::json_string(machine_line()) + "\n}\n";
    write_file_atomically(join_path(folder, "config.json"), json);
}

void write_run_report(const std::string& folder, const Config& config, const Dataset& data, int64_t weights,
                      const Progression& at, double val_loss, const std::string& last_sample,
                      const std::string& command) {
    ReportData report;
    report.title = "Chapter 00: a character GPT";
    report.subtitle =
        format("%lld parameters, trained on %s", static_cast<long long>(weights), data.corpus.name.c_str());
    if (!data.corpus.warning.empty()) report.warnings.push_back(data.corpus.warning);
    report.log = read_run_log(join_path(folder, kLogName));
    report.token = "character";
    if (!report.log.empty()) {
        const LogRow& last = report.log.back();
        report.headline.push_back(
            {"training loss", format("%.4f", last.loss), "last step, nats per character"});
        report.headline.push_back({"held-out loss", format("%.4f", val_loss), "at the last step"});
        report.headline.push_back(
            {"steps", std::to_string(last.step),
             format("%lld characters read, %.2f passes over the text", static_cast<long long>(at.tokens),
                    double(at.tokens) / double(data.train.size()))});
    }
    ReportData::Table table;
    table.title = "Epochs";
    table.columns = {"epoch", "train loss", "val loss"};
    for (size_t e = 0; e < at.epochs.size(); e++)
        table.rows.push_back({std::to_string(e + 1), format("%.4f", at.epochs[e].train_loss),
                              format("%.4f", at.epochs[e].val_loss)});
    if (!table.rows.empty()) report.tables.push_back(table);
    for (size_t e = 0; e < at.epochs.size(); e++)
        report.samples.push_back({format("after epoch %zu", e + 1), "", at.epochs[e].sample});
    if (!last_sample.empty())
        report.samples.push_back(
            {format("after step %lld", static_cast<long long>(at.step)), "", last_sample});
    report.config.push_back({"Options", described(config, weights)});
    report.command = command;
    report.machine = machine_line() + "; " + compiler_line();
    write_report(join_path(folder, kReportName), report);
}
