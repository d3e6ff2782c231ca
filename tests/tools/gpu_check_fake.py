#!/usr/bin/env python3
"""gpu_check_fake.py - every program that gpu-check starts, as test_gpu_check.sh needs it: nvidia-smi, nvcc, make,
compute-sanitizer, a Python with PyTorch, and what make would have built. Which one it is, its name says (links to this file).

FAKE says what goes wrong, as "KEY=WHAT KEY=WHAT": memcheck=error (or crash, hang, ...), torch=none, make=fail, ...
FAKE_CALLS names a file that gets a line for each call.
Forms of output are those of nvidia-smi 580, nvcc 13.0, compute-sanitizer 2025.3, Catch2 2.13; PyTorch only answers our rival's way.
"""
import json
import os
import sys
import time

NAME, ARGS = os.path.basename(sys.argv[0]), sys.argv[1:]
FAKE = dict(word.split("=", 1) for word in os.environ.get("FAKE", "").split())
RULE = "========="


def say(*lines):
    print("\n".join(lines), flush=True)


def hang():
    time.sleep(600)


def nvidia_smi():
    what = FAKE.get("card", "h100")
    if what == "none":
        say("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA "
            "driver is installed and running.")
        sys.exit(9)
    if what == "garbage":
        say("\x00\x01 <<<>>>, [Unknown Error]")
        return
    values = {"name": "NVIDIA H100 80GB HBM3", "compute_cap": "9.0", "driver_version": "580.159.04", "memory.total": "81559",
              "clocks.max.sm": "1980", "clocks.sm": "1755", "clocks.mem": "2619", "temperature.gpu": "43", "power.draw": "412.08"}
    if what == "shy":  # a card that does not tell its clocks
        values.update({name: "[N/A]" for name in values if name.startswith(("clocks", "power"))})
    fields = next(word for word in ARGS if word.startswith("--query-gpu=")).split("=", 1)[1].split(",")
    say(", ".join(values[field] for field in fields))


def nvcc():
    say("nvcc: NVIDIA (R) Cuda compiler driver", "Copyright (c) 2005-2025 NVIDIA Corporation",
        "Built on Wed_Aug_20_01:58:59_PM_PDT_2025", "Cuda compilation tools, release 13.0, V13.0.88",
        "Build cuda_13.0.r13.0/compiler.36424714_0")


def make():
    what = FAKE.get("make", "")
    if what == "hang":
        hang()
    if what == "fail":
        say("  cu    common/kernels/cuda/attention.cu", "ptxas fatal   : Unknown option '-fast'",
            "make: *** [Makefile:281: build/cuda/common/kernels/cuda/attention.o] Error 255")
        sys.exit(2)
    precision = next(word for word in ARGS if word.startswith("PRECISION=")).split("=")[1]
    assert "BUILD=cuda" in ARGS and "CUDA_ARCH=90" in ARGS and os.environ["DEPS"] == "no", ARGS
    folder = "build/cuda" if precision == "bf16" else "build/cuda-fp32"
    os.makedirs(f"{folder}/bench", exist_ok=True)
    for program in ("test-kernels", "test-golden", "bench/gpu_step", "bench/ladder"):
        if program == what or os.path.exists(f"{folder}/{program}"):
            continue
        os.symlink(os.path.realpath(sys.argv[0]), f"{folder}/{program}")
    say("  link  build/cuda/test-kernels")


