// sample.cpp - the verb sample: prompts, several samples, streaming; and sample.h.
#include "chapters/02_small_gpt/sample.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <memory>

#include "chapters/02_small_gpt/generate.h"
#include "chapters/02_small_gpt/model_file.h"
#include "chapters/02_small_gpt/verbs.h"
#include "io/html.h"
#include "io/standard_streams.h"

namespace small_gpt {

// ---- SampleText -----------------------------------------------------------------------------------------------------

std::string SampleText::release(size_t bytes) {
    const std::string out = held_back_.substr(0, bytes);
    held_back_.erase(0, bytes);
    shown_ += out;
    return out;
}

std::string SampleText::prompt(const std::vector<int>& ids) {
    for (const int id : ids)
        if (id != end_of_text_) held_back_ += decoder_.add(id);
    return release(held_back_.size());
}

std::string SampleText::add(int id) {
    if (is_ended_) return "";
    if (id == end_of_text_) {
        is_ended_ = true;
        return finish();
    }
    held_back_ += decoder_.add(id);
    size_t first = std::string::npos;  // where the earliest stop string begins
    for (const std::string& stop : stop_) first = std::min(first, held_back_.find(stop));
    if (first != std::string::npos) {
        is_ended_ = is_finished_ = true;
        return release(first);
    }
    size_t kept = 0;  // the longest end of the text that a stop string begins with
    for (const std::string& stop : stop_)
        for (size_t n = std::min(stop.size(), held_back_.size()); n > kept; n--)
            if (held_back_.compare(held_back_.size() - n, n, stop, 0, n) == 0) kept = n;
    return release(held_back_.size() - kept);
}

std::string SampleText::finish() {
    if (is_finished_) return "";
    is_finished_ = true;
    held_back_ += decoder_.finish();
    return release(held_back_.size());
}

namespace {

// ---- the verb -------------------------------------------------------------------------------------------------------

// Prints several samples that grow at the same time as if they came one after the other: the first that is not ended is
// shown while it grows, the others wait.
class Screen {
  public:
    Screen(size_t samples, bool is_silent)
        : waiting_(samples), ended_(samples, false), is_silent_(is_silent) {}

    void show(size_t sample, const std::string& text) {
        if (sample == current_ && !is_silent_)
            print_text(text);
        else
            waiting_[sample] += text;
    }
    void end(size_t sample) {
        ended_[sample] = true;
        while (current_ < ended_.size() && ended_[current_]) {
            current_++;
            if (is_silent_) continue;
            print_text(current_ < ended_.size() ? "\n---\n" : "\n");
            if (current_ < ended_.size()) print_text(waiting_[current_]);
        }
    }

  private:
    std::vector<std::string> waiting_;
    std::vector<bool> ended_;
    size_t current_ = 0;
    bool is_silent_;
};

class SampleVerb {
  public:
    explicit SampleVerb(const Config& asked)
        : asked_(asked),
          options_(asked.text),
          model_(load_model(find_model(asked.text.checkpoint), chosen_device(asked))),
          ctx_(model_.gpt->params.device()) {
        const int V = model_.bpe->vocabulary().size();
        if (options_.top_k > V)
            usage_error("--top-k %d is outside [1, %d], the model's tokens", options_.top_k, V);
        if (options_.weights == "int8") int8_ = std::make_unique<Int8Weights>(*model_.gpt);
    }

    void run() {
        const bool is_interactive = !options_.has_prompt && !asked_.json && isatty(STDIN_FILENO);
        if (!is_interactive) return write(options_.prompt);
        if (!asked_.quiet)
            std::fprintf(stderr,
                         "Type the beginning of a text; an empty line starts one at its beginning. "
                         "Ctrl-D ends.\n");
        for (std::string line; std::fprintf(stderr, "> "), std::getline(std::cin, line);) write(line);
        std::fprintf(stderr, "\n");
    }

  private:
    void write(const std::string& prompt) {
        // A document begins behind the end of another one.
        const std::vector<int> ids =
            prompt.empty() ? std::vector<int>{model_.end_of_text} : model_.bpe->encode(prompt);
        tell_dropped(ids);
        const size_t samples = size_t(options_.num_samples);
        std::vector<Sampler> samplers(samples);
        std::vector<SampleText> texts;
        Screen screen(samples, asked_.json);
        for (size_t i = 0; i < samples; i++) {
            samplers[i].temperature = options_.temperature;
            samplers[i].top_k = options_.top_k;
            samplers[i].top_p = options_.top_p;
            samplers[i].repetition_penalty = options_.repetition_penalty;
            samplers[i].random = {options_.seed, uint64_t(1) << 60 | uint64_t(i)};
            texts.emplace_back(*model_.bpe, model_.end_of_text, options_.stop);
            screen.show(i, texts[i].prompt(ids));
        }
        int64_t written = 0;
        std::vector<int64_t> tokens(samples, 0);
        const auto begin = std::chrono::steady_clock::now();
        const auto show = [&](size_t i, int id) {
            written++;
            screen.show(i, texts[i].add(id));
            const bool is_last = texts[i].is_ended() || ++tokens[i] == options_.tokens;
            if (is_last) {
                screen.show(i, texts[i].finish());
                screen.end(i);
            }
            return !is_last;
        };
        generate(ctx_, *model_.gpt, ids, options_.tokens, samplers, true, show, int8_.get());
        const double seconds =
            std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
        if (!asked_.quiet)
            std::fprintf(stderr, "%lld tokens in %.2f s: %.0f tokens/s\n", (long long)written, seconds,
                         double(written) / seconds);
        if (!asked_.json) return;
        std::string json;
        for (size_t i = 0; i < samples; i++) json += (i ? ", " : "") + html::json_string(texts[i].shown());
        std::printf("{\"samples\": [%s]}\n", json.c_str());
    }

    void tell_dropped(const std::vector<int>& ids) const {
        const int64_t n = int64_t(ids.size()), T = model_.gpt->config.T, dropped = window_begin(n, T);
        if (dropped == 0) return;
        std::string ending = model_.bpe->decode(std::vector<int>(ids.begin(), ids.begin() + dropped));
        ending = utf8::printable(ending.substr(ending.size() - std::min<size_t>(ending.size(), 40)));
        std::fprintf(
            stderr,
            "note: the prompt has %lld tokens and the model's context %lld: it does not see the first %lld, "
            "up to \"...%s\"\n",
            (long long)n, (long long)T, (long long)dropped, ending.c_str());
    }

    const Config& asked_;
    const TextOptions& options_;
    LoadedModel model_;
    std::unique_ptr<Int8Weights> int8_;  // null: the floats are read
    Context ctx_;
};

}  // namespace

void run_sample(const Config& config) {
    if (config.text.has_prompt && config.text.prompt.empty())
        usage_error("--prompt is empty; leave it out to begin a new document");
    for (const std::string& stop : config.text.stop)
        if (stop.empty()) usage_error("--stop is empty; it would end every sample at once");
    SampleVerb(config).run();
}

}  // namespace small_gpt
