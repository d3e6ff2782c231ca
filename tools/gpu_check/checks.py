"""checks.py - the stages that say whether the kernels are right: build, test, sanitize. Each takes a Stage of the record and a
Deadline, goes through its checks, and leaves those that it does not reach as "not run"; a later call continues with them.

Not here: speed (timing.py). Forms of output: Catch2 2.13 and 3 end with "All tests passed (N assertions in M test cases)";
compute-sanitizer's are at summary_of.
"""
import glob
import math
import os
import re
import shutil

from gpu_check.commands import LOGS, ROOT, environment, run

PRECISIONS = {"bf16": "build/cuda", "fp32": "build/cuda-fp32"}  # PRECISION of make, and where it puts the programs
# Relative error of a gradient's norm against PyTorch in float64. In bf16 a model as small as the golden ones cannot be
# expected to do better than PyTorch's own bf16, which tests/golden/gpt_tiny_bf16.txt knows.
GRADIENT_LIMIT, TIMES_PYTORCH = {"fp32": 1e-5, "bf16": 1e-2}, 1.2
BF16_FILE = os.path.join(ROOT, "tests", "golden", "gpt_tiny_bf16.txt")
TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
SANITIZER_EXIT = 97  # what compute-sanitizer exits with when it found something, so that a failed test looks different
SMALL = {"GPT_SMALL_TESTS": "1"}  # tests/support/gpu.h
# Which form of a kernel runs, where there are two (common/kernels/cuda/rungs.h): the fast one is what a record speaks of.
FAST, PLAIN = {"GPT_KERNELS": "fast"}, {"GPT_KERNELS": "plain"}


def suites_with_cuda():
    """Folders of tests/ with a test case for the GPU; the stand-in for CUDA is no part of this build."""
    found = set()
    for path in glob.glob(os.path.join(ROOT, "tests", "*", "**", "*.cpp"), recursive=True):
        with open(path, encoding="utf-8") as file:
            if "[cuda]" in file.read():
                found.add(os.path.relpath(path, os.path.join(ROOT, "tests")).split(os.sep)[0])
    return sorted(found - {"cuda_on_host"})


def is_built(stage):
    """Whether the build stage was here before; the stage says it when not. (What is built does not travel with the record.)"""
    what = "the programs of the build stage"
    absent = [name for folder in PRECISIONS.values() for name in (f"{folder}/test-kernels", f"{folder}/bench/gpu_step")
              if not os.access(os.path.join(ROOT, name), os.X_OK)]
    stage.data["checks"] = [check for check in stage.data["checks"] if check["what"] != what]
    if absent:
        stage.add(what, "failed", f"{absent[0]} is not there: make gpu-check STAGES=build comes first")
    return not absent


def catch_verdict(done):
    """(state, detail) of a test program. One that tested nothing has not passed."""
    if done.was_cut_off:
        return "cut off", f"after {done.seconds:.0f} s"
    passed = re.findall(r"^All tests passed \((\d+) assertions? in (\d+) test cases?\)", done.output, re.M)
    if done.status == 0 and len(passed) == 1:
        return "passed", f"{passed[0][1]} test cases, {int(passed[0][0]):,} assertions"
    failed = re.search(r"^test cases: .*", done.output, re.M)
    why = failed.group(0) if failed else done.last_line()
    return "failed", f"exit status {done.status}: {why} ({done.log})"


# ---- build ------------------------------------------------------------------------------------------------------------


def build(stage, deadline, card):
    arch = card["architecture"].removeprefix("sm_")
    for precision, folder in PRECISIONS.items():
        what = f"make BUILD=cuda PRECISION={precision}, for {card['architecture']}: chapters, tests, benchmarks"
        if deadline.is_near():
            stage.add(what, "not run", "no time was left; call again, make continues")
            continue
        # Always run: make itself knows best whether anything is to be done.
        done = run(["make", "BUILD=cuda", f"PRECISION={precision}", f"CUDA_ARCH={arch}", "all"], f"build-{precision}",
                   deadline.left())
        programs = [f"test-{suite}" for suite in suites_with_cuda()] + ["bench/gpu_step"]
        absent = [name for name in programs if not os.access(os.path.join(ROOT, folder, name), os.X_OK)]
        if done.was_cut_off:
            stage.add(what, "cut off", f"after {done.seconds:.0f} s; call again, make continues", done.seconds)
        elif done.status != 0:
            stage.add(what, "failed", f"exit status {done.status}: {done.last_line()} ({done.log})", done.seconds)
        elif absent:
            stage.add(what, "failed", f"make succeeded, but {folder} lacks {', '.join(absent)}", done.seconds)
        else:
            stage.add(what, "passed", f"{folder}", done.seconds)


