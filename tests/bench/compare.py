#!/usr/bin/env python3
"""compare.py - our training step and its rivals', taking turns on the same two cores; fails below the bars.

Programs are servers (train_step.cpp, torch_rival.py, llmc_rival.c): "run N" on stdin, one line of JSON back. All are
started and warmed up first; then every rival's turn follows a turn of ours, so that a ratio compares neighbours in time
and the moods of a shared machine cancel. Reported: medians, and the median of the ratios of neighbours, which counts.
Run: make bench                                    or, after make benches:
     TORCH_PYTHON=... python3 tests/bench/compare.py [--configs a b c e] [--precision bf16] [--llmc FOLDER] [--write]
--write puts the rows that were measured into the tables of docs/numbers (step_tables.py) and leaves the others there.
Without a PyTorch (README.md says how to get one) it measures our column alone and says so. Python's own library only.
"""
import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time

import machine
import step_tables
from machine import ROOT
from server import Server

HERE = os.path.dirname(os.path.abspath(__file__))
FIRST_STARTS = 5
PAUSE_S = 0.3  # after each turn: time for the threads of an OpenMP program to stop spinning
TIMEOUT_S = 1200  # one answer; torch.compile needs a minute, llm.c nearly one for a step of (f)

# loss_step: up to where losses are compared; the first steps are also the warm-up.
CONFIGS = {
    "a": dict(title="L4 NH4 C128 T64 B64 V65 tied", tokens=64 * 64, loss_step=10),
    "b": dict(title="L6 NH6 C384 T256 B16 V65 tied", tokens=16 * 256, loss_step=4),
    "c": dict(title="L2 NH4 HS4 C768 T512 B4 V50257 tied", tokens=4 * 512, loss_step=3),
    "d": dict(title="L12 NH12 C768 T64 B4 V50257 tied (GPT-2's 124M)", tokens=4 * 64, loss_step=3),
    "e": dict(title="L4 NH4 C64 T32 B64 V65 untied, ReLU (the original's run)", tokens=64 * 32, loss_step=10),
    "f": dict(title="L12 NH12 C768 T1024 B1 V50257 tied (GPT-2's 124M)", tokens=1024, loss_step=2),
}
# bar, aim: times the speed of the fastest PyTorch column, at least. shipped: of the fastest as shipped, counted only where
# answering the vendor check makes PyTorch HALVED times as fast. llmc: of llm.c. own: of our own float32. memory: our peak
# is below PyTorch's. iterations: steps per second, at least, on a machine whose FMA peak is that of the one it was set on
# (two threads of AVX-512). first_s: seconds to the first, median of FIRST_STARTS starts (memory that a virtual machine
# has never touched costs its host, once, as much again).
BARS = {
    "fp32": {
        "a": dict(bar=1.2, aim=1.4, shipped=2.3, first_s=0.5),
        "b": dict(bar=1.05, aim=1.2, shipped=2.1, memory=True),
        "c": dict(bar=1.25, aim=1.5, shipped=2.6, memory=True),
        "d": dict(bar=1.3, aim=1.6, shipped=2.4, llmc=11),
        "e": dict(iterations=60),
        "f": dict(bar=1.1, llmc=11),
    },
    "bf16": {  # PyTorch's columns are those of its autocast; counted on processors without AMX
        "a": dict(aim=2.0),
        "b": dict(bar=1.4, aim=1.6),
        "c": dict(bar=1.8, aim=2.2),
        "d": dict(bar=1.6, aim=1.9, own=1.5),
    },
}
BAR_ITERATIONS_PEAK = 400  # GFLOP/s; below it the same program cannot be asked for the same number of steps
HALVED = 1.6
# Relative, after a few AdamW steps: float32 sums in another order; products of bf16's 8 bits, rounded at other places.
LOSS_TOLERANCE = {"fp32": 1e-4, "bf16": 1e-3}
OURS, OURS_FP32, PYTORCH, LLMC = "ours", "ours, float32", "PyTorch", "llm.c"
ANSWERED = ", vendor check answered"


class Row:
    """One configuration at one precision: what is measured, and its bars."""

    def __init__(self, config, precision):
        self.config, self.precision = config, precision
        self.name = f"({config})" + (f" {precision}" if precision != "fp32" else "")
        self.title, self.tokens, self.loss_step = (CONFIGS[config][key] for key in ("title", "tokens", "loss_step"))
        self.bars = BARS[precision].get(config, {})


