// report.cpp - the page of report.h, from top to bottom as it is read.
#include "io/report.h"

#include <functional>

#include "io/file.h"
#include "io/html.h"
#include "io/svg.h"

namespace {

using html::escape;

const char* report_style() {
    return R"css(
header { border-bottom: 1px solid var(--line); padding-bottom: 1rem; }
.warning { background: var(--warn-page); border: 1px solid var(--warn-line); border-left-width: 6px;
  border-radius: 8px; padding: .7rem 1rem; margin: 1rem 0; overflow-wrap: anywhere; }
.numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem;
  margin: 1.25rem 0 0; padding: 0; }
.numbers div { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: .7rem .9rem; }
.numbers dt { font-size: .85rem; color: var(--muted); }
.numbers dd { margin: 0; font-size: 1.5rem; line-height: 1.3; font-variant-numeric: tabular-nums;
  overflow-wrap: anywhere; }
.numbers dd small { display: block; font-size: .8rem; color: var(--muted); line-height: 1.35; }
.trio { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr)); gap: 0 1rem; }
.trio .chart { min-width: 0; font-size: 12px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .95rem; }
th, td { padding: .35rem .75rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: .25rem; }
th { font-weight: 600; border-bottom-color: var(--muted); }
.prompt { color: var(--muted); }
.groups { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr));
  gap: .5rem 2rem; }
.groups dl { display: grid; grid-template-columns: auto 1fr; gap: .1rem 1rem; margin: 0; font-size: .95rem; }
.groups dt { color: var(--muted); }
.groups dd { margin: 0; text-align: right; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
details { margin: .6rem 0; }
summary { cursor: pointer; padding: .2rem 0; }
@media (max-width: 40rem) {
  .chart { font-size: 20px; min-width: 0; }  /* the drawing shrinks to half, its letters must not */
  .chart .curve { stroke-width: 3; }
  th, td { padding: .35rem .5rem; }
}
)css";
}

// ---- Charts
// ---------------------------------------------------------------------------------------------------------

svg::Series series_of(const std::vector<LogRow>& log, const std::string& name,
                      const std::function<double(const LogRow&)>& value) {
    svg::Series series;
    series.name = name;
    for (const LogRow& row : log) {
        series.x.push_back(double(row.step));
        series.y.push_back(value(row));
    }
    return series;
}

std::string figure(svg::LineChart chart, const std::string& id, const std::string& title) {
    chart.id = id;
    chart.title = title;
    chart.x_label = "step";
    return "<figure>\n" + svg::line_chart(chart) + "</figure>\n";
}

std::string charts(const std::vector<LogRow>& log, const std::string& token) {
    svg::LineChart loss;
    loss.y_label = "nats per " + token;
    loss.series.push_back(series_of(log, "training batch", [](const LogRow& row) { return row.loss; }));
    svg::Series held_out;
    held_out.name = "held out";
    held_out.has_dots = true;
    for (const LogRow& row : log) {
        if (!row.val_loss) continue;
        held_out.x.push_back(double(row.step));
        held_out.y.push_back(*row.val_loss);
    }
    held_out.has_dots = held_out.x.size() <= 40;
    if (!held_out.x.empty()) loss.series.push_back(held_out);

    svg::LineChart small;
    small.width = 320;
    small.height = 220;
    small.max_points = 200;
    small.from_zero = true;
    std::string out = figure(loss, "loss", "Loss");

    // The first steps, where most of the loss goes, are a sliver above; on this axis they have half of the
    // width.
    std::string more;
    svg::LineChart log_loss = loss;
    log_loss.log_x = true;
    more += figure(log_loss, "loss-log", "Loss, logarithmic steps");
    more += "<div class=\"trio\">\n";
    const auto add = [&](const std::string& id, const std::string& title,
                         const std::function<double(const LogRow&)>& value) {
        svg::LineChart chart = small;
        chart.series.push_back(series_of(log, title, value));
        more += figure(chart, id, title);
    };
    add("lr", "Learning rate", [](const LogRow& row) { return row.lr; });
    add("grad-norm", "Gradient norm", [](const LogRow& row) { return row.grad_norm; });
    add("speed", "Speed, " + token + "s per second", [](const LogRow& row) { return row.tokens_per_s; });
    more += "</div>\n";
    return out +
           "<details>\n<summary>More curves: logarithmic steps, learning rate, gradient norm (before "
           "clipping), speed</summary>\n" +
           more + "</details>\n";
}

