#!/usr/bin/env python3
"""ablate.py - what each idea of the CPU kernels is worth: the training step without it, taking turns with the step as it is.

An idea is undone by replacing a few words of the source (IDEAS below) in a copy of the tree, so that a row can be read,
and repeated, without a history. A row whose words are no longer in the source is an error: it must be brought up to
date together with the code. All variants are built first, then measured in turns on the same cores; what counts is the
median of the ratios of neighbours in time (compare.py says why).
Run: make benches && python3 tests/bench/ablate.py [--configs c e] [--rounds 9] [--only NAME...] [--write FILE]
A file may hold tables of several processors and configurations: --write replaces the one of these, or adds it.
--check only looks whether every idea's words are still there; `make numbers-check` does that.
"""
import argparse
import datetime
import os
import re
import shutil
import statistics
import subprocess
import sys

import compare
import machine

GEMM, ATTENTION, SIMD = (f"common/kernels/cpu/{name}" for name in ("gemm.h", "attention.cpp", "simd.h"))

# name, what is undone, the configurations it is measured at, [(file, words, words without the idea)]
IDEAS = [
    ("tile", "a register tile of 6 x 16 sums: 4 x 16 instead", "abce",
     [("common/kernels/cpu/micro_kernel.h", "kTileRows = 6, kTileVecs = 2", "kTileRows = 4, kTileVecs = 2")]),
    ("steps", "four steps of k share the loop's own instructions: one step at a time instead", "abcd",
     [("common/kernels/cpu/micro_kernel.h", "constexpr int kSteps = 4;", "constexpr int kSteps = 1;")]),
    ("named", "the multiply-add is named as the instruction it is: the compiler chooses", "abcd",
     [(SIMD, "#if defined(__FMA__)\n    __asm__", "#if 0\n    __asm__")]),
    ("block_rows", "192 rows of a in the L2 cache: 96 instead", "abce",
     [(GEMM, "kBlockRows = 192;", "kBlockRows = 96;")]),
    ("block_k", "with AVX-512, 768 steps of k for a tile of c: 384 instead", "bcd",
     [(GEMM, "<= 16 ? 384 : 768;", "<= 16 ? 384 : 384;")]),
    ("chunk", "4 MiB of packed b at once: 10 MiB instead", "abc",
     [("common/kernels/cpu/pack_memory.h", "kChunkFloats = 1 << 20,", "kChunkFloats = 10 << 18,")]),
    ("strips", "a is packed in strips of 8 rows, the next ones prefetched: one row at a time instead", "abce",
     [(GEMM, "constexpr int kStrip = 8;  // rows", "constexpr int kStrip = 1;  // rows"),
      (GEMM, "for (int i = 0; i < rows; i += 16) __builtin_prefetch(a + (kStrip + r) * lda + i);", "{}")]),
    ("prefetch_c", "tiles of c are prefetched: not", "abce",
     [(GEMM, "prefetch_tile(start ? start + at : p.c + at, p.N, tile_rows, columns);", "")]),
    ("prefetch_b", "the rows or columns of b that are packed next are asked for: not", "bcd",
     [(GEMM, "__builtin_prefetch(b + kStripRows * ldb + j);", ""),
      (GEMM, "__builtin_prefetch(from + (kWidth + j) * ldb);", "")]),
    ("own_columns", "each thread packs its own columns of b: all threads together, and each takes its own rows of a", "bcd",
     [(GEMM, "if (const int64_t own = own_panels()) return run_by_columns(own);", "")]),
    ("short_a", "with AVX2, threads share columns of b only where a is short: for every a", "bc",
     [(GEMM, "p.M <= kRereadRows || own", "p.M > 0 || own")]),
    ("read_ahead", "the block of b that is packed next is asked for while this one is multiplied: not", "bcd",
     [(GEMM, "next.step();", "")]),
    ("set_gradients", "the first product to write a weight's gradient sets it: all are cleared, and all products add", "bcd",
     [("common/nn/parameters.h", "const bool is_lazy = device_ == Device::kCpu;", "const bool is_lazy = false;")]),
    ("diagonal", "attention's products stop at the diagonal of each register tile: at that of the block instead", "abe",
     [(ATTENTION, "const int step = diagonal + 1 >= keys ? rows : cpu::kTileRows;", "const int step = rows;")]),
    ("hidden_keys", "no exp for keys that a query does not see: computed and thrown away instead", "abe",
     [(ATTENTION, "const int seen_by_all = std::min(first_sees + 1, keys), seen_by_any = std::min(first_sees + kWidth, keys);",
       "const int seen_by_all = 0, seen_by_any = keys;")]),
    ("query_block", "with AVX-512, attention takes queries in blocks of two vectors: of one instead", "abdf",
     [(ATTENTION, "constexpr int kBlock = 2 * kWidth < kLine ? kLine : 2 * kWidth;", "constexpr int kBlock = kLine;")]),
    ("rows_ahead", "attention asks for the rows of a head before it copies them: not", "abdf",
     [(ATTENTION, "prefetch_row<0>(from + kRowsAhead * stride, HS);", ""),
      (ATTENTION, "prefetch_row<1>(to + kRowsAhead * stride, HS);", ""),
      (ATTENTION, "prefetch_row<0>(out + (i + kRowsAhead) * out_stride, HS);", "")]),
    ("yields", "a thread without work looks out for the next kernel for some tenths of a millisecond: 20 to 50 microseconds instead",
     "abcdf", [("common/core/parallel.h", "kYields = 1000;", "kYields = 0;")]),
    ("norm_sums", "the gradient's norm is added up in 32 sums side by side: in 8 instead", "cd",
     [("common/kernels/cpu/adamw.cpp", "kSums = 32;", "kSums = 8;")]),
    ("next_row", "cross-entropy asks for the next row of logits: not", "cd",
     [("common/kernels/cpu/cross_entropy.cpp", "__builtin_prefetch(row + V + j, 0, 2);", "")]),
    ("exp", "exp is a polynomial on whole vectors: libm's, one number at a time, instead", "abe",
     [(SIMD, "GPT_INLINE Vec exp(Vec x) {",
       "GPT_INLINE Vec exp(Vec x) {\n    for (int i = 0; i < kWidth; i++) x[i] = std::exp(x[i]);\n    return x;\n}\n"
       "[[maybe_unused]] GPT_INLINE Vec exp_of_vectors(Vec x) {")]),
    ("recycle", "a gradient that has been passed on gives its memory to the next: not", "abce",
     [("common/core/arena.cpp", "void Arena::recycle(void* memory, size_t bytes) {",
       "void Arena::recycle(void* memory, size_t bytes) {\n    if (bytes > 0) return;")]),
]


