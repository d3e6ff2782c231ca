// bpe_training.cpp - the ladder of BPE training: from a page of code to chapters/01_bpe/trainer.cpp, each rung timed on
// the same text, each with the same merges. The note's table is made from it.
//   build/cpu/bench/bpe_training [FILE [VOCAB_SIZE]]     one thread; default: tiny Shakespeare to 512 and to 8192
// Not here: rivals (tests/golden/tokenizer_training.py times HuggingFace's trainer on the same file).
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <iterator>
#include <map>
#include <optional>
#include <queue>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "chapters/01_bpe/bpe_plain.h"
#include "chapters/01_bpe/piece_counts.h"
#include "chapters/01_bpe/trainer.h"
#include "core/check.h"
#include "core/parallel.h"
#include "io/data_set.h"
#include "io/file.h"

namespace {

using plain::Pair;
using Merges = std::vector<Pair>;

constexpr int64_t kMinFrequency = 2;
// Rungs that are slower than this on the small vocabulary are not asked for the large one, or again. On a text of the user's
// own, which may be large, the first rungs are left out, and there is more patience with the others.
constexpr double kPatience_s = 2, kMorePatience_s = 30;
constexpr size_t kRungsForLargeTexts = 2;

// This thread's CPU time: neighbours on the machine do not count.
double seconds() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return double(now.tv_sec) + double(now.tv_nsec) * 1e-9;
}

Merges merges_of(const Vocabulary& vocabulary) {
    Merges merges;
    for (const Merge& merge : vocabulary.merges) merges.emplace_back(merge.left, merge.right);
    return merges;
}

struct Word {
    std::vector<int> ids;
    int64_t count;
};

std::vector<Word> words_of(const std::vector<PieceCount>& pieces) {
    const Vocabulary bytes = byte_vocabulary(Pattern::kGpt2);
    std::vector<Word> words;
    for (const PieceCount& piece : pieces)
        words.push_back({plain::bytes_as_ids(bytes, piece.piece), piece.count});
    return words;
}

std::vector<PieceCount> count_with_standard_map(std::string_view text) {
    std::unordered_map<std::string_view, int64_t> counts;
    for_each_piece(Pattern::kGpt2, text, [&](std::string_view piece) { counts[piece]++; });
    std::vector<PieceCount> pieces;
    for (const auto& [piece, count] : counts) pieces.push_back({piece, count});
    return pieces;
}

// Each different piece once, all pairs counted anew for each merge.
Merges recount_unique(std::string_view text, int vocab_size) {
    std::vector<Word> words = words_of(count_with_standard_map(text));
    Merges merges;
    while (int(merges.size()) + 256 < vocab_size) {
        std::map<Pair, int64_t> counts;
        for (const Word& word : words)
            for (size_t i = 0; i + 1 < word.ids.size(); i++)
                counts[{word.ids[i], word.ids[i + 1]}] += word.count;
        Pair best;
        int64_t most = kMinFrequency - 1;
        for (const auto& [pair, count] : counts)
            if (count > most) best = pair, most = count;
        if (most < kMinFrequency) break;
        const int token = int(merges.size()) + 256;
        for (Word& word : words) word.ids = plain::merged(word.ids, best, token);
        merges.push_back(best);
    }
    return merges;
}

// Counts kept up to date: a merge takes the pairs of the words that have it away and adds those of the changed words.
// The best pair is found by looking at all of them, or by a heap whose stale entries are put back.
Merges keep_counts(std::string_view text, int vocab_size, bool has_heap) {
    struct Info {
        int64_t count = 0;
        std::vector<size_t> words;
    };
    struct Candidate {
        int64_t count;
        Pair pair;
        bool operator<(const Candidate& other) const {
            return count != other.count ? count < other.count : pair > other.pair;
        }
    };
    std::vector<Word> words = words_of(count_with_standard_map(text));
    std::map<Pair, Info> pairs;
    std::set<Pair> grown;
    const auto add = [&](size_t w, int64_t sign) {
        const std::vector<int>& ids = words[w].ids;
        for (size_t i = 0; i + 1 < ids.size(); i++) {
            Info& info = pairs[{ids[i], ids[i + 1]}];
            info.count += sign * words[w].count;
            if (sign < 0) continue;
            if (info.words.empty() || info.words.back() != w) info.words.push_back(w);
            if (has_heap) grown.insert({ids[i], ids[i + 1]});
        }
    };
    std::priority_queue<Candidate> heap;
    const auto push_grown = [&] {
        for (const Pair& pair : grown) heap.push({pairs[pair].count, pair});
        grown.clear();
    };
    for (size_t w = 0; w < words.size(); w++) add(w, +1);
    push_grown();

    const auto best_by_heap = [&](Pair* best) {
        while (!heap.empty()) {
            const Candidate top = heap.top();
            heap.pop();
            const int64_t now = pairs[top.pair].count;
            *best = top.pair;
            if (now == top.count) return now;
            if (now < top.count) heap.push({now, top.pair});
        }
        return int64_t(0);
    };
    const auto best_by_scan = [&](Pair* best) {
        int64_t most = 0;
        for (const auto& [pair, info] : pairs)
            if (info.count > most) *best = pair, most = info.count;
        return most;
    };
    Merges merges;
    Pair best;
    while (int(merges.size()) + 256 < vocab_size &&
           (has_heap ? best_by_heap(&best) : best_by_scan(&best)) >= kMinFrequency) {
        const int token = int(merges.size()) + 256;
        const std::vector<size_t> touched = std::move(pairs[best].words);
        for (const size_t w : touched) {
            add(w, -1);
            words[w].ids = plain::merged(words[w].ids, best, token);
            add(w, +1);
        }
        pairs.erase(best);
        grown.erase(best);
        push_grown();
        merges.push_back(best);
    }
    return merges;
}

