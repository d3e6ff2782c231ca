// svg.cpp - scales, ticks, thinning, and the text of the picture.
#include "io/svg.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/check.h"
#include "io/html.h"

namespace svg {
namespace {

constexpr int kColours = 6;                                      // --c0 to --c5 in html.h
constexpr int kLeft = 64, kRight = 16, kTop = 40, kBottom = 46;  // room for labels, pixels
constexpr int kLegendRow = 20;
constexpr double kLetterWidth = 9;  // generous: the text may be wider where the page enlarges it for a phone

struct Point {
    double x, y, low, high;  // low and high: extremes of what was averaged into y
};

// One axis: values in [low, high] to pixels in [from, to].
struct Scale {
    double low, high, from, to;
    bool is_log = false;
    double operator()(double value) const {
        const double share =
            is_log ? std::log(value / low) / std::log(high / low) : (value - low) / (high - low);
        return from + share * (to - from);
    }
};

bool is_drawable(double x, double y, bool log_x) {
    return std::isfinite(x) && std::isfinite(y) && (!log_x || x > 0);
}

// At most `max_points` points, each the mean of the originals in one piece of the x axis.
std::vector<Point> thin(const Series& series, bool log_x, int max_points) {
    std::vector<Point> points;
    for (size_t i = 0; i < series.x.size(); i++)
        if (is_drawable(series.x[i], series.y[i], log_x))
            points.push_back({series.x[i], series.y[i], series.y[i], series.y[i]});
    if (points.size() <= size_t(max_points) || points.front().x == points.back().x) return points;

    const Scale piece{points.front().x, points.back().x, 0, double(max_points), log_x};
    std::vector<Point> thinned;
    int last_piece = -1;
    size_t count = 0;
    for (const Point& p : points) {
        const int index = std::clamp(int(piece(p.x)), 0, max_points - 1);
        if (index != last_piece) {
            thinned.push_back(p);
            last_piece = index;
            count = 1;
            continue;
        }
        Point& mean = thinned.back();
        count++;
        mean.x += (p.x - mean.x) / double(count);
        mean.y += (p.y - mean.y) / double(count);
        mean.low = std::min(mean.low, p.y);
        mean.high = std::max(mean.high, p.y);
    }
    return thinned;
}

// A number as an axis shows it: 0.001, 12.5, 20k, 3M. The largest number of the axis chooses the unit for
// all.
std::string axis_number(double value, double largest) {
    if (value == 0) return "0";
    if (largest >= 1e6) return format("%.4gM", value / 1e6);
    if (largest >= 1e4) return format("%.4gk", value / 1e3);
    return format("%.4g", value);
}

std::string pixels(double value) {
    return format("%.1f", value);
}

std::string path_through(const std::vector<Point>& points, const Scale& x, const Scale& y) {
    std::string path;
    for (size_t i = 0; i < points.size(); i++)
        path += (i == 0 ? "M" : "L") + pixels(x(points[i].x)) + " " + pixels(y(points[i].y));
    return path;
}

std::string band_around(const std::vector<Point>& points, const Scale& x, const Scale& y) {
    std::string path;
    for (size_t i = 0; i < points.size(); i++)
        path += (i == 0 ? "M" : "L") + pixels(x(points[i].x)) + " " + pixels(y(points[i].high));
    for (size_t i = points.size(); i-- > 0;)
        path += "L" + pixels(x(points[i].x)) + " " + pixels(y(points[i].low));
    return path + "Z";
}

// What the curves say, for those who do not see them.
std::string describe(const LineChart& chart) {
    std::string text;
    for (const Series& series : chart.series) {
        size_t first = series.x.size(), last = 0, lowest = 0;
        for (size_t i = 0; i < series.x.size(); i++) {
            if (!is_drawable(series.x[i], series.y[i], chart.log_x)) continue;
            if (first == series.x.size()) first = lowest = i;
            if (series.y[i] < series.y[lowest]) lowest = i;
            last = i;
        }
        if (first == series.x.size()) continue;
        text += format("%s: %.4g at %s %.6g, %.4g at %.6g, lowest %.4g at %.6g. ", series.name.c_str(),
                       series.y[first], chart.x_label.c_str(), series.x[first], series.y[last],
                       series.x[last], series.y[lowest], series.x[lowest]);
    }
    return text.empty() ? "No values." : text;
}

std::string text_at(double x, double y, const char* anchor, const std::string& css_class,
                    const std::string& text) {
    return format("<text class=\"%s\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", css_class.c_str(), x, y,
                  anchor) +
           html::escape(text) + "</text>\n";
}

// Powers of ten in [low, high], with 2 and 5 times them where there is room.
std::vector<double> log_ticks(double low, double high) {
    std::vector<double> values;
    const bool is_short = std::log10(high / low) < 3;
    for (double power = std::pow(10, std::floor(std::log10(low))); power <= high; power *= 10)
        for (double factor : {1.0, 2.0, 5.0})
            if ((factor == 1 || is_short) && power * factor >= low && power * factor <= high)
                values.push_back(power * factor);
    return values;
}

}  // namespace

std::vector<double> ticks(double low, double high, int count) {
    CHECK(high > low && count > 0, "[svg] no ticks between %g and %g", low, high);
    const double rough = (high - low) / count;
    const double power = std::pow(10, std::floor(std::log10(rough)));
    double step = power * 10;
    for (double factor : {1.0, 2.0, 5.0})
        if (power * factor >= rough * 0.999) {
            step = power * factor;
            break;
        }
    std::vector<double> values;
    // note: multiples of the step, not a running sum, so that 0 is 0 and not 1e-17.
    for (double k = std::floor(low / step + 1e-9); k <= std::ceil(high / step - 1e-9); k++)
        values.push_back(k * step);
    return values;
}

std::string line_chart(const LineChart& chart) {
    CHECK(chart.series.size() <= size_t(kColours), "[svg] %zu series, but %d colours", chart.series.size(),
          kColours);
    std::vector<std::vector<Point>> curves;
    const double infinity = std::numeric_limits<double>::infinity();
    double x_low = infinity, x_high = -infinity, y_low = infinity, y_high = -infinity;
    for (const Series& series : chart.series) {
        CHECK_EQ(series.x.size(), series.y.size());
        curves.push_back(thin(series, chart.log_x, chart.max_points));
        for (const Point& p : curves.back()) {
            x_low = std::min(x_low, p.x), x_high = std::max(x_high, p.x);
            y_low = std::min(y_low, p.low), y_high = std::max(y_high, p.high);
        }
    }
    const bool is_empty = x_low > x_high;
    if (is_empty) x_low = y_low = 1, x_high = y_high = 2;
    if (x_low == x_high)
        x_low = chart.log_x ? x_low / 2 : x_low - 1, x_high = chart.log_x ? x_high * 2 : x_high + 1;
    if (!chart.log_x && x_low > 0 && x_low < 0.02 * x_high) x_low = 0;  // steps count from 1: show the origin
    if (chart.from_zero) y_low = std::min(y_low, 0.0);
    // note: also where they differ by rounding only, so that ticks have digits left to differ in.
    const double y_size = std::max(std::fabs(y_low), std::fabs(y_high));
    if (y_high - y_low <= y_size * 1e-6) {
        const double margin = y_size == 0 ? 1 : y_size / 10;
        y_low -= margin, y_high += margin;
    }
    const std::vector<double> y_ticks = ticks(y_low, y_high, 5);
    const std::vector<double> x_ticks =
        chart.log_x ? log_ticks(x_low, x_high) : ticks(x_low, x_high, chart.width / 80);

    const double bottom = chart.height - kBottom, right = chart.width - kRight;
    const bool has_legend = chart.series.size() > 1;
    const double top = kTop + (has_legend ? kLegendRow : 0);
    const Scale x{x_low, x_high, double(kLeft), right, chart.log_x};
    const Scale y{y_ticks.front(), y_ticks.back(), bottom, top};

    std::string out = format(
        "<svg class=\"chart\" viewBox=\"0 0 %d %d\" role=\"img\" aria-labelledby=\"%s-title %s-desc\">\n",
        chart.width, chart.height, chart.id.c_str(), chart.id.c_str());
    out += "<title id=\"" + chart.id + "-title\">" + html::escape(chart.title) + "</title>\n";
    out += "<desc id=\"" + chart.id + "-desc\">" + html::escape(describe(chart)) + "</desc>\n";
    out += text_at(kLeft, 18, "start", "chart-title", chart.title);

    for (double value : y_ticks) {
        out += format("<path class=\"grid\" d=\"M%d %.1fH%.1f\"/>", kLeft, y(value), right);
        out += text_at(kLeft - 8, y(value) + 4, "end", "tick", axis_number(value, y_ticks.back()));
    }
    for (double value : x_ticks) {
        if (value < x_low || value > x_high) continue;
        out += format("<path class=\"axis\" d=\"M%.1f %.1fv5\"/>", x(value), bottom);
        out += text_at(x(value), bottom + 19, "middle", "tick",
                       axis_number(value, chart.log_x ? value : x_high));
    }
    out += format("<path class=\"axis\" d=\"M%d %.1fH%.1f\"/>\n", kLeft, bottom, right);
    out += text_at((kLeft + right) / 2, chart.height - 8, "middle", "label", chart.x_label);
    if (!chart.y_label.empty()) out += text_at(right, 18, "end", "label", chart.y_label);

    double legend_x = kLeft;
    for (size_t i = 0; i < curves.size(); i++) {
        const std::vector<Point>& points = curves[i];
        const std::string colour = format("var(--c%zu)", i);
        const bool has_band = points.size() < chart.series[i].x.size();
        if (has_band)
            out += "<path class=\"band\" fill=\"" + colour + "\" d=\"" + band_around(points, x, y) + "\"/>\n";
        if (!points.empty())
            out += "<path class=\"curve\" stroke=\"" + colour + "\" d=\"" + path_through(points, x, y) +
                   "\"/>\n";
        if (chart.series[i].has_dots || points.size() == 1) {
            for (const Point& p : points)
                out += format("<circle r=\"3.5\" fill=\"%s\" cx=\"%.1f\" cy=\"%.1f\"/>", colour.c_str(),
                              x(p.x), y(p.y));
        }
        if (has_legend) {
            out += format("<path class=\"curve\" stroke=\"%s\" d=\"M%.1f %dh18\"/>", colour.c_str(), legend_x,
                          kTop - 2);
            out += text_at(legend_x + 24, kTop + 2, "start", "label", chart.series[i].name);
            legend_x += 24 + kLetterWidth * double(chart.series[i].name.size()) + 24;
        }
    }
    if (is_empty) out += text_at((kLeft + right) / 2, (top + bottom) / 2, "middle", "label", "no values");
    return out + "</svg>\n";
}

std::string bar_chart(const BarChart& chart) {
    CHECK(chart.bars.size() <= size_t(kColours), "[svg] %zu kinds of bars, but %d colours", chart.bars.size(),
          kColours);
    constexpr int kBar = 15, kGap = 9, kNumber = 60;  // pixels: a bar, between two labels, room for a number
    size_t longest = 0;
    for (const std::string& label : chart.labels) longest = std::max(longest, label.size());
    // subtle: a stack ends where its last finite bar does.
    const auto stack_of = [&](size_t row) {
        double sum = 0;
        for (const Bars& bars : chart.bars)
            if (std::isfinite(bars.values[row])) sum += bars.values[row];
        return sum;
    };
    double largest = 0;
    std::string description;
    for (size_t row = 0; row < chart.labels.size(); row++) {
        description += chart.labels[row] + ":";
        for (const Bars& bars : chart.bars) {
            CHECK_EQ(bars.values.size(), chart.labels.size());
            const double value = bars.values[row];
            if (!std::isfinite(value)) continue;
            CHECK(value >= 0, "[svg] a bar of %g", value);
            largest = std::max(largest, value);
            description += format(" %s %.*f", bars.name.c_str(), chart.decimals, value);
        }
        if (chart.is_stacked) largest = std::max(largest, stack_of(row));
        description += ". ";
    }
    const std::vector<double> x_ticks = ticks(0, largest > 0 ? largest : 1, 5);

    const bool has_legend = chart.bars.size() > 1;
    const int rows_per_label = chart.is_stacked ? 1 : int(chart.bars.size());
    const int label_height = rows_per_label * kBar + kGap;
    const double left = std::min(16 + 7.5 * double(longest), chart.width / 2.5);
    const double top = kTop + (has_legend ? kLegendRow : 0) - 6;
    const double bottom = top + double(label_height) * double(chart.labels.size());
    const Scale x{0, x_ticks.back(), left, double(chart.width - kNumber)};

    std::string out = format(
        "<svg class=\"chart\" viewBox=\"0 0 %d %.0f\" role=\"img\" aria-labelledby=\"%s-title %s-desc\">\n",
        chart.width, bottom + kBottom, chart.id.c_str(), chart.id.c_str());
    out += "<title id=\"" + chart.id + "-title\">" + html::escape(chart.title) + "</title>\n";
    out += "<desc id=\"" + chart.id + "-desc\">" + html::escape(description) + "</desc>\n";
    out += text_at(8, 18, "start", "chart-title", chart.title);
    for (double value : x_ticks) {
        out += format("<path class=\"grid\" d=\"M%.1f %.1fV%.1f\"/>", x(value), top, bottom);
        out += text_at(x(value), bottom + 17, "middle", "tick", axis_number(value, x_ticks.back()));
    }
    out += "\n" + text_at((left + chart.width - kNumber) / 2, bottom + kBottom - 8, "middle", "label",
                          chart.x_label);
    for (size_t row = 0; row < chart.labels.size(); row++) {
        const double y = top + kGap / 2.0 + double(label_height) * double(row);
        out += text_at(left - 8, y + rows_per_label * kBar / 2.0 + 4, "end", "label", chart.labels[row]);
        double from = 0;
        for (size_t i = 0; i < chart.bars.size(); i++) {
            const double value = chart.bars[i].values[row];
            if (!std::isfinite(value)) continue;
            const double bar_y = y + (chart.is_stacked ? 0 : kBar * double(i));
            out += format("<rect fill=\"var(--c%zu)\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\"/>",
                          i, x(from), bar_y, x(from + value) - x(from), kBar - 2);
            if (chart.is_stacked)
                from += value;
            else
                out += text_at(x(value) + 5, bar_y + kBar - 4, "start", "tick",
                               format("%.*f", chart.decimals, value));
        }
        if (chart.is_stacked && from > 0)
            out += text_at(x(from) + 5, y + kBar - 4, "start", "tick", format("%.*f", chart.decimals, from));
        out += "\n";
    }
    double legend_x = left;
    for (size_t i = 0; has_legend && i < chart.bars.size(); i++) {
        out += format("<rect fill=\"var(--c%zu)\" x=\"%.1f\" y=\"%d\" width=\"14\" height=\"11\"/>", i,
                      legend_x, kTop - 8);
        out += text_at(legend_x + 20, kTop + 2, "start", "label", chart.bars[i].name);
        legend_x += 20 + kLetterWidth * double(chart.bars[i].name.size()) + 20;
    }
    return out + "</svg>\n";
}

const char* const kChartStyle = R"css(
figure { margin: 0 0 1rem; background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: .75rem .5rem .25rem; overflow-x: auto; }
.chart { display: block; width: 100%; height: auto; min-width: 24rem; font-size: 12px; }
.chart text { fill: var(--text); }
.chart .chart-title { font-size: 1.15em; font-weight: 600; }
.chart .tick, .chart .label { fill: var(--muted); }
.chart .grid { stroke: var(--grid); fill: none; }
.chart .axis { stroke: var(--muted); fill: none; }
.chart .curve { fill: none; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round; }
.chart .band { opacity: .2; }
)css";

}  // namespace svg
