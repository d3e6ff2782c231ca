// run_log.h - log.csv, one row per optimiser step, and its reader.
// Not here: the configuration (config.json), the state (checkpoint.safetensors). Nothing in the log changes a
// run.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

constexpr const char* kRunLogHeader = "step,tokens,loss,lr,grad_norm,tokens_per_s,val_loss";

struct LogRow {
    int64_t step = 0;    // counts from 1: the row describes the state after this step
    int64_t tokens = 0;  // read since the start of training
    double loss = 0;     // nats per token, of this step's batch
    double lr = 0;
    double grad_norm = 0;  // before clipping
    double tokens_per_s = 0;
    std::optional<double> val_loss;  // empty when not evaluated after this step
};

// The writer. Rows are kept back and written about once a second, whole lines at a time.
class RunLog {
  public:
    RunLog() = default;  // closed: add() does nothing, for runs that keep no log
    RunLog(RunLog&& other) noexcept;
    RunLog& operator=(RunLog&& other) noexcept;
    ~RunLog();

    // An empty log; what was there is replaced.
    static RunLog create(const std::string& path);

    // Goes on after `last_step`: rows behind it, and a last line that a crash tore, are cut off. A log that
    // is missing is begun anew. Refuses a file that is not a run log.
    static RunLog resume(const std::string& path, int64_t last_step);

    void add(const LogRow& row);
    void flush();  // also before a checkpoint is written, so that the log is never behind it

  private:
    RunLog(const std::string& path, const std::string& rows);  // a new file with these rows, open for more

    int descriptor_ = -1;
    std::string path_, waiting_;
    std::chrono::steady_clock::time_point last_flush_;
};

// All rows; a torn last line is left out. Refuses a file that is not a run log, naming the line.
std::vector<LogRow> read_run_log(const std::string& path);
