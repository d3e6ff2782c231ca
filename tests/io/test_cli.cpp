// test_cli.cpp - what the command line accepts, and that each refusal names what was wrong.
#include "io/cli.h"

#include <sys/wait.h>
#include <unistd.h>
#include <cmath>
#include <cstdint>
#include <cstdio>

#include "tests/support/catch.h"
#include "tests/support/throwing_failures.h"

namespace {

struct Config {
    std::string preset = "quick", activation = "gelu", prompt, out = "runs/chapter00";
    int layers = 4;
    int64_t max_steps = 100;
    uint64_t seed = 1;
    float lr = 1e-3f;
    double dropout = 0;
    bool tied = false, quiet = true;
    std::vector<std::string> data = {"default.txt"}, marks;
    std::string text, file;
};

// The words behind the program's name, parsed into a Config; `given` are the flags that were on the line.
struct Parsed {
    Config config;
    std::string verb, help;
    std::vector<std::string> given;

    explicit Parsed(const std::vector<std::string>& words) {
        Cli cli("prog", "A program for tests.", "prog train --layers 3");
        CliVerb& train = cli.verb("train", "trains");
        train.group("Run");
        const auto fill = [this] {
            if (config.preset == "full") config.layers = 6, config.lr = 3e-4f;
        };
        train.preset("--preset", &config.preset, {"tiny", "quick", "full"}, fill, "sizes");
        train.count("--max-steps", &config.max_steps, 1, INT64_MAX, "steps");
        train.count("--seed", &config.seed, 0, INT64_MAX, "seed");
        train.path("--out", &config.out, "folder");
        train.toggle("--quiet", &config.quiet, "no progress");
        train.group("Model");
        train.count("--layers", &config.layers, 1, 1000, "blocks");
        train.real("--lr", &config.lr, above(0), finite(), "learning rate");
        train.real("--dropout", &config.dropout, at_least(0), below(1), "share set to zero");
        train.choice("--activation", &config.activation, {"gelu", "relu"}, "of the MLP");
        train.toggle("--tied", &config.tied, "shared embedding");
        train.note("Ctrl-C writes a checkpoint.");
        CliVerb& sample = cli.verb("sample", "writes text");
        sample.text("--prompt", &config.prompt, "begin here");
        sample.example("prog sample --prompt x");
        CliVerb& show = cli.verb("show", "prints");
        show.list("--data", &config.data, "FILE", "texts");
        show.list("--marks", &config.marks, "TEXT", "special words");
        show.count("--layers", &config.layers, 1, 1000, "blocks");
        show.toggle("--tied", &config.tied, "shared embedding");
        show.argument("TEXT", &config.text, "what to print");
        show.argument("FILE", &config.file, "where");
        help = cli.help() + cli.help("sample") + cli.help("show");

        std::vector<const char*> argv = {"prog"};
        for (const std::string& word : words) argv.push_back(word.c_str());
        verb = cli.parse(int(argv.size()), argv.data());
        given = cli.given_flags();
        for (const std::string& flag : given) CHECK(cli.given(flag), "%s", flag.c_str());
        CHECK(!cli.given("--no-such-flag"), "given() invents flags");
    }
};

Failure refusal(const std::vector<std::string>& words) {
    return failure_of([&] { Parsed parsed(words); });
}

using Words = std::vector<std::string>;

}  // namespace

TEST_CASE("cli: defaults, and the default verb", "[cpu]") {
    const Parsed none({});
    REQUIRE(none.verb == "train");
    REQUIRE(none.config.layers == 4);
    REQUIRE(none.given.empty());
    REQUIRE(Parsed({"--layers", "3"}).verb == "train");
    REQUIRE(Parsed({"train"}).verb == "train");
    REQUIRE(Parsed({"sample"}).verb == "sample");
}

TEST_CASE("cli: values of every kind", "[cpu]") {
    const Parsed parsed({"train", "--layers", "3", "--max-steps=9223372036854775807", "--seed",
                         "9223372036854775807", "--lr", "5e-4", "--dropout", "0.1", "--activation", "relu",
                         "--tied", "--no-quiet", "--out", "a b"});
    REQUIRE(parsed.config.layers == 3);
    REQUIRE(parsed.config.max_steps == INT64_MAX);
    REQUIRE(parsed.config.seed == uint64_t(INT64_MAX));
    REQUIRE(parsed.config.lr == 5e-4f);
    REQUIRE(parsed.config.dropout == 0.1);
    REQUIRE(parsed.config.activation == "relu");
    REQUIRE(parsed.config.tied);
    REQUIRE_FALSE(parsed.config.quiet);
    REQUIRE(parsed.config.out == "a b");
    REQUIRE(parsed.given == Words{"--max-steps", "--seed", "--out", "--quiet", "--layers", "--lr",
                                  "--dropout", "--activation", "--tied"});
}

