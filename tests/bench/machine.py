"""machine.py - which machine, which commit, and who else was busy on our cores: what every benchmark says beside a number."""
import datetime
import os
import re
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# A rival whose threads wait for each other suffers more from a neighbour than we do: above this many cores' worth of
# others on our two, a ratio flatters us and is no result.
FOREIGN_LIMIT = 0.2


def cpu():
    """/proc/cpuinfo of one core, as a dictionary."""
    with open("/proc/cpuinfo") as f:
        return dict((part.strip() for part in line.split(":", 1)) for line in f if ":" in line)


def is_intel():
    return cpu().get("vendor_id") == "GenuineIntel"


def has_amx():
    return "amx_bf16" in cpu().get("flags", "").split()


def has_bf16():
    return any(flag in cpu().get("flags", "").split() for flag in ("avx512_bf16", "amx_bf16"))


def output_of(command):
    try:
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def commit():
    """Of the sources that are measured; says so when they are not what was committed."""
    is_changed = output_of(["git", "status", "--porcelain", "--", "Makefile", "common", "chapters", "tests"])
    name = output_of(["git", "rev-parse", "--short", "HEAD"]) or "none"
    return f"commit {name}" + (" with changes" if is_changed else "")


def processor():
    """Its name, and in brackets family, model and what matters to our kernels."""
    info = cpu()
    flags = info.get("flags", "").split()
    width = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else "narrower than AVX2"
    extras = [name for flag, name in (("avx512_bf16", "bf16"), ("amx_bf16", "AMX")) if flag in flags]
    return (f"{info.get('model name', 'unknown processor')} (family {info.get('cpu family', '?')}, model "
            f"{info.get('model', '?')}, {', '.join([width, *extras])})")


def description(threads, cores, versions=()):
    """Processor, compiler and versions in one phrase."""
    compiler = output_of([os.environ.get("CXX", "g++"), "--version"]).split("\n")[0]
    return (f"{processor()}, {os.cpu_count()} cores, {threads} threads on cores {cores}; "
            + ", ".join([compiler, *versions]))


def write_table(path, table, words, threads, cores):
    """What a note shows of a benchmark: its table, what was measured by which command, where and when."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{table}\n\n{words} Machine: {description(threads, cores)}; {datetime.date.today()}, {commit()}.\n")


def python_with_torch():
    """TORCH_PYTHON, or python3; None where it has no PyTorch that the rivals can use (2.1: LayerNorm without a bias)."""
    python = os.environ.get("TORCH_PYTHON", "python3")
    probe = "import torch; torch.nn.functional.scaled_dot_product_attention, torch.nn.LayerNorm(1, bias=False)"
    try:
        return python if subprocess.run([python, "-c", probe], capture_output=True).returncode == 0 else None
    except OSError:
        return None


def pin_to_cores(threads, cores=None):
    """Pins this process, and the ones that it starts, to `cores` ("0,1"; None: the first ones that it may use)."""
    chosen = ([int(core) for core in cores.split(",")] if cores else sorted(os.sched_getaffinity(0))[:threads])
    os.sched_setaffinity(0, chosen)
    return ",".join(map(str, chosen))


def busy_seconds():
    """Time that our cores were not idle since the machine started, time stolen by other guests of the host included."""
    total = 0
    with open("/proc/stat") as f:
        for line in f:
            words = line.split()
            if re.fullmatch(r"cpu\d+", words[0]) and int(words[0][3:]) in os.sched_getaffinity(0):
                user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, words[1:9])
                total += user + nice + system + irq + softirq + steal
    return total / os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
