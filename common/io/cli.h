// cli.h - the command line of every chapter: verbs, grouped flags with ranges, presets, and refusals that
// help.
// Not here: CLI11, which splits the words into flags and values, and which cli.cpp alone includes (it is slow
// to compile); what flags a chapter has (its main.cpp says that).
//
//   Config config;
//   Cli cli("chapter00", "A character GPT.", "chapter00 train --preset quick --seed 7");
//   CliVerb& train = cli.verb("train", "trains a model");          // the first verb is the default one
//   train.preset("--preset", &config.preset, {"quick", "full"}, [&] { apply_preset(&config); }, "sizes");
//   train.group("Model");
//   train.count("--layers", &config.layers, 1, 1000, "transformer blocks");
//   train.real("--dropout", &config.dropout, at_least(0), below(1), "share of activations set to zero");
//   train.list("--data", &config.files, "FILE", "texts to learn from");  // --data a.txt b.txt
//   CliVerb& show = cli.verb("show", "prints a text");
//   show.argument("TEXT", &config.text, "what to print");                // a word without a flag
//   const std::string verb = cli.parse(argc, argv);
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

// One end of a range of real numbers.
struct Bound {
    double value;
    bool is_open;  // the value itself is outside
};
inline Bound at_least(double value) {
    return {value, false};
}
inline Bound at_most(double value) {
    return {value, false};
}
inline Bound above(double value) {
    return {value, true};
}
inline Bound below(double value) {
    return {value, true};
}
Bound finite();  // no end but infinity

// The flags of one verb. Defaults are what the targets hold when a flag is declared: --help prints them. A
// value goes to its target when Cli::parse has seen the whole command line.
class CliVerb {
  public:
    void group(const std::string& name);  // heading in --help for the flags declared after it

    // Whole numbers in [low, high].
    void count(const std::string& flag, int* target, int64_t low, int64_t high, const std::string& help);
    void count(const std::string& flag, int64_t* target, int64_t low, int64_t high, const std::string& help);
    void count(const std::string& flag, uint64_t* target, int64_t low, int64_t high, const std::string& help);

    // Real numbers; a float is also in its range after rounding (1e-60 is not above 0).
    void real(const std::string& flag, float* target, Bound low, Bound high, const std::string& help);
    void real(const std::string& flag, double* target, Bound low, Bound high, const std::string& help);

    void text(const std::string& flag, std::string* target, const std::string& help);
    void path(const std::string& flag, std::string* target,
              const std::string& help);  // text that is not empty
    void choice(const std::string& flag, std::string* target, const std::vector<std::string>& choices,
                const std::string& help);
    void toggle(const std::string& flag, bool* target, const std::string& help);  // --tied, and --no-tied

    // One value or more, up to the next word that begins with a dash: --data a.txt b.txt. Given twice, the last
    // list counts. `placeholder` names one value in --help.
    void list(const std::string& flag, std::vector<std::string>* target, const std::string& placeholder,
              const std::string& help);

    // A word without a flag; arguments take such words in the order of their declaration. Behind "--" every word
    // is one, so that a text may begin with a dash. Optional: given() says whether it was there, by its name.
    void argument(const std::string& name, std::string* target, const std::string& help);

    // A choice that sets other targets. `fill` runs after all explicit flags were read once, so that it can
    // look at them, and before they are read again, so that they win over what it sets. It runs whether or
    // not the flag was given.
    void preset(const std::string& flag, std::string* target, const std::vector<std::string>& choices,
                std::function<void()> fill, const std::string& help);

    // More lines for the end of --help.
    void note(const std::string& text);

    // What --help of this verb gives as an example, instead of the program's.
    void example(const std::string& text);

  private:
    friend class Cli;
    struct State;
    explicit CliVerb(std::shared_ptr<State> state) : state_(std::move(state)) {}
    std::shared_ptr<State> state_;
};

class Cli {
  public:
    Cli(const std::string& program, const std::string& description, const std::string& example);
    ~Cli();
    Cli(const Cli&) = delete;
    Cli& operator=(const Cli&) = delete;

    // The first one declared is the default verb.
    CliVerb& verb(const std::string& name, const std::string& help);

    // Sets the targets and returns the verb. --help prints and exits 0; whatever is wrong is a usage_error.
    std::string parse(int argc, const char* const* argv);

    bool given(const std::string& flag) const;             // on the command line, by the user
    std::vector<std::string> given_flags() const;          // in the order of their declaration
    std::string help(const std::string& verb = "") const;  // what --help prints, with and without a verb

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// The candidate with the fewest edits to `word`.
std::string nearest(const std::string& word, const std::vector<std::string>& candidates);
