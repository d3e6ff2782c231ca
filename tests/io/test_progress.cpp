// test_progress.cpp - the bar against a clock of our own.
#include "io/progress.h"

#include <cmath>
#include <memory>

#include "tests/support/catch.h"

namespace {

// A Progress that writes into memory and reads a clock that the test sets.
struct Screen {
    double time = 0;
    char* text = nullptr;
    size_t size = 0;
    FILE* out = ::open_memstream(&text, &size);
    std::unique_ptr<Progress> progress;

    explicit Screen(ProgressOptions options) {
        options.out = out;
        options.now = [this] { return time; };
        progress = std::make_unique<Progress>(options);
    }
    ~Screen() {
        progress.reset();
        std::fclose(out);
        std::free(text);
    }
    // What was written since the last call.
    std::string take() {
        std::fflush(out);
        std::string taken(text, size);
        std::rewind(out);
        return taken;
    }
};

ProgressOptions options(ProgressOptions::Style style, int columns = 100) {
    ProgressOptions options;
    options.total = 1000;
    options.style = style;
    options.columns = columns;
    options.blocks = false;
    return options;
}

}  // namespace

TEST_CASE("progress: the bar shows percent, count, times, speed and the note", "[cpu]") {
    ProgressOptions with_tokens = options(ProgressOptions::kBar, 110);
    with_tokens.tokens_per_step = 2048;
    Screen screen(with_tokens);
    screen.time = 10;
    screen.progress->update(250, "loss=1.532");
    REQUIRE(screen.take() ==
            "\r 25%|##########                              | 250/1000 [00:10<00:30, 25.0it/s, 51.2k "
            "tokens/s, loss=1.532]\x1b[K");
}

TEST_CASE("progress: blocks fill in eighths", "[cpu]") {
    ProgressOptions smooth = options(ProgressOptions::kBar, 44);
    smooth.blocks = true;
    Screen screen(smooth);
    screen.time = 1;
    screen.progress->update(500, "");
    REQUIRE_THAT(screen.take(),
                 contains("50%|\xe2\x96\x88\xe2\x96\x88\xe2\x96\x8c  | 500/1000 [00:01<00:01, 500it/s]"));
}

TEST_CASE("progress: at most ten drawings a second", "[cpu]") {
    Screen screen(options(ProgressOptions::kBar));
    int drawings = 0;
    for (int step = 1; step <= 1000; step++) {
        screen.time = step * 0.001;
        screen.progress->update(step, "");
        const std::string taken = screen.take();
        drawings += taken.empty() ? 0 : 1;
    }
    REQUIRE(drawings >= 9);
    REQUIRE(drawings <= 11);
}

TEST_CASE("progress: no line is wider than the terminal", "[cpu]") {
    for (int columns : {1, 2, 10, 20, 40, 60, 61, 62, 80, 200}) {
        CAPTURE(columns);
        Screen screen(options(ProgressOptions::kBar, columns));
        screen.time = 3;
        screen.progress->update(999, "loss=1.532");
        const std::string taken = screen.take();
        REQUIRE(taken.size() - std::string("\r\x1b[K").size() < size_t(std::max(columns, 2)));
    }
}

TEST_CASE("progress: the speed forgets a slow start", "[cpu]") {
    Screen screen(options(ProgressOptions::kBar));
    screen.time = 10;
    screen.progress->update(1, "");  // the first step took ten seconds
    for (int i = 1; i <= 300; i++) {
        screen.time = 10 + i * 0.125;
        screen.take();
        screen.progress->update(1 + i, "");
    }
    REQUIRE_THAT(screen.take(), contains("301/1000 [00:48<01:27, 8.00it/s]"));
}

TEST_CASE("progress: resumed steps do not count as speed", "[cpu]") {
    ProgressOptions resumed = options(ProgressOptions::kBar);
    resumed.first = 900;
    Screen screen(resumed);
    screen.time = 10;
    screen.progress->update(910, "");
    REQUIRE_THAT(screen.take(), contains("910/1000 [00:10<01:30, 1.00it/s]"));
}

