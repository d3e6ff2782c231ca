// commands.h - what each verb of the program does, but for show and trace (show.h, trace.h), stats (stats.h) and explore
// (explore.h).
#pragma once
#include <string>

#include "chapters/01_bpe/bpe.h"
#include "chapters/01_bpe/options.h"

void run_train(const Options& options);
void run_encode(const Options& options);
void run_decode(const Options& options);
void run_bench(const Options& options);
void run_demo(const Options& options);  // demo.cpp

// ---- What they share ------------------------------------------------------------------------------------------------

// Learns a vocabulary from texts and saves it. Returns the folder.
std::string train_and_save(const Options& options);

// The files that --data names, or tiny Shakespeare, as (name for people, bytes). Errors: missing, empty, no network.
struct NamedText {
    std::string name, text;
};
std::vector<NamedText> load_texts(const std::vector<std::string>& paths);
