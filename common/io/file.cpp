// file.cpp - the system calls behind file.h: POSIX, because a stream neither syncs nor says why it failed.
#include "io/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>
#include <new>

#include "core/check.h"
#include "io/utf8.h"

namespace {

constexpr size_t kBufferBytes = size_t(1) << 20;
// A call to the system costs less than copying so many bytes.
constexpr size_t kLargePiece = size_t(1) << 14;

// Closes what it holds, also when a test's failure handler throws.
struct Descriptor {
    int value;
    explicit Descriptor(int descriptor) : value(descriptor) {}
    ~Descriptor() { close(); }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    int close() {
        const int result = value >= 0 ? ::close(value) : 0;
        value = -1;
        return result;
    }
};

// Removes the temporary file unless it became the real one.
struct TemporaryFile {
    std::string path;
    bool is_renamed = false;
    ~TemporaryFile() {
        if (!is_renamed) ::unlink(path.c_str());
    }
};

std::string parent_of(const std::string& path) {
    const size_t slash = path.find_last_of('/');
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

bool file_exists(const std::string& path) {
    struct stat status;
    return ::stat(path.c_str(), &status) == 0 && !S_ISDIR(status.st_mode);
}

bool folder_exists(const std::string& path) {
    struct stat status;
    return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

int64_t file_bytes(const std::string& path) {
    struct stat status;
    return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) ? int64_t(status.st_size) : 0;
}

void require_readable(const std::string& path) {
    const std::string shown = utf8::printable(path);
    if (folder_exists(path)) user_error("cannot read %s: it is a folder, not a file", shown.c_str());
    Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (file.value < 0) user_error("cannot read %s: %s", shown.c_str(), std::strerror(errno));
}

std::string join_path(const std::string& folder, const std::string& name) {
    if (folder.empty()) return name;
    return folder.back() == '/' ? folder + name : folder + "/" + name;
}

// ---- Reading
// --------------------------------------------------------------------------------------------------------

namespace {

// Everything from an open descriptor; `shown` names it in errors.
std::string read_descriptor(int descriptor, const std::string& shown, size_t most_bytes) {
    struct stat status;
    if (::fstat(descriptor, &status) != 0)
        user_error("cannot read %s: %s", shown.c_str(), std::strerror(errno));
    if (S_ISDIR(status.st_mode)) user_error("cannot read %s: it is a folder, not a file", shown.c_str());

    const auto check_size = [&](uint64_t bytes) {
        if (bytes > most_bytes)
            user_error(
                "cannot read %s: it has %s%llu bytes, more than the %zu that fit here; use a part of it",
                shown.c_str(), S_ISREG(status.st_mode) ? "" : "at least ", (unsigned long long)(bytes),
                most_bytes);
    };
    check_size(uint64_t(status.st_size));

    // note: the size is a first guess only. A pipe and the files of /proc say 0, and a file may grow.
    std::string bytes;
    size_t count = 0;
    try {
        bytes.resize(status.st_size > 0 ? size_t(status.st_size) + 1 : kBufferBytes);
        for (;;) {
            if (count == bytes.size()) bytes.resize(bytes.size() * 2);
            const ssize_t got = ::read(descriptor, &bytes[count], bytes.size() - count);
            if (got < 0 && errno == EINTR) continue;
            if (got < 0) user_error("cannot read %s: %s", shown.c_str(), std::strerror(errno));
            if (got == 0) break;
            count += size_t(got);
            check_size(count);
        }
    } catch (const std::bad_alloc&) {
        user_error("cannot read %s: its %lld bytes do not fit into memory", shown.c_str(),
                   (long long)(status.st_size));
    }
    bytes.resize(count);
    return bytes;
}

}  // namespace

std::string read_file(const std::string& path, size_t most_bytes) {
    const std::string shown = utf8::printable(path);
    Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (file.value < 0) user_error("cannot read %s: %s", shown.c_str(), std::strerror(errno));
    return read_descriptor(file.value, shown, most_bytes);
}

std::string read_stdin(size_t most_bytes) {
    return read_descriptor(STDIN_FILENO, "stdin", most_bytes);
}

// ---- Writing
// --------------------------------------------------------------------------------------------------------

FileWriter::FileWriter(int descriptor, std::string path, std::string temporary_path)
    : descriptor_(descriptor), path_(std::move(path)), temporary_path_(std::move(temporary_path)) {}

void FileWriter::write(const void* bytes, size_t count) {
    const char* from = static_cast<const char*>(bytes);
    if (count >= kLargePiece || buffer_.size() + count > kBufferBytes) flush();
    if (count >= kLargePiece)
        write_through(from, count);
    else
        buffer_.append(from, count);
}

void FileWriter::flush() {
    write_through(buffer_.data(), buffer_.size());
    buffer_.clear();
}

void FileWriter::write_through(const char* bytes, size_t count) {
    while (count > 0) {
        const ssize_t written = ::write(descriptor_, bytes, count);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) fail_with_errno("write");
        bytes += written;
        count -= size_t(written);
    }
}

void FileWriter::fail_with_errno(const char* doing) {
    const int reason = errno;
    // note: here, and not in a destructor, because user_error ends the program without running any.
    ::unlink(temporary_path_.c_str());
    user_error("cannot %s %s: %s", doing, utf8::printable(path_).c_str(), std::strerror(reason));
}

void write_file_atomically(const std::string& path, const std::function<void(FileWriter&)>& write) {
    // note: always the same temporary name, so that killed runs leave at most one file behind, and the next
    // write takes it.
    TemporaryFile temporary{path + ".tmp"};
    ::unlink(temporary.path.c_str());
    Descriptor file(::open(temporary.path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    FileWriter writer(file.value, path, temporary.path);
    if (file.value < 0) {
        temporary.is_renamed = true;  // nothing of ours to remove
        user_error("cannot write %s: %s", utf8::printable(path).c_str(), std::strerror(errno));
    }

    write(writer);
    writer.flush();

    // subtle: without this sync a power cut may keep the new name and lose the bytes behind it.
    if (::fsync(file.value) != 0 && errno != EINVAL) writer.fail_with_errno("write");

    // Two runs in one folder would rename each other's unfinished file.
    struct stat ours, named;
    const bool is_ours = ::fstat(file.value, &ours) == 0 && ::lstat(temporary.path.c_str(), &named) == 0 &&
                         ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
    if (!is_ours) {
        temporary.is_renamed = true;
        user_error("cannot write %s: another process is writing it", utf8::printable(path).c_str());
    }
    if (file.close() != 0) writer.fail_with_errno("write");
    if (::rename(temporary.path.c_str(), path.c_str()) != 0) writer.fail_with_errno("replace");
    temporary.is_renamed = true;

    // The name itself lies in the folder. Some file systems cannot sync one; then the rename is as safe as
    // they make it.
    Descriptor folder(::open(parent_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (folder.value >= 0) ::fsync(folder.value);
}

void write_file_atomically(const std::string& path, const std::string& bytes) {
    write_file_atomically(path, [&](FileWriter& writer) { writer.write(bytes); });
}

// ---- Folders
// --------------------------------------------------------------------------------------------------------

void make_run_folder(const std::string& path) {
    const std::string shown = utf8::printable(path);
    if (path.empty()) user_error("cannot make a folder without a name");
    for (size_t end = 1; end <= path.size(); end++) {
        if (end < path.size() && path[end] != '/') continue;
        const std::string part = path.substr(0, end);
        if (folder_exists(part)) continue;
        if (::mkdir(part.c_str(), 0777) == 0) continue;
        const int reason = errno;
        if (folder_exists(part)) continue;  // somebody else made it at the same moment, and that is as good
        user_error("cannot make the folder %s: %s: %s", shown.c_str(), utf8::printable(part).c_str(),
                   std::strerror(file_exists(part) ? ENOTDIR : reason));
    }
    // note: permission bits do not tell (read-only and full disks, root), a file does. One name for all: whoever is
    // killed here leaves one file, and the same user's next run removes it. Two that start at the same moment may remove
    // each other's; no O_EXCL then, and each writes to what it has opened.
    const std::string probe = join_path(path, ".probe.tmp");
    ::unlink(probe.c_str());
    Descriptor file(::open(probe.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666));
    const bool is_written = file.value >= 0 && ::write(file.value, "probe\n", 6) == 6;
    const int reason = errno;
    if (file.value >= 0) ::unlink(probe.c_str());
    if (!is_written) user_error("cannot write to the folder %s: %s", shown.c_str(), std::strerror(reason));
}

std::string make_numbered_folder(const std::string& parent) {
    make_run_folder(parent);
    for (int number = 1;; number++) {
        // note: of two runs that start at the same moment, one makes the folder and the other takes the next number.
        const std::string folder = join_path(parent, format("%03d", number));
        if (::mkdir(folder.c_str(), 0777) != 0 && errno == EEXIST) continue;
        make_run_folder(folder);  // also says what is wrong
        return folder;
    }
}
