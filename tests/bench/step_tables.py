"""step_tables.py - what compare.py measured, as Markdown: tables of rows that are measured on different days.

A file has one row per configuration, for the notes; its _details has a section each with all columns. Writing a row
replaces the one of its name and leaves the others: so each row ends with the minute when it was measured, and under the
table stands, for each such minute, where and with which command that was.
"""
import datetime
import os
import re
import statistics
import sys

import machine

# Which rows a file shows. Chapter 00's are the steps of its models; chapter 02's those of GPT-2's size, and bf16.
FILES = {"bench": ["(a)", "(b)", "(c)", "(e)"],
         "bench_02": ["(c)", "(d)", "(f)"] + [f"({c}) bf16" for c in "abcdef"]}
WORDS = {True: "met", False: "**NOT MET**", None: "reported, not counted"}
STARTED = datetime.datetime.now().strftime("%Y-%m-%d %H:%M")
HEAD = ["| | ours, tokens/s | share of float32's FMA peak | PyTorch as shipped: eager, compiled | vendor check answered: "
        "eager, compiled | ours / fastest PyTorch | ours / llm.c, ours / our float32 | bars | peak MiB: ours, PyTorch's "
        "least | measured |", "|---" * 10 + "|"]
DETAILS_HEAD = ["# Training step, in turns with its rivals", "",
                "Others' CPU: how many of our cores other programs took during a turn, median."]


def details(row, programs, ratios, verdicts, profile):
    """Lines about one row: everything that was measured."""
    ours = programs[0]
    lines = [f"## {row.name} {row.title}", "",
             "| program | tokens/s (slowest..fastest turn) | ms per step | steps/s | ours is faster by: median of "
             f"neighbours (of medians) | peak MiB | first step, s | loss 1 | loss {row.loss_step} | others' CPU |",
             "|---" * 10 + "|"]
    for p in programs:
        times = [seconds for seconds, _ in p.turns]
        rate = [row.tokens / s for s in (p.step_s(), max(times), min(times))]
        faster = "" if p is ours else f"**{statistics.median(ratios[p.name]):.2f}** ({p.step_s() / ours.step_s():.2f})"
        lines.append(f"| {p.name} | {rate[0]:,.0f} ({rate[1]:,.0f}..{rate[2]:,.0f}) | {1e3 * p.step_s():.2f} | "
                     f"{1 / p.step_s():.1f} | {faster} | {p.peak_mib:,} | {p.first_s:.2f} | {p.losses[1]:.5f} | "
                     f"{p.losses[row.loss_step]:.5f} | {p.foreign():.2f} |")
    lines += ["", f"- our step: {ours.gflops():.0f} GFLOP/s, {100 * ours.gflops() / ours.fma_peak_gflops:.0f} % of the "
                  f"measured FMA peak of float32, {ours.fma_peak_gflops:.0f}"]
    lines += [f"- {WORDS[is_met]}: {text}" for text, is_met in verdicts]
    if not any(p.is_pytorch() for p in programs):
        lines.append("- no PyTorch was found (TORCH_PYTHON): no ratio to it")
    if profile:
        lines += ["", "```", profile, "```"]
    return lines + [""]


def bars_of(row):
    """The row's bars in words."""
    units = dict(bar="", aim="aim ", llmc="llm.c ", own="our float32 ", iterations="", first_s="first step ")
    after = dict(iterations=" steps/s", first_s=" s")
    words = [units[key] + str(value) + after.get(key, "") for key, value in row.bars.items()
             if key in units and not (key == "aim" and "bar" in row.bars)]
    return ", ".join(words + (["memory below PyTorch's"] if "memory" in row.bars else []))


