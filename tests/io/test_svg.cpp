// test_svg.cpp - axes, thinning, and charts of awkward data.
#include "io/svg.h"

#include <cmath>

#include "tests/support/catch.h"
#include "tests/support/throwing_failures.h"

namespace {

svg::LineChart chart_of(std::vector<double> x, std::vector<double> y) {
    svg::LineChart chart;
    chart.id = "c";
    chart.title = "Loss";
    chart.x_label = "step";
    chart.series.push_back({"training", std::move(x), std::move(y)});
    return chart;
}

size_t count(const std::string& text, const std::string& part) {
    size_t n = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) n++;
    return n;
}

}  // namespace

TEST_CASE("svg: ticks are round and cover the range", "[cpu]") {
    REQUIRE(svg::ticks(0, 10, 5) == std::vector<double>{0, 2, 4, 6, 8, 10});
    REQUIRE(svg::ticks(1.3, 4.2, 5) == std::vector<double>{1, 2, 3, 4, 5});
    REQUIRE(svg::ticks(-3, 3, 3) == std::vector<double>{-4, -2, 0, 2, 4});
    for (double low : {1e-9, 0.3, 17.0, 1e12})
        for (double factor : {1.001, 1.5, 3.0, 1000.0})
            for (int n : {1, 2, 5, 10}) {
                const std::vector<double> ticks = svg::ticks(low, low * factor, n);
                CAPTURE(low, factor, n);
                REQUIRE(ticks.size() >= 2);
                REQUIRE(ticks.size() <= size_t(n) + 3);
                REQUIRE(ticks.front() <= low * (1 + 1e-9));
                REQUIRE(ticks.back() >= low * factor * (1 - 1e-9));
            }
}

TEST_CASE("svg: a chart has a title and says in words what it shows", "[cpu]") {
    const std::string text = svg::line_chart(chart_of({1, 2, 3}, {4, 1, 2}));
    REQUIRE_THAT(text, contains("aria-labelledby=\"c-title c-desc\""));
    REQUIRE_THAT(text, contains("<title id=\"c-title\">Loss</title>"));
    REQUIRE_THAT(text, contains("training: 4 at step 1, 2 at 3, lowest 1 at 2."));
}

TEST_CASE("svg: hostile names stay text", "[cpu]") {
    svg::LineChart chart = chart_of({1, 2}, {1, 2});
    const std::string hostile = "</title></script><img src=x onerror=alert(1)>";
    chart.title = chart.x_label = chart.y_label = hostile;
    chart.series.push_back({hostile, {1, 2}, {2, 3}});
    REQUIRE(svg::line_chart(chart).find("<img") == std::string::npos);
}

TEST_CASE("svg: a long curve is thinned, and its extremes stay visible", "[cpu]") {
    std::vector<double> x, y;
    for (int i = 1; i <= 80000; i++) {
        x.push_back(i);
        y.push_back(i == 40000 ? 9.0 : 2.0);
    }
    for (const bool log_x : {false, true}) {
        svg::LineChart chart = chart_of(x, y);
        chart.log_x = log_x;
        const std::string text = svg::line_chart(chart);
        CAPTURE(log_x);
        REQUIRE(text.size() < 30000);
        REQUIRE(count(text, "class=\"band\"") == 1);
        REQUIRE_THAT(text, contains(">8</text>"));  // the axis reaches the peak
        REQUIRE_THAT(text, contains("lowest 2 at 1."));
    }
    const std::string few = svg::line_chart(chart_of({1, 2, 3}, {1, 2, 3}));
    REQUIRE(count(few, "class=\"band\"") == 0);
}

TEST_CASE("svg: awkward data make a chart without nan in it", "[cpu]") {
    const double nan = NAN, inf = INFINITY;
    const std::vector<std::pair<std::vector<double>, std::vector<double>>> cases = {
        {{}, {}},
        {{1}, {2}},
        {{1}, {0}},
        {{0}, {0}},
        {{1, 2, 3}, {5, 5, 5}},
        {{1, 2, 3}, {5, 5 + 1e-15, 5}},
        {{1, 2, 3}, {nan, nan, nan}},
        {{1, 2, 3}, {1, inf, 2}},
        {{1, 2, 3}, {1e30, -1e30, 0}},
        {{-1, 0, 1}, {1, 2, 3}},
        {{7, 7, 7}, {1, 2, 3}},
        {{1e15, 1e15 + 1}, {1e-30, 2e-30}},
        {std::vector<double>(5000, 3.0), std::vector<double>(5000, 3.0)},
    };
    for (size_t i = 0; i < cases.size(); i++) {
        for (const bool log_x : {false, true}) {
            CAPTURE(i, log_x);
            svg::LineChart chart = chart_of(cases[i].first, cases[i].second);
            chart.log_x = log_x;
            const std::string text = svg::line_chart(chart);
            REQUIRE(text.find("nan") == std::string::npos);
            REQUIRE(text.find("inf") == std::string::npos);
            REQUIRE_THAT(text, contains("</svg>"));
        }
    }
    REQUIRE_THAT(svg::line_chart(chart_of({}, {})), contains("no values"));
}

TEST_CASE("svg: misuse is a bug, not a crooked picture", "[cpu]") {
    REQUIRE(failure_of([] { svg::line_chart(chart_of({1, 2}, {1})); }).kind == FailureKind::kBug);
    svg::LineChart crowded = chart_of({1}, {1});
    crowded.series.resize(7);
    REQUIRE_THAT(failure_of([&] { svg::line_chart(crowded); }).message, contains("7 series, but 6 colours"));
}

TEST_CASE("svg: a bar chart draws a bar for each finite value and says all numbers in words", "[cpu]") {
    svg::BarChart chart;
    chart.id = "b";
    chart.title = "Bits";
    chart.x_label = "bits per byte";
    chart.labels = {"bytes", "<words>"};
    chart.bars = {{"model", {2.5, 1.25}}, {"spelling", {std::nan(""), 0.5}}};
    for (const bool is_stacked : {false, true}) {
        chart.is_stacked = is_stacked;
        const std::string text = svg::bar_chart(chart);
        CAPTURE(is_stacked, text);
        REQUIRE(count(text, "<rect") == 3 + 2);  // and two in the legend
        REQUIRE_THAT(text, contains("bytes: model 2.50. &lt;words&gt;: model 1.25 spelling 0.50."));
        REQUIRE_THAT(text, contains(is_stacked ? ">1.75<" : ">0.50<"));
        REQUIRE(count(text, "<words>") == 0);
        REQUIRE(count(text, "nan") == 0);
    }
}

TEST_CASE("svg: a bar chart of nothing, or of zeros, is still a picture", "[cpu]") {
    svg::BarChart chart;
    chart.id = "b";
    REQUIRE_THAT(svg::bar_chart(chart), contains("</svg>"));
    chart.labels = {"a"};
    chart.bars = {{"x", {0}}};
    REQUIRE_THAT(svg::bar_chart(chart), contains("</svg>"));
    chart.bars[0].values = {-1};
    REQUIRE(failure_of([&] { svg::bar_chart(chart); }).kind == FailureKind::kBug);
}
