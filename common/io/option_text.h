// option_text.h - options as text that reads back to the same bits: how a checkpoint's metadata keeps them.
// Not here: the command line, which is friendlier (cli.h).
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

using Metadata = std::vector<std::pair<std::string, std::string>>;  // in the order in which it is written

std::string text_of(int64_t value);
std::string text_of(uint64_t value);
std::string text_of(bool value);
std::string text_of(
    float value);  // the shortest text that reads back as the same bits: 0.004, not 0.00400000019
const std::string& text_of(const std::string& value);

// Whether `text` is a value of the option's type, which `value` then holds. Numbers are finite and at least 0.
bool read_option(const std::string& text, int64_t* value);
bool read_option(const std::string& text, uint64_t* value);
bool read_option(const std::string& text, bool* value);
bool read_option(const std::string& text, float* value);
bool read_option(const std::string& text, std::string* value);

// A double as its 16 hexadecimal digits: exact, and the same text everywhere; and back.
std::string bits_of(double value);
bool double_of(const std::string& text, double* value);

// Reads one entry of a checkpoint's metadata; whatever is wrong with it names the file and the entry.
class MetadataReader {
  public:
    // format: what the entry `format` must say, "gpt-from-scratch chapter00 1".
    MetadataReader(const std::map<std::string, std::string>& metadata, const std::string& where,
                   const std::string& format);
    bool has(const std::string& key) const { return metadata_.count(key) > 0; }
    const std::string& text(const std::string& key) const;
    int64_t count(const std::string& key) const;
    double real(const std::string& key) const;
    [[noreturn]] void bad(const std::string& key) const;

  private:
    const std::map<std::string, std::string>& metadata_;
    const std::string& where_;
};

// ---- Options from a checkpoint --------------------------------------------------------------------------------------

// Sets options from a checkpoint's metadata, for --resume and for the verbs that read a model. A flag that the user gave
// and that says otherwise is refused by its name.
class OptionRestorer {
  public:
    // given_flags: "--lr" ...; where: the checkpoint, for messages.
    OptionRestorer(const std::map<std::string, std::string>& metadata,
                   const std::vector<std::string>& given_flags, const std::string& where)
        : metadata_(metadata), given_flags_(given_flags), where_(where) {}

    bool is_given(const std::string& name) const;  // without the dashes

    // An option that changes the result: it must be there, and a flag must not contradict it.
    template <class T>
    void result_option(const char* name, T* value) const {
        const std::string asked = text_of(*value);
        if (!read_option(required(name), value)) bad(name);
        if (is_given(name) && text_of(*value) != asked) contradicts(name, asked);
    }
    // The same where checkpoints that are older than the option do not have it.
    template <class T>
    void newer_result_option(const char* name, T* value, const T& of_older) const {
        if (metadata_.count(name)) return result_option(name, value);
        if (is_given(name) && text_of(*value) != text_of(of_older))
            contradicts(name, text_of(*value), text_of(of_older));
        *value = of_older;
    }
    // How the run was to go on, unless a flag says otherwise: as the checkpoint has it, else as the preset has it.
    void run_option(const char* name, int64_t* value, int64_t preset_value) const;

    void in_range(const char* name, int64_t value, int64_t high) const;  // [1, high]
    void one_of(const char* name, const std::string& value, const std::vector<std::string>& known) const;
    // of_older: what a checkpoint without the option was trained with.
    [[noreturn]] void contradicts(const std::string& name, const std::string& asked,
                                  const std::string& of_older = "") const;

  private:
    const std::string& required(const char* name) const;
    [[noreturn]] void bad(const char* name) const;

    const std::map<std::string, std::string>& metadata_;
    const std::vector<std::string>& given_flags_;
    const std::string& where_;
};
