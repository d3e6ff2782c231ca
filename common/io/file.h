// file.h - whole files: read at once, or written so that a crash leaves the old one or the new one, never
// half of one.
// Not here: reading piece by piece (safetensors and token files map theirs), run logs (run_log.h appends).
// Every failure is a user_error that names the path and the system's reason.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

bool file_exists(const std::string& path);  // anything but a folder
bool folder_exists(const std::string& path);

int64_t file_bytes(const std::string& path);     // 0 for what is no plain file
void require_readable(const std::string& path);  // user_error unless it can be opened, and is no folder

// The bytes of a file or a pipe. Errors: missing, a folder, unreadable, more than most_bytes (/dev/zero has
// no end).
std::string read_file(const std::string& path, size_t most_bytes = SIZE_MAX);

// The same for what comes from stdin, up to its end.
std::string read_stdin(size_t most_bytes = SIZE_MAX);

// What a writer callback writes to; buffers small pieces.
class FileWriter {
  public:
    FileWriter(int descriptor, std::string path, std::string temporary_path);
    void write(const void* bytes, size_t count);
    void write(const std::string& text) { write(text.data(), text.size()); }
    void flush();

    // Removes the temporary file and stops with errno's reason: the old file is as it was.
    [[noreturn]] void fail_with_errno(const char* doing);

  private:
    void write_through(const char* bytes, size_t count);

    int descriptor_;
    std::string path_, temporary_path_, buffer_;
};

// Writes a temporary file beside `path` (`path`.tmp), syncs it to the disk, and renames it to `path`. On any
// error (disk full, no permission) the temporary file is removed and `path` keeps its old content.
void write_file_atomically(const std::string& path, const std::string& bytes);
void write_file_atomically(const std::string& path, const std::function<void(FileWriter&)>& write);

// Makes the folder and its parents, and makes sure, by creating a file, that it can be written to.
void make_run_folder(const std::string& path);

// Makes the first folder of `parent`/001, 002, ... that is not there yet, and returns its name.
std::string make_numbered_folder(const std::string& parent);

// "runs/a" and "log.csv" give "runs/a/log.csv".
std::string join_path(const std::string& folder, const std::string& name);
