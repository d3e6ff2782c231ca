// test_file.cpp - reading what is not there, and writing where it does not fit.
#include "io/file.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "tests/support/catch.h"
#include "tests/support/killed_process.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/throwing_failures.h"

namespace {

// While it lives, no file can grow beyond so many bytes: what a full disk looks like, without one.
struct FileSizeLimit {
    rlimit before;
    explicit FileSizeLimit(size_t bytes) {
        ::getrlimit(RLIMIT_FSIZE, &before);
        rlimit now = before;
        now.rlim_cur = bytes;
        ::setrlimit(RLIMIT_FSIZE, &now);
        ::signal(SIGXFSZ, SIG_IGN);
    }
    ~FileSizeLimit() {
        ::setrlimit(RLIMIT_FSIZE, &before);
        ::signal(SIGXFSZ, SIG_DFL);
    }
};

}  // namespace

TEST_CASE("file: bytes come back as they were written", "[cpu]") {
    TemporaryFolder folder;
    const std::string path = join_path(folder.path, "a.bin");
    for (size_t size : {size_t(0), size_t(1), size_t(4096), (size_t(3) << 20) + 1}) {
        std::string bytes(size, '\0');
        for (size_t i = 0; i < size; i++) bytes[i] = char(i * 31 + i / 256);
        write_file_atomically(path, bytes);
        REQUIRE(read_file(path) == bytes);
        write_file_atomically(path, [&](FileWriter& writer) {  // in pieces that straddle the buffer
            for (size_t i = 0; i < size; i += 70001)
                writer.write(&bytes[i], std::min<size_t>(70001, size - i));
        });
        REQUIRE(read_file(path) == bytes);
    }
    REQUIRE(file_exists(path));
    REQUIRE_FALSE(file_exists(path + ".tmp"));
    REQUIRE_FALSE(file_exists(folder.path));
    REQUIRE(folder_exists(folder.path));
}

TEST_CASE("file: what cannot be read is refused in one line", "[cpu]") {
    TemporaryFolder folder;
    const Failure missing = failure_of([&] { read_file(folder.path + "/none\nsuch"); });
    REQUIRE(missing.kind == FailureKind::kUser);
    REQUIRE_THAT(missing.message, contains("none\\nsuch: No such file"));
    REQUIRE(missing.message.find('\n') == std::string::npos);
    REQUIRE_THAT(failure_of([&] { read_file(folder.path); }).message, contains("it is a folder, not a file"));
    REQUIRE_THAT(failure_of([&] { read_file(""); }).message, contains("cannot read"));

    const std::string path = join_path(folder.path, "secret");
    write_file_atomically(path, "x");
    ::chmod(path.c_str(), 0);
    if (::geteuid() != 0) {
        REQUIRE_THAT(failure_of([&] { read_file(path); }).message, contains("Permission denied"));
    } else {
        // note: root may read everything, so an ordinary user tries in a child process.
        ::chmod(folder.path.c_str(), 0755);
        const pid_t child = ::fork();
        if (child == 0) {
            const bool is_dropped = ::setgid(65534) == 0 && ::setuid(65534) == 0;
            const std::string message = failure_of([&] { read_file(path); }).message;
            ::_exit(!is_dropped || message.find("Permission denied") != std::string::npos ? 0 : 1);
        }
        int status = 0;
        ::waitpid(child, &status, 0);
        REQUIRE(status == 0);
    }
}

TEST_CASE("file: a pipe is read to its end", "[cpu]") {
    TemporaryFolder folder;
    const std::string path = join_path(folder.path, "pipe");
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    const std::string command = "head -c 3000000 /dev/zero > " + path + " &";
    REQUIRE(std::system(command.c_str()) == 0);
    REQUIRE(read_file(path).size() == 3000000);
}

TEST_CASE("file: a full disk leaves the old file and no temporary one", "[cpu]") {
    TemporaryFolder folder;
    const std::string path = join_path(folder.path, "checkpoint");
    write_file_atomically(path, "old");
    const std::string large(size_t(3) << 20, 'x');
    for (const bool in_pieces : {false, true}) {
        CAPTURE(in_pieces);
        Failure failure;
        {
            FileSizeLimit limit(100000);
            failure = failure_of([&] {
                write_file_atomically(path, [&](FileWriter& writer) {
                    const size_t piece = in_pieces ? 1000 : large.size();
                    for (size_t i = 0; i < large.size(); i += piece)
                        writer.write(&large[i], std::min(piece, large.size() - i));
                });
            });
        }
        REQUIRE(failure.kind == FailureKind::kUser);
        REQUIRE_THAT(failure.message, contains("cannot write " + path + ": File too large"));
        REQUIRE(read_file(path) == "old");
        REQUIRE_FALSE(file_exists(path + ".tmp"));
    }
}

