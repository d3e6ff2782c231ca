// progress.h - the bar that a training run draws on stderr:
//    42%|########        | 6588/15685 [01:44<02:24, 62.9it/s, 129k tokens/s, loss=1.532]
// On a terminal the line is redrawn, at most ten times a second; elsewhere (a file, CI) it is printed plainly
// every few seconds; with --quiet not at all.
// Not here: log.csv (run_log.h), which keeps every step.
#pragma once
#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>

struct ProgressOptions {
    int64_t total = 0;            // steps until the end of training
    int64_t first = 0;            // steps done before this process started (resume)
    int64_t tokens_per_step = 0;  // above 0: also prints tokens/s
    bool quiet = false;
    double line_every_s = 10;  // between plain lines

    // For tests; a program leaves them alone.
    FILE* out = stderr;
    enum Style { kAuto, kBar, kLines } style = kAuto;  // kAuto: a bar if `out` is a terminal
    int columns = 0;                                   // 0: asks the terminal
    bool blocks = true;                                // smooth bar; false, or a locale without UTF-8: '#'
    std::function<double()> now;                       // seconds; empty: the steady clock
};

class Progress {
  public:
    explicit Progress(ProgressOptions options);
    ~Progress();  // leaves the cursor on a fresh line
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    // `done` steps of the total, and what else to show ("loss=1.532").
    void update(int64_t done, const std::string& note);

    // A line of its own above the bar, on the same stream; nothing if quiet.
    void print(const std::string& line);

    // Takes the bar off the screen, for output on stdout; the next update draws it again. Call it before an
    // error, too.
    void clear();

    // The last state, kept on the screen.
    void finish();

  private:
    void draw(bool is_last);
    std::string line(int columns) const;
    double seconds() const;
    double steps_per_s() const;

    ProgressOptions options_;
    bool is_bar_ = false, has_blocks_ = false, is_drawn_ = false, is_finished_ = false, is_updated_ = false;
    int64_t done_ = 0;
    std::string note_;
    double started_ = 0, last_draw_ = 0, rate_time_ = 0, rate_ = 0;
    int64_t rate_done_ = 0;
};

// "1:02:03", "02:03"; "?" for what is not finite.
std::string format_duration(double seconds);

// "950", "12.3k", "4.56M": three digits are enough for a speed.
std::string format_si(double value);
