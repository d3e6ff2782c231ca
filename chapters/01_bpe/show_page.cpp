// show_page.cpp - a text and its tokens as one page that needs no network: hover, touch or arrow keys tell about each.
// Everything from the text reaches the page through html::escape or html::json_string.
// Not here: which tokens there are (show.cpp).
#include <algorithm>

#include "chapters/01_bpe/show.h"
#include "chapters/01_bpe/token_text.h"
#include "core/check.h"
#include "io/html.h"
#include "io/utf8.h"

namespace {

constexpr size_t kMostTokens = 20000;  // a browser lays out as many in a second
constexpr int kTints = 6;

const char* page_style() {
    return R"css(
:root { --k0: #cfe4f3; --k1: #fbe0b8; --k2: #c5ebdf; --k3: #f3d3e5; --k4: #f5efa9; --k5: #f6d0bd; }
@media (prefers-color-scheme: dark) {
  :root { --k0: #14405f; --k1: #5c4009; --k2: #0c4d3c; --k3: #5a304d; --k4: #4d4812; --k5: #5f2e17; }
}
main { max-width: 78rem; padding-bottom: 9rem; }
.views { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); gap: 1.25rem;
  align-items: start; margin-top: 1.25rem; }
.view { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.1rem; min-width: 0; }
.view h2 { margin: 0; overflow-wrap: anywhere; }
.counts { margin: .15rem 0 .8rem; color: var(--muted); font-variant-numeric: tabular-nums; }
.counts strong { color: var(--text); font-size: 1.35rem; }
.tokens { font: 1rem/2 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  white-space: break-spaces; overflow-wrap: anywhere; unicode-bidi: isolate; max-height: 60vh; overflow-y: auto;
  padding: 3px; }
.t { border-radius: 4px; padding: .16em 0; cursor: default; box-shadow: inset 0 0 0 1px var(--card); }
.k0 { background: var(--k0); } .k1 { background: var(--k1); } .k2 { background: var(--k2); }
.k3 { background: var(--k3); } .k4 { background: var(--k4); } .k5 { background: var(--k5); }
.t.on { outline: 2px solid var(--text); outline-offset: 1px; }
.t.match { outline: 2px dashed var(--muted); outline-offset: 1px; }
.hex { font-size: .72em; letter-spacing: .02em; padding: 0 .25em; border: 1px solid var(--muted); border-radius: 3px;
  margin: 0 1px; }
.nl::before { content: "\21b5"; opacity: .55; }
.tab::before { content: "\21e5"; opacity: .55; }
.view details { margin: .9rem 0 0; }
.view details code { overflow-wrap: anywhere; user-select: all; }
#about { position: fixed; left: 0; right: 0; bottom: 0; background: var(--card); border-top: 1px solid var(--line);
  padding: .7rem 1rem; box-shadow: 0 -4px 18px rgb(0 0 0 / .10); }
#about > div { max-width: 76rem; margin: 0 auto; display: flex; flex-wrap: wrap; gap: .3rem 1.6rem;
  align-items: baseline; min-height: 3.4rem; }
#about .word { font: 600 1.1rem ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; white-space: pre-wrap;
  overflow-wrap: anywhere; max-width: 100%; }
#about dl { display: contents; }
#about div.fact { display: flex; gap: .45rem; align-items: baseline; }
#about dt { color: var(--muted); font-size: .85rem; }
#about dd { margin: 0; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
footer { margin-top: 1.5rem; }
)css";
}

