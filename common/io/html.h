// html.h - the only way this code writes a web page: escaped text, no network, light and dark.
// Not here: what a page says (report.h), pictures (svg.h).
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "io/utf8.h"

namespace html {

// `text` for use between tags and inside quoted attributes. Bytes that are not UTF-8 and control characters,
// which no page may contain, become U+FFFD.
inline std::string escape(const std::string& text) {
    std::string out;
    out.reserve(text.size());
    for (size_t offset = 0; offset < text.size();) {
        const size_t begin = offset;
        const uint32_t code = utf8::decode_next(text, &offset);
        const bool is_control =
            (code < 0x20 && code != '\n' && code != '\t') || (code >= 0x7f && code < 0xa0);
        if (code == utf8::kInvalid || is_control) {
            utf8::append(&out, utf8::kReplacement);
        } else if (code == '&') {
            out += "&amp;";
        } else if (code == '<') {
            out += "&lt;";
        } else if (code == '>') {
            out += "&gt;";
        } else if (code == '"') {
            out += "&quot;";
        } else if (code == '\'') {
            out += "&#39;";
        } else {
            out.append(text, begin, offset - begin);
        }
    }
    return out;
}

// A JSON string with its quotes, for data inside <script>: "<" is written \u003c, so that no text can close
// the element.
inline std::string json_string(const std::string& text) {
    std::string out = "\"";
    for (size_t offset = 0; offset < text.size();) {
        const size_t begin = offset;
        uint32_t code = utf8::decode_next(text, &offset);
        if (code == utf8::kInvalid) code = utf8::kReplacement;
        // note: U+2028 and U+2029 end a line in old JavaScript, though not in JSON.
        const bool needs_escape = code < 0x20 || code == 0x7f || code == '<' || code == '>' || code == '&' ||
                                  code == 0x2028 || code == 0x2029;
        if (code == '"' || code == '\\') {
            out += '\\';
            out += char(code);
        } else if (needs_escape) {
            out += format("\\u%04x", code);
        } else if (code == utf8::kReplacement) {
            utf8::append(&out, code);
        } else {
            out.append(text, begin, offset - begin);
        }
    }
    return out + "\"";
}

// JSON that another library wrote, made safe for <script>: outside of strings JSON has no "<".
inline std::string json_in_script(const std::string& json) {
    std::string out;
    out.reserve(json.size());
    for (char c : json) {
        if (c == '<')
            out += "\\u003c";
        else
            out += c;
    }
    return out;
}

struct Page {
    std::string title;  // plain text
    std::string body;   // HTML, already escaped by whoever made it
    std::string style;  // CSS after the common one
    bool has_script = false;
};

// The look of every page. Colours are Okabe and Ito's, which most colour-blind readers can tell apart; the
// dark page has lighter ones of the same hues. Charts use the same variables.
inline const char* common_style() {
    return R"css(
:root {
  color-scheme: light dark;
  --page: #fbfbfa; --card: #ffffff; --text: #1d2125; --muted: #5b646d; --line: #dfe2e5; --grid: #e9ebed;
  --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #b8508f; --c4: #8a6d00; --c5: #2a86c1;
  --warn-page: #fff4d6; --warn-line: #d79b00;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #15181b; --card: #1d2125; --text: #e6e8ea; --muted: #9aa4ad; --line: #343a40; --grid: #2a2f34;
    --c0: #56b4e9; --c1: #f0883e; --c2: #2cc79b; --c3: #e39ac4; --c4: #f0e442; --c5: #8fcdf2;
    --warn-page: #3a2f10; --warn-line: #c99a2e;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--text);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.25rem 0 .75rem; }
h3 { font-size: 1rem; margin: 1.25rem 0 .4rem; }
p { margin: .4rem 0; }
.muted { color: var(--muted); }
code, pre { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: .875rem; }
pre { margin: 0; padding: .8rem 1rem; background: var(--card); border: 1px solid var(--line);
  border-radius: 8px;
  overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.45; }
:focus-visible { outline: 2px solid var(--c0); outline-offset: 2px; }
)css";
}

// The whole page. The policy in its head forbids every request: a report can be opened, mailed or published,
// and whatever text it shows can neither load nor send anything.
inline std::string page(const Page& page) {
    const std::string script = page.has_script ? " script-src 'unsafe-inline';" : "";
    std::string out =
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
        "'unsafe-inline'; "
        "img-src data:;" +
        script +
        " base-uri 'none'; form-action 'none'\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
        "<meta name=\"referrer\" content=\"no-referrer\">\n";
    out += "<title>" + escape(page.title) + "</title>\n";
    out += "<style>" + std::string(common_style()) + page.style + "</style>\n</head>\n<body>\n<main>\n";
    out += page.body;
    out += "</main>\n</body>\n</html>\n";
    return out;
}

}  // namespace html
