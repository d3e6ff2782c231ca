// temporary_folder.h - a folder that goes away with the test.
#pragma once
#include <stdlib.h>

#include <filesystem>
#include <string>

#include "tests/support/catch.h"

struct TemporaryFolder {
    std::string path;

    TemporaryFolder() {
        path = (std::filesystem::temp_directory_path() / "test.XXXXXX").string();
        REQUIRE(::mkdtemp(path.data()) != nullptr);
    }
    ~TemporaryFolder() {
        std::error_code left_behind;  // a test that has failed is not to end the program here
        std::filesystem::remove_all(path, left_behind);
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;

    std::string file(const std::string& name) const { return path + "/" + name; }
};
