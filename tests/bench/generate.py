#!/usr/bin/env python3
"""generate.py - how fast a model writes: ours and PyTorch's, both with a cache, taking turns on the same two cores.

Both write the same number of tokens from the same weights and must write the same ids; ours also without its cache. Then ours
with its weights rounded to 8 bits, beside the same columns and PyTorch's own 8 bits: another model, whose ids are its own.
Ratios are of turns that were neighbours in time, as in compare.py. Beside them: how much of the memory's speed ours uses
to read every weight once per token; that speed is measured between the turns, of as many bytes. Fails below the bars.
Run, after make benches:
    TORCH_PYTHON=... python3 tests/bench/generate.py [--configs d] [--rounds 5] [--tokens 32] [--weights int8] [--write]
"""
import argparse
import datetime
import os
import statistics
import sys

import machine
from compare import ANSWERED, HERE, OURS, PYTORCH, TIMEOUT_S, Program, vendor_check_library
from machine import ROOT

# pytorch: times the speed of the fastest PyTorch column of floats, at least. memory: share of its speed. For each kind of
# weights; with 8 bits ours reads a quarter of what those columns read, and beside PyTorch's own 8 bits there is no bar.
BARS = {("d", "float"): dict(pytorch=3.0, memory=0.7), ("d", "int8"): dict(pytorch=3.0)}
TABLES = {"float": "generate.md", "int8": "generate_int8.md"}
TITLES = {"a": "L4 NH4 C128 V65", "b": "L6 NH6 C384 V65", "c": "L2 NH4 HS4 C768 V50257", "d": "GPT-2's 124M"}
INT8 = " (8 bits)"  # ends the name of a program whose weights are


def commands(config, weights, options):
    """(name, command, environment) of each program."""
    threads = ["--threads", str(options.threads)]
    is_int8 = weights == "int8"
    ours = [os.path.join(options.build_dir, "bench", "generate"), config] + threads
    if is_int8:
        yield OURS + INT8, ours + ["--int8"], {}
    yield OURS, ours, {}
    python = machine.python_with_torch()
    if not python:
        return
    script = [python, os.path.join(HERE, "torch_generate.py"), config] + threads
    columns = [(f"{PYTORCH} eager", script), (f"{PYTORCH} compiled", script + ["--compile"])]
    library = vendor_check_library(os.path.join(options.build_dir, "bench"))
    for name, command in columns[:1] if options.eager_only else columns:
        yield name, command, {}
        if library:
            yield name + ANSWERED, command, {"LD_PRELOAD": library}
    if is_int8:
        yield f"{PYTORCH} eager{INT8}", script + ["--int8"], {}


def answer(program, line):
    result = program.ask(line, TIMEOUT_S)
    if not result:
        sys.exit(f"error: {program.name} gives no answer to '{line}': make benches")
    return result


