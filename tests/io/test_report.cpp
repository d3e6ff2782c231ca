// test_report.cpp - the page of a run: all of it there, none of it alive, not too large.
#include "io/report.h"

#include <unistd.h>
#include <cmath>

#include "io/file.h"
#include "io/machine.h"
#include "tests/support/catch.h"

namespace {

ReportData report_with(const std::string& text, int64_t steps) {
    ReportData data;
    data.title = data.subtitle = data.command = data.machine = text;
    data.warnings = {text};
    data.headline = {{text, text, text}};
    data.tables = {{text, {text, text}, {{text, text}}, text}};
    data.samples = {{text, text, text}, {text, "", "\n" + text}};
    data.config = {{text, {{text, text}}}};
    for (int64_t step = 1; step <= steps; step++) {
        LogRow row;
        row.step = step;
        row.tokens = step * 2048;
        row.loss = 1.5 + 2.5 * std::exp(-double(step) / 500) + 0.05 * std::sin(double(step) * 1.7);
        row.lr = 1e-3;
        row.grad_norm = 0.5 + 0.1 * std::cos(double(step));
        row.tokens_per_s = 1e5;
        if (step % 1000 == 0) row.val_loss = row.loss + 0.1;
        data.log.push_back(row);
    }
    return data;
}

size_t count(const std::string& text, const std::string& part) {
    size_t n = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) n++;
    return n;
}

}  // namespace

TEST_CASE("report: hostile text stays text, wherever it stands", "[cpu]") {
    const std::string page = report_html(report_with("</pre></script><img src=x onerror=alert(1)>\"'", 10));
    REQUIRE(page.find("<img") == std::string::npos);
    REQUIRE(page.find("<script") == std::string::npos);
    REQUIRE(count(page, "<pre>") == count(page, "</pre>"));
    REQUIRE(count(page, "&lt;img src=x onerror=alert(1)&gt;") >= 18);  // as often as it was put in
}

TEST_CASE("report: shows what it was given", "[cpu]") {
    ReportData data = report_with("something", 3000);
    const std::string page = report_html(data);
    for (const char* part : {"<title>something</title>", "class=\"warning\"", "Loss", "held out",
                             "Learning rate", "Gradient norm", "nats per token", "Speed, tokens per second",
                             "Samples", "Configuration", "Command", "Machine"})
        REQUIRE_THAT(page, contains(part));
    data.token = "character";
    const std::string of_characters = report_html(data);
    for (const char* part : {"nats per character", "Speed, characters per second"})
        REQUIRE_THAT(of_characters, contains(part));
    REQUIRE(count(page, "<svg") == 5);
    REQUIRE(count(page, "<desc") == 5);                        // every picture has its text
    REQUIRE_THAT(page, contains("<pre>\n\nsomething</pre>"));  // a sample's first empty line is not lost
}

TEST_CASE("report: parts that are missing leave no empty headings", "[cpu]") {
    ReportData data;
    data.title = "t";
    REQUIRE(count(report_html(data), "<h2>") == 0);
}

TEST_CASE("report: 80,000 steps stay below a megabyte", "[cpu]") {
    char name[] = "/tmp/test_report_XXXXXX";
    ::close(::mkstemp(name));
    write_report(name, report_with("x", 80000));
    const std::string page = read_file(name);
    ::unlink(name);
    REQUIRE(page.size() < 200000);
    REQUIRE_THAT(page, contains("</html>"));
}

TEST_CASE("machine: one line each", "[cpu]") {
    for (const std::string& line : {machine_line(), compiler_line()}) {
        REQUIRE(line.size() > 5);
        REQUIRE(line.find('\n') == std::string::npos);
    }
}
