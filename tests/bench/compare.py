#!/usr/bin/env python3
"""compare.py - our training step and PyTorch's, taking turns on the same two cores; fails below the bars.

Programs are servers (train_step.cpp, torch_rival.py): "run N" on stdin, one line of JSON back. All are started and
warmed up first; then every rival's turn follows a turn of ours, so that a ratio compares neighbours in time and the
moods of a shared machine cancel. Reported: medians, and the median of the ratios of neighbours, which is what counts.
Run: make bench                                    or, after make benches:
     TORCH_PYTHON=... python3 tests/bench/compare.py [--configs a b c e] [--rounds 5] [--write docs/numbers/bench.md]
--write makes that file (one row per configuration, which the notes show) and bench_details.md beside it.
Without a PyTorch (README.md says how to get one) it measures our column alone and says so. Python's own library only.
"""
import argparse
import datetime
import os
import shutil
import statistics
import subprocess
import sys
import time

from server import Server

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
FIRST_STARTS = 5
PAUSE_S = 0.3  # after each turn: time for the threads of an OpenMP program to stop spinning
TIMEOUT_S = 1200  # one answer; torch.compile needs a minute

# bar, aim: times the speed of the fastest PyTorch column; bar_shipped: of the fastest as shipped, counted only where
# answering the vendor check makes PyTorch HALVED times as fast. bar_iterations: steps per second, at least, on a
# machine whose FMA peak is that of the one it was set on (two threads of AVX-512). bar_first_s: seconds to the first,
# median of FIRST_STARTS starts (memory that a virtual machine has never touched costs its host, once, as much again).
# loss_step: up to where losses are compared; the first steps are also the warm-up.
CONFIGS = {
    "a": dict(title="L4 NH4 C128 T64 B64 V65 tied", tokens=64 * 64, bar=1.2, aim=1.4, bar_shipped=2.3, loss_step=10,
              bar_first_s=0.5),
    "b": dict(title="L6 NH6 C384 T256 B16 V65 tied", tokens=16 * 256, bar=1.05, aim=1.2, bar_shipped=2.1, loss_step=4,
              bar_memory=True),
    "c": dict(title="L2 NH4 HS4 C768 T512 B4 V50257 tied", tokens=4 * 512, bar=1.25, aim=1.5, bar_shipped=2.6,
              loss_step=3),
    "d": dict(title="L12 NH12 C768 T64 B4 V50257 tied (GPT-2's 124M)", tokens=4 * 64, loss_step=3),
    "e": dict(title="L4 NH4 C64 T32 B64 V65 untied, ReLU (the original's run)", tokens=64 * 32, loss_step=10,
              bar_iterations=60),
}
BAR_ITERATIONS_PEAK = 400  # GFLOP/s; below it the same program cannot be asked for the same number of steps
# A rival whose threads wait for each other suffers more from a neighbour than we do: above this many cores' worth of
# others on our two, a ratio flatters us and is no result.
FOREIGN_LIMIT = 0.2
HALVED = 1.6
LOSS_TOLERANCE = 1e-4  # relative; float32 sums in another order, after a few AdamW steps
OURS, ANSWERED = "ours", ", vendor check answered"


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
        before = busy_seconds(), cpu_seconds(self.process.pid), time.monotonic()
        answer = self.run(self.turn_steps)
        if not answer:
            sys.exit(f"error: {self.name} ended in the middle of a measurement")
        after = busy_seconds(), cpu_seconds(self.process.pid), time.monotonic()
        foreign = (after[0] - before[0] - (after[1] - before[1])) / (after[2] - before[2])
        self.turns.append((answer["seconds"] / answer["steps"], max(0.0, foreign)))
        return self.turns[-1][0]

    def foreign(self):
        return statistics.median(foreign for _, foreign in self.turns)

    def step_s(self):
        return statistics.median(seconds for seconds, _ in self.turns)


def first_steps_s(name, command, env):
    """Seconds from start to first step of all of FIRST_STARTS starts but the last, which goes on to be measured."""
    seconds = []
    for _ in range(FIRST_STARTS - 1):
        program = Program(name, command, env)
        if program.run(1):
            seconds.append(time.monotonic() - program.started - PAUSE_S)
        program.stop()
    return seconds


