// main.cpp - chapter 01: byte-pair encoding. Learns a vocabulary, turns text into ids and back, shows how.
// Not here: the algorithms. Read bpe_plain.h first, then pretokenize.h, trainer.h and bpe.h; the verbs are in commands.h.
// Build and run: make run-chapter01, or make chapter01 && build/chapter01 --help
#include <cstdio>
#include <new>

#include "chapters/01_bpe/commands.h"
#include "chapters/01_bpe/explore.h"
#include "chapters/01_bpe/options.h"
#include "chapters/01_bpe/show.h"
#include "chapters/01_bpe/stats.h"
#include "chapters/01_bpe/trace.h"
#include "core/check.h"
#include "core/threads.h"
#include "io/standard_streams.h"

int main(int argc, char** argv) {
    prepare_standard_streams();
    std::set_new_handler(
        [] { user_error("not enough memory for this text and its tokens; use a part of it"); });
    Options options;
    const std::string verb = parse_command_line(argc, argv, &options);
    start_threads(options.threads);
    if (verb == "train") run_train(options);
    if (verb == "encode") run_encode(options);
    if (verb == "decode") run_decode(options);
    if (verb == "show") run_show(options);
    if (verb == "trace") run_trace(options);
    if (verb == "explore") run_explore(options);
    if (verb == "stats") run_stats(options);
    if (verb == "bench") run_bench(options);
    if (verb == "demo") run_demo(options);
    finish_stdout();
    return 0;
}
