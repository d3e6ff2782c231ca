// explore_page.cpp - what explore found, as one page with charts that needs no network.
// Not here: the findings (exploration.cpp).
#include <algorithm>
#include <cmath>

#include "chapters/01_bpe/exploration.h"
#include "core/check.h"
#include "io/html.h"
#include "io/svg.h"

namespace {

using html::escape;

const char* page_style() {
    return R"css(
main { max-width: 68rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .95rem; }
th, td { padding: .35rem .45rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child, th.text, td.text { text-align: left; }
th { font-weight: 600; border-bottom-color: var(--muted); vertical-align: bottom; white-space: normal; }
td.best { font-weight: 700; }
)css";
}

std::string cell(const std::string& text, const char* css_class = "") {
    return std::string("<td") + (*css_class ? std::string(" class=\"") + css_class + "\"" : "") + ">" + text +
           "</td>";
}

double total_bits(const SchemeRow& row) {
    return row.bits ? row.bits->total() : std::nan("");
}

std::string scheme_table(const Exploration& found) {
    double least = INFINITY;
    for (const SchemeRow& row : found.schemes)
        if (row.bits) least = std::min(least, row.bits->total());
    std::string out =
        "<div class=\"scroll\"><table>\n<thead><tr><th>scheme</th><th>vocabulary</th><th>bytes per "
        "token</th><th>tokens per word</th><th>vocabulary used</th><th>unknown tokens</th><th>bits per "
        "byte</th><th>of it spelling</th><th>steps</th><th>passes</th><th class=\"text\">longest "
        "token</th></tr></thead>\n<tbody>\n";
    for (const SchemeRow& row : found.schemes) {
        const BitsPerByte bits = row.bits.value_or(BitsPerByte{});
        const bool is_best = row.bits && bits.total() == least;
        out += "<tr>" + cell(escape(row.name)) + cell(std::to_string(row.vocabulary)) +
               cell(format("%.2f", row.bytes_per_token)) + cell(format("%.2f", row.tokens_per_word)) +
               cell(format("%.1f %%", 100 * row.used_share)) +
               cell(row.can_be_unknown ? format("%.2f %%", 100 * row.unknown_share) : "none") +
               cell(row.bits ? format("%.3f", bits.total()) : "", is_best ? "best" : "") +
               cell(bits.spelling_bits > 0 ? format("%.3f", bits.spelling_bits) : "") +
               cell(row.bits ? std::to_string(bits.steps) : "") +
               cell(row.bits ? format("%.2f", bits.passes) : "") +
               cell("<code>" + escape(shortened_token(row.longest)) + "</code>", "text") + "</tr>\n";
    }
    return out + "</tbody></table></div>\n";
}

std::string figure(const std::string& svg) {
    return "<figure>\n" + svg + "</figure>\n";
}

std::string bits_chart(const Exploration& found) {
    svg::BarChart chart;
    chart.id = "bits";
    chart.title =
        "Bits per byte of held-out text, the same model and compute on each scheme (less is better)";
    chart.x_label = "bits per byte";
    chart.is_stacked = true;
    chart.decimals = 3;
    chart.bars = {{"the model", {}}, {"spelling the unknown", {}}};
    std::vector<const SchemeRow*> rows;
    for (const SchemeRow& row : found.schemes)
        if (row.bits) rows.push_back(&row);
    std::stable_sort(rows.begin(), rows.end(),
                     [](const SchemeRow* a, const SchemeRow* b) { return total_bits(*a) < total_bits(*b); });
    for (const SchemeRow* row : rows) {
        chart.labels.push_back(row->name);
        chart.bars[0].values.push_back(row->bits->model_bits);
        chart.bars[1].values.push_back(row->bits->spelling_bits);
    }
    return figure(svg::bar_chart(chart));
}

std::string compression_chart(const Exploration& found) {
    svg::BarChart chart;
    chart.id = "compression";
    chart.title = "Bytes per token";
    chart.x_label = "bytes of held-out text";
    chart.bars = {{"bytes per token", {}}};
    for (const SchemeRow& row : found.schemes) {
        chart.labels.push_back(row.name);
        chart.bars[0].values.push_back(row.bytes_per_token);
    }
    return figure(svg::bar_chart(chart));
}

std::string language_chart(const Languages& languages) {
    svg::BarChart chart;
    chart.id = "premium";
    chart.title = "The same text in other languages: tokens, as a multiple of English";
    chart.x_label = "English = 1";
    for (const LanguageRow& row : languages.rows) chart.labels.push_back(row.name);
    for (size_t v = 2; v < languages.vocabularies.size(); v++) {  // bytes and characters are in the table
        chart.bars.push_back({languages.vocabularies[v], {}});
        for (size_t i = 0; i < languages.rows.size(); i++)
            chart.bars.back().values.push_back(languages.premium(i, v));
    }
    return figure(svg::bar_chart(chart));
}

std::string language_table(const Languages& languages) {
    std::string out = "<div class=\"scroll\"><table>\n<thead><tr><th>language</th><th>bytes</th>";
    for (const std::string& name : languages.vocabularies) out += "<th>" + escape(name) + "</th>";
    out += "</tr></thead>\n<tbody>\n";
    for (size_t i = 0; i < languages.rows.size(); i++) {
        out += "<tr>" + cell(escape(languages.rows[i].name)) + cell(std::to_string(languages.rows[i].bytes));
        for (size_t v = 0; v < languages.vocabularies.size(); v++)
            out += cell(format("%.2f", languages.premium(i, v)));
        out += "</tr>\n";
    }
    return out + "</tbody></table></div>\n";
}

}  // namespace

