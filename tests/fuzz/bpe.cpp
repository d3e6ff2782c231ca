// bpe.cpp - a fuzz target: any bytes as a text. Whatever they are, encoding and decoding gives them back, the fast way
// agrees with the plain one, and nothing crashes, hangs or reads past the end.
// Run: make fuzz
#include "chapters/01_bpe/bpe.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "chapters/01_bpe/bpe_plain.h"
#include "chapters/01_bpe/id_formats.h"
#include "chapters/01_bpe/json_lines.h"
#include "chapters/01_bpe/trace.h"
#include "chapters/01_bpe/trainer.h"
#include "core/parallel.h"
#include "io/html.h"
#include "tests/support/throwing_failures.h"

namespace {

void require(bool condition, const char* what) {
    if (condition) return;
    std::fprintf(stderr, "fuzz target: %s\n", what);
    std::abort();
}

// What the vocabularies are learned from: words, contractions, digits, runs of blanks, other scripts, broken UTF-8.
std::string training_text() {
    std::string text;
    for (int i = 0; i < 20; i++)
        text +=
            "the cat's hat isn't here,   they'll say: 1234567 cats\n\n\tthere \xc3\xa9t\xc3\xa9 "
            "\xe4\xbd\xa0\xe5\xa5\xbd \xf0\x9f\x98\x80\xf0\x9f\x98\x80 aaaaaaaaaaaaaaaa \xff\xfe\xe2\x82 ''' "
            "<|end|>\r\n";
    return text;
}

struct Tokenizer {
    Vocabulary vocabulary;
    std::unique_ptr<Bpe> bpe;
    std::unique_ptr<Encoder> encoder;  // remembers the pieces of all inputs
    std::unique_ptr<Tracer> tracer;
};

std::vector<Tokenizer> make_tokenizers() {
    std::vector<Tokenizer> all;
    const std::string text = training_text();
    for (const Pattern pattern : {Pattern::kGpt2, Pattern::kCl100k, Pattern::kNone}) {
        TrainOptions options;
        options.vocab_size = 400;
        options.pattern = pattern;
        options.specials = {"<|end|>", "<|end|>x", "\xc3\xa9!"};
        Tokenizer tokenizer;
        tokenizer.vocabulary = train_bpe({text}, options);
        tokenizer.bpe = std::make_unique<Bpe>(tokenizer.vocabulary);
        all.push_back(std::move(tokenizer));
        all.back().encoder = std::make_unique<Encoder>(*all.back().bpe);
        all.back().tracer = std::make_unique<Tracer>(all.back().bpe->vocabulary());
    }
    return all;
}

void check_pieces(Pattern pattern, std::string_view text) {
    size_t end = 0;
    for_each_piece(pattern, text, [&](std::string_view piece) {
        require(!piece.empty() && piece.data() == text.data() + end, "pieces are not the text");
        end += piece.size();
    });
    require(end == text.size(), "pieces end before the text");
}

void check_tokenizer(const Tokenizer& tokenizer, const std::string& text) {
    const Bpe& bpe = *tokenizer.bpe;
    const Pattern pattern = bpe.vocabulary().pattern;
    check_pieces(pattern, text);
    const std::vector<int> ids = bpe.encode(text);
    require(bpe.decode(ids) == text, "decode(encode(x)) is not x");
    require(bpe.decode(bpe.encode_with_special(text)) == text, "decode(encode_with_special(x)) is not x");
    require(token_spans(bpe, ids).size() == ids.size(), "spans and ids differ in number");

    for (int round = 0; round < 2; round++) {  // the second one finds its pieces remembered
        std::vector<int> again;
        tokenizer.encoder->encode(text, &again);
        require(again == ids, "an encoder's ids are not encode's");
    }

    // Where both sides of a cut are certain, each can be encoded without the other.
    const size_t cut = certain_cut(pattern, text, text.size() / 2);
    require(cut <= text.size(), "a cut behind the text");
    std::vector<int> halves = bpe.encode(std::string_view(text).substr(0, cut));
    const std::vector<int> second = bpe.encode(std::string_view(text).substr(cut));
    halves.insert(halves.end(), second.begin(), second.end());
    require(halves == ids, "a certain cut changes the ids");

    // A stream gives whole characters, and together what decode gives but for broken bytes.
    StreamDecoder stream(bpe);
    std::string streamed;
    for (const int id : ids) {
        const std::string part = stream.add(id);
        for (size_t offset = 0; offset < part.size();)
            require(utf8::decode_next(part, &offset) != utf8::kInvalid, "a stream gave half a character");
        streamed += part;
    }
    streamed += stream.finish();
    if (streamed != text)
        require(streamed.find("\xef\xbf\xbd") != std::string::npos, "a stream lost something");

    constexpr size_t kSlow = 300;  // the plain version and the trace take time that grows with the square
    if (text.size() > kSlow) return;
    require(plain::encode(bpe.vocabulary(), text) == ids, "the plain version has other ids");
    std::vector<int> traced;
    for_each_piece(pattern, text, [&](std::string_view piece) {
        const std::vector<int> tokens = tokenizer.tracer->trace(piece).tokens;
        traced.insert(traced.end(), tokens.begin(), tokens.end());
    });
    require(traced == ids, "the trace ends with other ids");
}

// Any bytes as a list of ids: accepted ones decode, the others are refused as the user's mistake.
void check_ids(const Bpe& bpe, const std::string& bytes) {
    for (const IdFormat format : {IdFormat::kText, IdFormat::kU16, IdFormat::kU32}) {
        try {
            const std::vector<int> ids = parse_ids(bytes, format, bpe, "input");
            require(token_spans(bpe, ids).size() == ids.size(), "spans and ids differ in number");
            bpe.decode(ids);
        } catch (const Failure& failure) {
            require(failure.kind == FailureKind::kUser, failure.message.c_str());
        }
    }
}

void check_json(const std::string& bytes) {
    std::string text;
    if (parse_json_string(bytes, &text).empty() && bytes.find('\\') == std::string::npos)
        require(bytes.find(text) != std::string::npos, "a JSON string without escapes is not its own bytes");
    // What html.h writes as JSON is read back, if it can be written at all.
    const std::string written = html::json_string(bytes);
    require(parse_json_string(written, &text).empty(), "a JSON string of ours is refused");
    require(html::json_string(text) == written, "a JSON string changes on its way");
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): the name that libFuzzer calls
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static const std::vector<Tokenizer> tokenizers = make_tokenizers();
    ThrowingFailures throwing;
    const std::string text(reinterpret_cast<const char*>(data), size);
    try {
        for (const Tokenizer& tokenizer : tokenizers) check_tokenizer(tokenizer, text);
        check_ids(*tokenizers[0].bpe, text);
        check_json(text);
    } catch (const Failure& failure) {
        require(false, failure.message.c_str());
    }
    return 0;
}
