// cli.cpp - flags as text from CLI11, turned into values with our own ranges and our own words.
// Why not CLI11's conversions and its help: they accept "1e400", "nan" and " 5", name C++ types, and differ
// between the library's versions.
#include "io/cli.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "core/check.h"
#include "io/utf8.h"

namespace {

constexpr size_t kHelpColumn = 26;  // where the explanations begin
constexpr size_t kHelpWidth = 100;  // of the whole text

std::string joined(const std::vector<std::string>& words) {
    std::string text;
    for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
    return text;
}

std::string real_text(double value) {
    return format("%.9g", value);
}

std::string range_text(Bound low, Bound high) {
    const std::string from = (low.is_open ? "above " : "at least ") + real_text(low.value);
    if (!std::isfinite(high.value)) return "finite and " + from;
    return from + " and " + (high.is_open ? "below " : "at most ") + real_text(high.value);
}

bool is_inside(double value, Bound low, Bound high) {
    return std::isfinite(value) && (low.is_open ? value > low.value : value >= low.value) &&
           (high.is_open ? value < high.value : value <= high.value);
}

// Only digits, with a minus in front: no spaces, plus signs, hexadecimal or "12x".
bool is_whole_number(const std::string& text) {
    const size_t first = !text.empty() && text[0] == '-' ? 1 : 0;
    return text.size() > first && text.find_first_not_of("0123456789", first) == std::string::npos;
}

int64_t parse_count(const std::string& flag, const std::string& text, int64_t low, int64_t high) {
    const std::string shown = utf8::printable(text);
    const std::string range = format("%lld to %lld", (long long)(low), (long long)(high));
    if (!is_whole_number(text))
        usage_error("%s wants a whole number, %s, not '%s'", flag.c_str(), range.c_str(), shown.c_str());
    errno = 0;
    const long long value = std::strtoll(text.c_str(), nullptr, 10);
    if (errno == ERANGE || value < low || value > high)
        usage_error("%s must be %s, not %s", flag.c_str(), range.c_str(), shown.c_str());
    return value;
}

double parse_real(const std::string& flag, const std::string& text, Bound low, Bound high) {
    const std::string shown = utf8::printable(text), range = range_text(low, high);
    // note: strtod would also read "nan", "infinity", hexadecimal, and a number behind spaces.
    const bool has_only_number_characters =
        !text.empty() && text.find_first_not_of("0123456789+-.eE") == std::string::npos;
    char* end = nullptr;
    const double value = has_only_number_characters ? std::strtod(text.c_str(), &end) : 0;
    if (!has_only_number_characters || end == text.c_str() || *end != '\0')
        usage_error("%s wants a number, %s, not '%s'", flag.c_str(), range.c_str(), shown.c_str());
    if (!is_inside(value, low, high))
        usage_error("%s must be %s, not %s", flag.c_str(), range.c_str(), shown.c_str());
    return value;
}

// "name" in the left column, `text` wrapped in the right one.
std::string help_line(const std::string& name, const std::string& text) {
    std::string out = "  " + name;
    size_t column = out.size();
    if (column + 2 > kHelpColumn) out += "\n", column = 0;
    out += std::string(kHelpColumn - column, ' ');
    column = kHelpColumn;
    for (size_t begin = 0; begin < text.size();) {
        const size_t end = std::min(text.find(' ', begin), text.size());
        const bool is_first = column == kHelpColumn;
        if (!is_first && column + 1 + end - begin > kHelpWidth) {
            out += "\n" + std::string(kHelpColumn, ' ');
            column = kHelpColumn;
        } else if (!is_first) {
            out += " ";
            column++;
        }
        out.append(text, begin, end - begin);
        column += end - begin;
        begin = end + 1;
    }
    return out + "\n";
}

}  // namespace

Bound finite() {
    return {std::numeric_limits<double>::infinity(), true};
}

