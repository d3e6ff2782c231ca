// safetensors.cpp - a fuzz target: any bytes as a safetensors file. The reader accepts or refuses, in one
// line, and never crashes, hangs or reads past what it checked. Run by hand: clang++ -std=c++17 -g -O1
// -fsanitize=fuzzer,address,undefined -Icommon -I.
//              tests/fuzz/safetensors.cpp common/io/safetensors.cpp common/io/file.cpp -o fuzz_safetensors
//              ./fuzz_safetensors -max_total_time=60 NEW_INPUTS_FOLDER tests/fuzz/corpus/safetensors
// Without libFuzzer: -DGPT_FUZZ_STANDALONE gives it a main, see the end of the file.
#include "io/safetensors.h"

#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "tests/support/throwing_failures.h"

namespace {

void require(bool condition, const char* what) {
    if (condition) return;
    std::fprintf(stderr, "fuzz target: %s\n", what);
    std::abort();
}

// The one file that every input is written to; removed at the end.
struct InputFile {
    std::string path = "/tmp/fuzz_safetensors.XXXXXX";
    InputFile() {
        const int descriptor = mkstemp(path.data());
        require(descriptor >= 0, "cannot make a temporary file");
        close(descriptor);
    }
    ~InputFile() { unlink(path.c_str()); }

    void set(const std::string& bytes) const {
        std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
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

#ifdef GPT_FUZZ_STANDALONE
// ./fuzz_safetensors [-max_total_time=N] FILE|FOLDER...   replays the files, then damages them for N seconds.
#include <chrono>
#include <filesystem>
#include <iterator>

#include "core/rng.h"

namespace {

// One to four random changes: bits, bytes, pieces of JSON, cuts, repeats, and parts of another file.
std::string damaged(std::string bytes, const std::vector<std::string>& seeds, RandomStream& random) {
    static const char* const kPieces[] = {"{",
                                          "}",
                                          "[",
                                          "]",
                                          ",",
                                          "\"",
                                          "0",
                                          "-1",
                                          "9223372036854775807",
                                          "1e9",
                                          "null",
                                          "\"a\":",
                                          "\"dtype\":\"U8\"",
                                          "[0,0]",
                                          "\\u0000",
                                          "\xff",
                                          "4294967296"};
    const auto below = [&](size_t n) { return size_t(random.next_below(uint32_t(n))); };
    for (size_t changes = 1 + below(4); changes > 0; changes--) {
        const size_t at = below(bytes.size() + 1);
        const size_t count = below(std::min<size_t>(bytes.size() - at, 40) + 1);
        const std::string& other = seeds[below(seeds.size())];
        switch (below(6)) {
            case 0:
                if (at < bytes.size()) bytes[at] = char(bytes[at] ^ (1 << below(8)));
                break;
            case 1:
                if (at < bytes.size()) bytes[at] = char(below(256));
                break;
            case 2:
                bytes.insert(at, kPieces[below(std::size(kPieces))]);
                break;
            case 3:
                bytes.erase(at, count);
                break;
            case 4:
                bytes.insert(at, bytes.substr(at, count));
                break;
            case 5:
                bytes.insert(at, other, below(other.size() + 1), count);
                break;
        }
    }
    return bytes;
}

}  // namespace

int main(int argc, char** argv) {
    namespace fs = std::filesystem;
    const std::string time_flag = "-max_total_time=";
    int seconds = 0;
    std::vector<std::string> seeds;
    const auto add_seed = [&](const fs::path& path) {
        std::ifstream file(path, std::ios::binary);
        seeds.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    };
    for (int i = 1; i < argc; i++) {
        const std::string argument = argv[i];
        if (argument.compare(0, time_flag.size(), time_flag) == 0) {
            seconds = std::atoi(argument.c_str() + time_flag.size());
        } else if (fs::is_directory(argument)) {
            for (const auto& entry : fs::directory_iterator(argument)) add_seed(entry.path());
        } else {
            add_seed(argument);
        }
    }
    const auto run = [](const std::string& bytes) {
        LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    };
    for (const std::string& seed : seeds) run(seed);
    RandomStream random{1, 0, 0};
    size_t inputs = 0;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
    for (; !seeds.empty() && std::chrono::steady_clock::now() < end; inputs++)
        run(damaged(seeds[inputs % seeds.size()], seeds, random));
    std::printf("%zu files replayed, %zu damaged inputs, none crashed\n", seeds.size(), inputs);
    return 0;
}
#endif
