// cli.cpp - flags as text from CLI11, turned into values with our own ranges and our own words.
// Why not CLI11's conversions and its help: they accept "1e400", "nan" and " 5", name C++ types, and differ
// between the library's versions.
#include "io/cli.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <limits>

#include "core/check.h"
#include "io/cli_values.h"
#include "io/utf8.h"

// ---- Declaring
// ------------------------------------------------------------------------------------------------------

struct CliVerb::State {
    using Values = std::vector<std::string>;
    enum Kind { kValue, kSwitch, kList, kArgument };
    struct Flag {
        Kind kind;
        std::string name, negation;                 // "--tied" and, for switches, "--no-tied"
        std::string placeholder, group, help;       // for --help
        CLI::Option* option;                        // null for lists and arguments, which are read here
        std::function<void(const Values&)> assign;  // checks the words and sets the target
        bool is_given = false;
        Values values = {};  // as on the command line; of a flag that was repeated, the last
        bool is_switch() const { return kind == kSwitch; }
        std::string shown() const {
            switch (kind) {
                case kSwitch:
                    return "--[no-]" + name.substr(2);
                case kList:
                    return name + " " + placeholder + " ...";
                case kArgument:
                    return name;
                default:
                    return name + " " + placeholder;
            }
        }
    };

    CLI::App* app = nullptr;
    std::string name, help, group = "Options", notes, example;
    std::vector<Flag> flags;
    std::function<void()> fill_preset;

    // A flag that takes a value. `detail` is its range and its default.
    void add(const std::string& flag, const std::string& placeholder, const std::string& text,
             const std::string& detail, std::function<void(const std::string&)> assign_text) {
        CHECK(flag.compare(0, 2, "--") == 0, "[cli] a flag begins with --, not %s", flag.c_str());
        const auto assign = [assign_text](const Values& values) { assign_text(values.back()); };
        CLI::Option* option = app->add_option(flag, CLI::callback_t());
        option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)->allow_extra_args(false);
        const std::string whole_help = text + (detail.empty() ? "" : " (" + detail + ")");
        flags.push_back({kValue, flag, "", placeholder, group, whole_help, option, assign});
    }

    std::vector<std::string> names() const {
        std::vector<std::string> all = {"--help"};
        for (const Flag& flag : flags) {
            if (flag.kind != kArgument) all.push_back(flag.name);
            if (flag.is_switch()) all.push_back(flag.negation);
        }
        return all;
    }

    Flag* find(const std::string& flag_name) {
        for (Flag& flag : flags)
            if (flag.kind != kArgument && flag.name == flag_name) return &flag;
        return nullptr;
    }

    // "[FILE]" for the line of usage, for each argument.
    std::string usage() const {
        std::string out;
        for (const Flag& flag : flags)
            if (flag.kind == kArgument) out += " [" + flag.name + "]";
        return out;
    }

    // Takes the lists and the arguments out of the words and returns what is left for CLI11, which would take
    // "[PAD]" for a list of its own and "++" for a mark.
    Values take_lists_and_arguments(const Values& words) {
        Values rest;
        std::vector<Flag*> open;  // arguments still without a word
        for (Flag& flag : flags)
            if (flag.kind == kArgument) open.push_back(&flag);
        const bool has_arguments = !open.empty();
        const auto take_argument = [&](const std::string& word) {
            if (open.empty()) return rest.push_back(word);
            open.front()->is_given = true;
            open.front()->values = {word};
            open.erase(open.begin());
        };
        const auto has_dash = [](const std::string& word) { return word.size() > 1 && word[0] == '-'; };

        for (size_t i = 0; i < words.size(); i++) {
            const size_t equals = words[i].find('=');
            Flag* flag = find(words[i].substr(0, equals));
            if (flag && flag->kind == kList) {
                flag->is_given = true;
                flag->values.clear();
                if (equals != std::string::npos)
                    flag->values.push_back(words[i].substr(equals + 1));
                else
                    while (i + 1 < words.size() && !has_dash(words[i + 1]))
                        flag->values.push_back(words[++i]);
                if (flag->values.empty()) usage_error("%s wants at least one value", flag->name.c_str());
            } else if (flag && flag->kind == kValue && equals == std::string::npos) {
                rest.push_back(words[i]);
                if (i + 1 < words.size()) rest.push_back(words[++i]);
            } else if (words[i] == "--" && has_arguments) {
                for (i++; i < words.size(); i++) take_argument(words[i]);
            } else if (has_dash(words[i])) {
                rest.push_back(words[i]);
            } else {
                take_argument(words[i]);
            }
        }
        return rest;
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
                if (flag.group == heading) out += help_line(flag.shown(), flag.help);
            }
        }
        return out;
    }

    // Explicit flags to their targets.
    void assign_given() const {
        for (const Flag& flag : flags)
            if (flag.is_given) flag.assign(flag.values);
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
    const std::string shown = *target ? " (default on)" : "";
    state_->flags.push_back(
        {CliVerb::State::kSwitch, flag, negation, "", state_->group, help + shown, option,
         [=](const std::vector<std::string>& values) { *target = values.back() == "true"; }});
}

