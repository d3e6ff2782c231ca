// explore.h - tokenization schemes side by side on real text: one table, one page with charts.
// Not here: the schemes (simple_schemes.h, wordpiece.h, unigram.h, bpe.h), the small model that they are compared by
// (bits_per_byte.h), the parts of the work (exploration.h).
#pragma once
#include "chapters/01_bpe/options.h"

// Prints the tables on stdout, writes the page. Every scheme learns from the first nine tenths of the text; what the
// tables say is measured on the last tenth, but for the share of the vocabulary that is used and the longest token, which
// are of all of it.
// Errors: data that cannot be read, or too little of it; a page that cannot be written.
void run_explore(const Options& options);
