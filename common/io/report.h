// report.h - report.html: what a run did, on one page that needs no network and can be mailed around.
// Not here: reading a run's files; the caller hands over what the page shows. All text is escaped here.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "io/run_log.h"

struct ReportData {
    struct Number {
        std::string label, value, detail;  // "held-out loss", "1.6155", "nats per character"
    };
    struct Group {
        std::string name;
        std::vector<std::pair<std::string, std::string>> values;
    };
    struct Table {
        std::string title;
        std::vector<std::string> columns;
        std::vector<std::vector<std::string>> rows;  // the first column is text, the others are numbers
        std::string note;                            // one line below, may be empty
    };
    struct Sample {
        std::string label;   // "after epoch 2"
        std::string prompt;  // shown dimmer in front of the text
        std::string text;
    };

    std::string title;
    std::string subtitle;               // one sentence
    std::vector<std::string> warnings;  // shown first, loud
    std::vector<Number> headline;
    std::vector<LogRow> log;      // makes the charts: losses, learning rate, gradient norm, speed
    std::string token = "token";  // what the charts call one of the model's tokens: "character"
    std::vector<Table> tables;    // one row per epoch, for example
    std::vector<Sample> samples;  // the last one is shown first
    std::vector<Group> config;
    std::string command;
    std::string machine;  // machine_line() and compiler_line()
};

std::string report_html(const ReportData& data);
void write_report(const std::string& path, const ReportData& data);  // atomically