Merges trainer(std::string_view text, int vocab_size) {
    TrainOptions options;
    options.vocab_size = vocab_size;
    options.min_frequency = kMinFrequency;
    return merges_of(train_bpe({text}, options));
}

struct Rung {
    const char* name;
    Merges (*train)(std::string_view text, int vocab_size);
};

const Rung kRungs[] = {
    {"a page of code: every pair of the text counted anew for each merge",
     [](std::string_view text, int vocab_size) {
         return merges_of(plain::train(text, vocab_size, kMinFrequency));
     }},
    {"each different piece once, with its count", recount_unique},
    {"counts kept up to date, the best pair by looking at all",
     [](std::string_view text, int vocab_size) { return keep_counts(text, vocab_size, false); }},
    {"a heap knows the best pair",
     [](std::string_view text, int vocab_size) { return keep_counts(text, vocab_size, true); }},
    {"trainer.cpp: places in flat arrays, rare pairs forgotten, pieces in a table of our own", trainer},
};

}  // namespace

int main(int argc, char** argv) {
    parallel::set_num_threads(1);
    const bool has_file = argc > 1;
    const auto shakespeare = has_file ? std::nullopt : find_data_file("tinyshakespeare", "input.txt");
    if (!has_file && !shakespeare) user_error("no data/tinyshakespeare/input.txt: name a text");
    const std::string text = read_file(has_file ? argv[1] : *shakespeare);
    const int large = argc > 2 ? std::atoi(argv[2]) : 8192;
    const std::vector<int> sizes = {512, large};
    std::printf("| %zu bytes; seconds of CPU time, one thread | to %d | to %d tokens |\n|---|---|---|\n",
                text.size(), sizes[0], sizes[1]);

    const Merges expected = trainer(text, large);
    for (const Rung& rung : kRungs) {
        if (has_file && &rung < std::end(kRungs) - kRungsForLargeTexts) continue;
        double last = 0;
        std::string line;
        for (const int size : sizes) {
            if (last > (has_file ? kMorePatience_s : kPatience_s)) {
                line += " - |";
                continue;
            }
            double best = 1e30;
            for (int round = 0; round < 3 && (round == 0 || best < kPatience_s); round++) {
                const double start = seconds();
                const Merges merges = rung.train(text, size);
                best = std::min(best, seconds() - start);
                CHECK(merges.size() <= expected.size() &&
                          std::equal(merges.begin(), merges.end(), expected.begin()),
                      "[bench] '%s' makes other merges", rung.name);
            }
            last = best;
            line += format(" %.3g |", best);
        }
        std::printf("| %s |%s\n", rung.name, line.c_str());
        std::fflush(stdout);
    }
    double standard = 1e30, ours = 1e30;
    for (int round = 0; round < 3; round++) {
        const double start = seconds();
        const size_t pieces = count_with_standard_map(text).size();
        const double middle = seconds();
        CHECK_EQ(count_pieces({text}, Pattern::kGpt2).size(), pieces);
        standard = std::min(standard, middle - start), ours = std::min(ours, seconds() - middle);
    }
    std::printf("| of it, counting the pieces: with std::unordered_map | %.3g | |\n", standard);
    std::printf("| of it, counting the pieces: with piece_counts.cpp | %.3g | |\n", ours);
    const int threads = parallel::available_cores();
    parallel::set_num_threads(threads);
    double together = 1e30;
    for (int round = 0; round < 3; round++) {
        const auto start = std::chrono::steady_clock::now();
        count_pieces({text}, Pattern::kGpt2);
        together = std::min(together,
                            std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    std::printf("| the same on %d threads, seconds that pass | %.3g | |\n", threads, together);
}