TEST_CASE("cli: of a repeated option the last one wins", "[cpu]") {
    REQUIRE(Parsed({"--layers", "3", "--layers=5"}).config.layers == 5);
    REQUIRE(Parsed({"--tied", "--no-tied"}).config.tied == false);
    REQUIRE(Parsed({"--no-tied", "--tied"}).config.tied == true);
    REQUIRE(Parsed({"--preset", "full", "--preset", "tiny"}).config.layers == 4);
}

TEST_CASE("cli: explicit flags override the preset, on either side of it", "[cpu]") {
    REQUIRE(Parsed({"--preset", "full"}).config.layers == 6);
    REQUIRE(Parsed({"--preset", "full"}).config.lr == 3e-4f);
    for (const Words& words :
         {Words{"--preset", "full", "--layers", "2"}, Words{"--layers", "2", "--preset", "full"}}) {
        REQUIRE(Parsed(words).config.layers == 2);
        REQUIRE(Parsed(words).config.lr == 3e-4f);
    }
}

TEST_CASE("cli: text is taken as it is", "[cpu]") {
    for (const char* text : {"", " ", "ROMEO:", "[a,b]", "{}", "%%", "-1", "--what", "a=b", "train", "sample",
                             "\"quoted\"", "\n", "\xff", "'", "#", "++"}) {
        CAPTURE(text);
        REQUIRE(Parsed({"sample", "--prompt", text}).config.prompt == text);
    }
    REQUIRE(Parsed({"sample", "--prompt=[a, b]"}).config.prompt == "[a, b]");
    REQUIRE(Parsed({"sample", "--prompt=a=b"}).config.prompt == "a=b");
}

TEST_CASE("cli: numbers out of range are refused with the range", "[cpu]") {
    struct Case {
        const char *flag, *value, *message;
    };
    const Case cases[] = {
        {"--layers", "0", "--layers must be 1 to 1000, not 0"},
        {"--layers", "-1", "--layers must be 1 to 1000, not -1"},
        {"--layers", "1001", "--layers must be 1 to 1000, not 1001"},
        {"--layers", "4294967297", "--layers must be 1 to 1000, not 4294967297"},
        {"--layers", "99999999999999999999", "--layers must be 1 to 1000, not 99999999999999999999"},
        {"--seed", "9223372036854775808", "--seed must be 0 to 9223372036854775807"},
        {"--seed", "-1", "--seed must be 0 to 9223372036854775807"},
        {"--lr", "0", "--lr must be finite and above 0, not 0"},
        {"--lr", "-1e-3", "--lr must be finite and above 0"},
        {"--lr", "1e400", "--lr must be finite and above 0"},
        {"--lr", "1e39", "--lr must be finite and above 0"},    // infinite as a float
        {"--lr", "1e-60", "--lr must be finite and above 0"},   // zero as a float
        {"--lr", "1e-400", "--lr must be finite and above 0"},  // zero as a double
        {"--dropout", "1", "--dropout must be at least 0 and below 1, not 1"},
        {"--dropout", "-0.1", "--dropout must be at least 0 and below 1"},
    };
    for (const Case& c : cases) {
        CAPTURE(c.flag, c.value);
        const Failure failure = refusal({c.flag, c.value});
        REQUIRE(failure.kind == FailureKind::kUsage);
        REQUIRE_THAT(failure.message, contains(c.message));
    }
    REQUIRE_FALSE(std::signbit(Parsed({"--dropout", "-0"}).config.dropout));
}

TEST_CASE("cli: what is no number is refused with the range", "[cpu]") {
    for (const char* bad :
         {"", " ", "x", "12x", " 3", "3 ", "+3", "0x10", "1e3", "3.0", "nan", "-", "--", "1,000", "\xff"}) {
        CAPTURE(bad);
        const Failure failure = refusal({"--layers", bad});
        REQUIRE(failure.kind == FailureKind::kUsage);
        REQUIRE_THAT(failure.message, contains("--layers wants a whole number, 1 to 1000, not '"));
    }
    for (const char* bad : {"", " ", "x", "1x", " 1", "nan", "inf", "-inf", "infinity", "0x1p3", "1e", ".",
                            "-", "1,5", "1e5e5"}) {
        CAPTURE(bad);
        const Failure failure = refusal({"--lr", bad});
        REQUIRE(failure.kind == FailureKind::kUsage);
        REQUIRE_THAT(failure.message, contains("--lr wants a number, finite and above 0, not '"));
    }
}