def catch_tests():
    """A Catch2 program: kernels or golden, of the precision of its folder."""
    is_fp32 = "cuda-fp32" in sys.argv[0]
    what = FAKE.get(f"{NAME}-fp32" if is_fp32 else NAME, "")
    proof = os.environ.get("GPT_PROOF")
    if what == "hang":
        hang()
    if what == "crash":
        os.abort()
    if what == "none":
        say("Filters: [cuda]~[.]", "No test cases matched '[cuda]~[.]'", "=" * 79, "No tests ran")
        return
    if proof and NAME == "test-kernels":
        with open(proof, "a", encoding="utf-8") as out:
            for size in (1, 2):
                out.write(f"values\tgpu::gelu equals its tanh form\tgelu_forward\tn={size}\t0.0{size}\t5e-06 + 5e-06 |x|\n")
    if proof and NAME == "test-golden" and what != "cpu-only":
        limit = 1e-5 if is_fp32 else 1e-2
        with open(proof, "a", encoding="utf-8") as out:
            for _ in range(10):
                out.write(f"PyTorch\tgpt\tlosses, cuda\ttied_gelu\t{3.5 if what == 'far' else 0.006}\t{limit:g}\n")
            out.write(f"PyTorch\tgpt\tgradients of step 1, cuda\ttied_gelu wte.weight\t{0.9 if what == 'gradient' else 0.05}\t"
                      f"{10 * limit:g}\n")
    if what == "fail":
        say("tests/kernels/cuda/test_a.cpp:33: FAILED:", "  REQUIRE( error < 1e-4 )", "=" * 79,
            "test cases: 12 | 11 passed | 1 failed", "assertions: 90 | 89 passed | 1 failed")
        sys.exit(1)
    say("=" * 79, "All tests passed (90 assertions in 12 test cases)", "")


def sanitizer():
    tool = ARGS[ARGS.index("--tool") + 1]
    program = " ".join(ARGS)
    what = FAKE.get(tool, "")
    assert "build/cuda/test-kernels" in program and os.environ["GPT_SMALL_TESTS"], ARGS
    if what.endswith("@b"):  # only in one of the two families
        what = what[:-2] if "#test_b" in program else ""
    say(f"{RULE} COMPUTE-SANITIZER")
    if what == "hang":
        hang()
    if what == "device":
        say(f"{RULE} Error: Device not supported. Please refer to the \"Supported Devices\" section of the sanitizer documentation",
            f"{RULE}", f"{RULE} ERROR SUMMARY: 1 error")
        sys.exit(1)
    if what == "crash":
        say(f"{RULE} Internal Sanitizer Error: the Sanitizer encountered an error while launching")
        sys.exit(139)
    if what == "garbage":
        say("\x00\xff" * 50, f"{RULE} ERROR SUMMARY: none errors")
        return
    tests = ["All tests passed (90 assertions in 12 test cases)"]
    if what == "notests":
        tests = ["No tests ran"]
    if what == "nocuda":
        say(*tests, f"{RULE} Error: Target application terminated before first instrumented API call")
        sys.exit(97)
    if what == "returned":  # the program crashed: nothing more was looked at, and nothing was found
        say("Segmentation fault", f"{RULE} Error: process didn't terminate successfully", f"{RULE} Target application returned an error")
    if what == "error":
        say(f"{RULE} Invalid __global__ write of size 4 bytes",
            f"{RULE}     at gelu_forward_kernel(float *, const float *, long)+0x170 in activations.cu:41",
            f"{RULE}     by thread (33,0,0) in block (7,0,0)")
    if what == "race":
        say(f"{RULE} Error: Race reported between Write access at softmax_kernel(float *)+0x1b0 in softmax.cu:30",
            f"{RULE}     and Read access at softmax_kernel(float *)+0x3f0 in softmax.cu:33 [120 hazards]")
    if what != "returned":
        say(*tests)
    if tool == "racecheck":
        counts = {"race": "1 hazard displayed (1 error, 0 warnings)", "warning": "2 hazards displayed (0 errors, 2 warnings)"}
        summary = f"{RULE} RACECHECK SUMMARY: {counts.get(what, '0 hazards displayed (0 errors, 0 warnings)')}"
    else:
        summary = f"{RULE} ERROR SUMMARY: {'1 error' if what == 'error' else '0 errors'}"
    say(*([] if what == "truncated" else [summary]), *([summary] if what == "twice" else []))
    if what in ("error", "race", "warning"):
        sys.exit(97)
    sys.exit(1 if what in ("returned", "status") else 0)


