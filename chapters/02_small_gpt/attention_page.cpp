// attention_page.cpp - see attention_page.h.
#include "chapters/02_small_gpt/attention_page.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "core/check.h"
#include "io/html.h"

namespace small_gpt {

namespace {

const char* page_style() {
    return R"css(
main { max-width: 76rem; }
[hidden] { display: none !important; }
.controls { display: flex; flex-wrap: wrap; gap: .6rem 1.4rem; align-items: center; margin: 1rem 0; }
.controls label { display: flex; gap: .45rem; align-items: center; }
select, input[type=range] { font: inherit; accent-color: var(--c0); background: var(--card); color: var(--text);
  border: 1px solid var(--line); border-radius: 6px; padding: .15rem .3rem; }
#tokens { line-height: 2; }
.token { font: inherit; font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: .85rem;
  white-space: pre; border: 1px solid transparent; border-bottom-color: var(--line); background: none; color: inherit;
  padding: .1rem .05rem; margin: 0 1px; cursor: default; border-radius: 3px; }
.token.now { border-color: var(--c1); }
.token.later { opacity: .35; }
.two { display: grid; grid-template-columns: minmax(0, 3fr) minmax(16rem, 2fr); gap: 1.5rem; align-items: start; }
@media (max-width: 50rem) { .two { grid-template-columns: 1fr; } }
canvas { image-rendering: pixelated; width: 100%; height: auto; display: block; background: var(--card);
  border: 1px solid var(--line); }
#grid { display: grid; gap: .35rem; overflow-x: auto; }
#grid button { padding: 0; border: 2px solid transparent; background: none; border-radius: 4px; min-width: 3rem; }
#grid button[aria-pressed=true] { border-color: var(--c1); }
.scroll { overflow-x: auto; }
.bars { columns: 30rem; overflow-x: auto; }
.bars tr { break-inside: avoid; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .2rem .5rem; border-bottom: 1px solid var(--line); text-align: left; white-space: pre; }
.bar { display: inline-block; height: .75rem; vertical-align: middle; min-width: 1px; }
.bar.up { background: var(--c0); } .bar.down { background: var(--c1); }
.scale { height: .7rem; width: 12rem; display: inline-block; vertical-align: middle; border: 1px solid var(--line);
  background: linear-gradient(to right, #440154, #3b528b, #21918c, #5ec962, #fde725); }
)css";
}

// Everything on the page reacts to four numbers: state, layer, head (or -1 for a mean), token.
const char* page_script() {
    return R"js(
"use strict";
const D = JSON.parse(document.getElementById("data").textContent);
const n = D.tokens.length, $ = id => document.getElementById(id);
const viridis = [[68,1,84],[59,82,139],[33,145,140],[94,201,98],[253,231,37]];
// A pixel for each of the 65536 weights: its four bytes as one number.
const pixels = Uint32Array.from({length: 65536}, (_, i) => {
  const x = Math.sqrt(i / 65535) * 4, k = Math.min(3, Math.floor(x)), f = x - k;
  return [0, 1, 2].reduce((sum, c) => sum + (Math.round(viridis[k][c] * (1 - f) + viridis[k + 1][c] * f) << 8 * c), 0) + 0xff000000;
});
// Line ends and tabs as signs; what is invisible, or turns the direction of text, as a box.
const visible = text => text.replace(/\n/g, "\u21b5").replace(/\t/g, "\u21e5")
  .replace(/[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g, "\u25a1");
const percent = p => (100 * p).toFixed(1) + " %";
const now = {state: D.states.length - 1, layer: 0, head: 0, token: n - 1};
const cache = new Map();

// The lower triangle of a map, weights times 65535: row i is at i (i + 1) / 2. layer and head count what the page holds; -1 is
// a mean.
function triangle(state, layer, head) {
  const key = state + " " + layer + " " + head;
  if (cache.has(key)) return cache.get(key);
  const size = n * (n + 1) / 2, is_one = layer >= 0 && head >= 0, map = is_one ? new Uint16Array(size) : new Float32Array(size);
  if (is_one) {
    const bytes = atob(D.states[state].maps[layer * D.heads.length + head]);
    for (let i = 0; i < size; i++) map[i] = bytes.charCodeAt(2 * i) | bytes.charCodeAt(2 * i + 1) << 8;
  } else {
    const of = [];
    for (let l = 0; l < D.layers.length; l++) for (let h = 0; h < D.heads.length; h++)
      if (layer < 0 || l === layer) of.push(triangle(state, l, h));
    for (const one of of) for (let i = 0; i < size; i++) map[i] += one[i] / of.length;
  }
  cache.set(key, map);
  return map;
}
function paint(canvas, map) {
  canvas.width = canvas.height = n;
  const context = canvas.getContext("2d"), image = context.createImageData(n, n), all = new Uint32Array(image.data.buffer);
  for (let i = 0, at = 0; i < n; i++) for (let j = 0; j <= i; j++) all[i * n + j] = pixels[map[at++] | 0];
  context.putImageData(image, 0, 0);
}
const layerName = l => l < 0 ? "all layers" : "layer " + D.layers[l];
const headName = (l, h) => l < 0 || h < 0 ? "mean of " + (l < 0 ? "all heads" : layerName(l)) : layerName(l) + ", head " + D.heads[h];

function showTokens() {
  const map = triangle(now.state, now.layer, now.head), row = now.token * (now.token + 1) / 2, looked = [];
  const tokens = $("tokens").children;
  for (let j = 0; j < n; j++) {
    const p = j <= now.token ? map[row + j] / 65535 : 0;
    tokens[j].style.background = p ? "color-mix(in srgb, var(--c0) " + (100 * Math.sqrt(p)).toFixed(0) + "%, transparent)" : "";
    tokens[j].className = "token" + (j === now.token ? " now" : j > now.token ? " later" : "");
    tokens[j].tabIndex = j === now.token ? 0 : -1;
    if (j <= now.token) looked.push([p, j]);
  }
  looked.sort((a, b) => b[0] - a[0]);
  $("looks").textContent = headName(now.layer, now.head) + ": \u201c" + visible(D.tokens[now.token]) + "\u201d (token " +
    now.token + ") looks at " + looked.slice(0, 5).map(([p, j]) => "\u201c" + visible(D.tokens[j]) + "\u201d (" + j + ") " + percent(p)).join(", ");
  showLens();
}
function showMap() {
  paint($("map"), triangle(now.state, now.layer, now.head));
  $("map").setAttribute("aria-label", "Attention map of " + headName(now.layer, now.head) + ": a row for each token, a column for each that it looks at");
  for (const button of $("grid").querySelectorAll("button"))
    button.setAttribute("aria-pressed", String(+button.dataset.layer === now.layer && +button.dataset.head === now.head));
  $("layer").value = now.layer; $("head").value = now.head;
  showTokens();
}
function showGrid() {
  for (const button of $("grid").querySelectorAll("button"))
    paint(button.firstChild, triangle(now.state, +button.dataset.layer, +button.dataset.head));
  const state = D.states[now.state];
  $("state-name").textContent = state.name + ", loss " + state.loss.toFixed(3) + " nats per token of this text";
  $("state").setAttribute("aria-valuetext", state.name);
  showBars($("ablation"), state.ablation, i => "layer " + Math.floor(i / D.all_heads) + ", head " + i % D.all_heads);
  showBars($("layers"), [...state.layers, state.all], i => i < D.all_layers ? "layer " + i : "all layers");
  showMap();
}
function showBars(body, changes, name) {
  const most = Math.max(1e-9, ...changes.map(Math.abs));
  body.textContent = "";
  changes.forEach((change, i) => {
    const row = body.insertRow();
    row.insertCell().textContent = name(i);
    row.insertCell().textContent = (change >= 0 ? "+" : "\u2212") + Math.abs(change).toFixed(4);
    const bar = document.createElement("span");
    bar.className = "bar " + (change >= 0 ? "up" : "down");
    bar.style.width = (14 * Math.abs(change) / most).toFixed(2) + "rem";
    row.insertCell().append(bar);
  });
}
function showLens() {
  const body = $("lens"), lens = D.states[now.state].lens, k = D.guesses;
  body.textContent = "";
  const next = now.token + 1 < n ? "\u201c" + visible(D.tokens[now.token + 1]) + "\u201d" : "the end of the prompt";
  $("lens-of").textContent = "Behind \u201c" + visible(D.tokens[now.token]) + "\u201d (token " + now.token + "); what came: " + next;
  for (let b = 0; b <= D.all_layers; b++) {
    const row = body.insertRow();
    row.insertCell().textContent = b === 0 ? "embedding" : "block " + (b - 1);
    for (let g = 0; g < k; g++) {
      const at = ((b * n + now.token) * k + g) * 2;
      row.insertCell().textContent = "\u201c" + visible(D.texts[lens[at]]) + "\u201d " + percent(lens[at + 1] / 1000);
    }
  }
}
D.tokens.forEach((text, i) => {
  const token = document.createElement("button");
  token.textContent = visible(text) || "\u00b7";
  token.setAttribute("aria-label", "token " + i + ": " + (text.trim() || "blank"));
  for (const event of ["pointerenter", "focus"]) token.addEventListener(event, () => { if (now.token !== i) { now.token = i; showTokens(); } });
  $("tokens").append(token);
});
$("tokens").addEventListener("keydown", event => {
  const step = {ArrowRight: 1, ArrowLeft: -1, Home: -n, End: n}[event.key];
  if (!step) return;
  event.preventDefault();
  $("tokens").children[Math.max(0, Math.min(n - 1, now.token + step))].focus();
});
const option = (select, value, text) => { const o = document.createElement("option"); o.value = value; o.textContent = text; $(select).append(o); };
option("layer", -1, "mean of all");
D.layers.forEach((name, l) => option("layer", l, name));
option("head", -1, "mean");
D.heads.forEach((name, h) => option("head", h, name));
$("layer").addEventListener("change", () => { now.layer = +$("layer").value; showMap(); });
$("head").addEventListener("change", () => { now.head = +$("head").value; showMap(); });
$("state").max = D.states.length - 1;
$("state").value = now.state;
$("state").addEventListener("input", () => { now.state = +$("state").value; showGrid(); });
$("state").parentElement.hidden = D.states.length < 2;
$("grid").style.gridTemplateColumns = "repeat(" + D.heads.length + ", minmax(3rem, 9rem))";
D.layers.forEach((_, l) => D.heads.forEach((_, h) => {
  const button = document.createElement("button");
  button.dataset.layer = l; button.dataset.head = h;
  button.title = headName(l, h);
  button.setAttribute("aria-label", headName(l, h));
  button.append(document.createElement("canvas"));
  button.addEventListener("click", () => { now.layer = l; now.head = h; showMap(); });
  $("grid").append(button);
}));
$("grid").addEventListener("keydown", event => {
  const step = {ArrowRight: 1, ArrowLeft: -1, ArrowDown: D.heads.length, ArrowUp: -D.heads.length}[event.key];
  const buttons = [...$("grid").children], to = buttons[buttons.indexOf(document.activeElement) + step];
  if (!to) return;
  event.preventDefault();
  to.focus();
  to.click();
});
$("map").addEventListener("pointermove", event => {
  const box = $("map").getBoundingClientRect(), i = Math.floor((event.clientY - box.top) / box.height * n);
  if (i >= 0 && i < n && i !== now.token) { now.token = i; showTokens(); }
});
showGrid();
)js";
}

const char* page_body() {
    return R"html(
<div class="controls">
<label>training <input type="range" id="state" min="0" step="1" aria-describedby="state-name"></label>
<span id="state-name" class="muted"></span>
<label>layer <select id="layer"></select></label>
<label>head <select id="head"></select></label>
<span>0 <span class="scale" role="img" aria-label="colours from dark violet, 0, to yellow, 1"></span> 1, colour by the square root</span>
</div>
<h2>Where it looks</h2>
<p class="muted">Point at a token, or go there with Tab and the arrow keys: what it looks at is shaded. A token sees itself and what is before it.</p>
<div class="two"><div><div id="tokens" role="group" aria-label="the prompt's tokens"></div>
<p id="looks" aria-live="polite"></p></div><canvas id="map" role="img"></canvas></div>
<h2>All heads</h2>
<p class="muted">A row for each layer, a column for each head. Choose one to see it above; arrow keys go to the neighbours.</p>
<div id="grid" role="group" aria-label="all heads"></div>
<h2>What it would say after each block</h2>
<p id="lens-of"></p>
<div class="scroll"><table><tbody id="lens"></tbody></table></div>
<h2>What each head is worth</h2>
<p class="muted">How much the loss of this text changes, nats per token, when the head's output is zero: blue where it is needed, orange where this text is likelier without it. One text says little: a head that is worth nothing here may be needed elsewhere.</p>
<div class="bars"><table><tbody id="ablation"></tbody></table></div>
<p class="muted">The same without all heads of a layer, and without any: then no token knows of another. Bars have their own scale.</p>
<div class="scroll"><table><tbody id="layers"></tbody></table></div>
)html";
}

// Of one map of n tokens on the page: 16-bit numbers in base64.
int64_t map_bytes(int64_t n) {
    return (n * (n + 1) + 2) / 3 * 4;
}

// At most `count` of 0 ... n-1, the first and the last among them.
std::vector<int64_t> spread(int64_t n, int64_t count) {
    count = std::max<int64_t>(1, std::min(n, count));
    std::vector<int64_t> chosen;
    for (int64_t i = 0; i < count; i++) chosen.push_back(count == 1 ? n - 1 : i * (n - 1) / (count - 1));
    return chosen;
}

std::string numbers(const std::vector<int64_t>& values) {
    std::string json;
    for (const int64_t value : values) json += (json.empty() ? "" : ",") + std::to_string(value);
    return "[" + json + "]";
}

}  // namespace

std::string encode_map(const std::vector<float>& rows) {
    static const char* const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::vector<uint8_t> bytes;
    for (const float p : rows) {
        const uint32_t value = uint32_t(std::lround(double(p) * 65535));
        bytes.push_back(uint8_t(value & 0xff));
        bytes.push_back(uint8_t(value >> 8));
    }
    std::string text;
    for (size_t i = 0; i < bytes.size(); i += 3) {
        const size_t count = std::min<size_t>(3, bytes.size() - i);
        uint32_t group = 0;
        for (size_t b = 0; b < 3; b++) group = group << 8 | (b < count ? bytes[i + b] : 0u);
        for (size_t c = 0; c < 4; c++) text += c <= count ? digits[group >> (18 - 6 * c) & 63] : '=';
    }
    return text;
}

PageSelection select_maps(int64_t tokens, int64_t states, int64_t layers, int64_t heads, int64_t bytes) {
    const int64_t most = std::max<int64_t>(1, bytes / map_bytes(tokens));
    // Three states tell a beginning, a middle and an end; more only when all layers and heads are there.
    const int64_t most_of_state = std::max<int64_t>(1, most / std::min<int64_t>(states, 3));
    PageSelection selection;
    selection.heads = spread(heads, most_of_state);
    selection.layers = spread(layers, most_of_state / int64_t(selection.heads.size()));
    const int64_t of_state = int64_t(selection.heads.size() * selection.layers.size());
    selection.states = spread(states, most / of_state);
    const auto missing = [&](const char* what, int64_t all, const std::vector<int64_t>& kept) {
        if (int64_t(kept.size()) == all) return;
        selection.left_out += format("%s%zu of %lld %s", selection.left_out.empty() ? "" : ", ", kept.size(),
                                     (long long)all, what);
    };
    missing("states", states, selection.states);
    missing("layers", layers, selection.layers);
    missing("heads", heads, selection.heads);
    if (selection.left_out.empty()) return selection;
    selection.left_out =
        "The page holds the maps of " + selection.left_out + ": all would make it larger than 10 MB.";
    int64_t all_fit = tokens;
    while (all_fit > 1 && map_bytes(all_fit) * states * layers * heads > bytes) all_fit--;
    if (all_fit > 1) selection.left_out += format(" Of %lld tokens it would hold all.", (long long)all_fit);
    return selection;
}

std::string fitting_attention_page(const AttentionReport& report, PageSelection* selection) {
    // Guesses and their texts take what they take; the maps get what is left.
    for (int64_t bytes = kPageBytes * 9 / 10; bytes > 0;) {
        *selection = select_maps(int64_t(report.tokens.size()), int64_t(report.states.size()), report.layers,
                                 report.heads, bytes);
        std::string page = attention_page(report, *selection);
        const int64_t too_many = int64_t(page.size()) - kPageBytes;
        if (too_many <= 0) return page;
        const size_t maps = selection->states.size() * selection->layers.size() * selection->heads.size();
        bytes = int64_t(maps) * map_bytes(int64_t(report.tokens.size())) - too_many;
    }
    user_error("the page would be larger than 10 MB without any map; a shorter --prompt makes it smaller");
}

std::string attention_page(const AttentionReport& report, const PageSelection& selection) {
    // Guesses are written as indices into a list of the texts that occur.
    std::map<int, size_t> index_of;
    std::string texts, states;
    const auto text_index = [&](int id) {
        const auto [at, is_new] = index_of.try_emplace(id, index_of.size());
        if (is_new) texts += (texts.empty() ? "" : ",") + html::json_string(report.token_texts[size_t(id)]);
        return at->second;
    };
    for (const int64_t s : selection.states) {
        const AttentionState& state = report.states[size_t(s)];
        states += (states.empty() ? "" : ",\n") + std::string("{\"name\":") + html::json_string(state.name) +
                  format(",\"loss\":%.6g,\"ablation\":[", state.inside.loss());
        for (size_t i = 0; i < state.ablation.heads.size(); i++)
            states += format("%s%.5g", i ? "," : "", state.ablation.heads[i]);
        states += "],\"layers\":[";
        for (size_t i = 0; i < state.ablation.layers.size(); i++)
            states += format("%s%.5g", i ? "," : "", state.ablation.layers[i]);
        states += format("],\"all\":%.5g,\"lens\":[", state.ablation.all);
        bool is_first = true;
        for (const auto& block : state.inside.lens)
            for (const auto& guesses : block)
                for (int g = 0; g < kGuesses; g++) {
                    // a vocabulary smaller than the list repeats its last guess
                    const Guess& guess = guesses[std::min(size_t(g), guesses.size() - 1)];
                    states += format("%s%zu,%ld", is_first ? "" : ",", text_index(guess.id),
                                     std::lround(1000 * double(guess.probability)));
                    is_first = false;
                }
        states += "],\"maps\":[";
        for (const int64_t l : selection.layers)
            for (const int64_t h : selection.heads)
                states += (states.back() == '[' ? "\"" : ",\"") +
                          encode_map(state.inside.attention[size_t(l * report.heads + h)]) + "\"";
        states += "]}";
    }
    std::string tokens;
    for (const std::string& token : report.tokens)
        tokens += (tokens.empty() ? "" : ",") + html::json_string(token);

    html::Page page;
    page.title = report.title;
    page.style = page_style();
    page.has_script = true;
    page.body =
        "<h1>" + html::escape(report.title) + "</h1>\n<p class=\"muted\">" + html::escape(report.model) +
        format(
            ": %zu tokens, %lld layers of %lld heads. Computed by the model's own weights; shown as it is.",
            report.tokens.size(), (long long)report.layers, (long long)report.heads) +
        "</p>\n";
    if (!selection.left_out.empty()) page.body += "<p>" + html::escape(selection.left_out) + "</p>\n";
    page.body += "<noscript><p>This page draws with JavaScript, which is switched off here.</p></noscript>\n";
    page.body += page_body();
    page.body += "<script type=\"application/json\" id=\"data\">{\"tokens\":[" + tokens +
                 "],\n\"layers\":" + numbers(selection.layers) + ",\"heads\":" + numbers(selection.heads) +
                 format(",\"all_layers\":%lld,\"all_heads\":%lld,\"guesses\":%d", (long long)report.layers,
                        (long long)report.heads, kGuesses) +
                 ",\n\"texts\":[" + texts + "],\n\"states\":[" + states + "]}</script>\n<script>" +
                 page_script() + "</script>\n";
    return html::page(page);
}

}  // namespace small_gpt