std::string nearest(const std::string& word, const std::vector<std::string>& candidates) {
    std::string best;
    size_t fewest = std::numeric_limits<size_t>::max();
    for (const std::string& candidate : candidates) {
        // edits[i][j] turn the first i letters of word into the first j of candidate. An edit inserts,
        // deletes or replaces a letter or swaps two neighbours (Damerau's distance: swapped letters are the
        // commonest slip).
        std::vector<std::vector<size_t>> edits(word.size() + 1, std::vector<size_t>(candidate.size() + 1));
        for (size_t i = 0; i <= word.size(); i++) {
            for (size_t j = 0; j <= candidate.size(); j++) {
                if (i == 0 || j == 0) {
                    edits[i][j] = i + j;
                    continue;
                }
                const size_t replaced = edits[i - 1][j - 1] + (word[i - 1] == candidate[j - 1] ? 0 : 1);
                edits[i][j] = std::min({replaced, edits[i - 1][j] + 1, edits[i][j - 1] + 1});
                const bool is_swap =
                    i > 1 && j > 1 && word[i - 1] == candidate[j - 2] && word[i - 2] == candidate[j - 1];
                if (is_swap) edits[i][j] = std::min(edits[i][j], edits[i - 2][j - 2] + 1);
            }
        }
        // --check means --checkpoint-every rather than --threads: what is missing at the end counts once.
        const bool is_beginning = !word.empty() && candidate.compare(0, word.size(), word) == 0;
        const size_t distance = is_beginning ? std::min<size_t>(edits.back().back(), 1) : edits.back().back();
        if (distance < fewest) {
            fewest = distance;
            best = candidate;
        }
    }
    return best;
}

// ---- Declaring
// ------------------------------------------------------------------------------------------------------

struct CliVerb::State {
    struct Flag {
        std::string name, negation;            // "--tied" and, for switches, "--no-tied"
        std::string placeholder, group, help;  // for --help
        CLI::Option* option;
        std::function<void(const std::string&)> assign;  // checks the text and sets the target
        bool is_switch() const { return !negation.empty(); }
    };

    CLI::App* app = nullptr;
    std::string name, help, group = "Options", notes;
    std::vector<Flag> flags;
    std::function<void()> fill_preset;

    // A flag that takes a value. `detail` is its range and its default.
    void add(const std::string& flag, const std::string& placeholder, const std::string& text,
             const std::string& detail, std::function<void(const std::string&)> assign) {
        CHECK(flag.compare(0, 2, "--") == 0, "[cli] a flag begins with --, not %s", flag.c_str());
        CLI::Option* option = app->add_option(flag, CLI::callback_t());
        option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)->allow_extra_args(false);
        const std::string whole_help = text + (detail.empty() ? "" : " (" + detail + ")");
        flags.push_back({flag, "", placeholder, group, whole_help, option, std::move(assign)});
    }

    std::vector<std::string> names() const {
        std::vector<std::string> all = {"--help"};
        for (const Flag& flag : flags) {
            all.push_back(flag.name);
            if (flag.is_switch()) all.push_back(flag.negation);
        }
        return all;
    }

    std::string flags_help() const {
        std::string out;
        // A group may be opened again; its flags stay together, in the order of the first mention.
        std::vector<std::string> groups;
        for (const Flag& flag : flags)
            if (std::find(groups.begin(), groups.end(), flag.group) == groups.end())
                groups.push_back(flag.group);
        for (const std::string& heading : groups) {
            out += "\n" + heading + "\n";
            for (const Flag& flag : flags) {
                if (flag.group != heading) continue;
                const std::string shown =
                    flag.is_switch() ? "--[no-]" + flag.name.substr(2) : flag.name + " " + flag.placeholder;
                out += help_line(shown, flag.help);
            }
        }
        return out;
    }

    // Explicit flags to their targets. Of a repeated one the last counts.
    void assign_given() const {
        for (const Flag& flag : flags)
            if (flag.option->count() > 0) flag.assign(flag.option->results().back());
    }

    template <class T>
    void add_count(const std::string& flag, T* target, int64_t low, int64_t high, const std::string& help) {
        CHECK(low <= high && (sizeof(T) > 4 || high <= std::numeric_limits<int>::max()), "[cli] range of %s",
              flag.c_str());
        const std::string range = format("%lld to %lld", (long long)(low), (long long)(high));
        add(flag, "N", help, range + "; default " + std::to_string(*target),
            [=](const std::string& text) { *target = T(parse_count(flag, text, low, high)); });
    }

    template <class T>
    void add_real(const std::string& flag, T* target, Bound low, Bound high, const std::string& help) {
        add(flag, "X", help, range_text(low, high) + format("; default %.6g", double(*target)),
            [=](const std::string& text) {
                const double value = parse_real(flag, text, low, high) + 0.0;  // -0 becomes 0
                // subtle: 1e-60 is above 0, but the float next to it is not.
                if (!is_inside(double(T(value)), low, high))
                    usage_error("%s must be %s, not %s", flag.c_str(), range_text(low, high).c_str(),
                                text.c_str());
                *target = T(value);
            });
    }
};

void CliVerb::group(const std::string& name) {
    state_->group = name;
}

