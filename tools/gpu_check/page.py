"""page.py - a record as Markdown: what a reader asks first comes first. All of it is made from the JSON beside it."""

OURS = "ours"
WORDS = {"passed": "passed", "running": "**not finished**: it runs now, or was killed", "cut off": "**cut off**",
         "not run": "**partial**", "failed": "**FAILED**", "not met": "**a bar is NOT MET**", "skipped": "partly skipped"}
STAGES = ("build", "test", "sanitize", "time")


def cell(text):
    return str(text).replace("|", "\\|").replace("\n", " ")


def table(header, rows):
    return ["| " + " | ".join(map(cell, row)) + " |" for row in [header, ["---"] * len(header), *rows]] + [""]


def head(data):
    changes = {True: ", **with changes that it lacks**", False: "", None: ""}[data.get("uncommitted_changes")]
    clock = f", SM clock up to {data['max_sm_clock_mhz']:.0f} MHz" if data.get("max_sm_clock_mhz") else ""
    verdict = (f"**Passed on {data['architecture']}**: built, tested and sanitized; the fast kernels are the default there."
               if data["passed"] else
               f"**Not passed on {data['architecture']}**: that needs the stages build, test and sanitize, all passed.")
    return [f"# {data['card']}, {data['date']}", "", verdict, "",
            f"Driver {data['driver']}, nvcc {data.get('nvcc') or 'unknown'}{clock}; commit {data['commit']}{changes}, sources "
            f"{data['sources']}. Written by `make gpu-check`; README.md here says how to read it.", ""]


def stage_rows(data):
    for name in STAGES:
        stage = data["stages"].get(name)
        if not stage:
            yield [name, "**not run**", "", ""]
            continue
        counts = {}
        for check in stage["checks"]:
            counts[check["state"]] = counts.get(check["state"], 0) + 1
        yield [name, WORDS[stage["state"]], ", ".join(f"{n} {state}" for state, n in counts.items()), f"{stage['seconds']:.0f}"]


def rate(entry, ceiling):
    """Median speed, and the spread of the turns around it."""
    value, spread = entry["work"] / entry["seconds"], (entry["most"] - entry["least"]) / entry["seconds"]
    share = f", {100 * value / ceiling:.0f} %" if ceiling else ""
    return f"{value:,.0f} {entry['unit']}{share} (spread {100 * spread:.1f} %, {entry['turns']} turns)"


def ceilings(rows):
    """The best that any program reached, by unit: copy and product."""
    best = {}
    for row in rows:
        if row["part"] == "ceilings":
            for entry in row["rivals"].values():
                best[entry["unit"]] = max(best.get(entry["unit"], 0.0), entry["work"] / entry["seconds"])
    return best


def clock_text(row):
    before, after = ((row.get(key) or {}).get("sm_mhz") for key in ("clocks_before", "clocks_after"))
    return " to ".join(f"{clock:.0f}" if clock is not None else "?" for clock in (before, after))


def time_tables(stage):
    rows, lines = stage.get("rows", []), []
    best = ceilings(rows)
    for kind, title in (("step", "Training steps"), ("kernel", "Kernels")):
        of_kind = [row for row in rows if row["kind"] == kind]
        if not of_kind:
            continue
        lines += [f"## {title}", ""]
        cells = []
        for row in of_kind:
            ours = row["rivals"].get(OURS)
            for name in [*row["rivals"], *row["missing"]]:
                entry = row["rivals"].get(name)
                ceiling = best.get(entry["unit"]) if entry and row["part"] != "ceilings" else None
                ratio = f"**{entry['ratio']:.2f}**" if entry and "ratio" in entry else ""
                medians = f" ({entry['seconds'] / ours['seconds']:.2f})" if ratio and ours else ""
                what = f"({row['part']}) {row['what']}" if kind == "step" else f"{row['part']}: {row['what']}"
                cells.append([what, name, rate(entry, ceiling) if entry else f"none: {row['missing'][name]}",
                              f"{1e3 * entry['seconds']:,.3f}" if entry else "", ratio + medians,
                              " ".join(f"{loss:.3f}" for loss in entry["losses"]) if entry else "", clock_text(row)])
        lines += table(["what", "program", "speed, share of the card's ceiling", "ms", "ours is faster by: neighbours (medians)",
                        "loss of steps 1, 3" if kind == "step" else "", "SM MHz before, after"], cells)
    versions = sorted({entry["version"] for row in rows for entry in row["rivals"].values() if entry.get("version")})
    if versions or stage.get("rival"):
        lines += [f"Rival: {', '.join(versions) or stage['rival']}.", ""]
    if stage.get("ladder"):
        lines += ["## Ladders", ""] + table(["family", "rung", "sizes", "right", "ms", "TFLOP/s", "GB/s"], [
            [rung["family"], rung["rung"], rung.get("sizes", ""), "yes" if rung["ok"] else "**WRONG**",
             *(f"{scale * rung[key]:,.3f}" if isinstance(rung.get(key), (int, float)) else ""
               for key, scale in (("seconds", 1e3), ("tflops", 1), ("gb_per_s", 1)))] for rung in stage["ladder"]])
    return lines


def markdown(data):
    lines = head(data) + table(["stage", "state", "checks", "seconds"], list(stage_rows(data)))
    bars = [check for check in data["stages"].get("time", {}).get("checks", []) if check["what"].startswith("bar: ")]
    if bars:
        lines += ["## Bars", ""] + table(["bar", "state", ""], [
            [check["what"].removeprefix("bar: "), "met" if check["state"] == "passed" else "**NOT MET**", check["detail"]]
            for check in bars])
    lines += time_tables(data["stages"].get("time", {}))
    for name in STAGES:
        checks = [check for check in data["stages"].get(name, {}).get("checks", []) if not check["what"].startswith("bar: ")]
        if checks:
            lines += [f"## Stage {name}", ""] + table(["check", "state", "", "seconds"], [
                [check["what"], check["state"] if check["state"] == "passed" else f"**{check['state']}**", check["detail"],
                 check["seconds"]] for check in checks])
    for precision, rows in sorted(data["stages"].get("test", {}).get("proof", {}).items()):
        if rows:
            lines += [f"## CUDA on the card, {precision}: of what a result may differ, the most that any element did", ""]
            lines += table(["kernel, result", "sizes", "largest", "allowed"], [
                [row["what"], row["sizes"], f"{100 * row['share']:.2g} %", row["allowed"].replace("|x|", "abs(x)")] for row in rows])
    return "\n".join(lines).rstrip() + "\n"
