// gpt2_files.cpp - see gpt2_files.h.
#include "chapters/02_small_gpt/gpt2_files.h"

#include <cmath>
#include <deque>
#include <nlohmann/json.hpp>

#include "chapters/02_small_gpt/model_file.h"
#include "io/file.h"
#include "io/safetensors.h"
#include "io/utf8.h"
#include "nn/checkpoint.h"

namespace small_gpt {

namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr size_t kMaxConfigBytes = 1 << 20;

bool ends_with(const std::string& text, const std::string& ending) {
    return text.size() >= ending.size() &&
           text.compare(text.size() - ending.size(), ending.size(), ending) == 0;
}

// Whether GPT-2's files keep this matrix transposed.
bool is_transposed(const std::string& name) {
    return ends_with(name, "c_attn.weight") || ends_with(name, "c_proj.weight") ||
           ends_with(name, "c_fc.weight");
}

// to (columns,rows) = from (rows,columns) transposed, in squares that fit the cache.
void transpose(float* to, const float* from, int64_t rows, int64_t columns) {
    constexpr int64_t kSquare = 32;
    for (int64_t i0 = 0; i0 < rows; i0 += kSquare)
        for (int64_t j0 = 0; j0 < columns; j0 += kSquare)
            for (int64_t i = i0; i < std::min(i0 + kSquare, rows); i++)
                for (int64_t j = j0; j < std::min(j0 + kSquare, columns); j++)
                    to[j * rows + i] = from[i * columns + j];
}

// ---- export ---------------------------------------------------------------------------------------------------------

void refuse_what_cannot_be_said(const GptConfig& c, const Vocabulary& vocabulary) {
    const char* const format_name = "GPT-2's files";
    if (c.NH * c.HS != c.C)
        user_error(
            "%s cannot say it: this model has %lld heads of %lld channels inside %lld, and theirs are always "
            "channels / heads wide",
            format_name, (long long)c.NH, (long long)c.HS, (long long)c.C);
    if (c.head_bias) user_error("%s cannot say it: this model's output layer has a bias", format_name);
    if (vocabulary.pattern != Pattern::kGpt2)
        user_error("%s cannot say it: this vocabulary splits text otherwise than GPT-2's tokenizer",
                   format_name);
    if (vocabulary.size() != c.V)
        user_error("the model has %lld tokens, the vocabulary %d", (long long)c.V, vocabulary.size());
}

std::string config_json(const GptConfig& c, int end_of_text) {
    ordered_json config;
    config["architectures"] = {"GPT2LMHeadModel"};
    config["model_type"] = "gpt2";
    config["vocab_size"] = c.V;
    config["n_positions"] = c.T;
    config["n_ctx"] = c.T;
    config["n_embd"] = c.C;
    config["n_layer"] = c.L;
    config["n_head"] = c.NH;
    config["n_inner"] = nullptr;  // 4 * n_embd
    config["activation_function"] = c.activation == Activation::kGelu ? "gelu_new" : "relu";
    for (const char* name : {"resid_pdrop", "embd_pdrop", "attn_pdrop"}) config[name] = double(c.dropout);
    config["layer_norm_epsilon"] = 1e-5;
    config["initializer_range"] = 0.02;
    config["scale_attn_weights"] = true;
    config["tie_word_embeddings"] = c.tied;
    config["bos_token_id"] = end_of_text;
    config["eos_token_id"] = end_of_text;
    config["torch_dtype"] = "float32";
    return config.dump(2) + "\n";
}

// ---- import ---------------------------------------------------------------------------------------------------------

// config.json, whose every complaint names the file and the entry.
class ConfigReader {
  public:
    explicit ConfigReader(const std::string& path) : path_(utf8::printable(path)) {
        const std::string text = read_file(path, kMaxConfigBytes);
        document_ = json::parse(text, nullptr, false);
        if (document_.is_discarded()) user_error("%s: not JSON", path_.c_str());
        if (!document_.is_object()) user_error("%s: wants {...}", path_.c_str());
    }

