#!/usr/bin/env python3
"""tokenizer_training.py - the oracle of BPE training: HuggingFace's trainer on a text, its merges written as token bytes.

Not here: anything that tests run by themselves. This script is run by hand (or by the benchmark) in an environment that
has the package `tokenizers`; what it wrote for tiny Shakespeare is tracked beside it as tokenizer_merges.txt.

  python3 tests/golden/tokenizer_training.py --write              writes tests/golden/tokenizer_merges.txt
  python3 tests/golden/tokenizer_training.py FILE --vocab-size N --out MERGES     one file, one document
  python3 tests/golden/tokenizer_training.py FILE --vocab-size N --compare DIR    against DIR/merges.txt, merge for merge

One merge per line, the two tokens spelled as in GPT-2's files, so that a line is a line of merges.txt.
"""
import argparse
import json
import os
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests/golden/tokenizer_merges.txt"
SHAKESPEARE = ROOT / "data/tinyshakespeare/input.txt"
GOLDEN_MERGES = 8000


def train(text, vocab_size, min_frequency=2):
    """(merges, seconds, seconds of CPU time), of the training call alone. The text is one document."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    started, cpu_started = time.perf_counter(), time.process_time()
    tokenizer.train_from_iterator([text], trainer)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    # Older versions write "a b", newer ones ["a", "b"]; no token holds a blank.
    return [m if isinstance(m, str) else " ".join(m) for m in merges], seconds, cpu_seconds


def read_text(path):
    # newline="": a carriage return is a byte like any other.
    with open(path, encoding="utf-8", newline="") as file:
        return file.read()


def compare(ours, theirs, most):
    """The number of the first difference among the first `most` merges, or None."""
    for i in range(min(most, max(len(ours), len(theirs)))):
        if i >= len(ours) or i >= len(theirs) or ours[i] != theirs[i]:
            return i
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", default=str(SHAKESPEARE))
    parser.add_argument("--vocab-size", type=int, default=GOLDEN_MERGES + 256)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="write the tracked golden file")
    parser.add_argument("--out", help="write all merges here")
    parser.add_argument("--compare", metavar="DIR", help="a folder with merges.txt that must agree")
    parser.add_argument("--first", type=int, default=10**9, help="compare only so many merges")
    args = parser.parse_args()
    os.environ["RAYON_NUM_THREADS"] = str(args.threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if args.threads > 1 else "false"

    merges, seconds, cpu_seconds = train(read_text(args.file), args.vocab_size)
    print(f"{len(merges)} merges in {seconds:.3f} s, {cpu_seconds:.3f} s of CPU time", file=sys.stderr)
    lines = "".join(m + "\n" for m in merges)
    if args.write:
        GOLDEN.write_text(lines, encoding="utf-8")
    if args.out:
        pathlib.Path(args.out).write_text(lines, encoding="utf-8")
    if args.compare:
        theirs = (pathlib.Path(args.compare) / "merges.txt").read_text(encoding="utf-8").splitlines()
        theirs = [line for i, line in enumerate(theirs) if not (i == 0 and line.startswith("#version"))]
        difference = compare(theirs, merges, args.first)
        if difference is not None:
            show = lambda rows: rows[difference] if difference < len(rows) else "(ended)"
            sys.exit(f"merge {difference}: {show(theirs)!r}, HuggingFace has {show(merges)!r}")
        print(f"equal: {min(len(theirs), args.first)} merges", file=sys.stderr)


if __name__ == "__main__":
    main()
