// document_source.cpp - see document_source.h.
#include "chapters/02_small_gpt/document_source.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>

#include "core/check.h"
#include "io/utf8.h"
#include "io/xxhash64.h"

namespace small_gpt {

namespace {

constexpr size_t kReadBytes = size_t(1) << 18;
constexpr size_t kMostLine = size_t(1) << 30;  // a "line" without an end must not eat the memory
constexpr size_t kBlocksAhead = 3;

bool ends_with(const std::string& text, const std::string& end) {
    return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// A file, or what `xz -dc` makes of it. No shell: a name is only ever an argument.
class Input {
  public:
    explicit Input(const std::string& path) : shown_(utf8::printable(path)) {
        file_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
        struct stat status;
        if (file_ < 0 || ::fstat(file_, &status) != 0) {
            error_ = format("cannot read %s: %s", shown_.c_str(), std::strerror(errno));
        } else if (S_ISDIR(status.st_mode)) {
            error_ = format("cannot read %s: it is a folder, not a file", shown_.c_str());
        } else if (ends_with(path, ".xz")) {
            decompress();
        }
    }
    ~Input() {
        if (file_ >= 0) ::close(file_);
        if (child_ > 0) {
            ::kill(child_, SIGTERM);  // it may be waiting for a reader
            wait_for_child();
        }
    }
    Input(const Input&) = delete;
    Input& operator=(const Input&) = delete;

    // Reads up to kReadBytes and returns how many; 0 at the end, or on an error.
    size_t read_some(char* to) {
        if (!error_.empty()) return 0;
        ssize_t got;
        do got = ::read(file_, to, kReadBytes);
        while (got < 0 && errno == EINTR);
        if (got < 0) error_ = format("cannot read %s: %s", shown_.c_str(), std::strerror(errno));
        if (got == 0 && child_ > 0) {
            const int status = wait_for_child();
            if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
                error_ = format("cannot read %s: the program xz is not here; make deps installs it",
                                shown_.c_str());
            else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                error_ = format("cannot read %s: xz says that it is damaged or cut", shown_.c_str());
        }
        return size_t(std::max<ssize_t>(got, 0));
    }
    const std::string& error() const { return error_; }

  private:
    void decompress() {
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0) {
            error_ = format("cannot read %s: %s", shown_.c_str(), std::strerror(errno));
            return;
        }
        child_ = ::fork();
        if (child_ == 0) {
            // Only calls that are safe between fork and exec in a program with threads.
            ::dup2(file_, STDIN_FILENO);
            ::dup2(ends[1], STDOUT_FILENO);
            const int nothing = ::open("/dev/null", O_WRONLY);
            if (nothing >= 0) ::dup2(nothing, STDERR_FILENO);
            ::execlp("xz", "xz", "-dc", static_cast<char*>(nullptr));
            _exit(127);
        }
        ::close(ends[1]);
        ::close(file_);
        file_ = ends[0];
        if (child_ < 0) error_ = format("cannot read %s: %s", shown_.c_str(), std::strerror(errno));
    }
    int wait_for_child() {
        int status = 0;
        while (::waitpid(child_, &status, 0) < 0 && errno == EINTR) {
        }
        child_ = 0;
        return status;
    }

    std::string shown_, error_;
    int file_ = -1;
    pid_t child_ = 0;
};

}  // namespace

struct DocumentSource::State {
    std::vector<std::string> paths;
    size_t block_bytes;
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<SourceBlock> ready;
    std::vector<std::string> spare;
    bool is_at_end = false, is_stopping = false;
    XxHash64 content;  // the thread's
    std::thread thread;

    // Hands a block over; false when nobody wants more.
    bool put(SourceBlock&& block) {
        std::unique_lock<std::mutex> lock(mutex);
        changed.wait(lock, [&] { return ready.size() < kBlocksAhead || is_stopping; });
        if (is_stopping) return false;
        ready.push_back(std::move(block));
        changed.notify_all();
        return true;
    }

