// explore.h - tokenization schemes side by side on real text: one table, one page with charts.
// Not here: the schemes (simple_schemes.h, wordpiece.h, unigram.h, bpe.h), the small model that they are compared by
// (bits_per_byte.h), the parts of the work (exploration.h).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

struct ExploreOptions {
    std::vector<std::string> data;  // text files, taken as one text; empty: tiny Shakespeare
    std::string html;               // where the page goes; empty: no page
    double model_tflop = 1.5;       // 10^12 operations that the small model gets per scheme; 0: no model
    uint64_t seed = 1337;           // of the small model
    int threads = 1;                // for the page; the pool has them already
    bool quiet = false;             // no progress on stderr
    bool json = false;              // one JSON object on the last line of stdout
};

// Prints the tables on stdout, writes the page. Every scheme learns from the first nine tenths of the text; what the
// tables say is measured on the last tenth, but for the share of the vocabulary that is used and the longest token, which
// are of all of it.
// Errors: data that cannot be read, or too little of it; a page that cannot be written.
void run_explore(const ExploreOptions& options);
