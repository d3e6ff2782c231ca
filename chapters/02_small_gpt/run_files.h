// run_files.h - what a training run leaves in its folder: the state in its checkpoints' metadata, config.json, report.html.
// Not here: the loop (train.cpp); reading a model back to use it (model_file.h).
#pragma once
#include <map>
#include <string>
#include <vector>

#include "chapters/02_small_gpt/config.h"
#include "chapters/02_small_gpt/evaluate.h"

namespace small_gpt {

// What a planned evaluation found. Kept in the checkpoint, so that a resumed run's report has all of them.
struct Evaluation {
    int64_t step = 0;
    double loss = 0;           // nats per token, validation split
    double bits_per_byte = 0;  // the same, per byte of text
    std::string sample;
};

// Where a run stands. Saved whole, restored whole: a resumed run continues bit by bit.
struct Progression {
    int64_t step = 0;    // optimiser steps done
    int64_t tokens = 0;  // read
    std::vector<Evaluation> evaluations;

    // The step with the lowest validation loss among the planned evaluations; 0 when there was none.
    int64_t best_step() const;
};

// Whether a run of `planned` steps keeps its weights at `step`, when it keeps that many states: those before the first
// step, and at half of the steps, a quarter, an eighth ..., for most happens early. It does not depend on where the run
// is stopped; the last step is in the checkpoint.
bool is_kept(int64_t step, int64_t planned, int64_t states);

// What the run is trained on.
struct TrainingData {
    std::string folder;  // never written to a checkpoint
    std::string name;    // of the sources, for people
    std::string hash;    // of the training and the validation split; a resumed run must read the same ones
    std::vector<std::string> warnings;
    TokenShards train, validation, test;
    Vocabulary vocabulary;
    std::string vocabulary_hash;
    int end_of_text = 0;
};

// Opens a prepared folder. Errors: not finished, no vocabulary, shards that are damaged or another vocabulary's.
TrainingData open_training_data(const std::string& folder);

Metadata run_metadata(const Config& config, const TrainingData& data, const Progression& at);
Progression restore_progression(const std::map<std::string, std::string>& metadata, const std::string& where);
void require_same_data(const TrainingData& data, const std::map<std::string, std::string>& metadata,
                       const std::string& where);

// What the run is measured by at its end.
struct FinalNumbers {
    double train_loss = 0;  // of the last step's batch
    HeldOut validation, test;
};

void write_config_json(const std::string& folder, const Config& config, const TrainingData& data,
                       int64_t weights, const std::string& command);
void write_run_report(const std::string& folder, const Config& config, const TrainingData& data,
                      int64_t weights, const Progression& at, const FinalNumbers& numbers,
                      const std::vector<std::string>& findings, const std::vector<std::string>& samples,
                      const std::string& command);

}  // namespace small_gpt
