// main.cpp - chapter 02: a small GPT, pretrained on web text. This file names the verbs; each has a file of its own:
// prepare.h (documents to tokens), train.h (the story of a run), find_lr.h (a rate for it), verbs.h (what can be done with
// the model).
// Build and run: make run-chapter02, or make chapter02 && build/chapter02 train --help
#include <new>

#include "chapters/02_small_gpt/find_lr.h"
#include "chapters/02_small_gpt/prepare.h"
#include "chapters/02_small_gpt/train.h"
#include "chapters/02_small_gpt/verbs.h"
#include "core/threads.h"
#include "io/standard_streams.h"

using namespace small_gpt;

int main(int argc, char** argv) {
    prepare_standard_streams();
    std::set_new_handler([] { user_error("not enough memory; smaller sizes or a shorter text need less"); });
    Config config;
    std::vector<std::string> given_flags;
    const std::string verb = parse_command_line(argc, argv, &config, &given_flags);
    std::string command = "chapter02";
    for (int i = 1; i < argc; i++) command += std::string(" ") + argv[i];

    int exit_code = 0;
    start_threads(config.threads);
    if (verb == "train") exit_code = run_train(config, given_flags, command);
    if (verb == "find-lr") exit_code = run_find_lr(config);
    if (verb == "prepare") run_prepare(config);
    if (verb == "eval") run_eval(config);
    if (verb == "sample") run_sample(config);
    if (verb == "attention") run_attention(config);
    if (verb == "memorize") run_memorize(config);
    if (verb == "export") run_export(config);
    if (verb == "import") run_import(config);
    finish_stdout();
    return exit_code;
}
