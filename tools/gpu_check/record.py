"""record.py - the record of one card, commit and day: what each stage found, written after each step of it, so that a stage
that was cut off leaves what it had and is visible as cut off.

docs/gpu/DATE-CARD.json holds it all; page.py makes the .md of it. The choice of kernels reads two fields: "architecture" and
"passed" (tools/gpu-records, common/kernels/cuda/rungs.h).
"""
import json
import os
import re
import time

from gpu_check import page
from gpu_check.commands import ROOT

FORM = 1  # of the file; another form is not read
FOLDER = os.path.join(ROOT, "docs", "gpu")
STAGES = ("build", "test", "sanitize", "time")
NEEDED = ("build", "test", "sanitize")  # for "passed": speed is no part of it

# States of a check and of a stage; the first that any check has is the stage's. Only "passed" counts as passed.
ORDER = ("failed", "not met", "cut off", "not run", "skipped", "passed")
BAD = ("failed", "not met", "cut off", "not run", "running")


def write_file(path, text):
    """All of it or nothing: a temporary name, synced, renamed."""
    with open(path + ".new", "w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    os.replace(path + ".new", path)


def stage_state(checks):
    states = {check["state"] for check in checks}
    return next((state for state in ORDER if state in states), "not run")


class Stage:
    """One stage of a record: its checks in the order of their first run. A check is {what, state, detail, seconds}."""

    def __init__(self, record, name):
        self.record, self.begin = record, time.monotonic()
        before = record.data["stages"].get(name, {})
        self.data = record.data["stages"][name] = dict(state="running", seconds=before.get("seconds", 0.0),
                                                       checks=before.get("checks", []))
        for key, value in before.items():
            self.data.setdefault(key, value)
        self.seconds_before = self.data["seconds"]
        self.of_this_call = set()  # names of checks
        record.save()

    def find(self, what):
        return next((check for check in self.data["checks"] if check["what"] == what), None)

    def has_passed(self, what):
        return (self.find(what) or {}).get("state") == "passed"

    def add(self, what, state, detail="", seconds=0.0, counts=True):
        """A check's result, in place of an earlier one of the same name. counts: whether this call was asked for it."""
        assert state in ORDER, state
        check = dict(what=what, state=state, detail=detail, seconds=round(seconds, 1))
        if counts:
            self.of_this_call.add(what)
            print(f"  {state:8} {what}{': ' + detail if detail else ''}", flush=True)
        earlier = self.find(what)
        if earlier:
            self.data["checks"][self.data["checks"].index(earlier)] = check
        else:
            self.data["checks"].append(check)
        self.save()

    def save(self):
        self.data["seconds"] = round(self.seconds_before + time.monotonic() - self.begin, 1)
        self.record.save()

    def state_of_call(self):
        """As finish(), of what this call did; of the whole stage where it had nothing left to do."""
        checks = [check for check in self.data["checks"] if check["what"] in self.of_this_call]
        return stage_state(checks or self.data["checks"])

    def finish(self, was_stopped=False):
        state = stage_state(self.data["checks"])
        self.data["state"] = "cut off" if was_stopped and state not in ("failed", "not met") else state
        self.save()


class Record:
    def __init__(self, same, more):
        os.makedirs(FOLDER, exist_ok=True)
        card = re.sub(r"[^A-Za-z0-9]+", "-", same["card"]).strip("-")
        self.path = os.path.join(FOLDER, f"{same['date']}-{card}.json")
        self.data = self.earlier(same) or dict(form=FORM, **same, passed=False, stages={})
        self.data.update(more)
        for stage in self.data["stages"].values():  # of a call that was killed
            if stage["state"] == "running":
                stage["state"] = "cut off"

    def earlier(self, same):
        """The record of an earlier call, when it is of the same card, commit, sources and day."""
        try:
            with open(self.path, encoding="utf-8") as file:
                data = json.load(file)
            if data["form"] == FORM and all(data[key] == value for key, value in same.items()):
                return data
            other = ", ".join(f"{key} {data.get(key)}" for key in same if data.get(key) != same[key]) or f"form {data['form']}"
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            other = "damaged"
        aside = os.path.join(ROOT, "build", "gpu-check", os.path.basename(self.path))
        os.makedirs(os.path.dirname(aside), exist_ok=True)
        os.replace(self.path, aside)
        print(f"the record of another state ({other}) now lies in {os.path.relpath(aside, ROOT)}; a new one begins")
        return None

    def save(self):
        stages = self.data["stages"]
        self.data["passed"] = all(stages.get(name, {}).get("state") == "passed" for name in NEEDED)
        write_file(self.path, json.dumps(self.data, indent=1) + "\n")
        write_file(self.path[:-len(".json")] + ".md", page.markdown(self.data))