def busy_seconds():
    """Time that our cores were not idle since the machine started, time stolen by other guests of the host included."""
    total = 0
    with open("/proc/stat") as f:
        for line in f:
            words = line.split()
            if words[0][:3] == "cpu" and words[0][3:].isdigit() and int(words[0][3:]) in os.sched_getaffinity(0):
                user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, words[1:9])
                total += user + nice + system + irq + softirq + steal
    return total / os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def output_of(command):
    try:
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def vendor_check_library(folder):
    """Path of the compiled mkl_vendor_check.c, or None without a compiler."""
    compiler = next((c for c in (os.environ.get("CC"), "cc", "gcc", "clang") if c and shutil.which(c)), None)
    library = os.path.join(folder, "mkl_vendor_check.so")
    if not compiler:
        return None
    os.makedirs(folder, exist_ok=True)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, os.path.join(HERE, "mkl_vendor_check.c")], check=True)
    return library


def rivals(config, options):
    """(name, command, environment) of each PyTorch column; empty without a PyTorch."""
    python = os.environ.get("TORCH_PYTHON", "python3")
    probe = "import torch, sys; sys.exit(not hasattr(torch.nn.functional, 'scaled_dot_product_attention'))"
    try:
        if subprocess.run([python, "-c", probe], capture_output=True).returncode != 0:
            return []
    except OSError:
        return []
    script = [python, os.path.join(HERE, "torch_rival.py"), config, "--threads", str(options.threads)]
    columns = [("PyTorch eager", script, {}), ("PyTorch compiled", script + ["--compile"], {})]
    library = vendor_check_library(os.path.join(options.build_dir, "bench"))
    if library:
        columns += [(name + ANSWERED, command, {"LD_PRELOAD": library})
                    for name, command, _ in columns]
    if options.eager_only:
        columns = [column for column in columns if "--compile" not in column[1]]
    return columns