class Program(Server):
    """One server process: its turns, and what others used of our cores meanwhile."""

    def __init__(self, name, command, env):
        self.name, self.losses, self.turns, self.peak_mib, self.version = name, {}, [], 0, ""
        self.flops_per_step, self.fma_peak_gflops = 0, 0
        self.started = time.monotonic()
        super().__init__(command, ROOT, {**os.environ, **env})

    def run(self, steps):
        answer = self.ask(f"run {steps}", TIMEOUT_S)
        if answer:
            self.losses[answer["step"]] = answer["loss"]
            self.peak_mib, self.version = answer["peak_rss_mib"], answer["version"]
            self.flops_per_step = answer.get("flops_per_step", 0)
        time.sleep(PAUSE_S)
        return answer

    def warm_up(self, loss_step, turn_s):
        """First step (timed from the start of the program), the steps up to loss_step, then the length of a turn."""
        if not self.run(1):
            return False
        self.first_s = time.monotonic() - self.started - PAUSE_S
        answer = self.run(loss_step - 1)
        if not answer:
            return False
        self.turn_steps = max(1, round(turn_s / (answer["seconds"] / answer["steps"])))
        return True

    def turn(self):
        """Seconds per step of one turn."""
        before = machine.busy_seconds(), machine.cpu_seconds(self.process.pid), time.monotonic()
        answer = self.run(self.turn_steps)
        if not answer:
            sys.exit(f"error: {self.name} ended in the middle of a measurement")
        after = machine.busy_seconds(), machine.cpu_seconds(self.process.pid), time.monotonic()
        foreign = (after[0] - before[0] - (after[1] - before[1])) / (after[2] - before[2])
        self.turns.append((answer["seconds"] / answer["steps"], max(0.0, foreign)))
        return self.turns[-1][0]

    def foreign(self):
        return statistics.median(foreign for _, foreign in self.turns)

    def step_s(self):
        return statistics.median(seconds for seconds, _ in self.turns)

    def gflops(self):
        return self.flops_per_step / self.step_s() * 1e-9

    def is_pytorch(self):
        return self.name.startswith(PYTORCH)


# ---- The programs --------------------------------------------------------------------------------------------------


def c_compiler():
    return next((c for c in (os.environ.get("CC"), "cc", "gcc", "clang") if c and shutil.which(c)), None)


def vendor_check_library(folder):
    """Path of the compiled mkl_vendor_check.c; None without a compiler, or where the question needs no answer."""
    library = os.path.join(folder, "mkl_vendor_check.so")
    if machine.is_intel() or not c_compiler():
        return None
    os.makedirs(folder, exist_ok=True)
    subprocess.run([c_compiler(), "-shared", "-fPIC", "-o", library, os.path.join(HERE, "mkl_vendor_check.c")], check=True)
    return library


def pytorch_columns(row, options):
    """(name, command, environment) of each PyTorch column; empty without a PyTorch."""
    python = machine.python_with_torch()
    if not python:
        return []
    script = [python, os.path.join(HERE, "torch_rival.py"), row.config, "--threads", str(options.threads),
              "--precision", row.precision]
    columns = [(f"{PYTORCH} eager", script, {}), (f"{PYTORCH} compiled", script + ["--compile"], {})]
    library = vendor_check_library(os.path.join(options.build_dir, "bench"))
    if library:
        columns += [(name + ANSWERED, command, {"LD_PRELOAD": library}) for name, command, _ in columns]
    if options.eager_only:
        columns = [column for column in columns if "--compile" not in column[1]]
    return columns


def llmc_column(row, options):
    """llm.c's step, compiled as its own Makefile does, from the reader's checkout; empty where no bar asks for it."""
    if not options.llmc or "llmc" not in row.bars:
        return []
    program = os.path.join(options.build_dir, "bench", "llmc_rival")
    if not os.path.isfile(os.path.join(options.llmc, "train_gpt2.c")) or not c_compiler():
        sys.exit(f"error: --llmc {options.llmc}: no train_gpt2.c there, or no C compiler here")
    subprocess.run([c_compiler(), "-Ofast", "-march=native", "-fopenmp", "-DOMP", "-w", "-I", options.llmc, "-o", program,
                    os.path.join(HERE, "llmc_rival.c"), "-lm"], check=True)
    return [(LLMC, [program, row.config], {"OMP_NUM_THREADS": str(options.threads)})]


