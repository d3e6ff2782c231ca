#!/usr/bin/env python3
"""laptop.py - chapter 02's `laptop` against nanoGPT's recipe in PyTorch: same text and vocabulary, same cores, same time.

First ours runs as a reader runs it; what it took, from its start to its last sample, is what each twin (torch_laptop.py)
then gets for training alone: importing, compiling, loading and evaluating are off its clock. Compared: bits per byte on
the third split, ours at the last step, a twin's at its best validation. Fails where ours is not lower than the best twin's.
The twins: our sizes with nanoGPT's rates; our sizes with our rates; the sizes that nanoGPT's README suggests for a CPU;
each with MKL's vendor check answered where that doubles its speed (compare.py).
Run, after make chapters:  TORCH_PYTHON=... python3 tests/bench/laptop.py [--minutes 1] [--write]
"""
import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import machine
from compare import ANSWERED, vendor_check_library
from machine import ROOT
from server import Server

HERE = os.path.dirname(os.path.abspath(__file__))
PRESET = "laptop"
PROBE_STEPS = 40  # of ours, before any clock runs: its data are prepared then, its sizes and its speed seen
EXTRA = 1.1       # with --minutes: a run takes so much longer than its steps alone (evaluations, samples)
PARTS = 10        # of a twin's time; behind each it is validated, off the clock
TIMEOUT_S = 3600
RATES = ("lr", "min-lr", "warmup", "beta2")
NANOGPT_RATES = {"lr": 1e-3, "min-lr": 1e-4, "warmup": 100, "beta2": 0.99}  # nanoGPT's for small models
NANOGPT_SIZES = {"layers": 4, "heads": 4, "channels": 128, "context": 64, "batch": 12}  # its README's for a CPU
TWINS = {"sizes": "our sizes, nanoGPT's rates", "both": "our sizes, our rates", "cpu": "nanoGPT's sizes for a CPU"}


class Clock:
    """Seconds since its start, and how much of our cores was used by others than the program whose CPU time is given."""

    def __init__(self, own_s):
        self.own_s = own_s
        self.start = time.monotonic(), machine.busy_seconds(), own_s()

    def stop(self):
        seconds, busy, own = (now - then for now, then in
                              zip((time.monotonic(), machine.busy_seconds(), self.own_s()), self.start))
        return seconds, max(0.0, (busy - own) / seconds)


def run_ours(options, folder, *more):
    """A run of the preset: its folder's config.json, the object of --json, seconds, others' share."""
    command = [os.path.join(options.build_dir, "chapter02"), "train", "--preset", PRESET, "--device", "cpu", "--threads",
               str(options.threads), "--out", folder, "--quiet", "--json", *more]
    if options.precision != "fp32":
        command += ["--precision", options.precision]
    clock = Clock(lambda: sum(os.times()[2:4]))
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    except OSError as error:
        sys.exit(f"error: {error}: make chapters")
    seconds, foreign = clock.stop()
    if done.returncode != 0:
        sys.exit(done.stderr.strip() or f"error: {command[0]} failed")
    with open(os.path.join(folder, "config.json")) as f:
        config = json.load(f)
    return config, json.loads(done.stdout.strip().split("\n")[-1]), seconds, foreign