def measure(config, options):
    """All programs of one configuration: ours first, then the rivals that started; and their ratios by name."""
    program = os.path.join(options.build_dir, "bench", "train_step")
    commands = [(OURS, [program, config, "--threads", str(options.threads)], {})] + rivals(config, options)
    programs, ratios = [], {}
    try:
        for name, command, env in commands:
            print(f"({config}) {name}: starting", file=sys.stderr, flush=True)
            earlier = first_steps_s(name, command, env) if name == OURS else []
            started = Program(name, command, env)
            if started.warm_up(CONFIGS[config]["loss_step"], options.seconds):
                programs.append(started)
                started.first_s = statistics.median(earlier + [started.first_s])
            else:
                started.stop()
                print(f"({config}) {name}: did not run, column left out", file=sys.stderr)
                if name == OURS:
                    sys.exit(f"error: {program} does not run: make benches")
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
            print(f"({config}) round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
    finally:
        for started in programs:
            started.stop()
    return programs, ratios


def times_faster(ratios, names):
    """(median ratio, name) of the rival that we beat by least."""
    return min((statistics.median(ratios[name]), name) for name in names)


def check_speed(rules, programs, ratios):
    """The bars on speed: over all PyTorch columns, and over those as shipped."""
    verdicts = []
    times, name = times_faster(ratios, ratios)
    verdicts.append((f"{times:.2f} times the speed of the fastest PyTorch column ({name}); bar {rules['bar']}, "
                     f"aim {rules['aim']}", times >= rules["bar"]))
    shipped = [name for name in ratios if not name.endswith(ANSWERED)]
    step_s = {p.name: p.step_s() for p in programs}
    if len(shipped) < len(ratios):
        gain = (min(step_s[name] for name in shipped) / min(step_s[name] for name in ratios if name not in shipped))
        times, name = times_faster(ratios, shipped)
        verdicts.append((f"{times:.2f} times the fastest as shipped ({name}); bar {rules['bar_shipped']} where "
                         f"answering the vendor check makes PyTorch {HALVED} times as fast; here {gain:.2f} times",
                         times >= rules["bar_shipped"] if gain >= HALVED else None))
    return verdicts


def is_disturbed(programs):
    return max(p.foreign() for p in programs) > FOREIGN_LIMIT


def check_bars(config, programs, ratios):
    """[(sentence, is met)] for every bar of this configuration; None: reported, but not counted."""
    rules, ours, others = CONFIGS[config], programs[0], programs[1:]
    verdicts = check_speed(rules, programs, ratios) if ratios and "bar" in rules else []
    if others and rules.get("bar_memory"):
        least = min(p.peak_mib for p in others)
        verdicts.append((f"peak memory {ours.peak_mib} MiB; PyTorch's least {least} MiB", ours.peak_mib < least))
    if others:
        worst = max(abs(ours.losses[step] / p.losses[step] - 1)
                    for p in others for step in (1, rules["loss_step"]))
        verdicts.append((f"losses of steps 1 and {rules['loss_step']} within {worst:.1e} of PyTorch's, relative",
                         worst <= LOSS_TOLERANCE))
    if "bar_iterations" in rules:
        rate, is_counted = 1 / ours.step_s(), ours.fma_peak_gflops >= BAR_ITERATIONS_PEAK
        verdicts.append((f"{rate:.1f} steps/s; bar {rules['bar_iterations']}, the original's V100"
                         + ("" if is_counted else f", set for machines above {BAR_ITERATIONS_PEAK} GFLOP/s"),
                         rate >= rules["bar_iterations"] if is_counted else None))
    if "bar_first_s" in rules:
        verdicts.append((f"first step {ours.first_s:.2f} s after the program's start, median of {FIRST_STARTS} starts; bar {rules['bar_first_s']}",
                         ours.first_s <= rules["bar_first_s"]))
    if is_disturbed(programs):
        verdicts.append(("other programs took part of our cores: no result, measure again on a quiet machine", False))
    return verdicts


def profile_of(config, options):
    """The kernels' shares of a step, as train_step prints them."""
    command = [os.path.join(options.build_dir, "bench", "train_step"), config, "--threads", str(options.threads),
               "--profile"]
    return subprocess.run(command, input="run 2\nrun 10\n", capture_output=True, text=True, cwd=ROOT).stderr.strip()


def gflops(ours):
    return ours.flops_per_step / ours.step_s() * 1e-9


def details(config, programs, ratios, verdicts, profile):
    """Markdown about one configuration: everything that was measured."""
    rules, ours = CONFIGS[config], programs[0]
    lines = [f"## ({config}) {rules['title']}", "",
             "| program | tokens/s (slowest..fastest turn) | ms per step | steps/s | ours is faster by: median of "
             f"neighbours (of medians) | peak MiB | first step, s | loss 1 | loss {rules['loss_step']} | others' CPU |",
             "|---|---|---|---|---|---|---|---|---|---|"]
    for p in programs:
        times = [seconds for seconds, _ in p.turns]
        rate = [rules["tokens"] / s for s in (p.step_s(), max(times), min(times))]
        faster = "" if p is ours else f"**{statistics.median(ratios[p.name]):.2f}** ({p.step_s() / ours.step_s():.2f})"
        lines.append(f"| {p.name} | {rate[0]:,.0f} ({rate[1]:,.0f}..{rate[2]:,.0f}) | {1e3 * p.step_s():.2f} | "
                     f"{1 / p.step_s():.1f} | {faster} | {p.peak_mib:,} | {p.first_s:.2f} | {p.losses[1]:.5f} | "
                     f"{p.losses[rules['loss_step']]:.5f} | {p.foreign():.2f} |")
    words = {True: "met", False: "**NOT MET**", None: "reported, not counted"}
    lines += ["", f"- our step: {gflops(ours):.0f} GFLOP/s, {100 * gflops(ours) / ours.fma_peak_gflops:.0f} % of the "
                  f"measured FMA peak of {ours.fma_peak_gflops:.0f}"]
    lines += [f"- {words[is_met]}: {text}" for text, is_met in verdicts]
    if not ratios:
        lines.append("- no PyTorch was found (TORCH_PYTHON): our column alone, no ratio")
    if profile:
        lines += ["", "```", profile, "```"]
    return lines + [""]


SUMMARY_HEAD = [
    "| | ours, tokens/s | share of FMA peak | PyTorch as shipped: eager, compiled | vendor check answered: eager, "
    "compiled | ours / fastest PyTorch | bar | peak MiB: ours, PyTorch's least |",
    "|---|---|---|---|---|---|---|---|"]


def summary(config, programs, ratios, verdicts):
    """One row about one configuration."""
    rules, ours = CONFIGS[config], programs[0]
    tokens_per_s = {p.name: f"{rules['tokens'] / p.step_s():,.0f}" for p in programs}
    pair = ("PyTorch eager", "PyTorch compiled")
    shipped, answered = (", ".join(tokens_per_s.get(name + suffix, "-") for name in pair) for suffix in ("", ANSWERED))
    times = "disturbed" if is_disturbed(programs) else f"**{times_faster(ratios, ratios)[0]:.2f}**" if ratios else "-"
    bar = f"{rules['bar']}" if "bar" in rules else f"{1 / ours.step_s():.1f} steps/s"
    missed = "" if all(is_met is not False for _, is_met in verdicts) else "; a bar is **not met**"
    least = f"{min(p.peak_mib for p in programs[1:]):,}" if programs[1:] else "-"
    share = 100 * gflops(ours) / ours.fma_peak_gflops
    return (f"| ({config}) {rules['title']} | {tokens_per_s[OURS]} | {share:.0f} % | {shipped} | {answered} | "
            f"{times} | {bar}{missed} | {ours.peak_mib:,}, {least} |")


def circumstances(options, versions):
    """Machine, versions and command, in two lines."""
    with open("/proc/cpuinfo") as f:
        info = dict((part.strip() for part in line.split(":", 1)) for line in f if ":" in line)
    flags = info.get("flags", "")
    width = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else "narrower than AVX2"
    machine = (f"{info.get('model name', 'unknown processor')} (family {info.get('cpu family', '?')}, model "
               f"{info.get('model', '?')}, {width}), {os.cpu_count()} cores")
    compiler = output_of([os.environ.get("CXX", "g++"), "--version"]).split("\n")[0]
    commit = output_of(["git", "rev-parse", "--short", "HEAD"]) or "none"
    arguments = "".join(" " + argument for argument in sys.argv[1:])
    return [f"Machine: {machine}, {options.threads} threads on cores {options.cores}; {compiler}"
            + "".join(f", {version}" for version in versions) + f"; {datetime.date.today()}, commit {commit}.",
            f"Command: `python3 tests/bench/compare.py{arguments}`, {options.rounds} rounds, turns of about "
            f"{options.seconds} s, medians."]


def write_tables(options, versions, rows, sections):
    """The summary for the notes, and the details beside it."""
    path = os.path.join(ROOT, options.write)
    stem, extension = os.path.splitext(path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    lines = circumstances(options, versions)
    with open(path, "w") as f:
        f.write("\n".join(SUMMARY_HEAD + rows + [""] + lines) + "\n")
    with open(stem + "_details" + extension, "w") as f:
        f.write("\n".join(["# Training step, in turns with PyTorch", "", *lines, "",
                           "Others' CPU: how many of our cores other programs took during a turn, median.", "",
                           *sections]).rstrip() + "\n")
    print(f"wrote {options.write} and its _details", file=sys.stderr)


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configs", nargs="+", choices=CONFIGS, default=["a", "b", "c", "e"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a turn, about")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cores", help="where all run, as 0,1; default: the first of those this process may use")
    parser.add_argument("--build-dir", default=os.environ.get("GPT_BUILD_DIR", "build/cpu"))
    parser.add_argument("--eager-only", action="store_true", help="leave torch.compile out")
    parser.add_argument("--write", metavar="FILE", help="write the tables to FILE and to FILE's _details")
    options = parser.parse_args()
    options.build_dir = os.path.abspath(os.path.join(ROOT, options.build_dir))
    cores = ([int(core) for core in options.cores.split(",")] if options.cores
             else sorted(os.sched_getaffinity(0))[:options.threads])
    options.cores = ",".join(map(str, cores))
    os.sched_setaffinity(0, cores)  # children inherit it
    return options


def main():
    options = parse_options()
    rows, sections, versions, is_all_met = [], [], set(), True
    for config in options.configs:
        programs, ratios = measure(config, options)
        verdicts = check_bars(config, programs, ratios)
        is_met = all(met is not False for _, met in verdicts)
        is_all_met = is_all_met and is_met
        versions |= {p.version for p in programs if p.version}
        lines = details(config, programs, ratios, verdicts, "" if is_met else profile_of(config, options))
        print("\n".join(lines), flush=True)
        sections += lines
        rows.append(summary(config, programs, ratios, verdicts))
    if options.write:
        write_tables(options, sorted(versions), rows, sections)
    sys.exit(0 if is_all_met else 1)


if __name__ == "__main__":
    main()