std::string explore_page(const Exploration& found) {
    html::Page page;
    page.title = "Tokenization schemes on " + found.text_name;
    page.style = std::string(svg::kChartStyle) + page_style();
    std::string& body = page.body;
    body =
        "<h1>" + escape(page.title) + "</h1>\n<p class=\"muted\">" +
        format(
            "%zu bytes. Every scheme learned from the first nine tenths; measured on the last tenth, %zu "
            "bytes. The share of the vocabulary that is used, and the longest token, are of the whole text.",
            found.text_bytes, found.held_out_bytes) +
        "</p>\n";
    if (found.model.flop > 0)
        body +=
            "<h2>Which one does a model learn from best?</h2>\n<p>" +
            format(
                "The same GPT (%lld layers, %lld channels, %lld tokens of context) was trained on each for "
                "%.3g * 10<sup>12</sup> floating-point operations, output layer included: a large "
                "vocabulary costs steps. The loss is per byte, because a token is not the same amount of "
                "text in any two schemes.",
                static_cast<long long>(found.model.layers), static_cast<long long>(found.model.channels),
                static_cast<long long>(found.model.context), found.model.flop / 1e12) +
            " Where a scheme says &lt;unk&gt;, the word must still be told: it is charged for spelling it, "
            "by "
            "a model of byte pairs that is far simpler than the GPT. The truth lies between the two "
            "numbers.</p>\n" +
            bits_chart(found);
    body += "<h2>How much text is in a token?</h2>\n" + compression_chart(found) + scheme_table(found);
    if (!found.languages.rows.empty())
        body +=
            "<h2>Who pays for the vocabulary?</h2>\n<p>The Universal Declaration of Human Rights says the "
            "same in "
            "every language. A vocabulary that was learned from English text cuts other languages finer; one "
            "that "
            "was learned from all of them alike is much fairer.</p>\n" +
            language_chart(found.languages) + language_table(found.languages);
    body += "<h2>How this was made</h2>\n<p class=\"muted\"><code>" + escape(found.command) + "</code><br>" +
            escape(found.machine) + "</p>\n";
    return html::page(page);
}