TEST_CASE("progress: slow steps read as seconds per step", "[cpu]") {
    Screen screen(options(ProgressOptions::kBar));
    screen.time = 5;
    screen.progress->update(2, "");
    REQUIRE_THAT(screen.take(), contains("2.50s/it"));
}

TEST_CASE("progress: other lines go above the bar", "[cpu]") {
    Screen screen(options(ProgressOptions::kBar));
    screen.time = 1;
    screen.progress->update(10, "");
    screen.take();
    screen.progress->print("Epoch 1 train loss: 1.59");
    const std::string taken = screen.take();
    REQUIRE(taken.compare(0, 29, "\r\x1b[KEpoch 1 train loss: 1.59\n") == 0);
    REQUIRE_THAT(taken, contains("10/1000"));
}

TEST_CASE("progress: clear leaves an empty line, finish a full one", "[cpu]") {
    Screen screen(options(ProgressOptions::kBar));
    screen.time = 1;
    screen.progress->update(1000, "");
    screen.take();
    screen.progress->clear();
    REQUIRE(screen.take() == "\r\x1b[K");
    screen.time = 2;
    screen.progress->finish();
    screen.progress->finish();
    const std::string last = screen.take();
    REQUIRE_THAT(last, contains("100%|"));
    REQUIRE_THAT(last, contains("1000/1000 [00:02<00:00, 500it/s]"));
    REQUIRE(last.back() == '\n');
    screen.progress.reset();
    REQUIRE(screen.take().empty());
}

TEST_CASE("progress: plain lines every ten seconds where there is no terminal", "[cpu]") {
    Screen screen(options(ProgressOptions::kLines));
    std::string all;
    for (int step = 1; step <= 300; step++) {
        screen.time = step * 0.1;
        screen.progress->update(step, "loss=2");
        all += screen.take();
    }
    screen.progress->finish();
    all += screen.take();
    REQUIRE(all.find('\r') == std::string::npos);
    REQUIRE(all.find('\x1b') == std::string::npos);
    size_t lines = 0;
    for (char c : all) lines += c == '\n' ? 1 : 0;
    REQUIRE(lines == 4);  // at 0.1, 10.1 and 20.1 seconds, and the last
    REQUIRE_THAT(all, contains(" 10% 101/1000 [00:10<01:30, 10.0it/s, loss=2]\n"));
}

TEST_CASE("progress: quiet prints nothing", "[cpu]") {
    for (ProgressOptions::Style style : {ProgressOptions::kBar, ProgressOptions::kLines}) {
        ProgressOptions quiet = options(style);
        quiet.quiet = true;
        Screen screen(quiet);
        screen.time = 100;
        screen.progress->update(10, "");
        screen.progress->print("line");
        screen.progress->clear();
        screen.progress->finish();
        REQUIRE(screen.take().empty());
    }
}

TEST_CASE("progress: times and speeds for people", "[cpu]") {
    REQUIRE(format_duration(0) == "00:00");
    REQUIRE(format_duration(61.4) == "01:01");
    REQUIRE(format_duration(3723) == "1:02:03");
    REQUIRE(format_duration(INFINITY) == "?");
    REQUIRE(format_duration(NAN) == "?");
    REQUIRE(format_si(0) == "0");
    REQUIRE(format_si(0.123) == "0.12");
    REQUIRE(format_si(9.996) == "10.0");
    REQUIRE(format_si(99.96) == "100");
    REQUIRE(format_si(999.4) == "999");
    REQUIRE(format_si(999.6) == "1.00k");
    REQUIRE(format_si(123456) == "123k");
    REQUIRE(format_si(4.56e6) == "4.56M");
    REQUIRE(format_si(NAN) == "?");
}
