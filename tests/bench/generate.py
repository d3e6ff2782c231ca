#!/usr/bin/env python3
"""generate.py - how fast a model writes: ours and PyTorch's, both with a cache, taking turns on the same two cores.

Both write the same number of tokens from the same weights and must write the same ids; ours also without its cache.
Ratios are of turns that were neighbours in time, as in compare.py. Beside them: how much of the memory's speed, measured
between the turns, ours uses to read every weight once per token. Bars of (d): 3 times PyTorch as shipped, 0.7 of the
memory. Run, after make benches:
    TORCH_PYTHON=... python3 tests/bench/generate.py [--configs d] [--rounds 5] [--tokens 32]
"""
import argparse
import os
import statistics
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from compare import ANSWERED, HERE, OURS, Program, rivals, vendor_check_library  # noqa: E402

BARS = {"d": dict(shipped=3.0, memory=0.7)}


def commands(config, options):
    threads = ["--threads", str(options.threads)]
    yield OURS, [os.path.join(options.build_dir, "bench", "generate"), config] + threads, {}
    python = os.environ.get("TORCH_PYTHON", "python3")
    options.eager_only = True
    if not rivals("a", options):  # no PyTorch here
        return
    script = [python, os.path.join(HERE, "torch_generate.py"), config] + threads
    yield "PyTorch", script, {}
    library = vendor_check_library(os.path.join(options.build_dir, "bench"))
    if library:
        yield "PyTorch" + ANSWERED, script, {"LD_PRELOAD": library}


def measure(config, options):
    """Prints a table; returns whether a bar was missed."""
    programs = [Program(name, command, env) for name, command, env in commands(config, options)]
    line = f"run {options.tokens}"
    answers = {program.name: [] for program in programs}
    ratios = {program.name: [] for program in programs[1:]}
    shares = []
    try:
        ids = {program.name: (program.ask(line) or {}).get("ids") for program in programs}  # also the warm-up
        ids["ours, without a cache"] = programs[0].ask(f"plain {options.tokens}")["ids"]
        for _ in range(options.rounds):
            for other in programs[1:] or [None]:
                ours = programs[0].ask(line)
                answers[OURS].append(ours["tokens"] / ours["seconds"])
                read_gbs = programs[0].ask("read")["read_gbs"]
                shares.append(ours["bytes_per_token"] * answers[OURS][-1] * 1e-9 / read_gbs)
                if other:
                    theirs = other.ask(line)
                    answers[other.name].append(theirs["tokens"] / theirs["seconds"])
                    ratios[other.name].append(answers[OURS][-1] / answers[other.name][-1])
    finally:
        for program in programs:
            program.stop()
    print(f"({config}) {options.tokens} tokens, {options.threads} threads, {options.rounds} rounds")
    for name, speeds in answers.items():
        ratio = f"  ours is {statistics.median(ratios[name]):.2f} times as fast" if name in ratios else ""
        print(f"  {name:34} {statistics.median(speeds):7.1f} tokens/s ({min(speeds):.1f} .. {max(speeds):.1f}){ratio}")
    print(f"  ours reads its weights at {statistics.median(shares):.2f} of the memory's speed "
          f"({min(shares):.2f} .. {max(shares):.2f})")
    missed = []
    if len(set(ids.values())) != 1:
        missed.append(f"ids differ: {ids}")
    bars = BARS.get(config, {})
    if "memory" in bars and statistics.median(shares) < bars["memory"]:
        missed.append(f"less than {bars['memory']} of the memory's speed")
    if "shipped" in bars and "PyTorch" in ratios and statistics.median(ratios["PyTorch"]) < bars["shipped"]:
        missed.append(f"less than {bars['shipped']} times PyTorch")
    for reason in missed:
        print(f"  MISSED: {reason}")
    return bool(missed)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configs", nargs="+", default=["d"], choices=["a", "b", "c", "d"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    options.build_dir = os.environ.get("GPT_BUILD_DIR", "build/cpu")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:options.threads])
    sys.exit(any([measure(config, options) for config in options.configs]))


if __name__ == "__main__":
    main()
