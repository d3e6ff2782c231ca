// data_set.cpp - see data_set.h.
#include "io/data_set.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>

#include "core/check.h"
#include "io/file.h"

namespace {

std::optional<std::string> repository_above(std::string folder) {
    while (!folder.empty()) {
        if (file_exists(folder + "/data/fetch.sh")) return folder;
        folder.erase(folder.rfind('/') == std::string::npos ? 0 : folder.rfind('/'));
    }
    return std::nullopt;
}

// Runs a script with its stdout sent to stderr: stdout carries results only. Returns whether it succeeded.
bool run_script(const std::string& path) {
    const pid_t child = fork();
    if (child == 0) {
        dup2(STDERR_FILENO, STDOUT_FILENO);
        execl("/bin/bash", "bash", path.c_str(), static_cast<char*>(nullptr));
        _exit(127);
    }
    int status = 1;
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

std::optional<std::string> find_repository() {
    char buffer[PATH_MAX];
    const ssize_t length = readlink("/proc/self/exe", buffer, sizeof buffer);
    if (length > 0 && size_t(length) < sizeof buffer)
        if (auto found = repository_above(std::string(buffer, size_t(length)))) return found;
    return getcwd(buffer, sizeof buffer) ? repository_above(buffer) : std::nullopt;
}

std::optional<std::string> find_data_file(const std::string& set, const std::string& file) {
    const std::optional<std::string> repository = find_repository();
    if (!repository) return std::nullopt;
    const std::string path = *repository + "/data/" + set + "/" + file;
    if (!file_exists(path)) run_script(*repository + "/data/" + set + ".sh");
    return file_exists(path) ? std::optional<std::string>(path) : std::nullopt;
}
