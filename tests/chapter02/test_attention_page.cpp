// test_attention_page.cpp - the numbers of the attention page against the model: rows sum to 1 and see no later token, they
// weigh the values to what the kernel gives, the lens ends where the model does, an ablated head is one without a way out;
// and the page itself: what is in it, how large it may be, and text that tries to leave its place.
#include "chapters/02_small_gpt/attention_page.h"

#include <cmath>
#include <cstring>

#include "tests/chapter02/models.h"
#include "tests/support/arrays.h"
#include "tests/support/catch.h"
#include "tests/support/throwing_failures.h"

using namespace small_gpt;

namespace {

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
    report.title = "A <title>";
    report.layers = gpt.config.L, report.heads = gpt.config.NH;
    report.token_texts.assign(size_t(gpt.config.V), token);
    report.tokens.assign(ids.size(), token);
    report.states.push_back({"step 1", look_inside(ctx, gpt, ids), ablate_heads(ctx, gpt, ids)});
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
    const auto gpt = random_model(config()), cut = random_model(config());
    const std::vector<int> ids = random_ids(20, 40, 3);
    const std::vector<double> changes = ablate_heads(ctx, *gpt, ids);
    REQUIRE(changes.size() == 6);
    // head 1 of layer 1: its columns of the projection are zero
    float* projection = cut->h[1].attn_c_proj.weight.ptr();  // (16,15)
    for (int o = 0; o < 16; o++)
        for (int d = 5; d < 10; d++) projection[o * 15 + d] = 0;
    const double whole = look_inside(ctx, *gpt, ids).loss(), without = look_inside(ctx, *cut, ids).loss();
    REQUIRE(changes[4] == Approx(without - whole).margin(1e-6));
    REQUIRE(std::fabs(changes[4]) > 1e-3);
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

TEST_CASE("attention page: holds all it can in 10 MB, evenly spread, and says what it left out",
          "[attention]") {
    PageSelection all = select_maps(64, 3, 12, 12);
    REQUIRE(all.left_out.empty());
    REQUIRE((all.states.size() == 3 && all.layers.size() == 12 && all.heads.size() == 12));
    const PageSelection some = select_maps(200, 8, 12, 12);  // 54 KB a map: 166 of 1152
    REQUIRE(some.states == std::vector<int64_t>{7});
    REQUIRE(some.layers.size() == 12);
    REQUIRE(contains(some.left_out, "1 of 8 states"));
    const PageSelection few = select_maps(256, 1, 48, 25);  // GPT-2 XL: 102 of 1200 maps fit
    REQUIRE(few.heads.size() == 25);
    REQUIRE(few.layers == std::vector<int64_t>{0, 15, 31, 47});  // the first and the last are there
    REQUIRE(contains(few.left_out, "4 of 48 layers"));
    const PageSelection states = select_maps(100, 50, 2, 4);
    REQUIRE((states.states.front() == 0 && states.states.back() == 49 && states.states.size() > 30));
}

TEST_CASE("attention page: the numbers are in it, and text stays text", "[attention]") {
    Context ctx;
    const auto gpt = random_model(config());
    const std::vector<int> ids = random_ids(12, 40, 4);
    const AttentionReport report = report_of(ctx, *gpt, ids, "</script><img onerror=alert(1)>\xff");
    const std::string page = attention_page(report, select_maps(12, 1, 2, 3));
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