# ---- test -------------------------------------------------------------------------------------------------------------


def proof_lines(path):
    """What the tests compared (tests/support/proof.h): tuples of kind, test, what, sizes, share of what was allowed, allowed."""
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8", errors="replace") as file:
        words = [line.rstrip("\n").split("\t") for line in file]
    return [(*line[:4], float(line[4]), line[5]) for line in words if len(line) == 6]


def worst_by_kernel(lines):
    """Rows for `make proof`: of each result of gpu::, the largest share of what was allowed, and over how many sizes."""
    rows = {}
    for kind, test, what, sizes, share, allowed in lines:
        if kind == "values" and test.startswith("gpu::"):
            row = rows.setdefault(what, dict(what=what, share=0.0, sizes=set(), allowed=allowed))
            row["share"] = max(row["share"], share)
            row["sizes"].add(sizes)
    return [dict(row, sizes=len(row["sizes"])) for _, row in sorted(rows.items())]


def golden(stage, precision, lines):
    """The golden test's own comparisons, read once more: that they were made on the card, and how large the errors were."""
    losses = [line for line in lines if line[0] == "PyTorch" and line[2] == "losses, cuda"]
    gradients = [line for line in lines if line[0] == "PyTorch" and line[2] == "gradients of step 1, cuda"]
    what = f"{precision}: first ten losses on the card against PyTorch's"
    if stage.has_passed(what) and not losses:
        return  # an earlier call compared them, on a machine whose logs are gone
    if len(losses) < 10:
        stage.add(what, "failed", f"{len(losses)} losses were compared")
    else:
        worst = max(share * float(allowed) for *_, share, allowed in losses)
        is_within = all(line[4] < 1 for line in losses)
        stage.add(what, "passed" if is_within else "failed", f"{len(losses)} losses, within {worst:.1e} relative")
    what = f"{precision}: gradients on the card against PyTorch's in float64, relative error of the norm"
    if not gradients:
        stage.add(what, "failed", "none was compared")
    else:
        rows = gradient_rows(precision, gradients)
        is_within = all(error < limit for _, error, limit in rows)
        stage.add(what, "passed" if is_within else "failed",
                  ", ".join(f"{case} {error:.1e} (limit {limit:.1e})" for case, error, limit in rows))


def gradient_rows(precision, lines):
    """(case, error, limit) of each golden model. fp32: the largest over the parameters; bf16: the root of their mean square."""
    errors, limits = {}, {}
    for *_, sizes, share, allowed in lines:
        errors.setdefault(sizes.split()[0], []).append(share * float(allowed))
    if precision == "fp32":
        return [(case, max(values), GRADIENT_LIMIT[precision]) for case, values in errors.items()]
    with open(BF16_FILE, encoding="utf-8") as file:
        for words in (line.split() for line in file if not line.startswith("#")):
            limits[words[0]] = max(GRADIENT_LIMIT[precision], TIMES_PYTORCH * float(words[2]))
    return [(case, math.sqrt(sum(value**2 for value in values) / len(values)), limits.get(case, 0.0))
            for case, values in errors.items()]


def test(stage, deadline, card):
    if not is_built(stage):
        return
    stage.data.setdefault("proof", {})
    for precision, folder in PRECISIONS.items():
        lines = []
        for suite, forms in [(suite, FAST) for suite in suites_with_cuda()] + [("kernels", PLAIN)]:
            form = forms["GPT_KERNELS"]
            what = f"{precision}: test-{suite} [cuda], {form} forms"
            proof = os.path.join(LOGS, f"proof-{precision}-{suite}-{form}")
            if not stage.has_passed(what):
                if deadline.is_near():
                    stage.add(what, "not run", "no time was left; call again")
                    continue
                os.makedirs(LOGS, exist_ok=True)
                if os.path.exists(proof):
                    os.remove(proof)
                done = run([f"{folder}/test-{suite}", "[cuda]~[.]"], f"test-{precision}-{suite}-{form}", deadline.left(),
                           environment(GPT_PROOF=proof, **forms))
                stage.add(what, *catch_verdict(done), done.seconds)
            lines += proof_lines(proof)
        golden(stage, precision, lines)
        rows = {row["what"]: row for row in stage.data["proof"].get(precision, []) + worst_by_kernel(lines)}
        stage.data["proof"][precision] = [rows[what] for what in sorted(rows)]
        stage.save()
    what = "fp32: chapter 00 trains, resumes and samples with --device cuda (tests/chapter00/test_device.sh)"
    if stage.has_passed(what):
        return
    if deadline.is_near():
        stage.add(what, "not run", "no time was left; call again")
        return
    done = run(["bash", "tests/chapter00/test_device.sh"], "test-device", deadline.left(),
               environment(GPT_BUILD_DIR=PRECISIONS["fp32"], **FAST))
    counts = re.search(r"^(\d+) passed, 0 failed$", done.output, re.M)
    is_whole = done.status == 0 and counts and int(counts.group(1)) > 1 and "skipped" not in done.output
    stage.add(what, "cut off" if done.was_cut_off else "passed" if is_whole else "failed",
              counts.group(0) if is_whole else f"{done.last_line()} ({done.log})", done.seconds)