    int64_t count(const char* key, int64_t most) const {
        const json& value = entry(key);
        if (!value.is_number_integer() || value < 1 || value > most)
            refuse(key, format("wants a whole number from 1 to %lld", (long long)most));
        return value.get<int64_t>();
    }
    std::string text(const char* key, const std::string& otherwise) const {
        if (!document_.contains(key)) return otherwise;
        const json& value = document_[key];
        if (!value.is_string()) refuse(key, "wants a text");
        return value.get<std::string>();
    }
    bool flag(const char* key, bool otherwise) const {
        if (!document_.contains(key)) return otherwise;
        if (!document_[key].is_boolean()) refuse(key, "wants true or false");
        return document_[key].get<bool>();
    }
    // Where a number is given, it must be this one.
    void require(const char* key, double wanted, const char* why) const {
        if (!document_.contains(key) || document_[key].is_null()) return;
        const json& value = document_[key];
        if (!value.is_number() || std::fabs(value.get<double>() - wanted) > 1e-6 * std::fabs(wanted))
            refuse(key, format("wants %g: %s", wanted, why));
    }
    [[noreturn]] void refuse(const char* key, const std::string& reason) const {
        const std::string value = document_.contains(key)
                                      ? document_[key].dump(-1, ' ', false, json::error_handler_t::replace)
                                      : "missing";
        user_error("%s: entry \"%s\" is %s; %s", path_.c_str(), key,
                   utf8::printable(value.substr(0, 60)).c_str(), reason.c_str());
    }

  private:
    const json& entry(const char* key) const {
        if (!document_.contains(key)) refuse(key, "it is needed");
        return document_[key];
    }

    std::string path_;
    json document_;
};

Config read_config(const std::string& path) {
    const ConfigReader reader(path);
    const std::string type = reader.text("model_type", "missing");
    if (type != "gpt2")
        reader.refuse("model_type", "only \"gpt2\" can be read, other architectures compute otherwise");
    Config config;
    config.layers = reader.count("n_layer", 1000);
    config.heads = reader.count("n_head", 1024);
    config.channels = reader.count("n_embd", 65536);
    config.context = reader.count("n_positions", 1 << 20);
    if (config.channels % config.heads != 0) reader.refuse("n_embd", "wants a multiple of n_head");
    config.head_size = config.channels / config.heads;
    config.stride = config.context;
    if (config.head_size > 1024) reader.refuse("n_head", "heads wider than 1024 are not supported");
    const std::string activation = reader.text("activation_function", "gelu_new");
    if (activation != "gelu_new" && activation != "gelu_pytorch_tanh" && activation != "relu")
        reader.refuse("activation_function",
                      "wants \"gelu_new\" (the tanh form), \"gelu_pytorch_tanh\" or \"relu\"");
    config.activation = activation == "relu" ? "relu" : "gelu";
    config.tied = reader.flag("tie_word_embeddings", true);
    reader.require("n_inner", 4 * double(config.channels), "the MLP is 4 * n_embd wide here");
    reader.require("layer_norm_epsilon", double(kLayerNormEpsilon), "it is built in here");
    if (!reader.flag("scale_attn_weights", true)) reader.refuse("scale_attn_weights", "wants true");
    for (const char* key : {"scale_attn_by_inverse_layer_idx", "add_cross_attention"})
        if (reader.flag(key, false)) reader.refuse(key, "wants false");
    return config;
}

// The names of GPT-2's files begin with "transformer." or with nothing; the output layer's never.
std::string name_in_file(const SafetensorsFile& file, const std::string& name) {
    const std::string longer = "transformer." + name;
    return file.has(longer) ? longer : name;
}

std::vector<int64_t> shape_in_file(const Tensor& p) {
    if (is_transposed(p.name)) return {p.shape[1], p.shape[0]};
    return {p.shape, p.shape + p.ndim};
}

std::string shape_text(const std::vector<int64_t>& shape) {
    std::string text = "(";
    for (size_t i = 0; i < shape.size(); i++) text += (i ? "," : "") + std::to_string(shape[i]);
    return text + ")";
}

// The file is there with all its bytes; config.json only claims sizes. Before memory is taken for them, the two largest
// claims must be the file's.
void require_shape(const SafetensorsFile& file, const std::string& name, const std::vector<int64_t>& shape) {
    const SafetensorsEntry& entry = file.entry(name_in_file(file, name));
    if (entry.shape != shape)
        user_error("%s: tensor %s is %s, config.json and the vocabulary say %s",
                   utf8::printable(file.path()).c_str(), name.c_str(), shape_text(entry.shape).c_str(),
                   shape_text(shape).c_str());
}

}  // namespace

