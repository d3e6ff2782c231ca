#!/usr/bin/env python3
"""prepare.py - how much of the tokenizer's speed is left between jsonl on disk and shards on disk; fails below the bar.

Turns on the same two cores: chapter 01's encode of the text alone, from memory to memory with its vocabulary loaded; then
chapter 02's whole `prepare` of the same documents: reading, JSON, splits, the vocabulary, checksums, shards and journal, all
synced. What counts is the median of the ratios of these neighbours' speeds. Each turn is a process of its own.
The text is webtext-10k, which only our mirror has, else openwebtext-1k. The tokenizer gets 200 MB of it (of more, it would be slowed
down by keeping all ids in memory); `prepare` gets as much, of whose time loading, saving and checking the vocabulary is a part, and a
gigabyte, where that hardly counts; OpenWebText has 38. The bar is for the larger.
Run: make bench ARGS="prepare [--rounds 7] [--threads 2] [--folder FOLDER] [--write]"
"""
import argparse
import json
import lzma
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import machine
from machine import ROOT
from tokenizer import find_text

BAR = 0.8
SIZES = [200e6, 1e9]  # bytes of text
TIMEOUT_S = 600
TABLE = os.path.join(ROOT, "docs/numbers/bench_prepare.md")


def corpus():
    """Its name, and its lines of JSON."""
    subprocess.run([os.path.join(ROOT, "data/gpt2.sh")], stdout=sys.stderr, check=True)
    path = find_text("webtext-10k/webtext-10k.jsonl.xz")
    if path:
        with lzma.open(path, "rb") as file:
            return "webtext-10k", file.read()
    subprocess.run([os.path.join(ROOT, "data/openwebtext-1k.sh")], stdout=sys.stderr, check=True)
    with open(os.path.join(ROOT, "data/openwebtext-1k/openwebtext-1000.jsonl"), "rb") as file:
        return "openwebtext-1k", file.read()


def children_s():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Program:
    """One of the two: the command of a turn, what its turns took and what others used of our cores meanwhile."""

    def __init__(self, *command):
        self.command, self.seconds, self.cpu_s, self.foreign = command, [], [], []

    def turn(self):
        busy, ours, began = machine.busy_seconds(), children_s(), time.monotonic()
        done = subprocess.run(self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, timeout=TIMEOUT_S)
        if done.returncode != 0:
            sys.exit(f"{' '.join(self.command)}: {done.stderr}")
        answer = json.loads(done.stdout.splitlines()[-1])
        self.seconds.append(answer["seconds"])
        self.cpu_s.append(children_s() - ours)
        self.foreign.append(max(0.0, (machine.busy_seconds() - busy - self.cpu_s[-1]) / (time.monotonic() - began)))
        return answer


def measured(folder, lines, text, times, programs, options):
    """Turns of the two, over as many copies of the documents as `times` says of each."""
    jsonl, joined, out = (os.path.join(folder, part) for part in ("documents.jsonl", "joined.txt", "shards"))
    for path, part, copies in ((joined, text, times[0]), (jsonl, lines, times[1])):
        with open(path, "wb") as file:
            for _ in range(copies):
                file.write(part)
    os.sync()  # else the disk is still busy with these when the shards are to be synced
    threads = ["--threads", str(options.threads)]
    tokenizer = Program(os.path.join(programs, "bench/bpe"), "encode", joined, *threads)
    prepare = Program(os.path.join(programs, "chapter02"), "prepare", "--data", jsonl, "--vocab", "gpt2", "--out", out, "--json", "--quiet",
                      *threads)
    for _ in range(options.rounds):
        expected = tokenizer.turn()["tokens"] / times[0] * times[1]
        shutil.rmtree(out, ignore_errors=True)
        answer = prepare.turn()
        tokens = sum(answer[f"{split}_tokens"] for split in ("train", "validation", "test")) - answer["documents"]
        # Where two documents meet in the joined text, a token may go across, and is one less.
        if not 0 <= tokens - expected <= answer["documents"]:
            sys.exit(f"error: {tokens} tokens in the shards, {expected} in the text")
    return tokenizer, prepare


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", help="for the files; by default one for temporary files")
    parser.add_argument("--write", action="store_true", help=f"the table goes to {os.path.relpath(TABLE, ROOT)}, too")
    options = parser.parse_args()
    cores = machine.pin_to_cores(options.threads)
    programs = os.path.join(ROOT, os.environ.get("GPT_BUILD_DIR", "build/cpu"))
    name, lines = corpus()
    text = "".join(json.loads(line)["text"] for line in lines.splitlines()).encode()
    rows = []
    for size in SIZES:
        times = [max(1, round(each / len(text))) for each in (SIZES[0], size)]
        folder = tempfile.mkdtemp(prefix="bench-prepare.", dir=options.folder)
        try:
            both = measured(folder, lines, text, times, programs, options)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        speeds = [[len(text) * copies / seconds / 1e6 for seconds in program.seconds] for program, copies in zip(both, times)]
        ratios = [b / a for a, b in zip(*speeds)]
        share, foreign = statistics.median(ratios), statistics.median(both[0].foreign + both[1].foreign)
        cells = [f"{statistics.median(each):.0f} MB/s, {statistics.median(program.cpu_s):.2f} s" for each, program in zip(speeds, both)]
        rows.append(f"| {len(text) * times[1] / 1e6:.0f} MB | {' | '.join(cells)} | **{share:.2f}** ({min(ratios):.2f} to {max(ratios):.2f}) | "
                    f"{foreign:.2f} |")
    is_met = share >= BAR and foreign <= machine.FOREIGN_LIMIT
    table = "\n".join([
        f"{name} again and again, {options.threads} threads; the tokenizer's text is the smaller one in both rows:", "",
        "| text | the tokenizer alone, its process's CPU time | from jsonl to shards | share of the speed (turns) | others' CPU |",
        "|---|---|---|---|---|", *rows, "", f"Bar, at {len(text) * times[1] / 1e6:.0f} MB: {BAR}; {'met' if is_met else 'NOT met'}."])
    print(table)
    if options.write:
        words = f"Medians of {options.rounds} turns each. Command: `make bench ARGS=\"prepare --write\"`."
        machine.write_table(TABLE, table, words, options.threads, cores)
    sys.exit(0 if is_met else 1)


if __name__ == "__main__":
    main()
