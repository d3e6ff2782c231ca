// test_attention_page.cpp - the numbers of the attention page against the model: rows sum to 1 and see no later token, they
// weigh the values to what the kernel gives, the lens ends where the model does, an ablated head is one without a way out;
// and the page itself: what is in it, how large it may be, and text that tries to leave its place.
#include "chapters/02_small_gpt/attention_page.h"

#include <unistd.h>

#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "chapters/02_small_gpt/model_file.h"
#include "chapters/02_small_gpt/verbs.h"
#include "io/file.h"
#include "tests/chapter02/models.h"
#include "tests/chapter02/tiny_vocabulary.h"
#include "tests/support/arrays.h"
#include "tests/support/catch.h"
#include "tests/support/throwing_failures.h"

using namespace small_gpt;

namespace {

struct Folder {  // for the life of a scope
    std::string path =
        (std::filesystem::temp_directory_path() / ("attention_page." + std::to_string(getpid()))).string();
    Folder() { std::filesystem::create_directories(path); }
    ~Folder() { std::filesystem::remove_all(path); }
};

GptConfig config() {
    return small_config(40, 30, 2, 3, 5, 16);  // heads narrower than C / NH
}

// The 16-bit numbers of a map, read back.
std::vector<int> decode_map(const std::string& text) {
    const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::vector<uint8_t> bytes;
    for (size_t i = 0; i < text.size(); i += 4) {
        uint32_t group = 0;
        for (size_t c = 0; c < 4; c++)
            group = group << 6 | uint32_t(text[i + c] == '=' ? 0 : digits.find(text[i + c]));
        for (int shift = 16; shift >= 0; shift -= 8) bytes.push_back(uint8_t(group >> shift));
        if (text[i + 3] == '=') bytes.pop_back();
        if (text[i + 2] == '=') bytes.pop_back();
    }
    std::vector<int> values;
    for (size_t i = 0; i + 1 < bytes.size(); i += 2) values.push_back(bytes[i] | bytes[i + 1] << 8);
    REQUIRE(bytes.size() % 2 == 0);
    return values;
}

AttentionReport report_of(Context& ctx, const Gpt& gpt, const std::vector<int>& ids,
                          const std::string& token) {
    AttentionReport report;
    report.title = "A <title>", report.model = token + ".safetensors";
    report.layers = gpt.config.L, report.heads = gpt.config.NH;
    report.token_texts.assign(size_t(gpt.config.V), token);
    report.tokens.assign(ids.size(), token);
    report.states.push_back({"step 1", look_inside(ctx, gpt, ids), ablate_heads(ctx, gpt, ids)});
    return report;
}

// Causal attention of every head, in double precision, from the weights alone: [layer * NH + head], rows of i + 1.
std::vector<std::vector<double>> maps_of(const Gpt& gpt, const std::vector<int>& ids) {
    using Matrix = std::vector<std::vector<double>>;
    const GptConfig& shape = gpt.config;
    const auto linear = [](const Matrix& x, const Linear& layer) {  // y[t][o] = sum_i x[t][i] w[o][i] + b[o]
        const int64_t out = layer.weight.shape[0], in = layer.weight.shape[1];
        const float *w = layer.weight.ptr(), *b = nullptr;
        if (!layer.bias.is_null()) b = layer.bias.ptr();
        Matrix y(x.size(), std::vector<double>(size_t(out)));
        for (size_t t = 0; t < x.size(); t++)
            for (int64_t o = 0; o < out; o++) {
                double sum = b ? double(b[o]) : 0;
                for (int64_t i = 0; i < in; i++) sum += x[t][size_t(i)] * double(w[o * in + i]);
                y[t][size_t(o)] = sum;
            }
        return y;
    };
    const auto norm = [](Matrix x, const LayerNorm& layer) {
        const float *w = layer.weight.ptr(), *b = layer.bias.ptr();
        for (std::vector<double>& row : x) {
            double mean = 0, variance = 0;
            for (const double v : row) mean += v / double(row.size());
            for (const double v : row) variance += (v - mean) * (v - mean) / double(row.size());
            for (size_t c = 0; c < row.size(); c++)
                row[c] = (row[c] - mean) / std::sqrt(variance + 1e-5) * double(w[c]) + double(b[c]);
        }
        return x;
    };
    const auto add = [](Matrix* x, const Matrix& y) {
        for (size_t t = 0; t < x->size(); t++)
            for (size_t c = 0; c < y[t].size(); c++) (*x)[t][c] += y[t][c];
    };
    Matrix x;
    for (size_t t = 0; t < ids.size(); t++) {
        x.emplace_back();
        const float *token = gpt.wte.ptr(), *place = gpt.wpe.ptr();
        for (int64_t c = 0; c < shape.C; c++)
            x[t].push_back(double(token[ids[t] * shape.C + c]) + double(place[int64_t(t) * shape.C + c]));
    }
    std::vector<std::vector<double>> maps;
    const int64_t D = shape.NH * shape.HS;
    for (const GptBlock& block : gpt.h) {
        const Matrix qkv = linear(norm(x, block.ln_1), block.c_attn);
        Matrix att(ids.size(), std::vector<double>(size_t(D)));
        for (int64_t h = 0; h < shape.NH; h++) {
            maps.emplace_back();
            for (size_t i = 0; i < ids.size(); i++) {
                std::vector<double> row;
                double sum = 0;
                for (size_t j = 0; j <= i; j++) {
                    double score = 0;
                    for (int64_t d = h * shape.HS; d < (h + 1) * shape.HS; d++)
                        score += qkv[i][size_t(d)] * qkv[j][size_t(D + d)];
                    row.push_back(std::exp(score / std::sqrt(double(shape.HS))));
                    sum += row.back();
                }
                for (size_t j = 0; j <= i; j++) {
                    maps.back().push_back(row[j] / sum);
                    for (int64_t d = h * shape.HS; d < (h + 1) * shape.HS; d++)
                        att[i][size_t(d)] += row[j] / sum * qkv[j][size_t(2 * D + d)];
                }
            }
        }
        add(&x, linear(att, block.attn_c_proj));
        Matrix hidden = linear(norm(x, block.ln_2), block.c_fc);
        for (std::vector<double>& row : hidden)
            for (double& v : row)  // GPT-2's form of GELU
                v *= 0.5 * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
        add(&x, linear(hidden, block.mlp_c_proj));
    }
    return maps;
}

// A report of a model with that many layers, heads and states, filled with numbers as long as they get.
AttentionReport large_report(int64_t tokens, int64_t states, int64_t layers, int64_t heads) {
    AttentionReport report;
    report.layers = layers, report.heads = heads;
    for (int id = 0; id < 60000; id++) report.token_texts.push_back(format(" token%d", id));
    report.tokens.assign(size_t(tokens), " a token");
    AttentionState state;
    state.inside.n = tokens;
    state.inside.nats = {1};
    std::vector<float> map;
    for (int64_t i = 0; i < tokens; i++) map.insert(map.end(), size_t(i + 1), 1.0f / float(i + 1));
    state.inside.attention.assign(size_t(layers * heads), map);
    for (int64_t b = 0; b <= layers; b++) {
        state.inside.lens.emplace_back();
        for (int64_t t = 0; t < tokens; t++)
            state.inside.lens.back().emplace_back(
                kGuesses, Guess{int((b * tokens + t) * 7919 % 60000), float(t + 1) / float(tokens)});
    }
    state.ablation.heads.assign(size_t(layers * heads), -0.0123456);
    state.ablation.layers.assign(size_t(layers), 0.0123456);
    report.states.assign(size_t(states), state);
    return report;
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("attention page: the rows are those of the model", "[cpu][attention]") {
    Context ctx;
    const auto gpt = random_model(config());
    const std::vector<int> ids = random_ids(20, 40, 1);
    const Inside inside = look_inside(ctx, *gpt, ids);
    const int64_t n = 20, NH = 3, HS = 5, D = NH * HS;
    REQUIRE(inside.attention.size() == 6);
    for (const std::vector<float>& map : inside.attention) {
        REQUIRE(map.size() == size_t(n * (n + 1) / 2));  // a row has no place for a later token
        for (int64_t i = 0, at = 0; i < n; i++) {
            double sum = 0;
            for (int64_t j = 0; j <= i; j++) sum += double(map[size_t(at++)]);
            REQUIRE(sum == Approx(1).margin(1e-6));
        }
    }
    // The first layer's qkv, by the ops; its values weighed by the rows are what the attention kernel makes of it.
    const NoGrad no_grad(ctx);
    Tensor x = embedding(ctx, ctx.ids(ids.data(), {1, n}), gpt->wte, gpt->wpe);
    Tensor qkv = linear(ctx, layernorm(ctx, x, gpt->h[0].ln_1), gpt->h[0].c_attn);
    const float *values = qkv.ptr(), *out = attention(ctx, qkv, NH, 0).ptr();
    for (int64_t h = 0; h < NH; h++)
        for (int64_t i = 0; i < n; i++)
            for (int64_t d = 0; d < HS; d++) {
                double sum = 0;
                for (int64_t j = 0; j <= i; j++)
                    sum += double(inside.attention[size_t(h)][size_t(i * (i + 1) / 2 + j)]) *
                           double(values[j * 3 * D + 2 * D + h * HS + d]);
                REQUIRE(sum == Approx(double(out[i * D + h * HS + d])).margin(1e-5));
            }
}

TEST_CASE("attention page: the lens ends where the model does, and the loss is the model's",
          "[cpu][attention]") {
    Context ctx;
    const auto gpt = random_model(config());
    const std::vector<int> ids = random_ids(20, 40, 2);
    const Inside inside = look_inside(ctx, *gpt, ids);
    const NoGrad no_grad(ctx);
    const float* logits = gpt->forward(ctx, ctx.ids(ids.data(), {1, 20})).ptr();
    REQUIRE(inside.lens.size() == 3);
    double loss = 0;
    for (int64_t t = 0; t < 20; t++) {
        const float* row = logits + t * 40;
        double sum = 0;
        for (int v = 0; v < 40; v++) sum += std::exp(double(row[v]));
        const std::vector<Guess>& guesses = inside.lens[2][size_t(t)];
        REQUIRE(guesses.size() == kGuesses);
        REQUIRE(guesses[0].id == std::max_element(row, row + 40) - row);
        for (size_t g = 0; g < guesses.size(); g++) {
            REQUIRE(double(guesses[g].probability) ==
                    Approx(std::exp(double(row[guesses[g].id])) / sum).epsilon(1e-4));
            if (g > 0) REQUIRE(guesses[g].probability <= guesses[g - 1].probability);
        }
        if (t < 19) loss += (std::log(sum) - double(row[ids[size_t(t + 1)]])) / 19;
    }
    REQUIRE(inside.loss() == Approx(loss).epsilon(1e-5));
    // Block 0 of the lens knows the token and its place, and nothing of its neighbours.
    std::vector<int> other = ids;
    other[3] = (other[3] + 1) % 40;
    const Inside changed = look_inside(ctx, *gpt, other);
    REQUIRE(changed.lens[0][10][0].probability == inside.lens[0][10][0].probability);
    REQUIRE(changed.lens[2][10][0].probability != inside.lens[2][10][0].probability);
}

TEST_CASE("attention page: an ablated head is one whose way into the stream is cut", "[cpu][attention]") {
    Context ctx;
    const auto gpt = random_model(config()), cut = random_model(config()), removed = random_model(config());
    const auto without_these = [&](const char* heads) {  // what remove_heads says of it
        remove_heads(*removed, heads);
        return look_inside(ctx, *removed, random_ids(20, 40, 3)).loss();
    };
    const std::vector<int> ids = random_ids(20, 40, 3);
    const Ablation ablation = ablate_heads(ctx, *gpt, ids);
    const std::vector<double>& changes = ablation.heads;
    REQUIRE((changes.size() == 6 && ablation.layers.size() == 2));
    // head 1 of layer 1: its columns of the projection are zero
    float* projection = cut->h[1].attn_c_proj.weight.ptr();  // (16,15)
    for (int o = 0; o < 16; o++)
        for (int d = 5; d < 10; d++) projection[o * 15 + d] = 0;
    const double whole = look_inside(ctx, *gpt, ids).loss(), without = look_inside(ctx, *cut, ids).loss();
    REQUIRE(changes[4] == Approx(without - whole).margin(1e-6));
    REQUIRE(std::fabs(changes[4]) > 1e-3);
    REQUIRE(without_these("1.1") == without);
    // all heads of layer 1, then of layer 0 as well
    std::fill_n(projection, 16 * 15, 0.0f);
    REQUIRE(ablation.layers[1] == Approx(look_inside(ctx, *cut, ids).loss() - whole).margin(1e-6));
    REQUIRE(without_these("1") == look_inside(ctx, *cut, ids).loss());
    std::fill_n(static_cast<float*>(cut->h[0].attn_c_proj.weight.ptr()), 16 * 15, 0.0f);
    REQUIRE(ablation.all == Approx(look_inside(ctx, *cut, ids).loss() - whole).margin(1e-6));
    REQUIRE(without_these("all") == look_inside(ctx, *cut, ids).loss());
    REQUIRE(std::fabs(ablation.all - ablation.layers[1]) > 1e-3);
}

TEST_CASE("attention page: maps are 16-bit numbers that read back", "[attention]") {
    REQUIRE(encode_map({0, 1}) == "AAD//w==");
    for (const int64_t n : {1, 2, 3, 4, 5}) {
        std::vector<float> rows;
        for (int64_t i = 0; i < n; i++) rows.push_back(float(i) / float(n));
        const std::vector<int> values = decode_map(encode_map(rows));
        REQUIRE(int64_t(values.size()) == n);
        for (int64_t i = 0; i < n; i++)
            REQUIRE(values[size_t(i)] == std::lround(double(rows[size_t(i)]) * 65535));
    }
}

TEST_CASE("attention page: holds all it can, evenly spread, and says what it left out", "[attention]") {
    const int64_t bytes = 9'000'000;
    const PageSelection all = select_maps(64, 3, 12, 12, bytes);
    REQUIRE(all.left_out.empty());
    REQUIRE((all.states.size() == 3 && all.layers.size() == 12 && all.heads.size() == 12));
    const PageSelection some = select_maps(200, 8, 12, 12, bytes);  // 54 KB a map: 167 of 1152
    REQUIRE(some.states == std::vector<int64_t>{0, 3, 7});
    REQUIRE(some.layers == std::vector<int64_t>{0, 3, 7, 11});
    REQUIRE(some.heads.size() == 12);
    REQUIRE(contains(some.left_out, "3 of 8 states, 4 of 12 layers: all"));
    REQUIRE(contains(some.left_out, "Of 76 tokens it would hold all."));
    REQUIRE(select_maps(76, 8, 12, 12, bytes).left_out.empty());
    REQUIRE(!select_maps(77, 8, 12, 12, bytes).left_out.empty());
    const PageSelection few = select_maps(256, 1, 48, 25, bytes);  // GPT-2 XL: 102 of 1200 maps fit
    REQUIRE(few.heads.size() == 25);
    REQUIRE(few.layers == std::vector<int64_t>{0, 15, 31, 47});  // the first and the last are there
    REQUIRE(contains(few.left_out, "4 of 48 layers"));
    const PageSelection states = select_maps(100, 99, 2, 4, bytes);
    REQUIRE((states.states.front() == 0 && states.states.back() == 98 && states.states.size() == 83));
    REQUIRE(states.layers.size() * states.heads.size() == 8);
    const PageSelection one =
        select_maps(256, 5, 1, 1000, bytes);  // more heads than maps: 34 of each of 3 states
    REQUIRE((one.heads.size() == 34 && one.states.size() == 3));
}

TEST_CASE("attention page: 10 MB hold what lies beside the maps, too", "[attention][slow]") {
    for (const auto& [tokens, states, layers, heads] :
         {std::array<int64_t, 4>{256, 1, 12, 12}, {200, 7, 12, 12}, {256, 1, 48, 25}}) {
        CAPTURE(tokens, states, layers, heads);
        const AttentionReport report = large_report(tokens, states, layers, heads);
        PageSelection selection;
        const std::string page = fitting_attention_page(report, &selection);
        REQUIRE(int64_t(page.size()) <= kPageBytes);
        REQUIRE(int64_t(page.size()) > kPageBytes / 2);
        REQUIRE(contains(page, "The page holds the maps of"));
        REQUIRE(contains(page, selection.left_out));
        const auto at_most = [](size_t kept, int64_t all) { return kept >= 1 && int64_t(kept) <= all; };
        REQUIRE((at_most(selection.states.size(), states) && at_most(selection.layers.size(), layers)));
        REQUIRE(at_most(selection.heads.size(), heads));
    }
    PageSelection selection;
    const AttentionReport report = large_report(256, 1, 1000, 1);
    REQUIRE(contains(failure_of([&] { fitting_attention_page(report, &selection); }).message,
                     "a shorter --prompt"));
}

TEST_CASE("attention page: the numbers are in it, and text stays text", "[attention]") {
    Context ctx;
    const auto gpt = random_model(config());
    const std::vector<int> ids = random_ids(12, 40, 4);
    const AttentionReport report = report_of(ctx, *gpt, ids, "</script><img onerror=alert(1)>\xff");
    const std::string page = attention_page(report, select_maps(12, 1, 2, 3, kPageBytes));
    REQUIRE(!contains(page, "<img onerror"));
    REQUIRE(contains(page, "A &lt;title&gt;"));
    REQUIRE(contains(page, "default-src 'none'"));
    REQUIRE((!contains(page, "http:") && !contains(page, "https:")));
    for (const std::vector<float>& map : report.states[0].inside.attention) {
        const std::string text = encode_map(map);
        REQUIRE(contains(page, "\"" + text + "\""));
        const std::vector<int> values = decode_map(text);
        for (size_t i = 0, at = 0; i < 12; i++) {
            int sum = 0;
            for (size_t j = 0; j <= i; j++) sum += values[at++];
            REQUIRE(std::abs(sum - 65535) <= 6);  // each rounded by half at most
        }
    }
}

TEST_CASE("attention page: a text of one token, or longer than the context, is refused", "[attention]") {
    Context ctx;
    const auto gpt = random_model(config());
    REQUIRE(contains(failure_of([&] { look_inside(ctx, *gpt, {1}); }).message, "[look_inside] 1 tokens"));
    REQUIRE(contains(failure_of([&] { look_inside(ctx, *gpt, std::vector<int>(31, 1)); }).message,
                     "wants 2 to 30"));
}

// From a file that holds a model to the file that holds the page, and back: every map of the page against weights that were
// read from the file by nothing but safetensors, in double precision.
TEST_CASE("attention page: a page's rows are those of the checkpoint, sum to 1 and see nothing later",
          "[cpu][attention]") {
    const Folder folder;
    const Vocabulary vocabulary = tiny_vocabulary();
    Config config;  // heads narrower than channels / heads
    config.layers = 2, config.heads = 3, config.head_size = 5, config.channels = 16, config.context = 40;
    config.stride = 1, config.max_steps = 1, config.preset = "tiny";
    const auto gpt = random_model(model_config(config, vocabulary.size()));
    save_model(folder.path, *gpt, config, vocabulary);
    const auto maps_on_page = [&](const std::string& prompt) {
        config.text.checkpoint = folder.path, config.text.prompt = prompt, config.text.has_prompt = true;
        config.text.out = folder.path + "/page.html";
        run_attention(config);
        const std::string page = read_file(config.text.out);
        const std::string begin = "\"maps\":[";
        std::vector<std::vector<int>> maps;
        for (size_t at = page.find(begin) + begin.size(); page[at] != ']';) {
            const size_t open = page.find('"', at), close = page.find('"', open + 1);
            maps.push_back(decode_map(page.substr(open + 1, close - open - 1)));
            at = close + 1;
        }
        return maps;
    };
    const std::string prompt = "the man and the cat sat at home";
    const std::vector<std::vector<int>> maps = maps_on_page(prompt);
    const std::vector<int> ids = Bpe(vocabulary).encode(prompt);
    const std::vector<std::vector<double>> expected = maps_of(*gpt, ids);
    REQUIRE((maps.size() == 6 && expected.size() == 6 && ids.size() >= 12));
    for (size_t m = 0; m < 6; m++) {
        REQUIRE(maps[m].size() == ids.size() * (ids.size() + 1) / 2);
        double largest = 0;
        for (size_t i = 0, at = 0; i < ids.size(); i++) {
            int sum = 0;
            for (size_t j = 0; j <= i; j++, at++) {
                CAPTURE(m, i, j);
                REQUIRE(maps[m][at] == Approx(expected[m][at] * 65535).margin(1));
                sum += maps[m][at];
                if (i > 0) largest = std::max(largest, expected[m][at]);
            }
            REQUIRE(std::abs(sum - 65535) <= int(i + 2) / 2 + 1);  // each weight is rounded by a half at most
        }
        REQUIRE(largest > 0.5);  // heads that look somewhere, not everywhere
    }
    // Causal: rows of a prompt's beginning are the same whatever follows.
    const std::vector<std::vector<int>> longer = maps_on_page(prompt + " on a mat");
    for (size_t m = 0; m < 6; m++)
        for (size_t at = 0; at < maps[m].size(); at++) REQUIRE(std::abs(longer[m][at] - maps[m][at]) <= 1);
}
