// export_import.cpp - the verbs export and import: our checkpoints to GPT-2's files, and back.
#include <cstdio>

#include "chapters/02_small_gpt/gpt2_files.h"
#include "chapters/02_small_gpt/model_file.h"
#include "chapters/02_small_gpt/verbs.h"
#include "io/html.h"
#include "nn/run_folder.h"

namespace small_gpt {

void run_export(const Config& config) {
    if (config.text.out.empty()) usage_error("export wants --out DIR, the folder to write to");
    const LoadedModel model = load_model(find_model(config.text.checkpoint), Device::kCpu);
    write_gpt2_files(config.text.out, *model.gpt, model.bpe->vocabulary());
    if (config.json)
        std::printf("{\"checkpoint\": %s, \"out\": %s, \"parameters\": %lld}\n",
                    html::json_string(model.path).c_str(), html::json_string(config.text.out).c_str(),
                    (long long)model.gpt->params.numel());
    else
        std::printf("%s: config.json, model.safetensors, vocab.json and merges.txt of %s\n",
                    utf8::printable(config.text.out).c_str(), utf8::printable(model.path).c_str());
}

void run_import(const Config& config) {
    if (config.text.folder.empty())
        usage_error(
            "import wants the folder to read: one with config.json, model.safetensors, vocab.json and "
            "merges.txt");
    Gpt2Files files = read_gpt2_files(config.text.folder);
    const std::string folder = new_run_folder(config.text.out, kRuns);
    save_model(folder, *files.gpt, files.config, files.vocabulary);
    if (config.json)
        std::printf("{\"out\": %s, \"parameters\": %lld}\n", html::json_string(folder).c_str(),
                    (long long)files.gpt->params.numel());
    else
        std::printf("%s: a model of %lld parameters; use it with --checkpoint\n",
                    utf8::printable(folder).c_str(), (long long)files.gpt->params.numel());
}

}  // namespace small_gpt