def workload():
    """(work, unit, seconds a time, has a loss) of what gpu_step and the rival are asked for."""
    kind, *words = [word for word in ARGS if not word.endswith(".py")]
    if kind == "step":
        batch, accumulate = int(ARGS[ARGS.index("--batch") + 1]), int(ARGS[ARGS.index("--accumulate") + 1])
        context, seconds = {"a": (1024, 1.1), "b": (512, 0.2), "c": (32, 0.0009)}[words[0]]
        return batch * accumulate * context, "tokens/s", seconds, True
    sizes = [int(word) for word in words]
    if kind == "copy":
        return 2e-9 * (sizes[0] << 30), "GB/s", 0.0029, False
    if kind == "gemm":
        work = 2e-12 * sizes[0] * sizes[1] * sizes[2]
        return work, "TFLOP/s", work / 780, False
    work = 2e-12 * sizes[0] * sizes[2] * sizes[1] ** 2 * sizes[3] * (2.5 if kind.endswith("backward") else 1)
    return work, "TFLOP/s", work / 250, False


# How many times as long as ours a rival takes.
SLOWER = {"": 1.0, "--compile": 1.3, "--compile --bf16-logits": 1.2, "--compile --cuda-graphs": 1.1}


def server():
    is_ours = NAME == "gpu_step"
    work, unit, seconds, has_loss = workload()
    # "ours=slow": slower than the rivals; "rival=crash" ...: of all of them, "compiled=crash": of one.
    flags = " ".join(word for word in ARGS if word in ("--compile", "--bf16-logits", "--cuda-graphs"))
    what = FAKE.get("ours" if is_ours else "compiled" if flags == "--compile" else "rival", FAKE.get("rival", "") if not is_ours else "")
    if not is_ours:
        seconds *= 1.7 if ARGS[1] == "step" and not flags else SLOWER.get(flags, 1.0) if ARGS[1] == "step" else 0.97
        if ARGS[2] == "b":
            seconds *= 1.5
    elif what == "slow":
        seconds *= 3
    if what == "differs":
        work += 1
    times = 0
    for line in sys.stdin:
        steps = int(line.split()[1])
        times += 1
        if what == "hang":
            hang()
        if what == "garbage":
            say("Traceback? [1.0, 2.0]")
            continue
        if what == "crash" or (what == "late-crash" and times > 3):
            print("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.53 GiB.", file=sys.stderr, flush=True)
            sys.exit(1)
        shown = float(f"{work:.9g}") if is_ours else work  # as C++ and Python print it
        answer = dict(seconds=seconds * steps * (1 + 0.01 * (times % 3)), steps=steps, work=shown, unit=unit)
        if has_loss:
            answer["loss"] = 10.95 - 0.01 * times
        if not is_ours:
            answer.update(version="PyTorch 2.11.0+cu130, cuDNN 91900", memory_mib=18111)
        say(json.dumps(answer))


def torch_python():
    if ARGS[0] != "-c":
        server()
    elif FAKE.get("torch") == "none":
        print("ModuleNotFoundError: No module named 'torch'", file=sys.stderr)
        sys.exit(1)
    else:
        say("torch 2.11.0+cu130 CUDA 13.0 " + ("sees no card" if FAKE.get("torch") == "blind" else "sees the card"))


def ladder():
    for rung, tflops in (("naive", 1.2), ("tiles", 12.5), ("tensor cores", 380.0)):
        say(json.dumps(dict(family="matmul", rung=rung, sizes="M=8192 N=8192 K=8192", tflops=tflops,
                            ok=not (FAKE.get("ladder") == "wrong" and rung == "tiles"))))
    sys.exit(1 if FAKE.get("ladder") == "wrong" else 0)


PROGRAMS = {"nvidia-smi": nvidia_smi, "nvcc": nvcc, "make": make, "compute-sanitizer": sanitizer, "torch-python": torch_python,
            "gpu_step": server, "ladder": ladder, "test-kernels": catch_tests, "test-golden": catch_tests}

if __name__ == "__main__":
    if os.environ.get("FAKE_CALLS"):
        with open(os.environ["FAKE_CALLS"], "a", encoding="utf-8") as calls:
            calls.write(f"{NAME} {' '.join(ARGS)}\n")
    PROGRAMS[NAME]()
