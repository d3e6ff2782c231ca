// bpe.cpp - one measurement of chapter 01 in a process of its own: nothing is warm, nothing left over from the last one.
// tokenizer.py here starts it, in turns with the rivals, and compares.
// Not here: a bar, a rival, a median.
// Run: build/cpu/bench/bpe encode FILE [--vocab gpt2] [--threads N] [--ids FILE]     seconds, tokens, memory as one line of JSON
//      build/cpu/bench/bpe split|decode FILE | load | worst CASE [--write FILE] | train FILE SIZE [--out FOLDER]
//      build/cpu/bench/bpe steps FILE        from the plain version to the fastest, step by step, in MB/s
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <queue>
#include <random>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "chapters/01_bpe/bpe.h"
#include "chapters/01_bpe/bpe_plain.h"
#include "chapters/01_bpe/merge_piece.h"
#include "chapters/01_bpe/trainer.h"
#include "core/check.h"
#include "core/parallel.h"
#include "io/file.h"

namespace {

struct Options {
    std::string verb, argument, vocab = "gpt2", ids, out, write;
    int size = 0, threads = 1;
};

double seconds_of(const std::function<void()>& work) {
    const auto begin = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// The most memory that this program has had so far. note: getrusage would also count what the process that started it had.
double peak_mib() {
    const std::string status = read_file("/proc/self/status");
    const size_t line = status.find("VmHWM:");
    return line == std::string::npos ? 0 : std::atof(status.c_str() + line + 6) / 1024;  // KiB
}

// A megabyte without a place to cut, or with bad ones: what makes quadratic tokenizers stop.
std::string worst_case(const std::string& name) {
    constexpr size_t kBytes = 1000000;
    std::mt19937 random(1);
    std::string text;
    const auto fill = [&](auto&& next) {
        while (text.size() < kBytes) text += next();
    };
    if (name == "letter") fill([] { return "a"; });
    if (name == "letters") fill([&] { return std::string(1, char('a' + random() % 26)); });
    if (name == "blank") fill([] { return " "; });
    if (name == "blanks-letter") fill([] { return " "; }), text += "x";
    if (name == "mixed-blanks-letter")
        fill([&] { return std::string(1, " \t\n\r"[random() % 4]); }), text += "x";
    if (name == "digits") fill([&] { return std::string(1, char('0' + random() % 10)); });
    if (name == "digit") fill([] { return "1"; });
    if (name == "cjk") fill([] { return "\xe4\xb8\xad"; });
    if (name == "equals") fill([] { return "="; });
    if (name == "apostrophes") fill([] { return "'"; });
    if (name == "bytes") fill([&] { return std::string(1, char(random())); });
    if (text.empty()) usage_error("no worst case '%s'", name.c_str());
    return text;
}

void measure_encode(const Options& options, const std::string& text) {
    std::vector<int> ids;
    const Bpe bpe(load_vocabulary(options.vocab));
    const double seconds = seconds_of([&] { ids = bpe.encode(text); });
    const double over = peak_mib() - double(text.size() + ids.size() * sizeof(int)) / (1 << 20);
    if (!options.ids.empty())
        write_file_atomically(
            options.ids, std::string(reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(int)));
    std::printf("{\"seconds\": %.6f, \"bytes\": %zu, \"tokens\": %zu, \"over_mib\": %.1f}\n", seconds,
                text.size(), ids.size(), over);
}

// ---- From the page to the fastest, one step at a time ---------------------------------------------------------------

// One piece, the usual way: a binary heap of (rank, place), and a list that links the tokens' places.
size_t merge_with_heap(const MergeTable& merges, std::string_view piece, std::vector<uint32_t>* ids) {
    const size_t count = piece.size();
    std::vector<uint32_t> token(count), next(count), previous(count);
    using Candidate = std::pair<uint32_t, uint32_t>;  // rank, place
    std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> heap;
    const auto rank_at = [&](size_t left) {
        return next[left] < count ? merges.rank_of(token[left], token[next[left]]) : MergeTable::kNoMerge;
    };
    const auto push = [&](size_t left) {
        const uint32_t rank = rank_at(left);
        if (rank != MergeTable::kNoMerge) heap.push({rank, uint32_t(left)});
    };
    for (size_t i = 0; i < count; i++) {
        token[i] = merges.token_of_byte(uint8_t(piece[i]));
        next[i] = uint32_t(i + 1), previous[i] = uint32_t(i - 1);
    }
    for (size_t i = 0; i < count; i++) push(i);
    constexpr uint32_t kDead = 0xffffffff;
    while (!heap.empty()) {
        const auto [rank, left] = heap.top();
        heap.pop();
        if (token[left] == kDead || rank_at(left) != rank) continue;  // what it was pushed for is gone
        const uint32_t right = next[left];
        token[left] = merges.token_of(rank);
        token[right] = kDead;
        next[left] = next[right];
        if (next[right] < count) previous[next[right]] = left;
        push(left);
        if (left > 0) push(previous[left]);
    }
    ids->clear();
    for (size_t i = 0; i < count; i = next[i]) ids->push_back(token[i]);
    return ids->size();
}

void measure_steps(const std::string& text) {
    const Vocabulary vocabulary = load_vocabulary("gpt2");
    const MergeTable merges(vocabulary);
    size_t tokens = 0;
    std::printf("| step | MB/s | tokens |\n|---|---|---|\n");
    const auto measure = [&](const char* step, std::string_view part, const std::function<size_t()>& encode) {
        double best = 1e30;
        for (int round = 0; round < 3; round++) best = std::min(best, seconds_of([&] { tokens = encode(); }));
        const double speed = double(part.size()) / best / 1e6;
        std::printf(speed < 100 ? "| %s | %.3g | %zu |\n" : "| %s | %.0f | %zu |\n", step, speed, tokens);
        std::fflush(stdout);
    };
    const auto merge_each = [&](auto&& for_each) {  // the ids of each piece, by merging
        PieceMerger merger(merges);
        std::vector<int> ids;
        std::vector<uint32_t> work;
        for_each([&](std::string_view piece) {
            work.resize(piece.size());
            const size_t count = merger.merge(piece, work.data());
            ids.insert(ids.end(), work.begin(), work.begin() + ptrdiff_t(count));
        });
        return ids.size();
    };
    const std::string_view start = std::string_view(text).substr(0, std::min<size_t>(text.size(), 4000000));
    measure("1 the page: std::map, a scan of all pairs for each merge (4 MB)", start,
            [&] { return plain::encode(vocabulary, start).size(); });
    measure("2 merges by numbers: one table, places instead of erasing", text, [&] {
        return merge_each([&](auto&& visit) {
            for (const char *p = text.data(), *end = p + text.size(); p < end;) {
                const char* next = piece_end(vocabulary.pattern, p, end);
                visit(std::string_view(p, size_t(next - p)));
                p = next;
            }
        });
    });
    measure("3 + 64 bytes of text cut at a time", text, [&] {
        return merge_each([&](auto&& visit) { for_each_piece(vocabulary.pattern, text, visit); });
    });
    measure("4 + every piece remembered, std::unordered_map", text, [&] {
        PieceMerger merger(merges);
        std::vector<int> ids;
        std::unordered_map<std::string_view, std::vector<uint32_t>> known;
        for_each_piece(vocabulary.pattern, text, [&](std::string_view piece) {
            const auto [place, is_new] = known.try_emplace(piece);
            if (is_new) {
                place->second.resize(piece.size());
                place->second.resize(merger.merge(piece, place->second.data()));
            }
            ids.insert(ids.end(), place->second.begin(), place->second.end());
        });
        return ids.size();
    });
    std::unique_ptr<Encoder> encoder;
    const Bpe bpe(vocabulary);
    const auto encode_with = [&] {
        std::vector<int> ids;
        encoder->encode(text, &ids);
        return ids.size();
    };
    measure("5 + a cache of lines, prefetched, that knows the vocabulary; cold", text, [&] {
        encoder = std::make_unique<Encoder>(bpe);
        return encode_with();
    });
    measure("the same text again, with the same cache", text, encode_with);
    measure("for comparison: only cutting (pieces, not tokens)", text, [&] {
        size_t pieces = 0;
        for_each_piece(vocabulary.pattern, text, [&](std::string_view piece) { pieces += !piece.empty(); });
        return pieces;
    });

    const std::string digits = worst_case("digits");
    const std::string_view few = std::string_view(digits).substr(0, 20000);
    std::vector<uint32_t> by_heap, by_rank(digits.size());
    measure("one piece of 20,000 digits: the page", few,
            [&] { return plain::encode(vocabulary, few).size(); });
    measure("one piece of 1,000,000 digits: a binary heap of pairs", digits,
            [&] { return merge_with_heap(merges, digits, &by_heap); });
    measure("the same: a list of places for each rank", digits, [&] {
        PieceMerger merger(merges);
        return merger.merge(digits, by_rank.data());
    });
    by_rank.resize(tokens);
    CHECK(by_heap == by_rank, "the heap gives other ids");
}

Options parse(int argc, char** argv) {
    Options options;
    std::vector<std::string> words;
    for (int i = 1; i < argc; i++) {
        const std::string word = argv[i];
        const bool has_value = i + 1 < argc;
        if (word == "--vocab" && has_value)
            options.vocab = argv[++i];
        else if (word == "--threads" && has_value)
            options.threads = std::atoi(argv[++i]);
        else if (word == "--ids" && has_value)
            options.ids = argv[++i];
        else if (word == "--write" && has_value)
            options.write = argv[++i];
        else if (word == "--out" && has_value)
            options.out = argv[++i];
        else
            words.push_back(word);
    }
    if (words.empty()) usage_error("see the head of tests/bench/bpe.cpp");
    options.verb = words[0];
    if (words.size() > 1) options.argument = words[1];
    if (words.size() > 2) options.size = std::atoi(words[2].c_str());
    return options;
}

}  // namespace

int main(int argc, char** argv) {
    const Options options = parse(argc, argv);
    parallel::set_num_threads(options.threads);
    const auto text = [&] { return read_file(options.argument); };
    if (options.verb == "encode") {
        measure_encode(options, text());
    } else if (options.verb == "worst") {
        const std::string whole = worst_case(options.argument);
        if (!options.write.empty()) write_file_atomically(options.write, whole);  // for the rivals
        measure_encode(options, whole);
    } else if (options.verb == "split") {
        const std::string whole = text();
        size_t pieces = 0;
        const double seconds = seconds_of([&] {
            for_each_piece(Pattern::kGpt2, whole, [&](std::string_view piece) { pieces += !piece.empty(); });
        });
        std::printf("{\"seconds\": %.6f, \"bytes\": %zu, \"pieces\": %zu}\n", seconds, whole.size(), pieces);
    } else if (options.verb == "decode") {
        const Bpe bpe(load_vocabulary(options.vocab));
        const std::vector<int> ids = bpe.encode(text());
        std::string decoded;
        const double seconds = seconds_of([&] { decoded = bpe.decode(ids); });
        CHECK(decoded == text(), "decode(encode(x)) is not x");
        std::printf("{\"seconds\": %.6f, \"bytes\": %zu, \"tokens\": %zu}\n", seconds, decoded.size(),
                    ids.size());
    } else if (options.verb == "load") {
        std::unique_ptr<Bpe> bpe;
        const double seconds =
            seconds_of([&] { bpe = std::make_unique<Bpe>(load_vocabulary(options.vocab)); });
        std::printf("{\"seconds\": %.6f}\n", seconds);
    } else if (options.verb == "train") {
        const std::string whole = text();
        TrainOptions train;
        train.vocab_size = options.size;
        Vocabulary vocabulary;
        const double seconds = seconds_of([&] { vocabulary = train_bpe({whole}, train); });
        if (!options.out.empty()) save_vocabulary(vocabulary, options.out);
        std::printf("{\"seconds\": %.6f, \"bytes\": %zu, \"tokens\": %d}\n", seconds, whole.size(),
                    vocabulary.size());
    } else if (options.verb == "steps") {
        measure_steps(text());
    } else {
        usage_error("no verb '%s'; see the head of tests/bench/bpe.cpp", options.verb.c_str());
    }
    return 0;
}