def edited(name, edits):
    """A file's bytes without the idea."""
    with open(os.path.join(machine.ROOT, name), "rb") as f:
        text = f.read()
    for file, words, without in edits:
        if file == name:
            if text.count(words.encode()) != 1:
                sys.exit(f"error: {name} has {text.count(words.encode())} times, not once: {words}")
            text = text.replace(words.encode(), without.encode())
    return text


def write_where_changed(path, text):
    """So that make sees what is old and what is new."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.exists(path):
        with open(path, "rb") as f:
            if f.read() == text:
                return
    with open(path, "wb") as f:
        f.write(text)


def build(name, edits):
    """A copy of the tree without the idea, built; returns its program."""
    folder = os.path.join(machine.ROOT, "build", "ablate", name)
    files = subprocess.run(["git", "ls-files", "Makefile", "common", "chapters", "tests", "tools"], cwd=machine.ROOT,
                           capture_output=True, text=True, check=True).stdout.split()
    for file in files:
        write_where_changed(os.path.join(folder, file), edited(file, edits))
        shutil.copymode(os.path.join(machine.ROOT, file), os.path.join(folder, file))
    program = os.path.join(folder, "build/cpu/bench/train_step")
    print(f"building without {name}", file=sys.stderr, flush=True)
    subprocess.run(["make", "-s", "build/cpu/bench/train_step", "WARN=-w"], cwd=folder, check=True,
                   stdout=subprocess.DEVNULL, env={k: v for k, v in os.environ.items() if not k.startswith("MAKE")})
    return program


def started(name, program, config, options):
    process = compare.Program(name, [program, config, "--threads", str(options.threads),
                                     "--precision", options.precision], {})
    if not process.warm_up(compare.CONFIGS[config]["loss_step"], options.seconds):
        sys.exit(f"error: {program} does not run")
    return process


def measure(config, ideas, programs, options):
    """{idea's name: ratios of its step's time to ours, neighbours in time}"""
    ours = started("ours", os.path.join(options.build_dir, "bench", "train_step"), config, options)
    others = [started(name, programs[name], config, options) for name, *_ in ideas]
    ratios = {other.name: [] for other in others}
    try:
        for number in range(options.rounds):
            for other in others:
                our_s = ours.turn()
                ratios[other.name].append(other.turn() / our_s)
            print(f"({config}) round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
    finally:
        for program in [ours, *others]:
            program.stop()
    return ratios


def cell(ratios):
    """Median of the ratios, and between which two the middle half of them lies."""
    if not ratios:
        return "-"
    ordered = sorted(ratios)
    quarter = len(ordered) // 4
    return f"**{statistics.median(ordered):.2f}** ({ordered[quarter]:.2f}..{ordered[-1 - quarter]:.2f})"


def tables_of(path):
    """{(processor, columns): table} of what --write has written there, in its order."""
    text = ""
    if os.path.exists(path):
        with open(path) as f:
            text = f.read()
    tables = {}
    for table in filter(None, re.split(r"\n(?=\| the step)", text)):
        origin = re.match(r"(\| the step[^\n]*)\n.*^Machine: (.*?\)),", table, re.M | re.S)
        if not origin:
            sys.exit(f"error: {path} holds something that ablate.py has not written; --write another file")
        tables[origin[2], origin[1]] = table
    return tables


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configs", nargs="+", choices=compare.CONFIGS, default=["c", "e"])
    parser.add_argument("--only", nargs="+", choices=[name for name, *_ in IDEAS])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a turn, about")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--cores", default="0,1", help="where all run")
    parser.add_argument("--build-dir", default=os.environ.get("GPT_BUILD_DIR", "build/cpu"))
    parser.add_argument("--write", metavar="FILE")
    parser.add_argument("--build-only", action="store_true")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    options.build_dir = os.path.abspath(os.path.join(machine.ROOT, options.build_dir))
    return options


def main():
    options = parse_options()
    if options.check:
        for _, _, _, edits in IDEAS:
            for file, *_ in edits:
                edited(file, edits)
        return
    ideas = [idea for idea in IDEAS
             if (not options.only or idea[0] in options.only) and set(idea[2]) & set(options.configs)]
    programs = {name: build(name, edits) for name, _, _, edits in ideas}
    if options.build_only:
        return
    path = os.path.join(machine.ROOT, options.write) if options.write else None
    tables = tables_of(path) if path else {}
    os.sched_setaffinity(0, [int(core) for core in options.cores.split(",")])
    columns = {config: measure(config, [idea for idea in ideas if config in idea[2]], programs, options)
               for config in options.configs}
    mark = ", bf16" if options.precision == "bf16" else ""
    lines = ["| the step without this idea takes, times as long | " + " | ".join(f"({c})" + mark for c in columns) + " |",
             "|---" * (1 + len(columns)) + "|"]
    for name, what, *_ in ideas:
        lines.append(f"| {what} | " + " | ".join(cell(columns[c].get(name)) for c in columns) + " |")
    lines += ["", f"Machine: {machine.description(options.threads, options.cores)}; {datetime.date.today()}, "
                  f"{machine.commit()}.",
              f"Command: `python3 tests/bench/ablate.py {' '.join(sys.argv[1:])}`: {options.rounds} rounds, turns of about "
              f"{options.seconds} s; median, and between which values the middle half of the rounds lies."]
    print("\n".join(lines))
    if path:
        tables[machine.processor(), lines[0]] = "\n".join(lines) + "\n"
        with open(path, "w") as f:
            f.write("\n".join(tables.values()))


if __name__ == "__main__":
    main()
