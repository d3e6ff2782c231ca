// bench.cpp - `chapter01 bench`: how fast is this vocabulary on this machine? A quick look, in one process.
// Not here: rivals, several texts, worst cases (make bench-01).
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>

#include "chapters/01_bpe/commands.h"
#include "core/check.h"
#include "core/parallel.h"
#include "io/machine.h"
#include "io/utf8.h"

namespace {

double seconds_of(const std::function<void()>& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

struct Row {
    const char *name, *key;
    std::vector<double> seconds;
};

}  // namespace

void run_bench(const Options& options) {
    const std::vector<NamedText> texts = load_texts(options.data);
    size_t bytes = 0, tokens = 0;
    for (const NamedText& text : texts) bytes += text.text.size();

    Row load{"load the vocabulary", "load", {}}, encode{"encode, one thread", "encode", {}},
        again{"encode, text met before", "encode_again", {}},
        threads{"encode, all threads", "encode_threads", {}}, decode{"decode", "decode", {}};
    for (int round = 0; round < options.repeat; round++) {
        // Whatever an encoder remembers, a new one has to learn: every round begins with nothing.
        std::unique_ptr<Bpe> bpe;
        load.seconds.push_back(
            seconds_of([&] { bpe = std::make_unique<Bpe>(load_vocabulary(options.vocab)); }));
        std::vector<std::vector<int>> ids(texts.size());
        parallel::set_num_threads(1);
        std::unique_ptr<Encoder> encoder;
        const auto encode_all = [&] {
            if (!encoder) encoder = std::make_unique<Encoder>(*bpe);
            for (size_t i = 0; i < texts.size(); i++) {
                ids[i].clear();
                encoder->encode(texts[i].text, &ids[i]);
            }
        };
        encode.seconds.push_back(seconds_of(encode_all));
        again.seconds.push_back(seconds_of(encode_all));
        decode.seconds.push_back(seconds_of([&] {
            for (size_t i = 0; i < texts.size(); i++)
                CHECK(bpe->decode(ids[i]) == texts[i].text, "[bench] %s is not what came back",
                      texts[i].name.c_str());
        }));
        encoder.reset();
        parallel::set_num_threads(options.threads);
        threads.seconds.push_back(seconds_of([&] {
            for (size_t i = 0; i < texts.size(); i++)
                CHECK(bpe->encode(texts[i].text) == ids[i], "[bench] threads change the ids of %s",
                      texts[i].name.c_str());
        }));
        tokens = 0;
        for (const std::vector<int>& one : ids) tokens += one.size();
    }

    std::printf("%s\n", machine_line().c_str());
    std::printf("%s on %s%s: %zu bytes, %zu tokens; %d threads; median of %d\n",
                utf8::printable(options.vocab).c_str(), texts[0].name.c_str(),
                texts.size() > 1 ? " and more" : "", bytes, tokens, options.threads, options.repeat);
    std::printf("\n%-26s %12s %10s\n", "", "ms", "MB/s");
    std::string json =
        format("{\"bytes\": %zu, \"tokens\": %zu, \"threads\": %d", bytes, tokens, options.threads);
    for (const Row* row : {&load, &encode, &again, &threads, &decode}) {
        const double seconds = median(row->seconds);
        const bool is_load = row == &load;
        const std::string speed = is_load ? "" : format("%.1f", double(bytes) / 1e6 / seconds);
        std::printf("%-26s %12.2f %10s\n", row->name, seconds * 1e3, speed.c_str());
        json += format(", \"%s_seconds\": %.6f", row->key, seconds);
    }
    if (options.json) std::printf("%s}\n", json.c_str());
}