class Measurement:
    """What one configuration's programs did in all rounds."""

    def __init__(self, config, weights, options):
        self.config, self.weights, self.options, self.versions = config, weights, options, set()
        self.ids, self.tokens_per_s, self.ratios, self.read_gbs, self.shares = [{}, {}, {}], {}, {}, [], []
        programs = [Program(name, command, env) for name, command, env in commands(config, weights, options)]
        self.ours = programs[0].name
        try:
            self.warm_up(programs)
            for _ in range(options.rounds):
                for other in programs[1:] or [None]:
                    self.take_turns(programs[0], other)
        finally:
            for program in programs:
                program.stop()

    def warm_up(self, programs):
        """Every program writes once; one that does not (torch.compile without a compiler) is left out."""
        line = f"run {self.options.tokens}"
        with_cache, without = (answer(programs[0], f"{verb} {self.options.tokens}")["ids"] for verb in ("run", "plain"))
        self.ids_of_model(self.ours).update({self.ours: with_cache, f"{self.ours} without its cache": without})
        for other in programs[1:]:
            result = other.ask(line, TIMEOUT_S)
            if result:
                self.ids_of_model(other.name)[other.name] = result["ids"]
                self.versions |= {result["version"]} - {""}
                self.ratios[other.name] = []
            else:
                print(f"({self.config}) {other.name}: did not run, column left out", file=sys.stderr)
        programs[1:] = [other for other in programs[1:] if other.name in self.ratios]
        self.tokens_per_s = {program.name: [] for program in programs}

    def ids_of_model(self, name):
        """{program: ids} of those that have the same model: floats; ours in 8 bits; PyTorch's, which rounds more."""
        return self.ids[0 if not name.endswith(INT8) else 1 if name.startswith(OURS) else 2]

    def take_turns(self, ours, other):
        line = f"run {self.options.tokens}"
        result = answer(ours, line)
        speed = result["tokens"] / result["seconds"]
        self.tokens_per_s[self.ours].append(speed)
        self.read_gbs.append(answer(ours, "read")["read_gbs"])
        self.shares.append(result["bytes_per_token"] * speed * 1e-9 / self.read_gbs[-1])
        if other:
            result = answer(other, line)
            self.tokens_per_s[other.name].append(result["tokens"] / result["seconds"])
            self.ratios[other.name].append(speed / self.tokens_per_s[other.name][-1])

    def verdicts(self):
        """[(sentence, is met)]; None: reported, but not counted."""
        bars = BARS.get((self.config, self.weights), {})
        verdicts = []
        for ids in self.ids:
            if len(ids) > 1:
                same = len(set(ids.values())) == 1
                verdicts.append((f"the ids of {', '.join(ids)} are {'the same' if same else f'not the same: {ids}'}", same))
        medians = {name: statistics.median(ratios) for name, ratios in self.ratios.items() if name != OURS}
        ratios = sorted((ratio, name) for name, ratio in medians.items() if not name.endswith(INT8))
        if ratios:
            times, name = ratios[0]
            floats = "" if self.weights == "float" else " of floats"
            verdicts.append((f"{times:.2f} times the speed of the fastest PyTorch column{floats} ({name}); bar "
                             f"{bars.get('pytorch', 'none')}", times >= bars["pytorch"] if "pytorch" in bars else None))
            shipped = [row for row in ratios if not row[1].endswith(ANSWERED)]
            if shipped and shipped[0] != ratios[0]:
                verdicts.append((f"{shipped[0][0]:.2f} times the fastest as shipped ({shipped[0][1]})", None))
            verdicts += [(f"{ratio:.2f} times {name}", None) for name, ratio in medians.items() if name.endswith(INT8)]
        else:
            verdicts.append(("no PyTorch was found (TORCH_PYTHON): no ratio", None))
        share = statistics.median(self.shares)
        verdicts.append((f"reads its weights at {share:.2f} ({min(self.shares):.2f}..{max(self.shares):.2f}) of the memory's "
                         f"{statistics.median(self.read_gbs):.1f} GB/s; bar {bars.get('memory', 'none')}",
                         share >= bars["memory"] if "memory" in bars else None))
        return verdicts

    def lines(self):
        """Markdown: a table of the programs, and the verdicts."""
        kind = "" if self.weights == "float" else ", ours with its weights in 8 bits"
        lines = [f"({self.config}) {TITLES[self.config]}, batch 1, {self.options.tokens} tokens{kind}:", "",
                 "| program | tokens/s (slowest..fastest turn) | ours is faster by |", "|---|---|---|"]
        for name, speeds in self.tokens_per_s.items():
            ratio = f"**{statistics.median(self.ratios[name]):.2f}**" if name in self.ratios else ""
            lines.append(f"| {name} | {statistics.median(speeds):.1f} ({min(speeds):.1f}..{max(speeds):.1f}) | {ratio} |")
        words = {True: "met", False: "**NOT MET**", None: "reported, not counted"}
        return lines + [""] + [f"- {words[is_met]}: {text}" for text, is_met in self.verdicts()] + [""]


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configs", nargs="+", default=["d"], choices=TITLES)
    parser.add_argument("--weights", nargs="+", default=list(TABLES), choices=TABLES, help="of ours")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cores", help="where all run, as 0,1; default: the first of those this process may use")
    parser.add_argument("--build-dir", default=os.environ.get("GPT_BUILD_DIR", "build/cpu"))
    parser.add_argument("--eager-only", action="store_true", help="leave torch.compile out")
    parser.add_argument("--write", action="store_true", help=f"write docs/numbers/{' and '.join(TABLES.values())}")
    options = parser.parse_args()
    options.build_dir = os.path.abspath(os.path.join(ROOT, options.build_dir))
    options.cores = machine.pin_to_cores(options.threads, options.cores)
    return options


def measure(weights, options):
    """All configurations with one kind of weights: printed, written where asked for; whether every bar is met."""
    started = datetime.datetime.now().strftime("%Y-%m-%d %H:%M")
    measured = [Measurement(config, weights, options) for config in options.configs]
    versions = sorted(set().union(*(m.versions for m in measured)))
    lines = [line for m in measured for line in m.lines()]
    lines.append(f"Measured {started}: {machine.description(options.threads, options.cores, versions)}; {machine.commit()}. "
                 f"Command: `python3 tests/bench/generate.py{''.join(' ' + word for word in sys.argv[1:])}`, "
                 f"{options.rounds} rounds, medians.")
    print("\n".join(lines), flush=True)
    if options.write:
        with open(os.path.join(ROOT, "docs/numbers", TABLES[weights]), "w") as f:
            f.write("\n".join(lines) + "\n")
    return all(is_met is not False for m in measured for _, is_met in m.verdicts())


def main():
    options = parse_options()
    are_met = [measure(weights, options) for weights in options.weights]
    sys.exit(0 if all(are_met) else 1)


if __name__ == "__main__":
    main()