void CliVerb::count(const std::string& flag, int* target, int64_t low, int64_t high,
                    const std::string& help) {
    state_->add_count(flag, target, low, high, help);
}
void CliVerb::count(const std::string& flag, int64_t* target, int64_t low, int64_t high,
                    const std::string& help) {
    state_->add_count(flag, target, low, high, help);
}
void CliVerb::count(const std::string& flag, uint64_t* target, int64_t low, int64_t high,
                    const std::string& help) {
    CHECK(low >= 0, "[cli] %s is unsigned", flag.c_str());
    state_->add_count(flag, target, low, high, help);
}

void CliVerb::real(const std::string& flag, float* target, Bound low, Bound high, const std::string& help) {
    state_->add_real(flag, target, low, high, help);
}
void CliVerb::real(const std::string& flag, double* target, Bound low, Bound high, const std::string& help) {
    state_->add_real(flag, target, low, high, help);
}

void CliVerb::text(const std::string& flag, std::string* target, const std::string& help) {
    const std::string shown = target->empty() ? "" : "default '" + utf8::printable(*target) + "'";
    state_->add(flag, "TEXT", help, shown, [=](const std::string& text) { *target = text; });
}

void CliVerb::path(const std::string& flag, std::string* target, const std::string& help) {
    const std::string shown = target->empty() ? "" : "default " + *target;
    state_->add(flag, "PATH", help, shown, [=](const std::string& text) {
        if (text.empty()) usage_error("%s wants a path, not an empty word", flag.c_str());
        *target = text;
    });
}

void CliVerb::choice(const std::string& flag, std::string* target, const std::vector<std::string>& choices,
                     const std::string& help) {
    const std::string shown = joined(choices) + (target->empty() ? "" : "; default " + *target);
    state_->add(flag, "NAME", help, shown, [=](const std::string& text) {
        if (std::find(choices.begin(), choices.end(), text) == choices.end())
            usage_error("%s knows no '%s'; the nearest is %s\nit takes one of: %s", flag.c_str(),
                        utf8::printable(text).c_str(), nearest(text, choices).c_str(),
                        joined(choices).c_str());
        *target = text;
    });
}

void CliVerb::toggle(const std::string& flag, bool* target, const std::string& help) {
    CHECK(flag.compare(0, 2, "--") == 0, "[cli] a flag begins with --, not %s", flag.c_str());
    const std::string negation = "--no-" + flag.substr(2);
    CLI::Option* option = state_->app->add_flag(flag + ",!" + negation);
    option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)->disable_flag_override();
    state_->flags.push_back({flag, negation, "", state_->group, help + (*target ? " (default on)" : ""),
                             option, [=](const std::string& text) { *target = text == "true"; }});
}

void CliVerb::preset(const std::string& flag, std::string* target, const std::vector<std::string>& choices,
                     std::function<void()> fill, const std::string& help) {
    CHECK(!state_->fill_preset, "[cli] a second preset: %s", flag.c_str());
    choice(flag, target, choices, help);
    state_->fill_preset = std::move(fill);
}

void CliVerb::note(const std::string& text) {
    state_->notes += text + "\n";
}

// ---- Parsing
// --------------------------------------------------------------------------------------------------------

struct Cli::Impl {
    CLI::App app;
    std::string program, description, example;
    std::vector<std::unique_ptr<CliVerb>> verbs;
    const CliVerb::State* parsed = nullptr;

    std::vector<std::string> verb_names() const {
        std::vector<std::string> names;
        for (const auto& verb : verbs) names.push_back(verb->state_->name);
        return names;
    }

    CliVerb::State* state_of(const std::string& name) const {
        for (const auto& verb : verbs)
            if (verb->state_->name == name) return verb->state_.get();
        return nullptr;
    }
};

Cli::Cli(const std::string& program, const std::string& description, const std::string& example)
    : impl_(new Impl) {
    impl_->program = program;
    impl_->description = description;
    impl_->example = example;
    impl_->app.require_subcommand(0, 1);
    impl_->app.allow_extras();
    impl_->app.set_help_flag();  // only behind a verb, and parse() always puts one there
}

Cli::~Cli() = default;

CliVerb& Cli::verb(const std::string& name, const std::string& help) {
    auto state = std::make_shared<CliVerb::State>();
    state->name = name;
    state->help = help;
    state->app = impl_->app.add_subcommand(name);
    state->app->allow_extras();
    state->app->set_help_flag("--help,-h");
    impl_->verbs.emplace_back(new CliVerb(state));
    return *impl_->verbs.back();
}

