// safetensors.cpp - a fuzz target: any bytes as a safetensors file. The reader accepts or refuses, in one
// line, and never crashes, hangs or reads past what it checked.
// Run: make fuzz
#include "io/safetensors.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "tests/support/throwing_failures.h"

namespace {

void require(bool condition, const char* what) {
    if (condition) return;
    std::fprintf(stderr, "fuzz target: %s\n", what);
    std::abort();
}

// The one file that every input is written to. It lies in memory: on a disk, most of the time would go there.
struct InputFile {
    int descriptor = memfd_create("fuzz_safetensors", 0);
    std::string path = "/proc/self/fd/" + std::to_string(descriptor);

    void set(const std::string& bytes) const {
        require(ftruncate(descriptor, 0) == 0, "cannot empty the file in memory");
        const ssize_t written = pwrite(descriptor, bytes.data(), bytes.size(), 0);
        require(written == ssize_t(bytes.size()), "cannot write the file in memory");
    }
};

// Everything that an accepted file promises must be there to be read.
void read_everything(const std::string& path, uint64_t input_bytes) {
    const SafetensorsFile file = SafetensorsFile::open(path);
    uint64_t total = 0;
    for (const std::string& name : file.names()) {
        const SafetensorsFile::Entry& entry = file.entry(name);
        total += entry.bytes;
        require(total <= input_bytes, "accepted tensors larger than their file");
        std::vector<char> bytes(entry.bytes);
        file.read(name, bytes.data(), bytes.size());
        uint64_t elements = 1;
        for (int64_t size : entry.shape) elements *= uint64_t(size);
        std::vector<float> floats(entry.dtype == "F32" || entry.dtype == "BF16" ? elements : 0);
        file.read_floats(name, entry.shape, floats.data());  // refuses the other dtypes
    }
}

void open_and_read(const InputFile& input, const std::string& bytes) {
    input.set(bytes);
    try {
        read_everything(input.path, bytes.size());
    } catch (const Failure& failure) {
        require(failure.kind == FailureKind::kUser, failure.message.c_str());
        require(failure.message.find('\n') == std::string::npos, "a refusal of more than one line");
    }
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): the name that libFuzzer calls
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static const InputFile input;
    ThrowingFailures throwing;
    std::string bytes(reinterpret_cast<const char*>(data), size);
    open_and_read(input, bytes);

    // Changes to the JSON mostly change its length. With the length set right, they get past the first check.
    const size_t last_brace = bytes.rfind('}');
    uint64_t length = 0;
    if (last_brace == std::string::npos || last_brace < sizeof length) return 0;
    length = last_brace + 1 - sizeof length;
    std::memcpy(bytes.data(), &length, sizeof length);
    open_and_read(input, bytes);
    return 0;
}