void CliVerb::list(const std::string& flag, std::vector<std::string>* target, const std::string& placeholder,
                   const std::string& help) {
    CHECK(flag.compare(0, 2, "--") == 0, "[cli] a flag begins with --, not %s", flag.c_str());
    const std::string shown = target->empty() ? "" : " (default " + joined(*target) + ")";
    state_->flags.push_back({CliVerb::State::kList, flag, "", placeholder, state_->group, help + shown,
                             nullptr, [=](const std::vector<std::string>& values) { *target = values; }});
}

void CliVerb::argument(const std::string& name, std::string* target, const std::string& help) {
    CHECK(name.compare(0, 1, "-") != 0, "[cli] an argument has no dash: %s", name.c_str());
    state_->flags.push_back({CliVerb::State::kArgument, name, "", "", "Arguments", help, nullptr,
                             [=](const std::vector<std::string>& values) { *target = values.back(); }});
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

void CliVerb::example(const std::string& text) {
    state_->example = text;
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
    out += "Usage: " + impl_->program + (is_default ? " [" + name + "]" : " " + name) +
           " [--name value ...]" + state->usage() + "\n";
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
    const bool has_own = !verb.empty() && !state->example.empty();
    return out + "\nExample\n  " + (has_own ? state->example : impl_->example) + "\n";
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

    for (CliVerb::State::Flag& flag : state.flags) flag.is_given = false;
    words = state.take_lists_and_arguments(words);
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

    for (CliVerb::State::Flag& flag : state.flags) {
        if (!flag.option || flag.option->count() == 0) continue;
        // CLI11 takes whatever follows as the value. "--out --quiet" is a forgotten one.
        for (const std::string& value : flag.option->results())
            if (is_flag(value))
                usage_error("%s wants a value, but %s follows", flag.name.c_str(), value.c_str());
        flag.is_given = true;
        flag.values = {flag.option->results().back()};
    }

    for (const std::string& word : impl_->app.remaining(true)) {
        const std::string name = word.substr(0, word.find('='));
        if (word.size() < 2 || word[0] != '-' || word == "--" || is_flag(name))
            usage_error("%s %s takes no '%s'; write --name value%s%s", program, verb.c_str(),
                        utf8::printable(word).c_str(), state.usage().empty() ? "" : ", and at most",
                        state.usage().c_str());
        usage_error("%s %s knows no flag %s; the nearest is %s\nall flags: %s %s --help%s", program,
                    verb.c_str(), utf8::printable(name).c_str(), nearest(name, flags).c_str(), program,
                    verb.c_str(),
                    state.usage().empty() ? "" : "; a word that begins with a dash goes behind --");
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
        if (flag.is_given) names.push_back(flag.name);
    return names;
}

bool Cli::given(const std::string& flag) const {
    const std::vector<std::string> names = given_flags();
    return std::find(names.begin(), names.end(), flag) != names.end();
}