def summary(row, programs, times, verdicts, is_disturbed):
    """One row of the table, without its last cell. times: median ratio by the rival's name."""
    ours = programs[0]
    tokens_per_s = {p.name: f"{row.tokens / p.step_s():,.0f}" for p in programs}
    shipped, answered = (", ".join(tokens_per_s.get(f"PyTorch {kind}{suffix}", "-") for kind in ("eager", "compiled"))
                         for suffix in ("", ", vendor check answered"))
    pytorch = [p for p in programs if p.is_pytorch()]
    fastest = "disturbed" if is_disturbed else f"**{min(times[p.name] for p in pytorch):.2f}**" if pytorch else "-"
    others = ", ".join(f"{times[name]:.2f}" if name in times else "-" for name in ("llm.c", "ours, float32"))
    missed = "" if all(is_met is not False for _, is_met in verdicts) else "; one is **not met**"
    cells = [f"{row.name} {row.title}", tokens_per_s[ours.name], f"{100 * ours.gflops() / ours.fma_peak_gflops:.0f} %",
             shipped, answered, fastest, others, bars_of(row) + missed,
             f"{ours.peak_mib:,}, " + (f"{min(p.peak_mib for p in pytorch):,}" if pytorch else "-")]
    return "| " + " | ".join("-" if cell == "-, -" else cell for cell in cells) + " |"


def circumstances(options, versions):
    """When, where and how, in one line that starts with the minute that the rows name."""
    arguments = "".join(" " + argument for argument in sys.argv[1:])
    note = "; MKL's vendor check needs no answer on Intel's own processors" if machine.is_intel() else ""
    return (f"{STARTED}: {machine.description(options.threads, options.cores, versions)}; {machine.commit()}. "
            f"Command: `python3 tests/bench/compare.py{arguments}`, {options.rounds} rounds, turns of about "
            f"{options.seconds} s, medians{note}.")


def name_of(text):
    """"(d) bf16" of a row or a heading that starts with it; None for other text."""
    match = re.match(r"(?:\| |## )(\([a-z]\)(?: bf16)?) ", text)
    return match and match.group(1)


def read_lines(path):
    if not os.path.exists(path):
        return []
    with open(path) as f:
        return f.read().split("\n")


def merged_table(lines, names, name, new_row, circumstance):
    """The file's lines with one row more, or another one in its place; of the circumstances those that a row names."""
    rows = {name_of(line): line for line in lines if name_of(line) in names}
    rows[name] = f"{new_row} {STARTED} |"
    minutes = {line.split(": ")[0]: line for line in lines if re.match(r"\d{4}-\d\d-\d\d", line)}
    minutes[STARTED] = circumstance
    shown = [rows[known] for known in names if known in rows]
    used = {row.split(" | ")[-1].strip(" |") for row in shown}
    notes = [text for minute, text in sorted(minutes.items()) if minute in used]
    return HEAD + shown + [""] + [line for note in notes for line in (note, "")][:-1]


def merged_details(lines, names, name, section, circumstance):
    starts = [i for i, line in enumerate(lines) if name_of(line)] + [len(lines)]
    sections = {name_of(lines[a]): lines[a:b] for a, b in zip(starts, starts[1:])}
    sections[name] = section[:1] + ["", "Measured " + circumstance] + section[1:]
    body = ["\n".join(sections[known]).rstrip() for known in names if known in sections]
    return "\n\n".join(["\n".join(DETAILS_HEAD)] + body).split("\n")


def write(folder, row, section, new_row, options, versions):
    """Puts a row into the tables that show it, and its section into their _details."""
    os.makedirs(folder, exist_ok=True)
    circumstance = circumstances(options, versions)
    for file, names in FILES.items():
        if row.name not in names:
            continue
        for suffix, merged, what in (("", merged_table, new_row), ("_details", merged_details, section)):
            path = os.path.join(folder, file + suffix + ".md")
            lines = merged(read_lines(path), names, row.name, what, circumstance)
            with open(path, "w") as f:
                f.write("\n".join(lines).rstrip() + "\n")
        print(f"{row.name}: written into {file}.md and {file}_details.md of {folder}", file=sys.stderr)