def probe(options, folder):
    """Our configuration, and seconds per step."""
    config, _, _, _ = run_ours(options, folder, "--max-steps", str(PROBE_STEPS), "--sample-tokens", "1")
    with open(os.path.join(folder, "log.csv")) as f:
        rates = [float(line.split(",")[5]) for line in f.read().split()[1:]]
    tokens = int(config["batch"]) * int(config["accumulate"]) * int(config["context"])
    return config, tokens / statistics.median(rates[len(rates) // 4:])


def measure_ours(options, folder, step_s):
    """Our configuration, its sizes and its rates as a twin takes them, and our row of the table."""
    more = []
    if options.minutes:
        steps = max(2, round(60 * options.minutes / step_s / EXTRA))
        more = ["--decay-steps", str(steps), "--eval-every", str(max(1, steps // 6)), "--warmup", str(steps // 15)]
    config, result, seconds, foreign = run_ours(options, folder, *more)
    sizes = {name: int(config[name]) for name in NANOGPT_SIZES}
    sizes["batch"] *= int(config["accumulate"])
    rates = {name: float(config[name]) for name in RATES}
    tokens = result["step"] * sizes["batch"] * sizes["context"]
    return config, sizes, rates, dict(
        name="**ours**", sizes=sizes, lr=rates["lr"], parameters=result["parameters"], steps=result["step"], tokens=tokens,
        seconds=seconds, validation=result["val_bits_per_byte"], test=result["test_bits_per_byte"], foreign=foreign)


def measure_twin(options, name, sizes, rates, data, seconds):
    """A twin's row of the table."""
    command = [options.python, os.path.join(HERE, "torch_laptop.py"), "--data", data, "--seconds", str(seconds), "--threads",
               str(options.threads), "--precision", options.precision]
    for key, value in {**sizes, **rates}.items():
        command += [f"--{key}", str(int(value) if float(value).is_integer() else value)]
    library = vendor_check_library(os.path.join(options.build_dir, "bench"))
    twin = Server(command, ROOT, {**os.environ, **({"LD_PRELOAD": library} if library else {})}, stderr=None)
    shares = []
    try:
        if not twin.ask("validate", TIMEOUT_S):  # it is imported and compiled then
            sys.exit(f"error: the twin of {name} did not start (its message is above)")
        for part in range(1, PARTS + 1):
            clock = Clock(lambda: machine.cpu_seconds(twin.process.pid))
            trained = twin.ask(f"train {part * seconds / PARTS}", TIMEOUT_S)
            shares.append(clock.stop()[1])
            validated = twin.ask("validate", TIMEOUT_S)
            print(f"{name}: {trained['seconds']:.0f} of {seconds:.0f} s, step {trained['steps']}, validation "
                  f"{validated['bits_per_byte']:.4f} bits per byte", file=sys.stderr, flush=True)
        result = twin.ask("test", TIMEOUT_S)
    finally:
        twin.stop()
    return dict(name=f"PyTorch {result['variant']}{ANSWERED if library else ''}: {name}", sizes=sizes, lr=rates["lr"], parameters=result["parameters"],
                steps=trained["steps"], tokens=trained["tokens"], seconds=trained["seconds"],
                validation=result["validation"], test=result["bits_per_byte"], foreign=statistics.median(shares),
                version=result["version"])


def table(rows):
    lines = ["| | sizes | learning rate | parameters | tokens/s | steps | tokens read | seconds | validation, bits per byte "
             "| test, bits per byte | others' CPU |", "|---" * 11 + "|"]
    for row in rows:
        s = row["sizes"]
        lines.append(f"| {row['name']} | L{s['layers']} NH{s['heads']} C{s['channels']} T{s['context']} B{s['batch']} | "
                     f"{row['lr']:g} | {row['parameters']:,} | {row['tokens'] / row['seconds']:,.0f} | {row['steps']:,} | "
                     f"{row['tokens']:,} | {row['seconds']:.0f} | {row['validation']:.4f} | **{row['test']:.4f}** | "
                     f"{row['foreign']:.2f} |")
    return lines


def verdict(rows):
    """(sentence, is met)"""
    ours, twins = rows[0], rows[1:]
    if not twins:
        return "no PyTorch was found (TORCH_PYTHON): no twin", True
    if max(row["foreign"] for row in rows) > machine.FOREIGN_LIMIT:
        return "other programs took part of our cores: no result, measure again on a quiet machine", False
    best = min(twins, key=lambda row: row["test"])
    is_lower = ours["test"] < best["test"]
    return (f"ours is {'' if is_lower else '**not** '}lower than the best twin's: {ours['test']:.4f} and {best['test']:.4f} "
            "bits per byte", is_lower)


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, help="a run of ours that is about so long; default: the preset's own")
    parser.add_argument("--twins", nargs="+", choices=TWINS, default=list(TWINS))
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="of both sides' matrix products")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cores", help="where all run, as 0,1; default: the first of those this process may use")
    parser.add_argument("--build-dir", default=os.environ.get("GPT_BUILD_DIR", "build/cpu"))
    parser.add_argument("--write", action="store_true", help="write docs/numbers/laptop_rival.md")
    options = parser.parse_args()
    options.build_dir = os.path.abspath(os.path.join(ROOT, options.build_dir))
    options.python = machine.python_with_torch()
    options.cores = machine.pin_to_cores(options.threads, options.cores)
    return options


def main():
    options = parse_options()
    started = datetime.datetime.now().strftime("%Y-%m-%d %H:%M")
    with tempfile.TemporaryDirectory() as folder:
        _, step_s = probe(options, os.path.join(folder, "probe"))
        print(f"ours: {1e3 * step_s:.1f} ms a step", file=sys.stderr, flush=True)
        config, sizes, rates, ours = measure_ours(options, os.path.join(folder, "run"), step_s)
    print(f"ours: {ours['seconds']:.0f} s, {ours['test']:.4f} bits per byte", file=sys.stderr, flush=True)
    # Where chapter02 keeps what it prepares for a preset.
    data = os.path.join(ROOT, "data", config["data"], config["vocabulary"].replace(":", "-"))
    chosen = {"sizes": (sizes, NANOGPT_RATES), "both": (sizes, rates), "cpu": (NANOGPT_SIZES, NANOGPT_RATES)}
    rows = [ours]
    for twin in options.twins if options.python else []:
        rows.append(measure_twin(options, TWINS[twin], *chosen[twin], data, ours["seconds"]))
    text, is_met = verdict(rows)
    versions = sorted({row["version"] for row in rows[1:]})
    lines = [f"{config['data']}, vocabulary {config['vocabulary']}; {options.precision}.", "", *table(rows), "", text + ".", "",
             f"Measured {started}: {machine.description(options.threads, options.cores, versions)}; {machine.commit()}. Command: "
             f"`python3 tests/bench/laptop.py{''.join(' ' + word for word in sys.argv[1:])}`."]
    print("\n".join(lines))
    if options.write:
        with open(os.path.join(ROOT, "docs/numbers/laptop_rival.md"), "w") as f:
            f.write("\n".join(lines) + "\n")
    sys.exit(0 if is_met else 1)


if __name__ == "__main__":
    main()
