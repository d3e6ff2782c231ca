// test_show.cpp - what show and trace say about tokens, and that a page holds no text unescaped.
#include "chapters/01_bpe/show.h"

#include "chapters/01_bpe/token_text.h"
#include "chapters/01_bpe/trace.h"
#include "chapters/01_bpe/trainer.h"
#include "core/rng.h"
#include "io/utf8.h"
#include "tests/support/catch.h"

namespace {

Vocabulary trained(Pattern pattern, int vocab_size) {
    const std::string text =
        "the lowest tower isn't the newest tower, they'll widen 1234 towers\n\n\tcaf\xc3\xa9 "
        "\xf0\x9f\x98\x80 caf\xc3\xa9\n";
    TrainOptions options;
    options.vocab_size = vocab_size;
    options.pattern = pattern;
    options.specials = {"<|end|>"};
    const std::string twice = text + text + text;
    return train_bpe({twice}, options);
}

bool is_utf8(const std::string& text) {
    for (size_t offset = 0; offset < text.size();)
        if (utf8::decode_next(text, &offset) == utf8::kInvalid) return false;
    return true;
}

}  // namespace

TEST_CASE("trace: it ends with the ids of encode", "[chapter01][trace]") {
    for (const Pattern pattern : {Pattern::kGpt2, Pattern::kCl100k, Pattern::kNone}) {
        const Bpe bpe(trained(pattern, 330));
        const Tracer tracer(bpe.vocabulary());
        for (const std::string text :
             {"the lowest of towers", "isn't", "", "\xff\xf0\x9f", "aaaa  \n\n 123456"}) {
            CAPTURE(text);
            std::vector<int> traced;
            for_each_piece(pattern, text, [&](std::string_view piece) {
                const PieceTrace trace = tracer.trace(piece);
                REQUIRE(trace.bytes.size() == piece.size());
                // Each step makes one token of two.
                REQUIRE(trace.bytes.size() - trace.steps.size() == trace.tokens.size());
                for (const TraceStep& step : trace.steps)
                    REQUIRE(bpe.vocabulary().tokens[size_t(step.merge.token)] ==
                            bpe.vocabulary().tokens[size_t(step.merge.left)] +
                                bpe.vocabulary().tokens[size_t(step.merge.right)]);
                traced.insert(traced.end(), trace.tokens.begin(), trace.tokens.end());
            });
            REQUIRE(traced == bpe.encode(text));
        }
    }
}

TEST_CASE("trace: a piece that only the look-up finds", "[chapter01][trace]") {
    Vocabulary vocabulary = byte_vocabulary(Pattern::kGpt2);
    vocabulary.tokens.push_back("abc");
    vocabulary.whole_piece_first = true;
    const PieceTrace trace = Tracer(vocabulary).trace("abc");
    REQUIRE(trace.is_looked_up);
    REQUIRE(trace.tokens == std::vector<int>{256});
    REQUIRE_FALSE(Tracer(vocabulary).trace("ab").is_looked_up);
}

TEST_CASE("show: tokens cover the text, and know what they are a part of", "[chapter01][show]") {
    const Bpe bpe(trained(Pattern::kGpt2, 262));  // few merges: characters stay in parts
    const std::string text = "k\xe2\x82\xac<|end|>\xff";
    const ShownText shown = tokenize(bpe, text, true);
    size_t end = 0;
    for (const ShownToken& token : shown.tokens) {
        REQUIRE(token.begin == end);
        REQUIRE(text.substr(token.begin, token.end - token.begin) == bpe.bytes_of(token.id));
        end = token.end;
    }
    REQUIRE(end == text.size());
    REQUIRE(shown.tokens[0].part_of.empty());
    for (size_t i = 1; i <= 3; i++) REQUIRE(shown.tokens[i].part_of == "\xe2\x82\xac");
    REQUIRE(shown.tokens.back().part_of.empty());  // a broken byte is whole in its way
    REQUIRE(shown.origins.at(shown.tokens[4].id).kind == TokenOrigin::kSpecial);
    REQUIRE(shown.origins.at(shown.tokens[0].id).kind == TokenOrigin::kByte);
}

