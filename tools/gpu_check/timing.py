"""timing.py - the stage `time`: our programs and PyTorch's taking turns on the card, part by part, in the order of parts_for.

Every program is a server (tests/bench/server.py): gpu_step.cpp is ours, torch_gpu_rival.py the rival; both know the same
workloads by the same names. All of a part's programs are loaded and warmed up first (compiling is not counted); then in each
round every rival's turn follows a turn of ours, and the ratio of these neighbours is what counts: its median over the rounds.
A part that is measured is kept by later calls of the same record. Not here: the bars (bars.py), the tables (page.py).
"""
import concurrent.futures
import json
import os
import re
import statistics
import sys

from gpu_check import bars, card as cards
from gpu_check.checks import FAST, PRECISIONS, is_built
from gpu_check.commands import LOGS, ROOT, answer_of, end_group, environment, run

sys.path.insert(0, os.path.join(ROOT, "tests", "bench"))
from server import Server  # noqa: E402

OURS = bars.OURS
ROUNDS, LEAST_ROUNDS, TURN_S = 5, bars.LEAST_ROUNDS, 1.0
EAGER, COMPILED, COMPILED_BF16 = "PyTorch eager", "PyTorch compiled", "PyTorch compiled, bf16 logits"
STEP_RIVALS = {EAGER: [], COMPILED: ["--compile"], COMPILED_BF16: ["--compile", "--bf16-logits"]}
TOKENS_124M = 524288
# A program that is slower hangs: seconds until it is warm (it may compile for a minute, beside two others), and for a turn.
WARM_UP_LIMIT_S, TURN_LIMIT_S = 180, 60
GIB = 1 << 30


def step_part(config, batch, accumulate, title, need_s, gib_each, more=None):
    return dict(title=title, kind="step", need_s=need_s, gib_each=gib_each, rivals={**STEP_RIVALS, **(more or {})},
                workloads=[("", ["step", config, "--batch", str(batch), "--accumulate", str(accumulate)])])


def part_124m(batch, need_s):
    # GiB: the rival's float32 copies of the logits, and activations, are about 1.1 MiB a token.
    part = step_part("a", batch, TOKENS_124M // (1024 * batch), f"GPT-2 124M, T=1024, B={batch}, 524,288 tokens a step", need_s,
                     4 + batch * 1.2)
    return dict(part, rounds=LEAST_ROUNDS)  # a step takes seconds


def kernel_part(title, rival, workloads, need_s):
    return dict(title=title, kind="kernel", need_s=need_s, gib_each=8, rivals={rival: []}, workloads=workloads)


ATTENTION_SIZES = [(16, 1024, 12, 64), (4, 4096, 12, 64), (8, 1024, 16, 128)]
# M is 16 windows of 1,024 tokens. out (M,N) = inp (M,K) weight (N,K)^T.
GEMM_124M = {"c_attn": (2304, 768), "attn.c_proj": (768, 768), "c_fc": (3072, 768), "mlp.c_proj": (768, 3072),
             "lm_head": (50257, 768)}


