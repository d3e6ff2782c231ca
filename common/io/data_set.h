// data_set.h - finds the files of a data set, fetching them with the set's own script data/NAME.sh when they
// are missing.
// Not here: addresses and checksums; the scripts have them.
#pragma once
#include <optional>
#include <string>

// The repository that this program was built in: the nearest folder above the executable, else above the
// working directory, that has data/fetch.sh. Nothing when the program was copied elsewhere.
std::optional<std::string> find_repository();

// The path of data/SET/FILE, after running data/SET.sh if it is not there. Nothing when the script could not
// get it; the script's own messages have gone to stderr.
std::optional<std::string> find_data_file(const std::string& set, const std::string& file);
