"""bars.py - what the measurements are held to. A bar that nothing was measured for is not met: without a PyTorch on the machine
it is skipped, otherwise "not run". Not here: how anything is measured (timing.py).
"""

OURS, LEAST_ROUNDS = "ours", 3
FIVE_EPOCHS = 78425  # steps of the original's run, which took 22 minutes on a V100

# part: (bar, goal) for our speed over the fastest PyTorch column's.
STEP_BARS = {"a": (1.0, 1.25), "b": (1.6, 1.6)}
CHARACTER_BAR_S, CHARACTER_GOAL_S = 120, 60
ATTENTION_BAR = 0.9  # of SDPA's flash back end, which is FlashAttention-2


def is_whole(row):
    """Whether a row counts: our column and every rival's, enough rounds, equal work. A rival that did not run might have won."""
    entries = row["rivals"]
    return (OURS in entries and len(entries) > 1 and not row["missing"] and not row.get("problem")
            and all(entry["turns"] >= LEAST_ROUNDS for entry in entries.values()))


def speed(row, name):
    entry = row["rivals"][name]
    return entry["work"] / entry["seconds"]


def verdict(what, value, bar, goal, unit="x", is_less_better=False):
    good, best = (value <= bar, value <= goal) if is_less_better else (value >= bar, value >= goal)
    how = "bar and goal met" if best else "bar met, goal not" if good else "bar NOT MET"
    return (f"bar: {what}", "passed" if good else "not met",
            f"{value:.2f}{unit}; bar {bar:g}{unit}, goal {goal:g}{unit}: {how}")


def nothing(what):
    return f"bar: {what}", "not run", "NOT MET: nothing whole was measured to judge it by"


def step_verdict(part, what, rows):
    """Each side at its best batch; with one batch the median of the ratios of neighbours."""
    rows = [row for row in rows if row["part"].split(":")[0] == part and is_whole(row)]
    if not rows:
        return nothing(what)
    if len(rows) == 1:
        value = min(entry["ratio"] for name, entry in rows[0]["rivals"].items() if name != OURS)
    else:
        value = (max(speed(row, OURS) for row in rows) /
                 max(speed(row, name) for row in rows for name in row["rivals"] if name != OURS))
    return verdict(what, value, *STEP_BARS[part])


def attention_verdict(way, rows):
    what = f"attention {way}, of FlashAttention-2, least over the sizes"
    ratios = [min(entry["ratio"] for name, entry in row["rivals"].items() if name != OURS)
              for row in rows if row["part"] == "attention" and row["what"].startswith(way) and is_whole(row)]
    return verdict(what, min(ratios), ATTENTION_BAR, ATTENTION_BAR) if ratios else nothing(what)


def character_verdict(rows):
    what = f"(c) the character model's five epochs, {FIVE_EPOCHS:,} steps, predicted from steps a second"
    rows = [row for row in rows if row["part"] == "c" and OURS in row["rivals"] and row["rivals"][OURS]["turns"] >= LEAST_ROUNDS]
    if not rows:
        return nothing(what)
    return verdict(what, FIVE_EPOCHS * rows[0]["rivals"][OURS]["seconds"], CHARACTER_BAR_S, CHARACTER_GOAL_S, " s", True)


def verdicts(rows, is_rival_here):
    """(part, what, state, detail) of every bar."""
    for part, bar in (("a", step_verdict("a", "(a) GPT-2 124M, over the fastest PyTorch", rows)),
                      ("b", step_verdict("b", "(b) L2 C768 V50257, over the fastest PyTorch", rows)),
                      ("c", character_verdict(rows)),
                      ("attention", attention_verdict("forward", rows)),
                      ("attention", attention_verdict("backward", rows))):
        what, state, detail = bar
        yield part, what, "skipped" if state == "not run" and not is_rival_here else state, detail