// Moves one mark through the tokens, by mouse or keys, and fills the bar below with what is known about the token.
const char* page_script() {
    return R"js(
const data = JSON.parse(document.getElementById("data").textContent);
const views = [...document.querySelectorAll(".tokens")].map(box => [...box.querySelectorAll(".t")]);
const bar = document.querySelector("#about > div");
let marked = [];
function fact(list, name, value) {
  const div = document.createElement("div"), dt = document.createElement("dt"), dd = document.createElement("dd");
  div.className = "fact"; dt.textContent = name; dd.textContent = value;
  div.append(dt, dd); list.append(div);
}
function show(v, i) {
  for (const span of marked) span.classList.remove("on", "match");
  const [id, begin, end, part] = data[v].tokens[i], about = data[v].about[id];
  views[v][i].classList.add("on");
  marked = [views[v][i]];
  data.forEach((other, w) => {
    if (w === v) return;
    other.tokens.forEach(([, b, e], k) => {
      if (b < end && e > begin) { views[w][k].classList.add("match"); marked.push(views[w][k]); }
    });
  });
  const word = document.createElement("span"), list = document.createElement("dl");
  word.className = "word"; word.textContent = about.text;
  fact(list, "id", id);
  fact(list, "token", (i + 1) + " of " + data[v].count + (data.length > 1 ? " of " + data[v].name : ""));
  fact(list, "bytes", begin + " to " + end + " (" + (end - begin) + ")");
  fact(list, "hex", about.hex);
  fact(list, about.kind, about.made);
  if (part) fact(list, "part of", part);
  bar.replaceChildren(word, list);
}
views.forEach((spans, v) => spans.forEach((span, i) => {
  span.removeAttribute("title");
  span.tabIndex = i === 0 ? 0 : -1;
  span.addEventListener("mouseenter", () => show(v, i));
  span.addEventListener("click", () => span.focus());
  span.addEventListener("focus", () => {
    for (const other of spans) if (other.tabIndex === 0) other.tabIndex = -1;
    span.tabIndex = 0;
    show(v, i);
  });
  span.addEventListener("keydown", event => {
    const to = {ArrowRight: i + 1, ArrowDown: i + 1, ArrowLeft: i - 1, ArrowUp: i - 1, Home: 0, End: spans.length - 1}[event.key];
    if (to === undefined) return;
    event.preventDefault();
    if (spans[to]) spans[to].focus();
  });
}));
// The longest token of the first view to begin with.
const length = ([, begin, end]) => end - begin;
const first = data[0].tokens.reduce((best, token, i, all) => length(token) > length(all[best]) ? i : best, 0);
if (views[0].length) show(0, first);
)js";
}

std::string grouped(size_t number) {
    std::string digits = std::to_string(number);
    for (size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, ",");
    return digits;
}

// A token's bytes between tags. What is no character, or has no shape, is shown as a box with its number.
std::string token_html(std::string_view bytes) {
    std::string out;
    const auto box = [&](const std::string& number) { out += "<span class=\"hex\">" + number + "</span>"; };
    for (size_t offset = 0; offset < bytes.size();) {
        const size_t begin = offset;
        const uint32_t code = utf8::decode_next(bytes, &offset);
        if (code == '\n') {
            out += "<span class=\"nl\"></span>\n";
        } else if (code == '\t') {
            out += "<span class=\"tab\"></span>\t";
        } else if (code == utf8::kInvalid) {
            while (offset < bytes.size()) {  // its neighbours of the same kind go into the same box
                size_t next = offset;
                if (utf8::decode_next(bytes, &next) != utf8::kInvalid) break;
                offset = next;
            }
            box(hex_of(bytes.substr(begin, offset - begin)));
        } else if (code < 0x20 || (code >= 0x7f && code < 0xa0)) {
            box(hex_of(bytes.substr(begin, offset - begin)));
        } else if (is_invisible(code)) {
            box(format("U+%04X", code));
        } else {
            out += html::escape(std::string(bytes.substr(begin, offset - begin)));
        }
    }
    return out;
}

// How the vocabulary comes to the token: what the bar calls it, and the two halves.
std::string kind_of(const TokenOrigin& origin) {
    if (origin.kind == TokenOrigin::kMerge) return "merge " + grouped(size_t(origin.rank));
    if (origin.kind == TokenOrigin::kByte) return "one of";
    return origin.kind == TokenOrigin::kSpecial ? "special" : "looked up";
}
std::string made_of(const ShownText& view, const TokenOrigin& origin) {
    if (origin.kind == TokenOrigin::kByte) return "the 256 bytes";
    if (origin.kind == TokenOrigin::kSpecial) return "never made by merges";
    if (origin.kind == TokenOrigin::kLookedUp) return "a whole piece; merges do not lead to it";
    return visible_token(view.bpe->bytes_of(origin.left)) + " + " +
           visible_token(view.bpe->bytes_of(origin.right));
}