    void read_all() {
        for (size_t i = 0; i < paths.size(); i++) {
            const bool is_lines = ends_with(paths[i], ".jsonl") || ends_with(paths[i], ".jsonl.xz");
            if (!read_file(i, is_lines)) break;
        }
        const std::lock_guard<std::mutex> lock(mutex);
        is_at_end = true;
        changed.notify_all();
    }

    // Memory with room for a block and what is read behind its end.
    std::string room() {
        std::string bytes;
        {
            const std::lock_guard<std::mutex> lock(mutex);
            if (!spare.empty()) bytes = std::move(spare.back()), spare.pop_back();
        }
        // note: what is new in a string is cleared first; in one that was full before, that is little.
        if (bytes.size() < block_bytes + 2 * kReadBytes) bytes.resize(block_bytes + 2 * kReadBytes);
        return bytes;
    }

    // False when there is nothing more to do.
    bool read_file(size_t index, bool is_lines) {
        Input input(paths[index]);
        std::string bytes;
        size_t filled = 0;  // bytes of it; the others are room
        const auto hand_over = [&](size_t end) {
            SourceBlock block;
            block.is_lines = is_lines, block.source = index;
            std::string rest = end < filled ? room() : std::string();
            filled -= end;
            if (rest.size() < filled) rest.resize(filled);
            std::memcpy(&rest[0], bytes.data() + end, filled);
            bytes.resize(end);
            block.bytes = std::move(bytes);
            bytes = std::move(rest);
            content.add(block.bytes.data(), block.bytes.size());
            block.content_hash = content.value();
            return put(std::move(block));
        };
        size_t searched = block_bytes;  // no line end between block_bytes and here
        const auto too_long = [&] { return filled > kMostLine; };
        while (!too_long()) {
            if (bytes.empty()) bytes = room();
            if (bytes.size() < filled + kReadBytes) bytes.resize(2 * bytes.size());
            const size_t got = input.read_some(&bytes[filled]);
            if (got == 0) break;
            filled += got;
            while (is_lines && filled > searched) {
                const size_t end = std::string_view(bytes.data(), filled).find('\n', searched);
                searched = end == std::string::npos ? filled : block_bytes;
                if (end != std::string::npos && !hand_over(end + 1)) return false;
            }
        }
        SourceBlock failed;
        failed.error = input.error();
        if (too_long())
            failed.error =
                format("%s has a %s of more than %zu bytes; cut it into documents",
                       utf8::printable(paths[index]).c_str(), is_lines ? "line" : "text", kMostLine);
        if (!failed.error.empty()) {
            put(std::move(failed));
            return false;
        }
        return filled == 0 || hand_over(filled);
    }
};

DocumentSource::DocumentSource(std::vector<std::string> paths, size_t block_bytes)
    : state_(std::make_unique<State>()) {
    state_->paths = std::move(paths);
    state_->block_bytes = block_bytes;
    state_->thread = std::thread([this] { state_->read_all(); });
}

DocumentSource::~DocumentSource() {
    {
        const std::lock_guard<std::mutex> lock(state_->mutex);
        state_->is_stopping = true;
        state_->changed.notify_all();
    }
    state_->thread.join();
}

bool DocumentSource::next(SourceBlock* block) {
    {
        std::unique_lock<std::mutex> lock(state_->mutex);
        state_->changed.wait(lock, [&] { return !state_->ready.empty() || state_->is_at_end; });
        if (state_->ready.empty()) return false;
        *block = std::move(state_->ready.front());
        state_->ready.pop_front();
        state_->changed.notify_all();
    }
    if (!block->error.empty()) user_error("%s", block->error.c_str());
    return true;
}

void DocumentSource::give_back(std::string&& bytes) {
    const std::lock_guard<std::mutex> lock(state_->mutex);
    state_->spare.push_back(std::move(bytes));
}

}  // namespace small_gpt