TEST_CASE("cli: unknown words are refused with the nearest known one", "[cpu]") {
    struct Case {
        Words words;
        const char* message;
    };
    const Case cases[] = {
        {{"--layer", "3"}, "knows no flag --layer; the nearest is --layers"},
        {{"--lyaers=3"}, "knows no flag --lyaers; the nearest is --layers"},
        {{"--max", "3"}, "the nearest is --max-steps"},
        {{"--no-tide"}, "the nearest is --no-tied"},
        {{"-layers", "3"}, "knows no flag -layers; the nearest is --layers"},
        {{"--LAYERS", "3"}, "knows no flag --LAYERS"},
        {{"--config=x"}, "knows no flag --config"},
        {{"-x"}, "knows no flag -x"},
        {{"sample", "--layers", "3"}, "prog sample knows no flag --layers"},
        {{"trian"}, "knows no verb 'trian'; the nearest is train\nit takes one of: train, sample, show"},
        {{""}, "knows no verb ''"},
        {{"train", "sample"}, "takes no 'sample'"},
        {{"train", "train"}, "takes no 'train'"},
        {{"train", "data.txt"}, "takes no 'data.txt'"},
        {{"train", "--", "--layers", "3"}, "takes no '"},
        {{"--quiet", "3"}, "takes no '3'"},
        {{"--preset", "ful"},
         "--preset knows no 'ful'; the nearest is full\nit takes one of: tiny, quick, full"},
        {{"--activation", "gleu"},
         "--activation knows no 'gleu'; the nearest is gelu\nit takes one of: gelu, relu"},
        {{"--activation", ""}, "--activation knows no ''"},
        {{"--\x1b[31m\n"}, "knows no flag --\\x1b[31m\\n;"},
    };
    for (const Case& c : cases) {
        CAPTURE(c.message);
        const Failure failure = refusal(c.words);
        REQUIRE(failure.kind == FailureKind::kUsage);
        REQUIRE_THAT(failure.message, contains(c.message));
    }
}

TEST_CASE("cli: a forgotten value is not the next flag", "[cpu]") {
    REQUIRE_THAT(refusal({"--layers"}).message, contains("--layers wants a value"));
    REQUIRE_THAT(refusal({"--layers="}).message, contains("--layers wants a value"));
    REQUIRE_THAT(refusal({"--lr", "--layers", "3"}).message,
                 contains("--lr wants a value, but --layers follows"));
    REQUIRE_THAT(refusal({"--out", "--no-quiet"}).message,
                 contains("--out wants a value, but --no-quiet follows"));
    REQUIRE_THAT(refusal({"--out", ""}).message, contains("--out wants a path"));
    REQUIRE_THAT(refusal({"--no-tied=7"}).message, contains("--no-tied takes no value"));
}

TEST_CASE("cli: a list takes words up to the next flag", "[cpu]") {
    REQUIRE(Parsed({"show"}).config.data == Words{"default.txt"});
    REQUIRE(Parsed({"show", "--data", "a"}).config.data == Words{"a"});
    const Parsed parsed(
        {"show", "--data", "a", "b c", "", "-", "--layers", "3", "--marks", "x", "y", "--tied"});
    REQUIRE(parsed.config.data == Words{"a", "b c", "", "-"});
    REQUIRE(parsed.config.marks == Words{"x", "y"});
    REQUIRE(parsed.config.layers == 3);
    REQUIRE(parsed.config.tied);
    REQUIRE(parsed.given == Words{"--data", "--marks", "--layers", "--tied"});
    REQUIRE(Parsed({"show", "--data=--x"}).config.data == Words{"--x"});
    REQUIRE(Parsed({"show", "--data=a=b"}).config.data == Words{"a=b"});
    // CLI11 would split the first, and has its own meanings for the others.
    const Words strange = {"[PAD]",      "[a,b]",         "{}",  "%%", "++", "show", "train",
                           "\"quoted\"", "<|endoftext|>", "\xff"};
    Words words = {"show", "--marks"};
    words.insert(words.end(), strange.begin(), strange.end());
    REQUIRE(Parsed(words).config.marks == strange);
    // Of a repeated one the last counts, as for every flag.
    REQUIRE(Parsed({"show", "--data", "a", "b", "--tied", "--data", "c"}).config.data == Words{"c"});
    for (const Words& bad : {Words{"show", "--data"}, Words{"show", "--data", "--tied"}})
        REQUIRE_THAT(refusal(bad).message, contains("--data wants at least one value"));
    REQUIRE_THAT(refusal({"show", "--data", "a", "--layer", "3"}).message,
                 contains("knows no flag --layer; the nearest is --layers"));
}