void write_gpt2_files(const std::string& folder, const Gpt& gpt, const Vocabulary& vocabulary) {
    refuse_what_cannot_be_said(gpt.config, vocabulary);
    const int end_of_text = end_of_text_id(vocabulary, "the vocabulary");
    make_run_folder(folder);
    std::vector<TensorInfo> tensors;
    std::deque<std::vector<float>> values;  // of the transposed ones, and of biases that are zero
    const auto add = [&](const std::string& name, const std::vector<int64_t>& shape, std::vector<float> x) {
        values.push_back(std::move(x));
        tensors.push_back({name, DType::kFloat32, shape, values.back().data()});
    };
    for (size_t i = 0; i < gpt.params.size(); i++) {
        const Tensor& p = gpt.params[i];
        const std::string own_name = p.name;
        const std::string name = (own_name.rfind("lm_head", 0) == 0 ? "" : "transformer.") + own_name;
        std::vector<float> x = floats_on_host(p.device, p.ptr(), p.numel());
        if (is_transposed(own_name)) {
            std::vector<float> turned(x.size());
            transpose(turned.data(), x.data(), p.shape[0], p.shape[1]);
            x = std::move(turned);
        }
        add(name, shape_in_file(p), std::move(x));
        // note: the format knows no linear without a bias; zeros say the same.
        if (!gpt.config.qkv_bias && ends_with(own_name, "c_attn.weight"))
            add(name.substr(0, name.size() - 6) + "bias", {p.shape[0]},
                std::vector<float>(size_t(p.shape[0]), 0.0f));
    }
    save_vocabulary(vocabulary, folder);
    write_safetensors(join_path(folder, kWeightsName), tensors, {{"format", "pt"}});
    write_file_atomically(join_path(folder, kConfigName), config_json(gpt.config, end_of_text));
}

Gpt2Files read_gpt2_files(const std::string& folder) {
    Gpt2Files files;
    files.config = read_config(join_path(folder, kConfigName));
    files.vocabulary = load_vocabulary(folder);
    end_of_text_id(files.vocabulary, folder);
    const SafetensorsFile weights = SafetensorsFile::open(join_path(folder, kWeightsName));
    const GptConfig shape = model_config(files.config, files.vocabulary.size());
    require_shape(weights, "wte.weight", {shape.V, shape.C});
    require_shape(weights, "wpe.weight", {shape.T, shape.C});
    for (int64_t l = 0; l < shape.L; l++)
        require_shape(weights, format("h.%lld.mlp.c_fc.weight", (long long)l), {shape.C, 4 * shape.C});
    files.gpt = std::make_unique<Gpt>(Device::kCpu, shape);
    std::vector<float> values;
    for (size_t i = 0; i < files.gpt->params.size(); i++) {
        const Tensor& p = files.gpt->params[i];
        values.resize(size_t(p.numel()));
        weights.read_floats(name_in_file(weights, p.name), shape_in_file(p), values.data());
        if (is_transposed(p.name)) {
            std::vector<float> turned(values.size());
            transpose(turned.data(), values.data(), p.shape[1], p.shape[0]);
            values.swap(turned);
        }
        files.gpt->params.set(p, values);
    }
    return files;
}

}  // namespace small_gpt
