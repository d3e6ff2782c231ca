#!/usr/bin/env python3
"""tokenizer.py - chapter 01's tokenizer and the ones that can be installed, taking turns; fails below the bars.

Each measurement is a process of its own on one core: a fresh object, nothing remembered from the last turn; loading and
reading files are not timed. In every round each rival's turn follows ours; what counts is the median over the rounds of
the ratio of these neighbours, because the moods of a shared machine then cancel. tiktoken's time includes its Python
list, which its users pay for.
Run: make bench-01 [ARGS="--rounds 5 --only encode,worst --write docs/numbers/bench_tokenizer.md"]
TOKENIZER_PYTHON: a Python that has tiktoken, tokenizers, gigatoken, fastokens and numpy. Without it they are installed
into an environment that is thrown away afterwards; where that fails, our column stands alone.
The web text is webtext-10k, which only our mirror has; without it, Tiny Shakespeare stands in, and bars are not held.
"""
import argparse
import json
import lzma
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
RIVALS = "tiktoken==0.14.0 tokenizers==0.23.3 gigatoken==0.10.0 fastokens==0.3.5 numpy".split()
WORST = ["letter", "letters", "blank", "blanks-letter", "mixed-blanks-letter", "digit", "digits", "cjk", "equals",
         "apostrophes", "bytes"]
TIMEOUT_S = 900


# ---- What runs in a rival's process ----------------------------------------------------------------------------------

def gpt2_files():
    return [os.path.join(ROOT, "data/gpt2", name) for name in ("vocab.bpe", "encoder.json")]


def make_tiktoken():
    import tiktoken
    from tiktoken.load import data_gym_to_mergeable_bpe_ranks
    from tiktoken_ext import openai_public
    return tiktoken.Encoding("gpt2", pat_str=openai_public.r50k_pat_str,
                             mergeable_ranks=data_gym_to_mergeable_bpe_ranks(*gpt2_files()),
                             special_tokens={"<|endoftext|>": 50256})