std::string Cli::help(const std::string& verb) const {
    const std::string name = verb.empty() ? impl_->verbs[0]->state_->name : verb;
    const CliVerb::State* state = impl_->state_of(name);
    CHECK(state, "[cli] no verb %s", name.c_str());
    const bool is_default = state == impl_->verbs[0]->state_.get();
    std::string out = impl_->program + ": " + impl_->description + "\n\n";
    out +=
        "Usage: " + impl_->program + (is_default ? " [" + name + "]" : " " + name) + " [--name value ...]\n";
    if (verb.empty() && impl_->verbs.size() > 1) {
        out += "\nVerbs (" + impl_->program + " VERB --help says more)\n";
        for (const auto& one : impl_->verbs)
            out += help_line(one->state_->name,
                             one->state_->help + (&one == &impl_->verbs[0] ? " (the default)" : ""));
        out += "\nFlags of " + name + "\n";
    } else {
        out += "  " + name + ": " + state->help + "\n";
    }
    out += state->flags_help();
    if (!state->notes.empty()) out += "\n" + state->notes;
    return out + "\nExample\n  " + impl_->example + "\n";
}

std::string Cli::parse(int argc, const char* const* argv) {
    CHECK(!impl_->verbs.empty(), "[cli] %s has no verbs", impl_->program.c_str());
    std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);

    // The verb comes first, or is the default one.
    std::string verb = impl_->verbs[0]->state_->name;
    const char* const program = impl_->program.c_str();
    const bool names_verb = !words.empty() && (words[0].empty() || words[0][0] != '-');
    if (names_verb) {
        verb = words[0];
        words.erase(words.begin());
    }
    if (!impl_->state_of(verb))
        usage_error("%s knows no verb '%s'; the nearest is %s\nit takes one of: %s", program,
                    utf8::printable(verb).c_str(), nearest(verb, impl_->verb_names()).c_str(),
                    joined(impl_->verb_names()).c_str());
    CliVerb::State& state = *impl_->state_of(verb);
    const std::vector<std::string> flags = state.names();
    const auto is_flag = [&](const std::string& word) {
        return std::find(flags.begin(), flags.end(), word) != flags.end();
    };

    std::vector<std::string> reversed(words.rbegin(), words.rend());  // as CLI11 wants them
    reversed.push_back(verb);
    try {
        impl_->app.parse(reversed);
    } catch (const CLI::CallForHelp&) {
        std::fputs(help(names_verb ? verb : "").c_str(), stdout);
        std::fflush(stdout);
        std::exit(0);
    } catch (const CLI::ArgumentMismatch&) {
        // Either a switch got a value, or the last flag got none.
        for (const std::string& word : words) {
            const std::string name = word.substr(0, word.find('='));
            for (const CliVerb::State::Flag& flag : state.flags)
                if (name != word && flag.is_switch() && (name == flag.name || name == flag.negation))
                    usage_error("%s takes no value: %s", name.c_str(), utf8::printable(word).c_str());
        }
        usage_error("%s wants a value",
                    utf8::printable(words.back().substr(0, words.back().find('='))).c_str());
    } catch (const CLI::Error& error) {
        usage_error("%s", utf8::printable(error.what()).c_str());
    }

    // CLI11 takes whatever follows as the value. "--out --quiet" is a forgotten one.
    for (const CliVerb::State::Flag& flag : state.flags)
        for (const std::string& value : flag.option->results())
            if (is_flag(value))
                usage_error("%s wants a value, but %s follows", flag.name.c_str(), value.c_str());

    for (const std::string& word : impl_->app.remaining(true)) {
        const std::string name = word.substr(0, word.find('='));
        if (word.size() < 2 || word[0] != '-' || word == "--" || is_flag(name))
            usage_error("%s %s takes no '%s'; write --name value", program, verb.c_str(),
                        utf8::printable(word).c_str());
        usage_error("%s %s knows no flag %s; the nearest is %s\nall flags: %s %s --help", program,
                    verb.c_str(), utf8::printable(name).c_str(), nearest(name, flags).c_str(), program,
                    verb.c_str());
    }

    impl_->parsed = &state;
    state.assign_given();
    if (state.fill_preset) {
        state.fill_preset();
        state.assign_given();  // explicit flags win
    }
    return verb;
}

std::vector<std::string> Cli::given_flags() const {
    CHECK(impl_->parsed, "[cli] %s", "not parsed yet");
    std::vector<std::string> names;
    for (const CliVerb::State::Flag& flag : impl_->parsed->flags)
        if (flag.option->count() > 0) names.push_back(flag.name);
    return names;
}

bool Cli::given(const std::string& flag) const {
    const std::vector<std::string> names = given_flags();
    return std::find(names.begin(), names.end(), flag) != names.end();
}
