"""records.py - all records together: on which architectures the fast kernels have a passing one, as the C++ that says so."""
import glob
import json
import os
import re

from gpu_check.record import FOLDER, FORM, NEEDED


class NoRecord(Exception):
    """A file of docs/gpu that gpu-check did not write like this."""


def read(path):
    """(file's name, architecture as a number, has it passed). "passed" is not believed alone: the stages must say the same."""
    name = os.path.basename(path)
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
        number = re.fullmatch(r"sm_(\d+)", data["architecture"])
        has_passed = all(data["stages"].get(stage, {}).get("state") == "passed" for stage in NEEDED)
        if data["form"] != FORM or not number or data["passed"] is not has_passed:
            raise ValueError('its "form", "architecture", "passed" and "stages" do not go together')
        return name, int(number.group(1)), has_passed
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NoRecord(f"error: docs/gpu/{name} is no record of gpu-check: {error}") from None


def read_all():
    return [read(path) for path in sorted(glob.glob(os.path.join(FOLDER, "*.json")))]


def header():
    """common/kernels/cuda/gpu_records.h."""
    passed = sorted({number for _, number, has_passed in read_all() if has_passed})
    return ("// gpu_records.h - generated: tools/gpu-records >common/kernels/cuda/gpu_records.h, as gpu-check does at its end.\n"
            "// Architectures (90: sm_90) with a passing record under docs/gpu. 0: no card has it.\n"
            "#pragma once\n"
            f"constexpr int kPassedArchitectures[] = {{{', '.join(map(str, passed or [0]))}}};\n")