TEST_CASE("file: writing to impossible places is refused", "[cpu]") {
    TemporaryFolder folder;
    REQUIRE_THAT(failure_of([&] { write_file_atomically(folder.path + "/none/a", "x"); }).message,
                 contains("No such file or directory"));
    REQUIRE(::mkdir((folder.path + "/taken").c_str(), 0777) == 0);
    REQUIRE_THAT(failure_of([&] { write_file_atomically(folder.path + "/taken", "x"); }).message,
                 contains("cannot replace"));
    REQUIRE_FALSE(file_exists(folder.path + "/taken.tmp"));
}

TEST_CASE("file: what a killed run left is no obstacle", "[cpu]") {
    TemporaryFolder folder;
    const std::string path = join_path(folder.path, "a");
    write_file_atomically(path + ".tmp", "half of it");
    write_file_atomically(path, "whole");
    REQUIRE(read_file(path) == "whole");
    REQUIRE_FALSE(file_exists(path + ".tmp"));
    // A link in the place of the temporary file is replaced, not followed.
    write_file_atomically(join_path(folder.path, "victim"), "untouched");
    REQUIRE(::symlink((folder.path + "/victim").c_str(), (path + ".tmp").c_str()) == 0);
    write_file_atomically(path, "again");
    REQUIRE(read_file(join_path(folder.path, "victim")) == "untouched");
}

TEST_CASE("file: two writers of one file do not mix", "[cpu]") {
    TemporaryFolder folder;
    const std::string path = join_path(folder.path, "a");
    const Failure failure = failure_of([&] {
        write_file_atomically(path, [&](FileWriter& writer) {
            writer.write("first");
            write_file_atomically(path, "second");
        });
    });
    REQUIRE_THAT(failure.message, contains("another process is writing it"));
    REQUIRE(read_file(path) == "second");
}

TEST_CASE("file: a run folder is made with its parents, or refused", "[cpu]") {
    TemporaryFolder folder;
    const std::string path = folder.path + "/runs/a b/c";
    make_run_folder(path);
    make_run_folder(path + "/");
    REQUIRE(folder_exists(path));
    REQUIRE(std::filesystem::is_empty(path));  // the file that tried it out is gone

    write_file_atomically(folder.path + "/file", "x");
    REQUIRE_THAT(failure_of([&] { make_run_folder(folder.path + "/file"); }).message,
                 contains("Not a directory"));
    REQUIRE_THAT(failure_of([&] { make_run_folder(folder.path + "/file/sub"); }).message,
                 contains("Not a directory"));
    REQUIRE(failure_of([&] { make_run_folder(""); }).kind == FailureKind::kUser);
    REQUIRE_THAT(failure_of([&] { make_run_folder("/proc/none"); }).message,
                 contains("cannot make the folder /proc/none"));
    REQUIRE_THAT(failure_of([&] { make_run_folder("/proc"); }).message,
                 contains("cannot write to the folder /proc"));
    FileSizeLimit full(0);
    REQUIRE_THAT(failure_of([&] { make_run_folder(path); }).message, contains("cannot write to the folder"));
}

TEST_CASE("file: what a process leaves that is killed while it tries a run folder out, the next one removes",
          "[cpu]") {
    TemporaryFolder folder;
    for (int kill = 0; kill < 30; kill++)
        repeat_until_killed(1000 + 50 * kill, [&] { make_run_folder(folder.path); });
    make_run_folder(folder.path);
    REQUIRE(std::filesystem::is_empty(folder.path));
}

TEST_CASE("file: paths are joined with one slash", "[cpu]") {
    REQUIRE(join_path("runs/a", "log.csv") == "runs/a/log.csv");
    REQUIRE(join_path("runs/a/", "log.csv") == "runs/a/log.csv");
    REQUIRE(join_path("", "log.csv") == "log.csv");
}

TEST_CASE("file: numbered folders take the next free number", "[cpu]") {
    TemporaryFolder folder;
    const std::string runs = join_path(folder.path, "a/b");
    REQUIRE(make_numbered_folder(runs) == runs + "/001");
    REQUIRE(make_numbered_folder(runs) == runs + "/002");
    write_file_atomically(join_path(runs, "003"), "a file takes a number, too");
    REQUIRE(make_numbered_folder(runs) == runs + "/004");
    REQUIRE(folder_exists(runs + "/004"));
}

TEST_CASE("file: stdin is read to its end, zero bytes included", "[cpu]") {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const int before = ::dup(0);
    ::dup2(ends[0], 0);
    REQUIRE(::write(ends[1], "a\0b\n", 4) == 4);
    ::close(ends[1]);
    const std::string bytes = read_stdin();
    ::dup2(before, 0);
    ::close(before), ::close(ends[0]);
    REQUIRE(bytes == std::string("a\0b\n", 4));
}