TEST_CASE("cli: arguments are words without a flag, before and behind the flags", "[cpu]") {
    REQUIRE(Parsed({"show"}).given.empty());
    for (const Words& words : {Words{"show", "a b", "--layers", "3"}, Words{"show", "--layers", "3", "a b"},
                               Words{"show", "--layers=3", "--tied", "a b"},
                               Words{"show", "--tied", "--layers", "3", "--", "a b"}}) {
        REQUIRE(Parsed(words).config.text == "a b");
        REQUIRE(Parsed(words).config.layers == 3);
        REQUIRE(Parsed(words).config.file.empty());
    }
    const Parsed two({"show", "a", "--tied", "b"});
    REQUIRE(two.config.text == "a");
    REQUIRE(two.config.file == "b");
    REQUIRE(two.given == Words{"--tied", "TEXT", "FILE"});
    for (const char* text :
         {"", " ", "-", "[a,b]", "{}", "%%", "a=b", "train", "show", "\"quoted\"", "\n", "\xff", "#", "++"}) {
        CAPTURE(text);
        const Parsed parsed({"show", text});
        REQUIRE(parsed.config.text == text);
        REQUIRE(parsed.given == Words{"TEXT"});
    }
    for (const char* text : {"--tied", "-1", "--", "--help", "--no-such"}) {
        CAPTURE(text);
        REQUIRE(Parsed({"show", "--", text}).config.text == text);
        REQUIRE_FALSE(Parsed({"show", "--", text}).config.tied);
    }
    REQUIRE(Parsed({"show", "--marks", "a", "b", "--", "c"}).config.text == "c");
    const Failure third = refusal({"show", "a", "b", "c"});
    REQUIRE(third.kind == FailureKind::kUsage);
    REQUIRE_THAT(third.message,
                 contains("prog show takes no 'c'; write --name value, and at most [TEXT] [FILE]"));
    const Failure dash = refusal({"show", "-1 is a number"});
    REQUIRE_THAT(dash.message, contains("knows no flag -1 is a number") && contains("goes behind --"));
    REQUIRE_THAT(refusal({"show", "--lyaers", "3", "text"}).message, contains("the nearest is --layers"));
}

TEST_CASE("cli: help shows groups, defaults, ranges and the example", "[cpu]") {
    const std::string help = Parsed({}).help;
    for (const char* part :
         {"A program for tests.", "Usage: prog [train]", "Usage: prog sample", "\nRun\n", "\nModel\n",
          "--layers N              blocks (1 to 1000; default 4)", "(finite and above 0; default 0.001)",
          "(at least 0 and below 1; default 0)", "(gelu, relu; default gelu)", "--[no-]tied",
          "(default runs/chapter00)", "(default on)", "Usage: prog show [--name value ...] [TEXT] [FILE]\n",
          "--data FILE ...         texts (default default.txt)",
          "\nArguments\n  TEXT                    what to print", "Ctrl-C writes a checkpoint.",
          "Example\n  prog train --layers 3\n", "Example\n  prog sample --prompt x\n"})
        REQUIRE_THAT(help, contains(part));
    size_t begin = 0;
    for (size_t end; (end = help.find('\n', begin)) != std::string::npos; begin = end + 1)
        REQUIRE(end - begin <= 100);
}

TEST_CASE("cli: --help prints to stdout and exits 0, bad usage exits 2", "[cpu]") {
    // Runs the words in a child process, as a program would.
    const auto exit_code_of = [](const Words& words, std::string* output) {
        int ends[2];
        REQUIRE(::pipe(ends) == 0);
        std::fflush(stdout);
        const pid_t child = ::fork();
        if (child == 0) {
            failure_handler() = nullptr;
            ::dup2(ends[1], 1);
            ::dup2(ends[1], 2);
            Parsed parsed(words);
            ::_exit(3);
        }
        ::close(ends[1]);
        char buffer[4096];
        for (ssize_t got; (got = ::read(ends[0], buffer, sizeof buffer)) > 0;)
            output->append(buffer, size_t(got));
        ::close(ends[0]);
        int status = 0;
        ::waitpid(child, &status, 0);
        return WEXITSTATUS(status);
    };
    std::string overview, sample, refused;
    REQUIRE(exit_code_of({"--help"}, &overview) == 0);
    REQUIRE_THAT(overview, contains("Verbs"));
    REQUIRE(exit_code_of({"sample", "-h"}, &sample) == 0);
    REQUIRE_THAT(sample, contains("--prompt TEXT"));
    REQUIRE(sample.find("--layers N") == std::string::npos);
    REQUIRE(exit_code_of({"--layers", "0"}, &refused) == 2);
    REQUIRE(refused == "error: --layers must be 1 to 1000, not 0\n");
}

TEST_CASE("cli: the nearest word counts swapped letters and beginnings once", "[cpu]") {
    REQUIRE(nearest("--lyaers", {"--heads", "--layers"}) == "--layers");
    REQUIRE(nearest("--check", {"--help", "--checkpoint-every"}) == "--checkpoint-every");
    REQUIRE(nearest("", {"a", "b"}) == "a");
    REQUIRE(nearest("x", {}).empty());
}