def parts_for(memory_mib):
    """The parts by name: title, programs, how many seconds a part needs at least to be worth beginning, memory of its largest
    program in GiB. The first ones need least and tell most; 124M at other batches comes last, if time is left or another call
    asks for it, because each side then counts at its best batch."""
    batch = 16 if memory_mib > 60000 else 8 if memory_mib > 30000 else 4
    return {
        "ceilings": kernel_part("what the card reaches when it does nothing else", "PyTorch",
                                [("device copy of 1 GiB", ["copy", "1"]),
                                 ("8192^3 bf16 product, random data", ["gemm", "8192", "8192", "8192"])], 25),
        "c": step_part("c", 64, 1, "the character model: L4 NH4 C64 T32 B64 V65, untied", 60, 2,
                       {"PyTorch compiled, CUDA graphs": ["--compile", "--cuda-graphs"]}),
        "b": step_part("b", 32, 16, "L2 NH4 HS4 C768 V50257 T512 B32, accumulation 16, tied", 75, 20),
        "a": part_124m(batch, 120),
        "attention": kernel_part("causal attention", "PyTorch SDPA, flash",
                                 [(f"{way}, B={B} T={T} NH={NH} HS={HS}", [f"attention-{way}", str(B), str(T), str(NH), str(HS)])
                                  for B, T, NH, HS in ATTENTION_SIZES for way in ("forward", "backward")], 60),
        "gemm": kernel_part("matrix products of the 124M model", "PyTorch (cuBLAS)",
                            [(f"{name}, M=16384 N={N} K={K}", ["gemm", "16384", str(N), str(K)])
                             for name, (N, K) in GEMM_124M.items()], 50),
        "ladder": dict(title="the ladders", kind="ladder", need_s=30),
        f"a:{2 * batch}": part_124m(2 * batch, 150),
        f"a:{4 * batch}": part_124m(4 * batch, 150),
    }


class Program(Server):
    """One program on the card: it may end, hang or answer nonsense, and is then left out with the reason."""

    def __init__(self, name, command, log, deadline, pace):
        self.name, self.answers, self.turns, self.problem = name, [], [], None
        self.deadline, self.pace, self.is_late = deadline, pace, False
        self.log = os.path.join(LOGS, log + ".log")
        os.makedirs(LOGS, exist_ok=True)
        self.errors = open(self.log, "w", encoding="utf-8")
        try:
            super().__init__(command, ROOT, environment(**FAST), stderr=self.errors, start_new_session=True)
        except OSError as error:
            self.process, self.problem = None, f"{command[0]}: {error.strerror}"

    def kill(self):  # by Server, when an answer is late
        self.is_late = True
        end_group(self.process)

    def run(self, steps, limit_s):
        """The answer to "run N", checked; None and a problem when there is none."""
        if self.problem:
            return None
        answer = self.ask(f"run {steps}", min(limit_s * self.pace, self.deadline.left()))
        is_good = answer and all(isinstance(answer.get(key), (int, float)) and answer[key] > 0 for key in ("seconds", "steps", "work"))
        if is_good and answer["steps"] == steps:
            self.answers.append(answer)
            return answer
        end_group(self.process)
        with open(self.log, encoding="utf-8", errors="replace") as text:
            said = [line.strip() for line in text if line.strip()]
        how = "was late" if self.is_late else f"gave no usable answer and ended with status {self.process.returncode}"
        self.problem = f"{how}{': ' + said[-1][:200] if said else ''} ({os.path.relpath(self.log, ROOT)})"
        return None

    def warm_up(self):
        """First steps, which compile, fill caches and time candidates; then how many fill a turn."""
        if self.run(1, WARM_UP_LIMIT_S) and self.run(2, TURN_LIMIT_S):
            self.turn_steps = max(1, round(TURN_S * 2 / self.answers[-1]["seconds"]))

    def turn(self):
        """Seconds a step of one turn, or None."""
        answer = self.run(self.turn_steps, TURN_LIMIT_S)
        if answer:
            self.turns.append(answer["seconds"] / answer["steps"])
        return self.turns[-1] if answer else None

    def stop(self):
        if self.process:
            try:
                super().stop()
            except OSError:
                pass
            end_group(self.process)
        self.errors.close()

    def summary(self):
        """Seconds of a step: median, least and most of its turns; and what else its last answer says."""
        last = self.answers[-1]
        return dict(seconds=statistics.median(self.turns), least=min(self.turns), most=max(self.turns), turns=len(self.turns),
                    **{key: last[key] for key in ("work", "unit", "version", "memory_mib") if key in last},
                    losses=[answer["loss"] for answer in self.answers[:2] if "loss" in answer])