def our_columns(row, options):
    """Our step; at another precision than float32 that one's, too."""
    program = os.path.join(options.build_dir, "bench", "train_step")
    command = [program, row.config, "--threads", str(options.threads)]
    if not os.access(program, os.X_OK):
        sys.exit(f"error: no {program}: make benches")
    if row.precision == "fp32":
        return [(OURS, command, {})]
    command_there = command + ["--precision", row.precision]
    refusal = subprocess.run(command_there, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if refusal.returncode != 0:
        sys.exit(refusal.stderr.strip())
    return [(OURS, command_there, {}), (OURS_FP32, command, {})]


def first_steps_s(name, command, env):
    """Seconds from start to first step of all of FIRST_STARTS starts but the last, which goes on to be measured."""
    seconds = []
    for _ in range(FIRST_STARTS - 1):
        program = Program(name, command, env)
        if program.run(1):
            seconds.append(time.monotonic() - program.started - PAUSE_S)
        program.stop()
    return seconds


def measure(row, options):
    """All programs of a row: ours first, then the rivals that started; and their ratios by name."""
    commands = our_columns(row, options) + pytorch_columns(row, options) + llmc_column(row, options)
    programs, ratios = [], {}
    try:
        for name, command, env in commands:
            print(f"{row.name} {name}: starting", file=sys.stderr, flush=True)
            earlier = first_steps_s(name, command, env) if name == OURS and "first_s" in row.bars else []
            started = Program(name, command, env)
            if started.warm_up(row.loss_step, options.seconds):
                programs.append(started)
                started.first_s = statistics.median(earlier + [started.first_s])
            else:
                started.stop()
                print(f"{row.name} {name}: did not run, column left out", file=sys.stderr)
                if name == OURS:
                    sys.exit(f"error: {command[0]} does not run: make benches")
        ours, others = programs[0], programs[1:]
        ratios = {other.name: [] for other in others}
        for number in range(options.rounds):
            # The best that the machine gave in any round: a neighbour can only lower it.
            ours.fma_peak_gflops = max(ours.fma_peak_gflops, ours.ask("peak", TIMEOUT_S)["fma_peak_gflops"])
            for other in others:
                our_s = ours.turn()
                ratios[other.name].append(other.turn() / our_s)
            if not others:
                ours.turn()
            print(f"{row.name} round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
    finally:
        for started in programs:
            started.stop()
    return programs, ratios


# ---- The bars ------------------------------------------------------------------------------------------------------


def times_faster(ratios, names):
    """(median ratio, name) of the rival that we beat by least."""
    return min((statistics.median(ratios[name]), name) for name in names)


def check_speed(row, programs, ratios):
    """The bars on speed: over all PyTorch columns, over those as shipped, over llm.c, over our own float32."""
    bars, verdicts = row.bars, []
    pytorch = [name for name in ratios if name.startswith(PYTORCH)]
    if pytorch and ("bar" in bars or "aim" in bars):
        times, name = times_faster(ratios, pytorch)
        wanted = ", ".join(f"{key} {bars[key]}" for key in ("bar", "aim") if key in bars)
        is_counted = "bar" in bars and not (row.precision == "bf16" and machine.has_amx())
        why = " (this processor has AMX: not counted)" if "bar" in bars and not is_counted else ""
        verdicts.append((f"{times:.2f} times the speed of the fastest PyTorch column ({name}); {wanted}{why}",
                         times >= bars["bar"] if is_counted else None))
    shipped = [name for name in pytorch if not name.endswith(ANSWERED)]
    if "shipped" in bars and len(shipped) < len(pytorch):
        step_s = {p.name: p.step_s() for p in programs}
        gain = (min(step_s[name] for name in shipped) / min(step_s[name] for name in pytorch if name not in shipped))
        times, name = times_faster(ratios, shipped)
        verdicts.append((f"{times:.2f} times the fastest as shipped ({name}); bar {bars['shipped']} where "
                         f"answering the vendor check makes PyTorch {HALVED} times as fast; here {gain:.2f} times",
                         times >= bars["shipped"] if gain >= HALVED else None))
    for key, name in (("llmc", LLMC), ("own", OURS_FP32)):
        if key in bars and name in ratios:
            times = statistics.median(ratios[name])
            is_counted = key != "own" or machine.has_bf16()
            verdicts.append((f"{times:.2f} times the speed of {name}; bar {bars[key]}"
                             + ("" if is_counted else ", for processors with bf16 instructions"),
                             times >= bars[key] if is_counted else None))
        elif key in bars:
            verdicts.append((f"{name} was not measured; bar {bars[key]} times its speed"
                             + (" (--llmc FOLDER names a checkout)" if key == "llmc" else ""), None))
    return verdicts


def is_disturbed(programs):
    return max(p.foreign() for p in programs) > machine.FOREIGN_LIMIT


def check_bars(row, programs, ratios):
    """[(sentence, is met)] for every bar of this row; None: reported, but not counted."""
    bars, ours, others = row.bars, programs[0], programs[1:]
    pytorch = [p for p in others if p.is_pytorch()]
    verdicts = check_speed(row, programs, ratios)
    if pytorch and bars.get("memory"):
        least = min(p.peak_mib for p in pytorch)
        verdicts.append((f"peak memory {ours.peak_mib} MiB; PyTorch's least {least} MiB", ours.peak_mib < least))
    if others:
        worst = max(abs(ours.losses[step] / p.losses[step] - 1) for p in others for step in (1, row.loss_step))
        verdicts.append((f"losses of steps 1 and {row.loss_step} within {worst:.1e} of the others', relative",
                         worst <= LOSS_TOLERANCE[row.precision]))
    if "iterations" in bars:
        rate, is_counted = 1 / ours.step_s(), ours.fma_peak_gflops >= BAR_ITERATIONS_PEAK
        verdicts.append((f"{rate:.1f} steps/s; bar {bars['iterations']}, the original's V100"
                         + ("" if is_counted else f", set for machines above {BAR_ITERATIONS_PEAK} GFLOP/s"),
                         rate >= bars["iterations"] if is_counted else None))
    if "first_s" in bars:
        verdicts.append((f"first step {ours.first_s:.2f} s after the program's start, median of {FIRST_STARTS} starts; "
                         f"bar {bars['first_s']}", ours.first_s <= bars["first_s"]))
    if is_disturbed(programs):
        verdicts.append(("other programs took part of our cores: no result, measure again on a quiet machine", False))
    return verdicts


def profile_of(row, options):
    """The kernels' shares of a step, as train_step prints them."""
    command = our_columns(row, options)[0][1] + ["--profile"]
    return subprocess.run(command, input="run 2\nrun 10\n", capture_output=True, text=True, cwd=ROOT).stderr.strip()


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configs", nargs="+", choices=CONFIGS, help="default: those that have bars")
    parser.add_argument("--precision", choices=BARS, default="fp32", help="of the inputs of matrix products")
    parser.add_argument("--llmc", metavar="FOLDER", default=os.environ.get("LLMC"),
                        help="a checkout of llm.c, for a column of (d) and (f); default: the environment's LLMC")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a turn, about")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cores", help="where all run, as 0,1; default: the first of those this process may use")
    parser.add_argument("--build-dir", default=os.environ.get("GPT_BUILD_DIR", "build/cpu"))
    parser.add_argument("--eager-only", action="store_true", help="leave torch.compile out")
    parser.add_argument("--write", metavar="FOLDER", nargs="?", const="docs/numbers",
                        help="put the rows into FOLDER's tables; default: docs/numbers")
    options = parser.parse_args()
    options.configs = options.configs or list(BARS[options.precision])
    options.build_dir = os.path.abspath(os.path.join(ROOT, options.build_dir))
    options.cores = machine.pin_to_cores(options.threads, options.cores)
    return options


def main():
    options = parse_options()
    is_all_met = True
    if machine.is_intel():
        print("MKL's vendor check needs no answer on Intel's own processors: as shipped is PyTorch at its best",
              file=sys.stderr)
    for config in options.configs:
        row = Row(config, options.precision)
        programs, ratios = measure(row, options)
        verdicts = check_bars(row, programs, ratios)
        is_met = all(met is not False for _, met in verdicts)
        is_all_met = is_all_met and is_met
        section = step_tables.details(row, programs, ratios, verdicts, "" if is_met else profile_of(row, options))
        print("\n".join(section), flush=True)
        if options.write:  # row by row: what is measured is kept when a later row is interrupted
            times = {name: statistics.median(values) for name, values in ratios.items()}
            step_tables.write(os.path.join(ROOT, options.write), row, section,
                              step_tables.summary(row, programs, times, verdicts, is_disturbed(programs)), options,
                              sorted({p.version for p in programs if p.version}))
    sys.exit(0 if is_all_met else 1)


if __name__ == "__main__":
    main()
