// run_folder.h - the folder of a training run: where a new one goes, what --resume and --checkpoint mean.
// A run writes checkpoint.safetensors, log.csv, config.json and report.html there.
// Not here: what is in these files (each chapter decides that).
#pragma once
#include <string>

#include "io/safetensors.h"

constexpr const char* kReportName = "report.html";
constexpr const char* kLogName = "log.csv";

// Opens the checkpoint of a folder for --resume, or says what is there instead.
SafetensorsFile open_for_resume(const std::string& folder);

// Whether the report's file is as new as the checkpoint's. A run that was killed after its last checkpoint has none, or that
// of its steps before --resume. (A copy of the folder may have other times: then the report is written again.)
bool has_current_report(const std::string& folder);

// The folder of a new run: `out`, or the next free number under `runs`. A folder with a checkpoint is refused.
std::string new_run_folder(const std::string& out, const std::string& runs);

// The checkpoint that a verb reads: FILE, DIR/name, or without a path the newest run's under `runs`.
std::string find_checkpoint(const std::string& path, const std::string& runs, const char* name);