def make_tokenizers():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    merges, vocab = gpt2_files()
    tokenizer = Tokenizer(models.BPE.from_file(vocab, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def make_gigatoken():
    import gigatoken
    return gigatoken.Tokenizer.from_json(make_tokenizers().to_str())


def make_fastokens():
    import fastokens
    return fastokens.Tokenizer.from_json_str(make_tokenizers().to_str())


MAKE = {"tiktoken": make_tiktoken, "tokenizers": make_tokenizers, "gigatoken": make_gigatoken, "fastokens": make_fastokens}


def encode_with(name, tokenizer, data):
    """A function without arguments that encodes data, in each library's quickest way to ids for one text."""
    text = data.decode("utf-8", errors="replace")
    if name == "tiktoken":
        return lambda: tokenizer.encode_ordinary(text)
    if name == "gigatoken":
        return lambda: tokenizer.encode(data)
    if name == "fastokens":
        return lambda: tokenizer.encode(text, add_special_tokens=False)
    return lambda: tokenizer.encode_batch_fast([text], add_special_tokens=False)[0]


def seconds_of(function):
    begin = time.perf_counter()
    result = function()
    return time.perf_counter() - begin, result


def train(text, size, out):
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=size, min_frequency=2, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    seconds, _ = seconds_of(lambda: tokenizer.train_from_iterator([text.decode()], trainer))
    os.makedirs(out, exist_ok=True)
    tokenizer.model.save(out)
    return {"seconds": seconds}


def worker(arguments):
    """One turn of a rival: prints one line of JSON, as the C++ program does."""
    name, task = arguments[:2]
    if task == "load":
        answer = {"seconds": seconds_of(MAKE[name])[0]}
    elif task == "train":
        answer = train(open(arguments[2], "rb").read(), int(arguments[3]), arguments[4])
    else:
        tokenizer, data = MAKE[name](), open(arguments[2], "rb").read()
        encode = encode_with(name, tokenizer, data)
        seconds, ids = seconds_of(encode)
        ids = getattr(ids, "ids", ids)
        answer = {"tokens": len(ids)}
        if task == "decode":
            decode = tokenizer.decode_bytes if name == "tiktoken" else tokenizer.decode
            seconds, _ = seconds_of(lambda: decode(ids))
        elif len(arguments) > 3:  # where the ids go
            import numpy
            numpy.asarray(ids, dtype=numpy.int32).tofile(arguments[3])
        answer["seconds"] = seconds
    print(json.dumps(answer))


# ---- Taking turns ----------------------------------------------------------------------------------------------------

class Bench:
    def __init__(self, python, rounds, folder):
        self.python, self.rounds, self.folder = python, rounds, folder
        self.program = os.path.join(ROOT, os.environ.get("GPT_BUILD_DIR", "build/cpu"), "bench/bpe")
        self.rows, self.failed = [], 0
        self.cores = sorted(os.sched_getaffinity(0))

    def turn(self, command, cores=1):
        """One process; its answer, or None when it fails (a rival may). One core unless told otherwise."""
        environment = dict(os.environ, RAYON_NUM_THREADS=str(cores), TOKENIZERS_PARALLELISM="false" if cores == 1 else "true")
        pin = lambda: os.sched_setaffinity(0, self.cores[:cores])
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
                              preexec_fn=pin, timeout=TIMEOUT_S, cwd=ROOT)
        if done.returncode != 0:
            if command[0] == self.program:
                sys.exit(f"{' '.join(command)}: {done.stderr}")
            return None
        return json.loads(done.stdout.splitlines()[-1])

    def ours(self, *words, cores=1):
        return self.turn([self.program, *words, "--threads", str(cores)], cores)

    def rival(self, *words):
        return self.turn([self.python, os.path.abspath(__file__), "--worker", *words]) if self.python else None

    def rounds_of(self, ours, rivals, rounds=None):
        """Our answers, and for each rival the median of its seconds over those of our turn before it."""
        answers, ratios, seconds = [], {name: [] for name in rivals}, {name: [] for name in rivals}
        for _ in range(rounds or self.rounds):
            for name in rivals or [None]:
                mine = ours()
                answers.append(mine)
                theirs = rivals[name]() if name else None
                if theirs:
                    ratios[name].append(theirs["seconds"] / mine["seconds"])
                    seconds[name].append(theirs["seconds"])
        medians = {name: (statistics.median(ratios[name]), statistics.median(seconds[name])) for name in rivals if ratios[name]}
        return answers, medians

    def row(self, what, ours, rival, ratio, bar, is_met):
        self.rows.append((what, ours, rival, ratio, bar, {True: "yes", False: "**no**", None: "-"}[is_met]))
        self.failed += is_met is False
        print("| " + " | ".join(self.rows[-1]) + " |", flush=True)


def median_seconds(answers):
    return statistics.median(answer["seconds"] for answer in answers)


def rate(size, seconds):
    return f"{size / seconds / 1e6:.0f} MB/s" if size / seconds > 1e7 else f"{size / seconds / 1e6:.1f} MB/s"


def bench_encode(bench, what, path, bar, fastest_bar, holds):
    size = os.path.getsize(path)
    names = ["tiktoken", "gigatoken", "fastokens"] if bench.python else []  # HuggingFace's own would take a minute a turn
    answers, medians = bench.rounds_of(lambda: bench.ours("encode", path),
                                       {name: (lambda name=name: bench.rival(name, "encode", path)) for name in names})
    mine = rate(size, median_seconds(answers))
    if not medians:
        bench.row(f"encode {what}", mine, "-", "-", "", None)
    for name, (ratio, seconds) in medians.items():
        is_fastest = name != "tiktoken" and ratio == min(r for n, (r, _) in medians.items() if n != "tiktoken")
        wanted = bar if name == "tiktoken" else fastest_bar if is_fastest else None
        bench.row(f"encode {what}, one thread", mine, f"{name} {rate(size, seconds)}", f"{ratio:.2f}", f">= {wanted}" if wanted else "",
                  ratio >= wanted if wanted and holds else None)
    over = max(answer["over_mib"] for answer in answers)
    bench.row(f"memory over text and ids, {what}", f"{over:.0f} MiB", "", "", "<= 60 MiB", over <= 60)


def bench_equal_ids(bench, what, path):
    if not bench.python:
        return
    ours, theirs = (os.path.join(bench.folder, name) for name in ("ours.ids", "theirs.ids"))
    bench.ours("encode", path, "--ids", ours)
    if bench.rival("tiktoken", "encode", path, theirs):
        is_equal = open(ours, "rb").read() == open(theirs, "rb").read()
        bench.row(f"ids of {what}", "", "tiktoken", "", "equal", is_equal)


def bench_threads(bench, what, path):
    cores = min(4, len(bench.cores))
    if cores == 1:
        return
    one, all_of_them = os.path.join(bench.folder, "one.ids"), os.path.join(bench.folder, "all.ids")
    bench.ours("encode", path, "--ids", one)
    bench.ours("encode", path, "--ids", all_of_them, cores=cores)
    is_equal = open(one, "rb").read() == open(all_of_them, "rb").read()
    answers, medians = bench.rounds_of(lambda: bench.ours("encode", path, cores=cores), {"one": lambda: bench.ours("encode", path)})
    ratio, bar = medians["one"][0], 3 if cores == 4 else 1.7 if cores == 2 else 2.4
    bench.row(f"encode {what}, {cores} threads", rate(os.path.getsize(path), median_seconds(answers)), "our one thread",
              f"{ratio:.2f}", f">= {bar}, equal ids", is_equal and ratio >= bar)


def bench_decode(bench, what, path):
    size = os.path.getsize(path)
    names = ["tiktoken", "gigatoken"] if bench.python else []
    answers, medians = bench.rounds_of(lambda: bench.ours("decode", path),
                                       {name: (lambda name=name: bench.rival(name, "decode", path)) for name in names})
    mine = rate(size, median_seconds(answers))
    if not medians:
        bench.row(f"decode {what}", mine, "-", "-", "aim: 1 GB/s", None)
    for name, (ratio, seconds) in medians.items():
        bench.row(f"decode {what}", mine, f"{name} {rate(size, seconds)}", f"{ratio:.2f}", ">= 1" if name == "tiktoken" else "",
                  ratio >= 1 if name == "tiktoken" else None)


def bench_load(bench):
    answers, medians = bench.rounds_of(lambda: bench.ours("load"),
                                       {"tiktoken": lambda: bench.rival("tiktoken", "load")} if bench.python else {})
    seconds = median_seconds(answers)
    ratio, theirs = medians.get("tiktoken", (None, None))
    bench.row("load GPT-2's vocabulary", f"{seconds * 1e3:.1f} ms", f"tiktoken {theirs * 1e3:.0f} ms" if ratio else "-",
              f"{ratio:.1f}" if ratio else "-", "< 20 ms", seconds < 0.02)


def bench_worst(bench):
    for case in WORST:
        path = os.path.join(bench.folder, case)
        bench.turn([bench.program, "worst", case, "--write", path])
        names = ["tiktoken", "gigatoken"] if bench.python and case != "bytes" else []
        answers, medians = bench.rounds_of(lambda: bench.ours("worst", case),
                                           {name: (lambda name=name: bench.rival(name, "encode", path)) for name in names})
        seconds = median_seconds(answers)
        others = ", ".join(f"{name} {medians[name][1]:.2f} s" if name in medians else f"{name} fails" for name in names)
        ratio = min((r for r, _ in medians.values()), default=None)
        bench.row(f"worst case: {case} x 1 MB", f"{seconds:.3f} s", others or "-", f"{ratio:.1f}" if ratio else "-", "< 0.1 s", seconds < 0.1)


def bench_train(bench, what, path, size, bar, holds):
    ours, theirs = os.path.join(bench.folder, "ours"), os.path.join(bench.folder, "theirs")
    names = {"tokenizers": lambda: bench.rival("tokenizers", "train", path, str(size), theirs)} if bench.python else {}
    answers, medians = bench.rounds_of(lambda: bench.ours("train", path, str(size), "--out", ours), names, rounds=min(3, bench.rounds))
    mine = f"{median_seconds(answers):.2f} s"
    if not medians:
        return bench.row(f"train {what} to {size}", mine, "-", "-", "", None)
    ratio, seconds = medians["tokenizers"]
    bench.row(f"train {what} to {size}, one thread", mine, f"tokenizers {seconds:.2f} s", f"{ratio:.1f}", f">= {bar}" if holds else "",
              ratio >= bar if holds else None)
    merges = [open(os.path.join(folder, "merges.txt"), encoding="utf-8").read().split("\n")[1:] for folder in (ours, theirs)]
    equal = next((i for i, (a, b) in enumerate(zip(*merges)) if a != b), min(map(len, merges)))
    wanted = min(8000, len(merges[1]) - 1)
    bench.row(f"merges of {what} to {size}", f"first {equal} equal", "tokenizers", "", f">= {wanted}", equal >= wanted)


# ---- Texts and environments ------------------------------------------------------------------------------------------

def find_text(name):
    mirror = os.environ.get("DATA_MIRROR", "")
    folders = [os.path.join(ROOT, "data"), *([mirror] if os.path.isdir(mirror) else []), os.path.join(ROOT, "..", "shared", "data")]
    return next((path for path in (os.path.join(folder, name) for folder in folders) if os.path.exists(path)), None)


def texts_in(folder):
    """name -> (file, whether the bars hold for it)."""
    texts = {}
    for script in ("tinyshakespeare", "gpt2", "udhr"):
        subprocess.run([os.path.join(ROOT, "data", script + ".sh")], stdout=sys.stderr)
    shakespeare = os.path.join(ROOT, "data/tinyshakespeare/input.txt")
    texts["shakespeare"] = (shakespeare, False)
    web = find_text("webtext-10k/webtext-10k.jsonl.xz")
    if web:
        with lzma.open(web, "rt", encoding="utf-8") as lines:
            documents = [json.loads(line)["text"] for line in lines]
        path = os.path.join(folder, "web.txt")
        open(path, "w", encoding="utf-8", newline="").write("\n\n".join(documents))
        texts["web"] = (path, True)
    else:
        print("note: webtext-10k is not here; Tiny Shakespeare stands in, and its bars are not held", file=sys.stderr)
        texts["web"] = (shakespeare, False)
    udhr = os.path.join(ROOT, "data/udhr")
    if os.path.isdir(udhr):
        path = os.path.join(folder, "multi.txt")
        with open(path, "w", encoding="utf-8", newline="") as out:
            for name in sorted(os.listdir(udhr)):
                if name.endswith(".txt"):
                    out.write(open(os.path.join(udhr, name), encoding="utf-8", errors="replace", newline="").read() + "\n\n")
        texts["multi"] = (path, True)
    return texts


def has_rivals(python):
    return subprocess.run([python, "-c", "import tiktoken, tokenizers, gigatoken, fastokens, numpy"],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def python_with_rivals(folder):
    for python in (os.environ.get("TOKENIZER_PYTHON"), sys.executable):
        if python and has_rivals(python):
            return python
    print("installing tiktoken, tokenizers, gigatoken and fastokens into a throw-away environment ...", file=sys.stderr)
    python = os.path.join(folder, "rivals/bin/python")
    for command in ([sys.executable, "-m", "venv", os.path.join(folder, "rivals")], [python, "-m", "pip", "install", "-q", *RIVALS]):
        if subprocess.run(command, stdout=sys.stderr).returncode != 0:
            break
    else:
        if has_rivals(python):
            return python
    print("no rivals: they could not be installed. Our column alone (TOKENIZER_PYTHON can name a Python that has them):")
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="equal,encode,threads,decode,load,worst,train", help="comma-separated parts")
    parser.add_argument("--write", metavar="FILE", help="the table goes there, too")
    arguments = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="bench-tokenizer.")
    try:
        bench = Bench(python_with_rivals(folder), arguments.rounds, folder)
        texts, parts = texts_in(folder), arguments.only.split(",")
        print(f"median of {arguments.rounds} rounds, one core each; load average {os.getloadavg()[0]:.1f}\n")
        header = "| what | ours | rival | ratio | bar | met |\n|---|---|---|---|---|---|"
        print(header, flush=True)
        for name, (path, holds) in texts.items():
            if "equal" in parts:
                bench_equal_ids(bench, name, path)
        if "encode" in parts:
            for name, bar, fastest_bar in (("web", 10, 0.9), ("multi", 5, 0.9)):
                if name in texts:
                    bench_encode(bench, name, texts[name][0], bar, fastest_bar, texts[name][1])
        if "threads" in parts:
            bench_threads(bench, "web", texts["web"][0])
        if "decode" in parts:
            bench_decode(bench, "web", texts["web"][0])
        if "load" in parts:
            bench_load(bench)
        if "worst" in parts:
            bench_worst(bench)
        if "train" in parts:
            bench_train(bench, "shakespeare", texts["shakespeare"][0], 8256, 1, False)
            bench_train(bench, "web", texts["web"][0], 32768, 5, texts["web"][1])
        if arguments.write:
            rows = "\n".join("| " + " | ".join(row) + " |" for row in bench.rows)
            open(arguments.write, "w", encoding="utf-8").write(header + "\n" + rows + "\n")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if bench.failed else 0)


if __name__ == "__main__":
    worker(sys.argv[2:]) if sys.argv[1:2] == ["--worker"] else main()