// ---- The other parts
// ------------------------------------------------------------------------------------------------

std::string header(const ReportData& data) {
    std::string out = "<header>\n<h1>" + escape(data.title) + "</h1>\n";
    if (!data.subtitle.empty()) out += "<p class=\"muted\">" + escape(data.subtitle) + "</p>\n";
    for (const std::string& warning : data.warnings)
        out += "<p class=\"warning\" role=\"note\"><strong>Note:</strong> " + escape(warning) + "</p>\n";
    if (!data.headline.empty()) {
        out += "<dl class=\"numbers\">\n";
        for (const ReportData::Number& number : data.headline) {
            out += "<div><dt>" + escape(number.label) + "</dt><dd>" + escape(number.value);
            if (!number.detail.empty()) out += "<small>" + escape(number.detail) + "</small>";
            out += "</dd></div>\n";
        }
        out += "</dl>\n";
    }
    return out + "</header>\n";
}

std::string table(const ReportData::Table& table) {
    std::string out = "<h2>" + escape(table.title) +
                      "</h2>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"" +
                      escape(table.title) + "\">\n<table>\n<thead><tr>";
    for (const std::string& column : table.columns) out += "<th scope=\"col\">" + escape(column) + "</th>";
    out += "</tr></thead>\n<tbody>\n";
    for (const std::vector<std::string>& row : table.rows) {
        out += "<tr>";
        for (const std::string& cell : row) out += "<td>" + escape(cell) + "</td>";
        out += "</tr>\n";
    }
    out += "</tbody>\n</table>\n</div>\n";
    if (!table.note.empty()) out += "<p class=\"muted\">" + escape(table.note) + "</p>\n";
    return out;
}

std::string sample_text(const ReportData::Sample& sample) {
    std::string out = "<pre>";
    // note: HTML drops a line break right behind <pre>.
    if (!sample.prompt.empty())
        out += "<span class=\"prompt\">" + escape(sample.prompt) + "</span>";
    else if (!sample.text.empty() && sample.text[0] == '\n')
        out += "\n";
    return out + escape(sample.text) + "</pre>\n";
}

std::string samples(const std::vector<ReportData::Sample>& samples) {
    if (samples.empty()) return "";
    std::string out = "<h2>Samples</h2>\n";
    out += "<h3>" + escape(samples.back().label) + "</h3>\n" + sample_text(samples.back());
    for (size_t i = samples.size() - 1; i-- > 0;)
        out += "<details>\n<summary>" + escape(samples[i].label) + "</summary>\n" + sample_text(samples[i]) +
               "</details>\n";
    return out;
}

std::string configuration(const std::vector<ReportData::Group>& groups) {
    if (groups.empty()) return "";
    std::string out = "<h2>Configuration</h2>\n<div class=\"groups\">\n";
    for (const ReportData::Group& group : groups) {
        out += "<section>\n<h3>" + escape(group.name) + "</h3>\n<dl>\n";
        for (const auto& [key, value] : group.values)
            out += "<dt>" + escape(key) + "</dt><dd>" + escape(value) + "</dd>\n";
        out += "</dl>\n</section>\n";
    }
    return out + "</div>\n";
}

}  // namespace

std::string report_html(const ReportData& data) {
    html::Page page;
    page.title = data.title;
    page.style = std::string(svg::kChartStyle) + report_style();
    page.body = header(data);
    if (!data.log.empty()) page.body += "<h2>Curves</h2>\n" + charts(data.log, data.token);
    for (const ReportData::Table& one : data.tables) page.body += table(one);
    page.body += samples(data.samples);
    page.body += configuration(data.config);
    if (!data.command.empty()) page.body += "<h2>Command</h2>\n<pre>" + escape(data.command) + "</pre>\n";
    if (!data.machine.empty()) page.body += "<h2>Machine</h2>\n<p>" + escape(data.machine) + "</p>\n";
    return html::page(page);
}

void write_report(const std::string& path, const ReportData& data) {
    write_file_atomically(path, report_html(data));
}
