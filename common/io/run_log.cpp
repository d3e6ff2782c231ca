// run_log.cpp - log.csv: whole lines out, strict lines in.
#include "io/run_log.h"

#include <fcntl.h>
#include <unistd.h>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "core/check.h"
#include "io/file.h"
#include "io/utf8.h"

namespace {

constexpr double kFlushEveryS = 1;
constexpr size_t kColumns = 7;

// note: nine digits bring back every float exactly, and losses and rates are floats.
std::string to_line(const LogRow& row) {
    std::string line = format("%lld,%lld,%.9g,%.9g,%.9g,%.9g,", (long long)(row.step),
                              (long long)(row.tokens), row.loss, row.lr, row.grad_norm, row.tokens_per_s);
    if (row.val_loss) line += format("%.9g", *row.val_loss);
    return line + "\n";
}

bool parse_count(const std::string& text, int64_t* value) {
    if (text.empty() || text[0] < '0' || text[0] > '9') return false;
    char* end = nullptr;
    errno = 0;
    *value = std::strtoll(text.c_str(), &end, 10);
    return *end == '\0' && errno == 0;
}

bool parse_real(const std::string& text, double* value) {
    if (text.empty() || text[0] == ' ') return false;
    char* end = nullptr;
    *value = std::strtod(text.c_str(), &end);
    return *end == '\0';
}

bool parse_line(const std::string& line, LogRow* row) {
    std::vector<std::string> cells(1);
    for (char c : line) {
        if (c == ',')
            cells.emplace_back();
        else
            cells.back() += c;
    }
    if (cells.size() != kColumns) return false;
    double val_loss = 0;
    const bool has_val_loss = !cells[6].empty();
    if (!parse_count(cells[0], &row->step) || !parse_count(cells[1], &row->tokens) ||
        !parse_real(cells[2], &row->loss) || !parse_real(cells[3], &row->lr) ||
        !parse_real(cells[4], &row->grad_norm) || !parse_real(cells[5], &row->tokens_per_s) ||
        (has_val_loss && !parse_real(cells[6], &val_loss)))
        return false;
    row->val_loss.reset();
    if (has_val_loss) row->val_loss = val_loss;
    return true;
}

// Calls row(line, parsed) for every whole line behind the header. A file that a crash left without a whole
// header has none.
template <class F>
void for_each_row(const std::string& path, const std::string& text, F&& row) {
    const std::string shown = utf8::printable(path), header = kRunLogHeader;
    const size_t header_end = text.find('\n');
    const std::string first = text.substr(0, header_end);
    const bool is_torn_header =
        header_end == std::string::npos && header.compare(0, first.size(), first) == 0;
    if (is_torn_header) return;
    if (header_end == std::string::npos || first != header)
        user_error("%s is not a run log: its first line is not %s\nmove it away, or choose another folder",
                   shown.c_str(), kRunLogHeader);
    size_t number = 2;
    for (size_t begin = header_end + 1; begin < text.size(); number++) {
        const size_t end = text.find('\n', begin);
        if (end == std::string::npos) return;  // torn
        const std::string line = text.substr(begin, end - begin);
        LogRow parsed;
        if (!parse_line(line, &parsed))
            user_error("%s, line %zu: not a row of a run log: %s", shown.c_str(), number,
                       utf8::printable(line.substr(0, 80)).c_str());
        row(line, parsed);
        begin = end + 1;
    }
}

}  // namespace

// ---- Writing
// --------------------------------------------------------------------------------------------------------

RunLog RunLog::create(const std::string& path) {
    return RunLog(path, "");
}

RunLog RunLog::resume(const std::string& path, int64_t last_step) {
    std::string kept;
    if (file_exists(path)) {
        for_each_row(path, read_file(path), [&](const std::string& line, const LogRow& row) {
            if (row.step <= last_step) kept += line + "\n";
        });
    }
    return RunLog(path, kept);
}

RunLog::RunLog(const std::string& path, const std::string& rows) : path_(path) {
    write_file_atomically(path, std::string(kRunLogHeader) + "\n" + rows);
    descriptor_ = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
    if (descriptor_ < 0)
        user_error("cannot write %s: %s", utf8::printable(path).c_str(), std::strerror(errno));
    last_flush_ = std::chrono::steady_clock::now();
}

RunLog::RunLog(RunLog&& other) noexcept {
    *this = std::move(other);
}

RunLog& RunLog::operator=(RunLog&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    std::swap(path_, other.path_);
    std::swap(waiting_, other.waiting_);
    std::swap(last_flush_, other.last_flush_);
    return *this;
}

RunLog::~RunLog() {
    if (descriptor_ < 0) return;
    // note: a destructor must not stop the program; what cannot be written now has been reported by an
    // earlier flush, or is lost with the disk.
    if (!waiting_.empty() && ::write(descriptor_, waiting_.data(), waiting_.size()) < 0) waiting_.clear();
    ::close(descriptor_);
}

void RunLog::add(const LogRow& row) {
    if (descriptor_ < 0) return;
    waiting_ += to_line(row);
    const auto now = std::chrono::steady_clock::now();
    if (std::chrono::duration<double>(now - last_flush_).count() >= kFlushEveryS) flush();
}

void RunLog::flush() {
    if (descriptor_ < 0) return;
    // note: one system call for many lines: whoever reads along, or kills us, sees whole lines.
    const char* bytes = waiting_.data();
    size_t count = waiting_.size();
    while (count > 0) {
        const ssize_t written = ::write(descriptor_, bytes, count);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) {
            const int reason = errno;
            waiting_.clear();  // else the destructor would try again
            user_error("cannot write %s: %s", utf8::printable(path_).c_str(), std::strerror(reason));
        }
        bytes += written;
        count -= size_t(written);
    }
    waiting_.clear();
    last_flush_ = std::chrono::steady_clock::now();
}

// ---- Reading
// --------------------------------------------------------------------------------------------------------

std::vector<LogRow> read_run_log(const std::string& path) {
    const std::string text = read_file(path);
    std::vector<LogRow> rows;
    for_each_row(path, text, [&](const std::string&, const LogRow& row) { rows.push_back(row); });
    return rows;
}
