// test_gpt2_files.cpp - GPT-2's files: what transformers wrote is read and computes the same; what we write is read back
// to the same bits; what we cannot compute, or the format cannot say, is refused with the reason.
// That transformers loads what we write is checked by hand: tests/golden/gpt2_files.py --load.
#include "chapters/02_small_gpt/gpt2_files.h"

#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <vector>

#include "chapters/01_bpe/bpe.h"
#include "chapters/02_small_gpt/model_file.h"
#include "io/file.h"
#include "io/safetensors.h"
#include "tests/chapter02/gpt2_tiny.h"
#include "tests/chapter02/models.h"
#include "tests/chapter02/tiny_vocabulary.h"
#include "tests/support/allclose.h"
#include "tests/support/arrays.h"
#include "tests/support/catch.h"
#include "tests/support/throwing_failures.h"

using namespace small_gpt;

namespace {

struct Folder {  // for the life of a scope
    std::string path =
        (std::filesystem::temp_directory_path() / ("gpt2_files." + std::to_string(getpid()))).string();
    Folder() { std::filesystem::create_directories(path); }
    ~Folder() { std::filesystem::remove_all(path); }
};

std::vector<float> logits_of(const Gpt& gpt, const std::vector<int>& ids) {
    Context ctx;
    const NoGrad no_grad(ctx);
    Tensor logits = gpt.forward(ctx, ctx.ids(ids.data(), {1, int64_t(ids.size())}));
    return floats_on_host(Device::kCpu, logits.ptr(), logits.numel());
}

std::string refusal(const std::string& folder) {
    return failure_of([&] { read_gpt2_files(folder); }).message;
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

// config.json of the tiny model with `from` replaced by `to`.
std::string changed_config(const std::string& from, const std::string& to) {
    std::string text = read_file(std::string(kTinyFolder) + "/config.json");
    const size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("a GPT-2 of transformers' computes the same here", "[golden][cpu]") {
    const Gpt2Tiny want = read_gpt2_tiny();
    const Gpt2Files files = read_gpt2_files(kTinyFolder);
    const int64_t T = files.gpt->config.T, V = files.gpt->config.V;
    const Bpe bpe(files.vocabulary);
    REQUIRE(bpe.encode(want.text) == want.ids);

    const std::vector<float> logits = logits_of(*files.gpt, {want.ids.begin(), want.ids.begin() + T});
    REQUIRE(want.logits.size() == 3);
    for (const auto& [row, values] : want.logits)
        REQUIRE(allclose("transformers' logits", format("row %d", row), &logits[size_t(row * V)],
                         values.data(), V, 0, 1e-4) == "");

    Context ctx;
    const NoGrad no_grad(ctx);
    double loss = 0;
    for (int64_t w = 0; w < want.windows; w++) {
        Tensor ids = ctx.ids(&want.ids[size_t(w * T)], {1, T}),
               targets = ctx.ids(&want.ids[size_t(w * T + 1)], {1, T});
        Tensor mean = cross_entropy(ctx, files.gpt->forward(ctx, ids), targets, T);
        loss += double(ctx.to_host(mean)) / double(want.windows);
    }
    CAPTURE(loss, want.loss);
    REQUIRE(std::fabs(loss - want.loss) < 1e-5);
}

TEST_CASE("what is exported is imported to the same bits, tied or not, with biases or without", "[cpu]") {
    const Folder folder;
    for (const bool tied : {true, false})
        for (const bool qkv_bias : {true, false}) {
            GptConfig config = small_config(280, 12, 2, 4, 6, 24);
            config.tied = tied, config.qkv_bias = qkv_bias;
            config.activation = tied ? Activation::kGelu : Activation::kRelu;
            const auto gpt = random_model(config);
            write_gpt2_files(folder.path, *gpt, tiny_vocabulary());
            const Gpt2Files files = read_gpt2_files(folder.path);
            REQUIRE(files.gpt->config.tied == tied);
            REQUIRE(files.gpt->config.T == 12);
            REQUIRE(vocabulary_hash(files.vocabulary) == vocabulary_hash(tiny_vocabulary()));
            const std::vector<int> ids = random_ids(12, 280, 1);
            REQUIRE(same_bytes(logits_of(*gpt, ids), logits_of(*files.gpt, ids)));
        }
}

TEST_CASE("matrices are written as GPT-2's files keep them, (in, out)", "[cpu]") {
    const Folder folder;
    const auto gpt = random_model(small_config(280, 4, 1, 2, 4, 8));
    write_gpt2_files(folder.path, *gpt, tiny_vocabulary());
    const SafetensorsFile file = SafetensorsFile::open(folder.path + "/model.safetensors");
    REQUIRE(file.metadata().at("format") == "pt");
    REQUIRE(!file.has("lm_head.weight"));
    std::vector<float> c_fc(8 * 32);
    file.read_floats("transformer.h.0.mlp.c_fc.weight", {8, 32}, c_fc.data());
    const float* own = gpt->h[0].c_fc.weight.ptr();  // (32,8)
    for (int i = 0; i < 8; i++)
        for (int o = 0; o < 32; o++) REQUIRE(c_fc[size_t(i * 32 + o)] == own[o * 8 + i]);
}

TEST_CASE("names without \"transformer.\" and the masks of older files are read", "[cpu]") {
    const Folder folder;
    const SafetensorsFile file = SafetensorsFile::open(std::string(kTinyFolder) + "/model.safetensors");
    std::vector<TensorInfo> tensors;
    std::vector<std::vector<float>> values;
    values.reserve(file.names().size() + 1);
    for (const std::string& name : file.names()) {
        const SafetensorsEntry& entry = file.entry(name);
        values.emplace_back(size_t(entry.bytes / 4));
        file.read(name, values.back().data(), entry.bytes);
        tensors.push_back({name.substr(12), DType::kFloat32, entry.shape, values.back().data()});
    }
    values.emplace_back(24 * 24);
    tensors.push_back({"h.0.attn.bias", DType::kFloat32, {1, 1, 24, 24}, values.back().data()});
    write_safetensors(folder.path + "/model.safetensors", tensors, {});
    for (const char* name : {"config.json", "vocab.json", "merges.txt"})
        std::filesystem::copy(std::string(kTinyFolder) + "/" + name, folder.path + "/" + name);
    const std::vector<int> ids = random_ids(20, 280, 2);
    REQUIRE(same_bytes(logits_of(*read_gpt2_files(folder.path).gpt, ids),
                       logits_of(*read_gpt2_files(kTinyFolder).gpt, ids)));
}

TEST_CASE("export refuses what GPT-2's files cannot say", "[cpu]") {
    const Folder folder;
    const auto refused = [&](const GptConfig& config, Vocabulary vocabulary) {
        const auto gpt = random_model(config);
        return failure_of([&] { write_gpt2_files(folder.path, *gpt, vocabulary); }).message;
    };
    GptConfig config = small_config(280, 4, 1, 2, 3, 8);
    REQUIRE(contains(refused(config, tiny_vocabulary()), "2 heads of 3 channels inside 8"));
    config.HS = 4, config.tied = false, config.head_bias = true;
    REQUIRE(contains(refused(config, tiny_vocabulary()), "output layer has a bias"));
    config.head_bias = false;
    Vocabulary other = tiny_vocabulary();
    other.pattern = Pattern::kCl100k;
    REQUIRE(contains(refused(config, other), "splits text otherwise"));
    other = tiny_vocabulary();
    other.specials.clear();
    REQUIRE(contains(refused(config, other), "<|endoftext|>"));
    REQUIRE(!file_exists(folder.path + "/model.safetensors"));
}

TEST_CASE("import refuses other architectures, and variants that are not computed here", "[cpu]") {
    const Folder folder;
    std::filesystem::copy(kTinyFolder, folder.path, std::filesystem::copy_options::recursive);
    const auto refused = [&](const std::string& from, const std::string& to) {
        write_file_atomically(folder.path + "/config.json", changed_config(from, to));
        return refusal(folder.path);
    };
    REQUIRE(contains(refused("\"gpt2\"", "\"llama\""), "entry \"model_type\" is \"llama\"; only \"gpt2\""));
    REQUIRE(contains(refused("gelu_new", "gelu"), "\"activation_function\""));
    REQUIRE(contains(refused("\"n_inner\": null", "\"n_inner\": 60"), "\"n_inner\" is 60; wants 64"));
    REQUIRE(contains(refused("1e-05", "1e-06"), "\"layer_norm_epsilon\""));
    REQUIRE(contains(refused("\"scale_attn_weights\": true", "\"scale_attn_weights\": false"),
                     "scale_attn_weights"));
    REQUIRE(contains(refused("layer_idx\": false", "layer_idx\": true"), "scale_attn_by_inverse_layer_idx"));
    REQUIRE(contains(refused("\"n_head\": 2", "\"n_head\": 3"), "wants a multiple of n_head"));
    REQUIRE(contains(refused("\"n_layer\": 2", "\"n_layer\": 0"), "\"n_layer\" is 0; wants a whole number"));
    REQUIRE(contains(refused("\"n_layer\": 2", "\"n_layer\": 2.5"), "\"n_layer\" is 2.5"));
    REQUIRE(contains(refused("\"n_layer\"", "\"layers\""), "\"n_layer\" is missing"));
    REQUIRE(contains(refused("\"n_layer\": 2", "\"n_layer\": 3"), "h.2.mlp.c_fc.weight"));
    REQUIRE(contains(refused("\"n_positions\": 24", "\"n_positions\": 1000000"),
                     "tensor wpe.weight is (24,16), config.json and the vocabulary say (1000000,16)"));
    REQUIRE(contains(refused("\"tie_word_embeddings\": true", "\"tie_word_embeddings\": false"),
                     "lm_head.weight"));
    REQUIRE(contains(refused("{", "["), "not JSON"));
    write_file_atomically(folder.path + "/config.json", "[1]");
    REQUIRE(contains(refusal(folder.path), "wants {...}"));
    std::filesystem::remove(folder.path + "/config.json");
    REQUIRE(contains(refusal(folder.path), "config.json"));
    std::filesystem::copy(std::string(kTinyFolder) + "/config.json", folder.path + "/config.json");
    REQUIRE(refusal(folder.path).empty());
    std::filesystem::remove(folder.path + "/model.safetensors");
    REQUIRE(contains(refusal(folder.path), "model.safetensors"));
}