TEST_CASE("show: a token that cuts two characters names both", "[chapter01][show]") {
    Vocabulary vocabulary = byte_vocabulary(Pattern::kNone);
    const int left = vocabulary.byte_ids[0xa9], right = vocabulary.byte_ids[0xc3];
    vocabulary.tokens.push_back("\xa9\xc3");
    vocabulary.merges.push_back({left, right, 256, 0});
    const ShownText shown = tokenize(Bpe(vocabulary), "\xc3\xa9\xc3\xa8", false);
    REQUIRE(shown.tokens.size() == 3);
    REQUIRE(shown.tokens[1].part_of == "\xc3\xa9\xc3\xa8");
    REQUIRE(shown.tokens[2].part_of == "\xc3\xa8");
}

TEST_CASE("show: every token of a vocabulary has its origin", "[chapter01][show]") {
    const Bpe bpe(trained(Pattern::kGpt2, 330));
    for (const Merge& merge : bpe.vocabulary().merges) {
        const std::string bytes(bpe.bytes_of(merge.token));
        const ShownText shown = tokenize(bpe, bytes, false);
        if (shown.tokens.size() != 1 || shown.tokens[0].id != merge.token)
            continue;  // the split is against it
        const TokenOrigin& origin = shown.origins.at(merge.token);
        REQUIRE(origin.kind == TokenOrigin::kMerge);
        REQUIRE(origin.rank == merge.rank);
        REQUIRE(origin.left == merge.left);
        REQUIRE(origin.right == merge.right);
    }
}

TEST_CASE("show: colours only where asked for, and never over the end of a line", "[chapter01][show]") {
    const Bpe bpe(trained(Pattern::kGpt2, 300));
    const ShownText shown = tokenize(bpe, "the\n\nlowest \x1b[31m", false);
    REQUIRE(terminal_view(shown, false).find('\x1b') == std::string::npos);
    const std::string coloured = terminal_view(shown, true);
    REQUIRE(coloured.find("\x1b[31m") == std::string::npos);
    bool is_on = false;
    for (size_t i = 0; i < coloured.size(); i++) {
        if (coloured.compare(i, 3, "\x1b[0") == 0)
            is_on = false;
        else if (coloured[i] == '\x1b')
            is_on = true;
        if (coloured[i] == '\n') REQUIRE_FALSE(is_on);
    }
}

TEST_CASE("show: nothing on a page is unescaped", "[chapter01][show]") {
    Vocabulary vocabulary = trained(Pattern::kGpt2, 300);
    vocabulary.name = "</title><script>alert(1)</script>";
    const Bpe bpe(vocabulary);
    const std::string attack = "</script><img src=x onerror=alert(1)>\"'&\x1b[31m\xff\xe2\x80\xae<!--";
    const ShownText view = tokenize(bpe, attack, false);
    for (const std::string& page : {show_page(attack, {view}), show_page(attack, {view, view})}) {
        REQUIRE(page.find("<img") == std::string::npos);
        REQUIRE(page.find("alert(1)<") == std::string::npos);
        REQUIRE(page.find("<!--") == std::string::npos);
        REQUIRE(page.find('\x1b') == std::string::npos);
        REQUIRE(page.find("\xe2\x80\xae") == std::string::npos);
        size_t scripts = 0;
        for (size_t at = 0; (at = page.find("<script", at)) != std::string::npos; at++) scripts++;
        REQUIRE(scripts == 2);
        REQUIRE(is_utf8(page));
    }
    RandomStream random{3, 0};
    for (int i = 0; i < 50; i++) {
        std::string noise;
        for (uint32_t k = random.next_below(200); k > 0; k--) noise += char(random.next_below(256));
        const std::string page = show_page(noise, {tokenize(bpe, noise, false)});
        REQUIRE(is_utf8(page));
    }
}

TEST_CASE("token text: what cannot be seen is written out", "[chapter01][show]") {
    REQUIRE(visible_token(" a b") ==
            "\xe2\x90\xa3"
            "a\xe2\x90\xa3"
            "b");
    REQUIRE(visible_text(" a", " ") == " a");
    REQUIRE(visible_token("\n\t\x1b\x7f\xe2\x82") == "\\n\\t\\x1b\\x7f\\xe2\\x82");
    REQUIRE(visible_token("\xe2\x80\x8d\xef\xbb\xbf") == "<U+200D><U+FEFF>");
    REQUIRE(padded("caf\xc3\xa9", 6) == "caf\xc3\xa9  ");
    REQUIRE(hex_of("\xe2\x82\xac") == "e2 82 ac");
    REQUIRE(hex_of("").empty());
}
