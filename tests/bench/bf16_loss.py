#!/usr/bin/env python3
"""bf16_loss.py - what rounding matrix products' inputs to bf16 does to learning: GPT-2's 124M, the same weights and windows,
200 steps in float32 and in bf16 on this CPU. Fails where the held-out losses behind them differ by more than half a percent.
Run: make bench ARGS="bf16-loss [--steps 200] [--threads 2] [--folder FOLDER] [--write]"        (most of ten minutes)
"""
import argparse
import csv
import os
import subprocess
import sys
import tempfile

import machine
from machine import ROOT

BAR = 0.005
PRECISIONS = ["fp32", "bf16"]
TABLE = os.path.join(ROOT, "docs/numbers/bf16_loss.md")


def trained(precision, folder, options):
    """The run's log, a dictionary a row."""
    out = os.path.join(folder, precision)
    command = [os.path.join(ROOT, os.environ.get("GPT_BUILD_DIR", "build/cpu"), "chapter02"), "train", "--preset", "gpt2-124M", "--batch", "4",
               "--context", "64", "--accumulate", "1", "--lr", "3e-4", "--min-lr", "3e-5", "--warmup", "20", "--epochs", "1", "--decay-steps",
               str(options.steps), "--eval-every", str(options.steps), "--checkpoint-every", "1000000", "--threads", str(options.threads),
               "--precision", precision, "--out", out]
    if subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL).returncode != 0:
        sys.exit(f"error: {' '.join(command)} failed")
    with open(os.path.join(out, "log.csv"), encoding="utf-8") as file:
        return list(csv.DictReader(file))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", help="for the runs; by default one for temporary files (4 GB)")
    parser.add_argument("--write", action="store_true", help=f"the table goes to {os.path.relpath(TABLE, ROOT)}, too")
    options = parser.parse_args()
    cores = machine.pin_to_cores(options.threads)
    if options.folder and not os.path.isdir(options.folder):
        sys.exit(f"error: --folder {options.folder} is no folder: mkdir it, where 4 GB are free")
    with tempfile.TemporaryDirectory(prefix="bench-bf16-loss.", dir=options.folder) as folder:
        logs = {precision: trained(precision, folder, options) for precision in PRECISIONS}
    lines = ["| step | float32 | bf16 | difference |", "|---|---|---|---|"]
    steps = sorted({1, 10, options.steps // 4, options.steps // 2, options.steps} & set(range(1, options.steps + 1)))
    for step in steps:
        full, half = (float(logs[precision][step - 1]["loss"]) for precision in PRECISIONS)
        lines.append(f"| {step} | {full:.4f} | {half:.4f} | {100 * (half / full - 1):+.3f} % |")
    full, half = (float(logs[precision][-1]["val_loss"]) for precision in PRECISIONS)
    difference = half / full - 1
    lines.append(f"| held out | {full:.4f} | {half:.4f} | **{100 * difference:+.3f} %** |")
    is_met = abs(difference) <= BAR
    table = "\n".join(lines + ["", f"Bar: {100 * BAR} % of the held-out loss; {'met' if is_met else 'NOT met'}."])
    print(table)
    if options.write:
        words = ("GPT-2's 124M from its first weights, batches of 4 windows of 64 tokens of openwebtext-1k. Command: "
                 "`make bench ARGS=\"bf16-loss --write\"`.")
        machine.write_table(TABLE, table, words, options.threads, cores)
    sys.exit(0 if is_met else 1)


if __name__ == "__main__":
    main()