std::string view_html(const ShownText& view) {
    const size_t all = view.tokens.size(), count = std::min(all, kMostTokens);
    const std::string name = html::escape(view.tokenizer);
    std::string out = "<section class=\"view\">\n<h2>" + name + "</h2>\n<p class=\"counts\"><strong>" +
                      grouped(all) + "</strong> token" + (all == 1 ? "" : "s");
    if (all > 0)
        out += format(" &middot; %.2f bytes per token", double(view.tokens.back().end) / double(all));
    out += " &middot; out of " + grouped(size_t(view.vocabulary_size)) + "</p>\n";
    if (count < all) out += "<p class=\"muted\">The first " + grouped(count) + " of them:</p>\n";
    out += "<div class=\"tokens\" role=\"group\" dir=\"auto\" aria-label=\"tokens of " + name + "\">";
    for (size_t i = 0; i < count; i++) {
        const ShownToken& token = view.tokens[i];
        const TokenOrigin& origin = view.origins.at(token.id);
        // The title serves readers without JavaScript; the script takes it away.
        const std::string title = format("id %d, bytes %zu to %zu, ", token.id, token.begin, token.end) +
                                  kind_of(origin) + ": " + made_of(view, origin);
        out += format("<span class=\"t k%d\" title=\"", int(i % kTints)) + html::escape(title) + "\">" +
               token_html(view.bpe->bytes_of(token.id)) + "</span>";
    }
    out += "</div>\n<details><summary>ids</summary><code>";
    for (size_t i = 0; i < count; i++) out += (i > 0 ? " " : "") + std::to_string(view.tokens[i].id);
    return out + "</code></details>\n</section>\n";
}

std::string view_json(const ShownText& view) {
    const size_t count = std::min(view.tokens.size(), kMostTokens);
    std::string out = "{\"name\": " + html::json_string(view.tokenizer) +
                      format(", \"count\": %zu, \"tokens\": [", view.tokens.size());
    for (size_t i = 0; i < count; i++) {
        const ShownToken& token = view.tokens[i];
        out += format("%s[%d,%zu,%zu", i > 0 ? "," : "", token.id, token.begin, token.end);
        if (!token.part_of.empty()) out += "," + html::json_string(visible_token(token.part_of));
        out += "]";
    }
    out += "], \"about\": {";
    bool is_first = true;
    for (const auto& [id, origin] : view.origins) {
        const std::string_view bytes = view.bpe->bytes_of(id);
        out += format("%s\"%d\": {\"text\": ", is_first ? "" : ",\n", id) +
               html::json_string(visible_token(bytes)) + ", \"hex\": \"" + hex_of(bytes) +
               "\", \"kind\": " + html::json_string(kind_of(origin)) +
               ", \"made\": " + html::json_string(made_of(view, origin)) + "}";
        is_first = false;
    }
    return out + "}}";
}

std::string names_of(const std::vector<ShownText>& views) {
    return views.size() == 1 ? views[0].tokenizer : views[0].tokenizer + " and " + views[1].tokenizer;
}

// "cl100k needs 9 tokens where gpt2 needs 12."
std::string comparison(const std::vector<ShownText>& views) {
    const size_t first = views[0].tokens.size(), second = views[1].tokens.size();
    if (first == second) return "Both need " + grouped(first) + (first == 1 ? " token." : " tokens.");
    const ShownText& fewer = first < second ? views[0] : views[1];
    const ShownText& more = first < second ? views[1] : views[0];
    return fewer.tokenizer + " needs " + grouped(fewer.tokens.size()) + " tokens where " + more.tokenizer +
           " needs " + grouped(more.tokens.size()) + ".";
}

}  // namespace

std::string show_page(const std::string& text, const std::vector<ShownText>& views) {
    CHECK(views.size() == 1 || views.size() == 2, "[show_page] wants one or two views, got %zu",
          views.size());
    size_t characters = 0;
    for (size_t offset = 0; offset < text.size(); utf8::decode_next(text, &offset)) characters++;

    html::Page page;
    page.title = "Tokens of " + names_of(views);
    page.style = page_style();
    page.has_script = true;
    page.body = "<h1>How " + html::escape(names_of(views)) + (views.size() == 1 ? " reads" : " read") +
                " a text</h1>\n<p class=\"muted\">" + grouped(characters) +
                (characters == 1 ? " character, " : " characters, ") + grouped(text.size()) +
                (text.size() == 1 ? " byte. " : " bytes. ");
    if (views.size() == 2) page.body += html::escape(comparison(views)) + " ";
    page.body +=
        "Each patch of colour is one token; a box with numbers holds bytes that are no whole character. "
        "Point at a token, touch it, or move with the arrow keys: what is known about it stands below.</p>\n";
    page.body += "<div class=\"views\">\n";
    for (const ShownText& view : views) page.body += view_html(view);
    page.body +=
        "</div>\n<aside id=\"about\" aria-live=\"polite\"><div><p class=\"muted\">With JavaScript, what is "
        "known about a "
        "token stands here; without it, in the token's own tooltip.</p></div></aside>\n";
    page.body += "<script type=\"application/json\" id=\"data\">[";
    for (size_t v = 0; v < views.size(); v++) page.body += (v > 0 ? ",\n" : "") + view_json(views[v]);
    page.body += "]</script>\n<script>" + std::string(page_script()) + "</script>\n";
    return html::page(page);
}