def torch_problem(python):
    """Why there is no rival, or "" and the version."""
    if not python:
        return "no python3 is here"
    probe = ("import torch\nprint('torch', torch.__version__, 'CUDA', torch.version.cuda, "
             "'sees the card' if torch.cuda.is_available() else 'sees no card')")
    answer = answer_of([python, "-c", probe], 60)
    if not answer.startswith("torch "):
        return "no PyTorch is here (TORCH_PYTHON names the Python that has it)"
    return "" if answer.endswith("sees the card") else f"PyTorch does not see the card: {answer}"


def measure(name, label, arguments, part, rival_problem, options, deadline):
    """One row: a workload, ours and the rivals in turns."""
    python = [options.python, "tests/bench/torch_gpu_rival.py"]
    commands = {OURS: [f"{PRECISIONS['bf16']}/bench/gpu_step", *arguments]}
    if not rival_problem:
        commands.update({rival: [*python, *arguments, *more] for rival, more in part["rivals"].items()})
    row = dict(part=name, what=label or part["title"], kind=part["kind"], rivals={},
               missing={rival: rival_problem for rival in part["rivals"]} if rival_problem else {})
    programs, ratios = [], {}
    # Warming up together saves minutes of compiling, where the card has room for all.
    at_once = max(1, int((options.memory_mib * 2**20 - 8 * GIB) // (part["gib_each"] * GIB)))
    try:
        with concurrent.futures.ThreadPoolExecutor(max_workers=at_once) as pool:
            def start(item):
                log = f"time-{name}-{re.sub(r'[^a-z0-9]+', '-', (label + item[0]).lower())}"
                program = Program(*item, log, deadline, options.pace)
                programs.append(program)
                program.warm_up()
            try:
                list(pool.map(start, commands.items()))
            except BaseException:  # stopped: the pool would wait for programs that may hang
                for program in programs:
                    program.stop()
                raise
        programs.sort(key=lambda program: list(commands).index(program.name))
        row["clocks_before"] = cards.clocks()
        ours, others = programs[0], programs[1:]
        ratios = {other.name: [] for other in others}
        for _ in range(options.rounds or part.get("rounds", ROUNDS)):
            for other in others or [None]:
                if ours.problem or (other and other.problem):
                    continue
                our_s = ours.turn()
                other_s = other.turn() if other and our_s else None
                if our_s and other_s:
                    ratios[other.name].append(other_s / our_s)
        row["clocks_after"] = cards.clocks()
    finally:
        for program in programs:
            program.stop()
    row["was_cut_off"] = deadline.left() < 1
    for program in programs:
        if program.turns and (not program.problem or row["was_cut_off"]):
            row["rivals"][program.name] = dict(program.summary(), ratios=[round(r, 4) for r in ratios.get(program.name, [])])
        else:
            row["missing"][program.name] = program.problem or f"no turn, because {OURS} ended before"
    for rival, entry in row["rivals"].items():
        if entry["ratios"]:
            entry["ratio"] = statistics.median(entry["ratios"])
    work = [entry["work"] for entry in row["rivals"].values()]
    if work and max(work) > min(work) * (1 + 1e-6):  # what the two programs print is rounded differently
        row["problem"] = f"the programs did different amounts of work: {sorted(work)}"
    return row


def state_of(row, is_rival_here):
    """(state, detail) of one row as a check of the stage: was it measured? Bars are checks of their own."""
    ours = row["rivals"].get(OURS)
    gone = "; ".join(f"{name}: {why}" for name, why in row["missing"].items() if is_rival_here or name == OURS)
    if not is_rival_here:
        gone = "; ".join(filter(None, (gone, "no rival")))
    if row.get("problem"):
        return "failed", row["problem"]
    if not ours:
        return "cut off" if row["was_cut_off"] else "failed", gone
    rounds = min(entry["turns"] for entry in row["rivals"].values())
    ratios = "; ".join(f"{entry['ratio']:.2f} times {name}" for name, entry in row["rivals"].items() if "ratio" in entry)
    detail = "; ".join(filter(None, (f"{ours['work'] / ours['seconds']:,.4g} {ours['unit']}", ratios, gone)))
    if row["was_cut_off"] and (rounds < LEAST_ROUNDS or gone):
        return "cut off", f"after {rounds} rounds; {detail}"
    # Larger batches may need more memory than the card has: no failure.
    return ("passed" if not gone else "skipped" if not is_rival_here or ":" in row["part"] else "failed"), detail


def ladder(stage, deadline):
    """The rungs of tests/bench/ladder, timed by their own program: a line of JSON for each."""
    program = f"{PRECISIONS['bf16']}/bench/ladder"
    if not os.access(os.path.join(ROOT, program), os.X_OK):
        stage.add("ladder", "skipped", f"{program} is not built")
        return
    done = run([program, "--json", "--seconds", "0.1"], "time-ladder", deadline.left(), environment(**FAST))
    rungs = []
    for line in done.output.splitlines():
        try:
            rung = json.loads(line)
        except ValueError:
            continue
        if isinstance(rung, dict) and {"family", "rung", "ok"} <= rung.keys():
            rungs.append(rung)
    stage.data["ladder"] = rungs
    wrong = [f"{rung['family']} {rung['rung']}" for rung in rungs if not rung["ok"]]
    if done.was_cut_off:
        stage.add("ladder", "cut off", f"after {done.seconds:.0f} s, {len(rungs)} rungs", done.seconds)
    elif wrong or done.status != 0 or not rungs:
        stage.add("ladder", "failed", f"exit status {done.status}, {len(rungs)} rungs, wrong: {', '.join(wrong) or 'none'} ({done.log})",
                  done.seconds)
    else:
        stage.add("ladder", "passed", f"{len(rungs)} rungs", done.seconds)


def time_stage(stage, deadline, card, options):
    if not is_built(stage):
        return
    options.memory_mib = card["memory_mib"] or 16384
    options.python = os.environ.get("TORCH_PYTHON", "python3")
    rival_problem = torch_problem(options.python)
    stage.data["rival"] = rival_problem or "PyTorch"
    rows = stage.data.setdefault("rows", [])
    if rival_problem:
        print(f"  {rival_problem}: our column alone", flush=True)
    for name, part in parts_for(options.memory_mib).items():
        is_asked = name in options.parts or not options.parts
        # Other batches of the 124M model are more than what a record needs.
        is_needed = name in options.parts or not name.startswith("a:")
        if not is_asked:
            for label, _ in part.get("workloads", [("", [])]):
                what = f"{name}{': ' + label if label else ''}"
                if is_needed and not stage.find(what):
                    stage.add(what, "not run", "not asked for", counts=False)
            continue
        if part["kind"] == "ladder":
            if deadline.left() < part["need_s"] * options.pace:
                stage.add(name, "not run", "no time was left; call again")
            elif not stage.has_passed(name):
                ladder(stage, deadline)
            continue
        for label, arguments in part["workloads"]:
            what = f"{name}{': ' + label if label else ''}"
            if stage.has_passed(what) or ((stage.find(what) or {}).get("state") == "skipped" and rival_problem):
                continue
            if deadline.left() < part["need_s"] * options.pace / len(part["workloads"]):
                if is_needed:
                    stage.add(what, "not run", "no time was left; call again")
                continue
            begin = deadline.left()
            row = measure(name, label, arguments, part, rival_problem, options, deadline)
            rows[:] = [other for other in rows if (other["part"], other["what"]) != (row["part"], row["what"])] + [row]
            stage.add(what, *state_of(row, not rival_problem), begin - deadline.left())
    for part, what, state, detail in bars.verdicts(rows, not rival_problem):
        stage.add(what, state, detail, counts=not options.parts or part in options.parts)
