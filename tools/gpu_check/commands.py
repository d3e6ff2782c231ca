"""commands.py - runs a program with a limit of time, its output in a log. When the limit is reached, or gpu-check itself is
told to stop, the program's whole process group ends: nothing stays behind on the card.
"""
import os
import signal
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LOGS = os.path.join(ROOT, "build", "gpu-check")


class Stopped(BaseException):
    """SIGINT, SIGTERM or SIGHUP: the stage is cut off, and its record says so."""


class Deadline:
    def __init__(self, seconds):
        self.total, self.end = seconds, time.monotonic() + seconds

    def left(self):
        return max(0.0, self.end - time.monotonic())

    def is_near(self, kept=0.0):
        """Whether beginning something else is pointless; kept: seconds that are not to be used."""
        return self.left() - kept < self.total / 100


class Done:
    """How a command ended: its status (None when it was cut off or could not be started), seconds, and all that it printed."""

    def __init__(self, status, seconds, was_cut_off, output, log):
        self.status, self.seconds, self.was_cut_off, self.output, self.log = status, seconds, was_cut_off, output, log

    def last_line(self):
        lines = [line for line in self.output.splitlines() if line.strip()]
        return lines[-1].strip()[:200] if lines else "it printed nothing"


def environment(**more):
    """Ours, for a make of its own with all cores that installs nothing, and for programs that see one card."""
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    return {**env, "DEPS": "no", "CUDA_DEVICE_ORDER": "PCI_BUS_ID", **more}


def end_group(process):
    """Ends a program and whatever it started; it has two seconds to do so by itself."""
    for how, seconds in ((signal.SIGTERM, 2), (signal.SIGKILL, 10)):
        try:
            os.killpg(process.pid, how)
        except ProcessLookupError:
            pass
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            continue
    # The program itself may be gone while a child of it still holds the card.
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def run(command, name, seconds, env=None):
    """Runs a command from the root of the repository; its output goes to build/gpu-check/NAME.log, and into the answer."""
    os.makedirs(LOGS, exist_ok=True)
    log = os.path.join(LOGS, "".join(c if c.isalnum() or c in "-_." else "-" for c in name) + ".log")
    begin, was_cut_off, status = time.monotonic(), False, None
    with open(log, "wb") as out:
        try:
            process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                       env=env or environment(), start_new_session=True)
        except OSError as error:
            out.write(f"{command[0]}: {error.strerror}\n".encode())
        else:
            try:
                status = process.wait(timeout=max(0.1, seconds))
            except subprocess.TimeoutExpired:
                was_cut_off = True
            finally:
                end_group(process)
    with open(log, encoding="utf-8", errors="replace") as text:
        return Done(status, time.monotonic() - begin, was_cut_off, text.read(), os.path.relpath(log, ROOT))


def answer_of(command, seconds=20):
    """What a short command prints; "" when it fails, hangs or is not there."""
    try:
        done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True, errors="replace", timeout=seconds, check=True)
        return done.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
