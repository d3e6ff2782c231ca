// test_memorize.cpp - longest copies against a search that tries everything; which documents are taken; the standard error
// of a held-out loss and the loss of a short text.
#include "chapters/02_small_gpt/memorize.h"

#include <cmath>

#include "chapters/02_small_gpt/evaluate.h"
#include "io/file.h"
#include "tests/chapter02/models.h"
#include "tests/chapter02/tiny_vocabulary.h"
#include "tests/support/arrays.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace small_gpt;

namespace {

// A prepared folder's test split with these shards.
struct OnDisk {
    TemporaryFolder folder;
    TokenShards data;
    explicit OnDisk(const std::vector<std::vector<int>>& shards) {
        int number = 0;
        for (const std::vector<int>& ids : shards) {
            std::string bytes;
            for (const int id : ids) {
                const uint16_t narrow = uint16_t(id);
                bytes.append(reinterpret_cast<const char*>(&narrow), 2);
            }
            write_shard(join_path(folder.path, shard_name(Split::kTest, number++)), {bytes}, 2, 1, 1, 1);
        }
        data = open_split(folder.path, Split::kTest, 1, 1000);
    }
};

Copy plain_longest(const std::vector<int>& text, const std::vector<std::vector<int>>& shards) {
    Copy best;
    for (size_t begin = 0; begin < text.size(); begin++)
        for (const std::vector<int>& shard : shards)
            for (size_t i = 0; i < shard.size(); i++) {
                size_t n = 0;
                while (begin + n < text.size() && i + n < shard.size() && text[begin + n] == shard[i + n])
                    n++;
                if (int64_t(n) > best.length) best = {int64_t(n), int64_t(begin)};
            }
    return best;
}

}  // namespace

TEST_CASE("memorize: longest copies are those that a plain search finds", "[memorize]") {
    for (uint64_t seed = 0; seed < 20; seed++) {
        CAPTURE(seed);
        const int64_t below = seed % 2 ? 3 : 20;  // few ids: many copies, that overlap themselves
        const std::vector<std::vector<int>> shards = {random_ids(200, below, seed),
                                                      random_ids(77, below, seed + 50)};
        const OnDisk split(shards);
        std::vector<std::vector<int>> texts = {
            random_ids(40, below, seed + 100), {}, random_ids(7, below, seed + 200)};
        texts.push_back({shards[0].begin() + 150, shards[0].end()});  // across the end of a shard
        texts.back().insert(texts.back().end(), shards[1].begin(), shards[1].begin() + 30);
        texts.push_back({999, 998});  // nowhere
        const std::vector<Copy> found = longest_copies(texts, split.data);
        REQUIRE(found.size() == texts.size());
        for (size_t i = 0; i < texts.size(); i++) {
            CAPTURE(i);
            const Copy want = plain_longest(texts[i], shards);
            REQUIRE(found[i].length == want.length);
            REQUIRE(found[i].begin == want.begin);
        }
        REQUIRE(found[3].length >= 50);
        REQUIRE(found[4].length == 0);
    }
}

TEST_CASE("memorize: beginnings of documents that are long enough, spread over the split", "[memorize]") {
    constexpr int kEnd = 999;
    std::vector<int> ids;
    for (int document = 0; document < 10; document++) {
        for (int t = 0; t < (document % 2 ? 9 : 4); t++) ids.push_back(document * 10 + t);
        ids.push_back(kEnd);
    }
    const OnDisk split({ids});
    std::vector<Passage> all = document_beginnings(split.data, kEnd, 100, 3, 6);
    REQUIRE(all.size() == 5);
    REQUIRE(all[0].context == std::vector<int>{10, 11, 12});
    REQUIRE(all[0].continuation == std::vector<int>{13, 14, 15, 16, 17, 18});
    REQUIRE(all[4].context[0] == 90);
    all = document_beginnings(split.data, kEnd, 2, 3, 6);
    REQUIRE(all.size() == 2);
    REQUIRE(all[1].context[0] == 50);
    REQUIRE(document_beginnings(split.data, kEnd, 100, 3, 7).empty());
}

TEST_CASE("evaluate: the standard error is that of windows", "[cpu]") {
    HeldOut sum;
    for (const double loss : {1.0, 2.0, 3.0, 6.0}) {  // of windows of ten tokens
        sum.nats += 10 * loss, sum.weighted_squares += 10 * loss * loss, sum.tokens += 10, sum.windows++;
    }
    // mean 3, squares around it 4 + 1 + 0 + 9 = 14, over 3, over 4
    REQUIRE(sum.loss_error() == Approx(std::sqrt(14.0 / 3 / 4)));
    REQUIRE(HeldOut{1, 10, 10, 1, 5}.loss_error() == 0);
}

TEST_CASE("evaluate: a text is predicted to its last byte, however short", "[cpu]") {
    const Bpe bpe(tiny_vocabulary());
    const int end = bpe.vocabulary().specials[0].id;
    const std::vector<uint32_t> bytes = bytes_of_tokens(bpe.vocabulary());
    const auto gpt = random_model(small_config(bpe.vocabulary().size(), 8, 1, 2, 4, 8));
    Context ctx;
    for (const size_t length : {1, 7, 8, 9, 29}) {
        CAPTURE(length);
        const std::vector<int> ids = random_ids(int64_t(length), 256, length);
        const HeldOut got = evaluate_text(ctx, *gpt, ids, end, bytes, 2);
        double want = 0;  // token by token
        for (size_t t = 0; t < length; t++) {
            const size_t begin = t / 8 * 8;
            std::vector<int> context = {begin == 0 ? end : ids[begin - 1]};
            context.insert(context.end(), ids.begin() + int64_t(begin), ids.begin() + int64_t(t));
            want += likelihoods(ctx, *gpt, {{context, {ids[t]}}})[0].nats;
        }
        REQUIRE(got.tokens == int64_t(length));
        REQUIRE(got.bytes == int64_t(length));
        REQUIRE(got.windows == int64_t(length + 7) / 8);
        REQUIRE(got.nats == Approx(want).epsilon(1e-4));
    }
}
