// progress.cpp - what the bar says and when it is drawn.
#include "io/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "core/check.h"

namespace {

constexpr double kDrawEveryS = 0.1;
constexpr int kDefaultColumns = 80;
constexpr int kWidestBar = 40;
constexpr int kNarrowestBar = 4;
// The speed shown is a mean that forgets: after this time a change of speed is visible to about two thirds.
constexpr double kRateMemoryS = 5;

bool locale_is_utf8() {
    for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
        const char* value = std::getenv(name);
        if (!value || !*value) continue;
        return std::strstr(value, "UTF-8") || std::strstr(value, "utf8") || std::strstr(value, "UTF8") ||
               std::strstr(value, "utf-8");
    }
    return false;
}

int terminal_columns(FILE* out) {
    winsize size = {};
    if (::ioctl(::fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    return kDefaultColumns;
}

std::string bar(double share, int columns, bool has_blocks) {
    std::string cells;
    if (!has_blocks) {
        const int full = int(share * columns);
        return std::string(size_t(full), '#') + std::string(size_t(columns - full), ' ');
    }
    // Each cell has eight steps: U+2588 is full, U+2589 seven eighths, ... U+258F one eighth.
    const int eighths = int(share * columns * 8);
    for (int c = 0; c < columns; c++) {
        const int filled = std::clamp(eighths - 8 * c, 0, 8);
        cells += filled == 0 ? std::string(" ") : std::string("\xe2\x96") + char(0x88 + 8 - filled);
    }
    return cells;
}

}  // namespace

std::string format_duration(double seconds) {
    if (!(seconds >= 0) || seconds > 1e9) return "?";
    const long long s = std::llround(seconds);
    if (s >= 3600) return format("%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
    return format("%02lld:%02lld", s / 60, s % 60);
}

std::string format_si(double value) {
    if (!std::isfinite(value)) return "?";
    const char* const suffixes[] = {"", "k", "M", "G", "T"};
    int power = 0;
    while (std::fabs(value) >= 999.5 && power < 4) value /= 1000, power++;
    const double size = std::fabs(value);
    const int decimals = size >= 99.95 || size == 0 ? 0 : size >= 9.995 ? 1 : 2;
    return format("%.*f%s", decimals, value, suffixes[power]);
}

Progress::Progress(ProgressOptions options) : options_(std::move(options)), done_(options_.first) {
    is_bar_ = options_.style == ProgressOptions::kBar ||
              (options_.style == ProgressOptions::kAuto && ::isatty(::fileno(options_.out)));
    has_blocks_ = options_.blocks && (options_.now || locale_is_utf8());
    started_ = rate_time_ = last_draw_ = seconds();
    rate_done_ = done_;
}

Progress::~Progress() {
    if (is_bar_ && is_drawn_ && !is_finished_) std::fputc('\n', options_.out), std::fflush(options_.out);
}

double Progress::seconds() const {
    if (options_.now) return options_.now();
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double Progress::steps_per_s() const {
    if (rate_ > 0) return rate_;
    const double elapsed = seconds() - started_;
    return elapsed > 0 ? double(done_ - options_.first) / elapsed : 0;
}

void Progress::update(int64_t done, const std::string& note) {
    done_ = done;
    note_ = note;
    const bool is_first = !is_updated_;
    is_updated_ = true;
    if (options_.quiet) return;
    const double now = seconds();
    if (!is_first && now - last_draw_ < (is_bar_ ? kDrawEveryS : options_.line_every_s)) return;

    const double interval = now - rate_time_;
    if (interval > 0 && done_ > rate_done_) {
        const double rate = double(done_ - rate_done_) / interval;
        // note: the second term makes it the plain mean at first, so that the first step does not weigh for
        // seconds.
        const double weight = std::max(1 - std::exp(-interval / kRateMemoryS), interval / (now - started_));
        rate_ += weight * (rate - rate_);
        rate_time_ = now;
        rate_done_ = done_;
    }
    last_draw_ = now;
    draw(false);
}

std::string Progress::line(int columns) const {
    const double elapsed = seconds() - started_;
    const double rate = steps_per_s();
    const double left = rate > 0 ? double(std::max<int64_t>(options_.total - done_, 0)) / rate : INFINITY;
    const double share =
        options_.total > 0 ? std::clamp(double(done_) / double(options_.total), 0.0, 1.0) : 0;

    // note: rounded down, so that 100% means all of it.
    const std::string head = format("%3d%%", int(share * 100));
    std::string tail = format("%lld/%lld [%s<%s", (long long)(done_), (long long)(options_.total),
                              format_duration(elapsed).c_str(), format_duration(left).c_str());
    tail += rate > 0 && rate < 1 ? format(", %ss/it", format_si(1 / rate).c_str())
                                 : format(", %sit/s", format_si(rate).c_str());
    if (options_.tokens_per_step > 0)
        tail += format(", %s tokens/s", format_si(rate * double(options_.tokens_per_step)).c_str());
    if (!note_.empty()) tail += ", " + note_;
    tail += "]";

    if (!is_bar_) return head + " " + tail;
    // note: a line as wide as the terminal makes some of them wrap, hence one column less.
    const int space = columns - 1 - int(head.size() + tail.size()) - 3;
    if (space >= kNarrowestBar)
        return head + "|" + bar(share, std::min(space, kWidestBar), has_blocks_) + "| " + tail;
    return (head + " " + tail).substr(0, size_t(std::max(columns - 1, 1)));
}

void Progress::draw(bool is_last) {
    if (!is_bar_) {
        std::fprintf(options_.out, "%s\n", line(0).c_str());
    } else {
        const int columns = options_.columns > 0 ? options_.columns : terminal_columns(options_.out);
        // \r: to the line's start; \x1b[K: clear what an older, longer line left.
        std::fprintf(options_.out, "\r%s\x1b[K%s", line(columns).c_str(), is_last ? "\n" : "");
        is_drawn_ = true;
    }
    std::fflush(options_.out);
}

void Progress::print(const std::string& text) {
    if (options_.quiet) return;
    clear();
    std::fprintf(options_.out, "%s\n", text.c_str());
    if (is_bar_ && is_updated_ && !is_finished_) draw(false);
    std::fflush(options_.out);
}

void Progress::clear() {
    if (!is_bar_ || !is_drawn_ || is_finished_) return;
    std::fputs("\r\x1b[K", options_.out);
    std::fflush(options_.out);
    is_drawn_ = false;
}

void Progress::finish() {
    if (is_finished_) return;
    // note: over the whole run, not the last seconds.
    rate_ = 0;
    if (!options_.quiet && is_updated_) draw(true);
    is_finished_ = true;
}
