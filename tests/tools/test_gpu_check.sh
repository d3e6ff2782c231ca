#!/usr/bin/env bash
# test_gpu_check.sh - gpu-check with no GPU: in a small tree, against fake nvidia-smi, nvcc, make, compute-sanitizer and PyTorch
# (gpu_check_fake.py) that succeed, find errors, crash, answer nonsense or hang. Each must come out as what it is: nothing
# that failed, hung or was not measured may look like a pass.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
command -v python3 >/dev/null || { echo "skipped: gpu-check needs python3, which is not here"; exit 0; }
tools/gpu-records | cmp - common/kernels/cuda/gpu_records.h || { echo "FAILED: tools/gpu-records >common/kernels/cuda/gpu_records.h"; exit 1; }
real_make=$(command -v make)
tree=$(mktemp -d)
trap 'cd /; rm -rf "$tree"' EXIT
mkdir -p "$tree/bin" "$tree"/tests/{kernels/cuda,golden,chapter00,bench} "$tree/common/kernels/cuda"
cp -r Makefile tools "$tree"
cp tests/bench/server.py "$tree/tests/bench"
cp tests/golden/gpt_tiny_bf16.txt "$tree/tests/golden"
python=$(python3 -c 'import sys; print(sys.executable)')
{ echo "#!$python -IS"; tail -n +2 tests/tools/gpu_check_fake.py; } >"$tree/bin/fake"  # hundreds of starts: no detours
chmod +x "$tree/bin/fake"
for name in nvidia-smi nvcc make compute-sanitizer torch-python; do ln -s fake "$tree/bin/$name"; done
cd "$tree" || exit 2
echo 'TEST_CASE("a", "[cuda]") {}' | tee tests/kernels/cuda/test_a.cpp tests/kernels/cuda/test_b.cpp >tests/golden/test_gpt.cpp
echo 'echo "9 passed, 0 failed"' >tests/chapter00/test_device.sh
export PATH=$tree/bin:$PATH TORCH_PYTHON=$tree/bin/torch-python GPU_CHECK_COMMIT=0123456789ab FAKE_CALLS=$tree/calls FAKE=
unset NVCC CUDA_VISIBLE_DEVICES MAKEFLAGS MAKELEVEL

