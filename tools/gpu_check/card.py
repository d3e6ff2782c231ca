"""card.py - what is measured, on what: the card as nvidia-smi names it, the compiler, the commit, a digest of the sources.

Forms of output: nvidia-smi of driver 580 with --format=csv,noheader,nounits ("NVIDIA H100 80GB HBM3, 9.0, 580.159.04, 81559,
1980"; a value that a card does not have is "[N/A]" or "[Not Supported]"); nvcc 13.0 ("... release 13.0, V13.0.88").
"""
import datetime
import hashlib
import os
import re

from gpu_check.commands import ROOT, answer_of

CARD_FIELDS = ("name", "compute_cap", "driver_version", "memory.total", "clocks.max.sm")
CLOCK_FIELDS = ("clocks.sm", "clocks.mem", "temperature.gpu", "power.draw")
# Not here: notes, tables and tools, which change no program.
SOURCE_FOLDERS, SOURCE_ENDS = ("common", "chapters", "tests"), (".cpp", ".h", ".cu", ".cuh")
# What gpu-check itself writes: no change of the sources that it checks.
WRITTEN = os.path.join("common", "kernels", "cuda", "gpu_records.h")


def query(fields):
    """One line of nvidia-smi about our card, as a list of words; None when there is no such line."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0]
    which = ["-i", first] if first else ["-i", "0"]
    answer = answer_of(["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits", *which])
    words = [word.strip() for word in answer.split("\n")[0].split(",")]
    return words if len(words) == len(fields) else None


def number(word):
    """A number of nvidia-smi, or None where the card has none."""
    try:
        return float(word)
    except ValueError:
        return None


def find_card():
    """The card as a dictionary, or a sentence that says what is missing."""
    words = query(CARD_FIELDS)
    if words is None:
        return "no NVIDIA GPU was found: nvidia-smi is not here or names no card"
    name, capability, driver, memory, clock = words
    if not re.fullmatch(r"\d+\.\d", capability) or not name:
        return f"nvidia-smi answered with something else than a card: {', '.join(words)}"
    return dict(card=name, architecture="sm_" + capability.replace(".", ""), driver=driver, memory_mib=number(memory),
                max_sm_clock_mhz=number(clock))


def clocks():
    """SM and memory clock in MHz, temperature in degrees, power in watts, now; values that the card does not have are None."""
    return dict(zip(("sm_mhz", "memory_mhz", "celsius", "watts"), map(number, query(CLOCK_FIELDS) or [""] * 4)))


def nvcc_version():
    found = re.search(r"release [\d.]+, V([\d.]+)", answer_of([os.environ.get("NVCC", "nvcc"), "--version"]))
    return found.group(1) if found else None


def digest_of_sources():
    """SHA-256 over the names and bytes of all that is compiled, shortened: two records of one digest are of one program."""
    digest, paths = hashlib.sha256(), [os.path.join(ROOT, "Makefile")]
    for top in SOURCE_FOLDERS:
        for folder, _, names in os.walk(os.path.join(ROOT, top)):
            paths += [os.path.join(folder, name) for name in names if name.endswith(SOURCE_ENDS)]
    for path in sorted(path for path in paths if path != os.path.join(ROOT, WRITTEN)):
        with open(path, "rb") as file:
            digest.update(os.path.relpath(path, ROOT).encode() + b"\0" + file.read() + b"\0")
    return digest.hexdigest()[:16]


def commit():
    """(commit, are there changes that it lacks); GPU_CHECK_COMMIT names it where the sources lie without their history."""
    named = os.environ.get("GPU_CHECK_COMMIT")
    if named:
        return named, None
    head = answer_of(["git", "rev-parse", "--short=12", "HEAD"])
    changes = answer_of(["git", "status", "--porcelain", "--", ".", ":!docs", f":!{WRITTEN}"])
    return (head, bool(changes)) if head else ("unknown", None)


def identity(card):
    """What must be the same for two stages to belong to one record, and what else the record's head says."""
    head, has_changes = commit()
    today = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
    same = dict(date=today, card=card["card"], architecture=card["architecture"], driver=card["driver"], commit=head,
                sources=digest_of_sources())
    return same, dict(memory_mib=card["memory_mib"], max_sm_clock_mhz=card["max_sm_clock_mhz"], nvcc=nvcc_version(),
                      uncommitted_changes=has_changes)
