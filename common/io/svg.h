// svg.h - line charts and bar charts as SVG text, for pages that html.h makes (they use its colour variables).
// Not here: interaction, other kinds of charts. A long curve is thinned: a line through the means of its
// pieces in front of a pale band from their minima to their maxima.
#pragma once
#include <string>
#include <vector>

namespace svg {

struct Series {
    std::string name;          // for the legend
    std::vector<double> x, y;  // of equal length, x ascending; points that are not finite are left out
    bool has_dots = false;     // for a few points worth seeing one by one
};

struct LineChart {
    std::string id;  // unique on the page, letters and digits: the text alternative needs it
    std::string title, x_label, y_label;
    std::vector<Series> series;  // at most six are told apart by colour
    bool log_x = false;
    bool from_zero = false;  // the y axis begins at 0
    int width = 760, height = 340;
    int max_points = 400;  // per series
};

// An <svg> element with a title, a description in words (first, last and lowest value of each series), axes,
// legend.
std::string line_chart(const LineChart& chart);

struct Bars {
    std::string name;            // for the legend
    std::vector<double> values;  // one per label, 0 or more; one that is not finite has no bar
};

struct BarChart {
    std::string id;  // as above
    std::string title, x_label;
    std::vector<std::string> labels;  // from top to bottom
    std::vector<Bars> bars;           // at most six
    bool is_stacked = false;          // the bars of a label one after the other; else one below the other
    int decimals = 2;                 // of the number behind each bar, or behind each stack, its sum
    int width = 760;                  // the height follows from the number of bars
};

// Horizontal bars from 0, with their numbers; an <svg> element with a title, all numbers in words, axis, legend.
std::string bar_chart(const BarChart& chart);

// The rules that pages with charts need: of the charts, and of the <figure> around each.
extern const char* const kChartStyle;

// Round numbers that cover [low, high] in about `count` steps, ascending; for axes.
std::vector<double> ticks(double low, double high, int count);

}  // namespace svg