# ---- sanitize ---------------------------------------------------------------------------------------------------------


def summary_of(tool, done):
    """(state, detail) of a run under compute-sanitizer. Form: 2021.2 to 2025.3 (CUDA 11.4 to 13.0). Each line of the tool begins
    with "=========". memcheck, initcheck and synccheck end with "ERROR SUMMARY: N errors" (N error for one), racecheck with
    "RACECHECK SUMMARY: N hazards displayed (N errors, N warnings)". Nothing found needs all of: the one summary, with 0 in it;
    exit status 0; a program that ran to its end; tests that ran. A tool that crashed prints no error either."""
    if done.was_cut_off:
        return "cut off", f"after {done.seconds:.0f} s"
    if "Device not supported" in done.output:
        return "skipped", f"compute-sanitizer says that it does not support this machine ({done.log})"
    kind, noun = ("RACECHECK", "hazards?") if tool == "racecheck" else ("ERROR", "errors?")
    summaries = re.findall(rf"^=+ {kind} SUMMARY: (\d+) {noun}\b(.*)$", done.output, re.M)
    if len(summaries) != 1:
        return "failed", f"{len(summaries)} summaries of {tool} instead of one, exit status {done.status} ({done.log})"
    if int(summaries[0][0]) != 0:
        place = re.search(r"^=+ ((?:Invalid|Uninitialized|Barrier|Warning: Race|Error: Race|Program hit|Race).*)$", done.output, re.M)
        return "failed", f"{summaries[0][0]} {noun[:-2]}s{summaries[0][1]}; first: {place.group(1)[:150] if place else '?'} ({done.log})"
    if "Target application returned an error" in done.output or "before first instrumented API call" in done.output:
        return "failed", f"the program did not run to its end under {tool} ({done.log})"
    return catch_verdict(done)


def sanitizer():
    """Path of compute-sanitizer: on the PATH or beside nvcc; None when it is not here."""
    nvcc = shutil.which(os.environ.get("NVCC", "nvcc")) or ""
    beside = os.path.join(os.path.dirname(os.path.realpath(nvcc)), "compute-sanitizer") if nvcc else ""
    return shutil.which("compute-sanitizer") or (beside if os.access(beside, os.X_OK) else None)


def sanitize(stage, deadline, card):
    if not is_built(stage):
        return
    path = sanitizer()
    families = sorted(os.path.basename(name)[:-len(".cpp")] for name in glob.glob(os.path.join(ROOT, "tests/kernels/cuda/*.cpp")))
    if not path:
        for tool in TOOLS:
            stage.add(tool, "skipped", "compute-sanitizer is not here: it is part of the CUDA Toolkit, beside nvcc")
        return
    stage.data["checks"] = [check for check in stage.data["checks"] if check["what"] not in TOOLS]
    open_ = [(tool, family) for tool in TOOLS for family in families if not stage.has_passed(f"{tool}: {family}")]
    for tool in TOOLS:
        # What is left, shared among the tools that have something left to do.
        tools_left = len({t for t, _ in open_ if TOOLS.index(t) >= TOOLS.index(tool)})
        if not tools_left:
            break
        end = deadline.left() - deadline.left() / tools_left
        for family in [f for t, f in open_ if t == tool]:
            what = f"{tool}: {family}"
            if deadline.is_near(end):
                stage.add(what, "not run", "no time was left; call again")
                continue
            done = run([path, "--tool", tool, "--error-exitcode", str(SANITIZER_EXIT), f"{PRECISIONS['bf16']}/test-kernels",
                        "--filenames-as-tags", f"[cuda][#{family}]~[.]"], f"sanitize-{tool}-{family}", deadline.left() - end,
                       environment(**SMALL, **FAST))
            stage.add(what, *summary_of(tool, done), done.seconds)
