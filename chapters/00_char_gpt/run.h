// run.h - one training run and its folder: state in checkpoint.safetensors, log.csv, config.json,
// report.html.
// Not here: the loop (main.cpp).
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "chapters/00_char_gpt/char_tokenizer.h"
#include "chapters/00_char_gpt/config.h"
#include "chapters/00_char_gpt/corpus.h"
#include "chapters/00_char_gpt/windows.h"
#include "io/run_log.h"
#include "nn/checkpoint.h"
#include "nn/run_folder.h"

constexpr const char* kRuns = "runs/chapter00";

// The text as ids: the first 90 % for training, the rest held out.
struct Dataset {
    Corpus corpus;
    CharTokenizer tokenizer;
    std::vector<int> train, held_out;
    std::string hash;  // of the text's bytes; a resumed run must read the same text
};

Dataset load_dataset(const Config& config);

// What an epoch left behind; kept in the checkpoint, so that a resumed run's report has all of them.
struct EpochResult {
    double train_loss = 0;  // mean over the epoch's steps
    double val_loss = 0;    // held out, after the epoch
    std::string sample;
};

// Where a run stands. Saved whole, restored whole: a resumed run continues bit by bit.
struct Progression {
    int64_t step = 0;           // optimiser steps done
    double epoch_loss_sum = 0;  // of the steps of the epoch that is under way
    int64_t tokens = 0;         // characters read
    std::vector<EpochResult> epochs;
};

// The metadata of a checkpoint, and back.
Metadata run_metadata(const Config& config, const Dataset& data, const Progression& at);
// A resumed run must read the text that its checkpoint was trained on.
void require_same_text(const Dataset& data, const std::map<std::string, std::string>& metadata,
                       const std::string& where);
Progression restore_progression(const std::map<std::string, std::string>& metadata, const std::string& where);
CharTokenizer restore_tokenizer(const std::map<std::string, std::string>& metadata, const std::string& where);

void write_config_json(const std::string& folder, const Config& config, const Dataset& data,
                       const GptConfig& model, int64_t weights, const std::string& command);
void write_run_report(const std::string& folder, const Config& config, const Dataset& data, int64_t weights,
                      const Progression& at, double val_loss, const std::string& last_sample,
                      const std::string& command);
