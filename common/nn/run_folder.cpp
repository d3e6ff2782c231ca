// run_folder.cpp - see run_folder.h.
#include "nn/run_folder.h"

#include <filesystem>

#include "core/check.h"
#include "io/file.h"
#include "io/utf8.h"
#include "nn/checkpoint.h"

namespace fs = std::filesystem;

SafetensorsFile open_for_resume(const std::string& folder) {
    if (file_exists(folder))
        user_error("--resume %s: that is a file; name the run's folder", utf8::printable(folder).c_str());
    if (!folder_exists(folder))
        user_error("--resume %s: there is no such folder; a run's folder is named in its first lines",
                   utf8::printable(folder).c_str());
    const std::string path = join_path(folder, kCheckpointName);
    if (!file_exists(path))
        user_error("--resume %s: the folder has no %s; start a run with --out instead",
                   utf8::printable(folder).c_str(), kCheckpointName);
    return SafetensorsFile::open(path, Checksum::kRequired);
}

bool has_current_report(const std::string& folder) {
    const auto time_of = [&](const char* name) {
        std::error_code is_missing;  // then the earliest time there is
        return fs::last_write_time(join_path(folder, name), is_missing);
    };
    return time_of(kReportName) >= time_of(kCheckpointName);
}

std::string new_run_folder(const std::string& out, const std::string& runs) {
    if (out.empty()) return make_numbered_folder(runs);
    if (file_exists(join_path(out, kCheckpointName)))
        user_error(
            "--out %s holds a checkpoint already; go on with it by --resume %s, or name another folder",
            utf8::printable(out).c_str(), utf8::printable(out).c_str());
    make_run_folder(out);
    return out;
}

std::string find_checkpoint(const std::string& path, const std::string& runs, const char* name) {
    if (!path.empty()) {
        if (!folder_exists(path)) return path;  // a file, or nothing: opening it says so
        const std::string inside = join_path(path, name);
        if (!file_exists(inside))
            user_error("--checkpoint %s: the folder has no %s", utf8::printable(path).c_str(), name);
        return inside;
    }
    std::string newest;
    fs::file_time_type newest_time{};
    std::error_code error;
    fs::directory_iterator entry(runs, error), end;
    for (; !error && entry != end; entry.increment(error)) {
        const fs::path candidate = entry->path() / name;
        std::error_code has_none;
        const fs::file_time_type time = fs::last_write_time(candidate, has_none);
        if (!has_none && (newest.empty() || time > newest_time))
            newest = candidate.string(), newest_time = time;
    }
    if (newest.empty())
        user_error("there is no run under %s yet; train one first, or name one with --checkpoint",
                   runs.c_str());
    return newest;
}