passed=0 failed=0
ok() { passed=$((passed + 1)); }
fail() { echo "FAILED $1"; sed 's/^/    /' out | tail -25; failed=$((failed + 1)); }
# check NAME COMMAND...: the command must succeed.
check() { if "${@:2}"; then ok; else fail "$1: ${*:2}"; fi; }
record() { ls docs/gpu/*.json 2>/dev/null; }
# is EXPRESSION: true of the record r; state(STAGE) and check(BEGINNING OF ITS NAME) help.
is() {
    "$python" -IS - "$(record)" "$1" <<'PYTHON'
import json, sys
r = json.load(open(sys.argv[1]))
def state(stage): return r["stages"][stage]["state"]
def check(what): return next(c for s in r["stages"].values() for c in s["checks"] if c["what"].startswith(what))
if not eval(sys.argv[2]): sys.exit(f"not so: {sys.argv[2]}")
PYTHON
}
page() { grep -qF -- "$1" docs/gpu/*.md; }
architectures() { "$python" tools/gpu-records | tail -1; }
fresh() { rm -rf docs/gpu build/gpu-check; : >calls; }
# run STATUS FAKE ARGUMENT...: gpu-check with these faults must exit with this status.
run() {
    FAKE=$2 timeout 60 "$python" tools/gpu-check --pace 0.01 "${@:3}" >out 2>&1
    local status=$?
    check "gpu-check ${*:3} with '$2' exits $1, not $status" [ $status = "$1" ]
}

# ---- nothing is wrong: four calls add up to one record that passes ----
run 0 '' build
check 'one stage alone does not pass' is 'not r["passed"] and state("build") == "passed"'
check 'what did not run is visible' page '| time | **not run** |'
run 0 '' test
run 0 '' sanitize
check 'three stages pass' is 'r["passed"] and r["architecture"] == "sm_90" and r["commit"] == "0123456789ab"'
run 0 '' time
check 'one record of all stages' is '[state(s) for s in ("build", "test", "sanitize", "time")] == ["passed"] * 4'
check 'the sources learn of it' grep -qx 'constexpr int kPassedArchitectures\[\] = {90};' common/kernels/cuda/gpu_records.h
check 'and which records say so' [ "$(architectures)" = 'constexpr int kPassedArchitectures[] = {90};' ]
check 'the page says so' page '**Passed on sm_90**'
check 'card, driver, compiler' page 'Driver 580.159.04, nvcc 13.0.88, SM clock up to 1980 MHz; commit 0123456789ab'
check 'ratios of neighbours' is 'all(abs(e["ratio"] - want) < 0.05 for e, want in zip(list(r["stages"]["time"]["rows"][3]["rivals"].values())[1:], (2.55, 1.95, 1.8)))'
check 'clocks before and after' is 'all(row["clocks_before"]["sm_mhz"] == 1755 == row["clocks_after"]["sm_mhz"] for row in r["stages"]["time"]["rows"])'
check 'bars are judged' is 'check("bar: (a)")["state"] == check("bar: (b)")["state"] == check("bar: (c)")["state"] == "passed"'
check 'attention is judged' is 'check("bar: attention b")["detail"].startswith("0.97x; bar 0.9x")'
check 'five epochs' is '69 < float(check("bar: (c)")["detail"].split()[0]) < 73'
check 'a share of the ceiling' page 'TFLOP/s, 100 %'
check 'rungs of the ladders' page '| matmul | tensor cores | M=8192 N=8192 K=8192 | yes |'
check 'proof rows of the card' page '| gelu_forward | 2 | 2 % |'
check 'errors of the golden models' is '"5.0e-06 (limit 1.0e-05)" in check("fp32: gradients")["detail"] and "(limit 1.2e-02)" in check("bf16: gradients")["detail"]'
: >calls
run 0 '' sanitize time
check 'a second call repeats nothing' [ "$(grep -cE 'compute-sanitizer|gpu_step' calls)" = 0 ]
FAKE='' GPU_CHECK_COMMIT=fedcba987654 tools/gpu-check build >out 2>&1
check 'another commit begins anew' is 'r["commit"] == "fedcba987654" and not r["passed"] and list(r["stages"]) == ["build"]'
check 'and keeps the old one' test -n "$(ls build/gpu-check/*.json)"
FAKE='' "$real_make" gpu-check STAGES=sanitize >out 2>&1
check 'through make' grep -q 'sanitize: passed' out

# ---- build ----
fresh
run 1 make=fail build
check 'the message is in the record' is 'state("build") == "failed" and "Error 255" in check("make")["detail"]'
run 1 make=hang build --minutes 0.18
check 'make hangs: cut off' is 'state("build") == "cut off"'
rm -rf build/cuda build/cuda-fp32
run 1 '' test
check 'build comes first' is '"STAGES=build comes first" in check("the programs")["detail"]'
run 1 make=test-golden build
check 'a program is missing' is '"lacks test-golden" in check("make")["detail"]'
run 0 '' build
check 'a repaired build passes' is 'state("build") == "passed"'

# ---- test ----
test_fault() { run 1 "$1" test; check "$1" is "state('test') == '${3:-failed}' and check('$2')['state'] == '${3:-failed}'"; check "$1: no pass" is 'not r["passed"]'; fresh; }
fresh
test_fault test-kernels=fail 'bf16: test-kernels'
test_fault test-kernels-fp32=crash 'fp32: test-kernels'
test_fault test-kernels=none 'bf16: test-kernels'
test_fault test-golden=far 'bf16: first ten losses'
test_fault test-golden-fp32=cpu-only 'fp32: first ten losses'
test_fault test-golden-fp32=gradient 'fp32: gradients'
test_fault test-golden=gradient 'bf16: gradients'
echo 'echo "skipped training: no CUDA kernels"; echo "1 passed, 0 failed"' >tests/chapter00/test_device.sh
test_fault '' 'fp32: chapter 00 trains'
echo 'echo "9 passed, 0 failed"' >tests/chapter00/test_device.sh

# ---- sanitize: only the one summary, with nothing found, of a program that ran to its end, is a pass ----
sanitize_fault() { run 1 "$1" sanitize; check "$1" is "state('sanitize') == 'failed' and '''$2''' in check('${1%%=*}: test_b')['detail'] and not r['passed']"; fresh; }
sanitize_fault memcheck=error '1 errors; first: Invalid __global__ write of size 4 bytes'
sanitize_fault racecheck=race '1 hazards displayed (1 error, 0 warnings); first: Error: Race reported'
sanitize_fault racecheck=warning '2 hazards'
sanitize_fault initcheck=error@b '1 errors'
sanitize_fault memcheck=crash '0 summaries of memcheck'
sanitize_fault synccheck=truncated '0 summaries of synccheck'
sanitize_fault synccheck=garbage '0 summaries of synccheck'
sanitize_fault memcheck=twice '2 summaries'
sanitize_fault memcheck=returned 'did not run to its end'
sanitize_fault memcheck=nocuda '0 summaries'
sanitize_fault racecheck=status 'exit status 1'
sanitize_fault initcheck=notests 'exit status 0: '
run 1 memcheck=error@b sanitize
check 'the page names it' page '**failed** | 1 errors; first: Invalid __global__ write'
check 'no fast kernels there' [ "$(architectures)" = 'constexpr int kPassedArchitectures[] = {0};' ]
: >calls
run 0 '' sanitize
check 'what had failed ran again, and nothing else' [ "$(grep -c '^compute-sanitizer' calls)" = 1 ]
fresh
run 1 initcheck=hang sanitize --minutes 0.2
check 'a hanging tool is cut off' is 'state("sanitize") in ("cut off", "not run") and check("initcheck: test_a")["state"] == "cut off" and check("memcheck: test_a")["state"] == "passed"'
run 0 '' sanitize
check 'and is taken up again' is 'state("sanitize") == "passed"'
fresh
run 0 memcheck=device sanitize
check 'a machine that it does not support' is 'state("sanitize") == "skipped" and not r["passed"]'
fresh
mv bin/compute-sanitizer bin/none
run 0 '' sanitize
mv bin/none bin/compute-sanitizer
check 'no compute-sanitizer: skipped, no pass' is 'state("sanitize") == "skipped" and not r["passed"]'
check 'and the page says so' page 'compute-sanitizer is not here'

# ---- time ----
fresh
run 1 ours=slow time --parts 'a c'
check 'bars are missed' is 'state("time") == "not met" and check("b")["state"] == "not run" and check("bar: (a)")["state"] == check("bar: (c)")["state"] == "not met"'
check 'bars are shown as missed' page '| **NOT MET** | 0.40x; bar 1x, goal 1.25x: bar NOT MET |'
fresh
run 0 torch=none time --parts 'a c'
check 'without PyTorch our column stands' is '[list(row["rivals"]) for row in r["stages"]["time"]["rows"]] == [["ours"]] * 2 and check("a")["state"] == "skipped"'
check 'and the rival says so' page 'PyTorch compiled | none: no PyTorch is here'
check 'and no bar is met by that' page '(a) GPT-2 124M, over the fastest PyTorch | **NOT MET** | NOT MET: nothing whole was measured'
fresh
run 0 torch=blind time --parts c
check 'a PyTorch that sees no card' page 'PyTorch does not see the card'
fresh
run 1 compiled=late-crash time --parts a
check 'a rival that crashes' is 'state("time") == "failed" and "CUDA out of memory" in r["stages"]["time"]["rows"][0]["missing"]["PyTorch compiled"]'
check 'the slower ones do not stand in for it' is 'check("bar: (a)")["state"] == "not run"'
run 1 rival=garbage time --parts a
check 'a rival that answers nonsense' is '"gave no usable answer" in check("a")["detail"]'
run 1 rival=differs time --parts a
check 'another amount of work' is '"different amounts of work" in check("a")["detail"]'
run 1 ours=crash time --parts a
check 'ours crashes' is 'check("a")["state"] == "failed"'
run 1 ladder=wrong time --parts ladder
check 'a wrong rung' is '"wrong: matmul tiles" in check("ladder")["detail"]'
fresh
run 1 rival=hang time --parts a --minutes 0.2
check 'a rival that hangs until the end: cut off' is 'state("time") == "cut off" and check("a")["state"] == "cut off"'
run 1 compiled=hang time --parts 'a c' --pace 0.005
check 'a rival that hangs costs its own part alone' is '"was late" in check("a")["detail"] and len(r["stages"]["time"]["rows"][0]["rivals"]) == 4'
run 1 '' time --parts a --rounds 2
check 'two rounds are too few for a bar' is 'check("bar: (a)")["state"] == "not run"'
fresh
run 0 card=shy time --parts ceilings --rounds 3 || true
check 'a card without clocks' is 'r["stages"]["time"]["rows"][0]["clocks_before"]["sm_mhz"] is None'

# ---- stopped, killed, no card, damaged records, wrong arguments ----
fresh
stop_with() { # SIGNAL FAKE PROGRAM STAGE: in the middle of a stage in which a program hangs
    FAKE=$2 "$python" tools/gpu-check "$4" >out 2>&1 &
    local pid=$!
    for _ in $(seq 100); do grep -q "^$3" calls && break; sleep 0.05; done
    kill "-$1" $pid
    wait $pid 2>/dev/null
}
stop_with TERM ours=hang gpu_step time
check 'stopped while programs warm up' is 'state("time") == "cut off"'
check 'and none of them is left' test -z "$(pgrep -f "$tree/bin/torch-python|build/cuda/bench/gpu_step copy")"
fresh
stop_with TERM memcheck=hang compute-sanitizer sanitize
check 'stopped: the record says cut off' is 'state("sanitize") == "cut off" and not r["passed"]'
fresh
stop_with KILL memcheck=hang compute-sanitizer sanitize
check 'killed: not finished' page '**not finished**'
kill "$(pgrep -f "$tree/bin/compute-sanitizer")" 2>/dev/null
run 0 '' build
check 'the next call knows' is 'state("sanitize") == "cut off"'
fresh
run 3 card=none build
run 3 card=garbage build
check 'no card, no record' [ ! -e docs/gpu ]
run 2 '' bake
run 2 '' time --parts a,b
mkdir -p docs/gpu
echo '{"form": 1, "architecture": "sm_90", "passed": true, "stages": {}}' >docs/gpu/2026-01-01-Mine.json
"$python" tools/gpu-records >out 2>&1
check 'a record that contradicts itself is no record' grep -q 'error: docs/gpu/2026-01-01-Mine.json is no record' out
fresh
run 0 '' build
head -c 100 "$(record)" >half; cp half "$(record)"
"$python" tools/gpu-records >out 2>&1
check 'half a record is no record' grep -q 'is no record' out
run 0 '' build
check 'half a record is set aside' is 'state("build") == "passed"'

echo "$passed passed, $failed failed"
[ $failed = 0 ]
