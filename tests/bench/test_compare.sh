#!/usr/bin/env bash
# The driver that holds the bars, tried on programs that only sleep: what is too slow, wrong or refused must be said, and a
# table keeps the rows that were measured on another day.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
command -v python3 >/dev/null || { echo "skipped: comparing needs python3"; exit 0; }
fake=$(mktemp -d)
trap 'rm -rf "$fake"' EXIT
mkdir -p "$fake/bench" "$fake/llmc"
touch "$fake/llmc/train_gpt2.c"
cases=0 failures=0
check() {  # check WHAT COMMAND...
    cases=$((cases + 1))
    if ! "${@:2}"; then
        echo "FAILED: $1"
        failures=$((failures + 1))
    fi
}

# A server of steps that take MS milliseconds, as train_step.cpp, torch_rival.py and llmc_rival.c are.
cat >"$fake/step" <<'PYTHON'
#!/usr/bin/env python3
import json, os, sys, time
words, step = " ".join(sys.argv), 0
kind = "torch" if "torch_rival" in words else "llmc" if "llmc" in words else "ours"
if kind == "ours" and "bf16" in words:
    if os.environ.get("REFUSES"):
        sys.exit("error: no bf16 here")
    kind = "bf16"
for line in sys.stdin:
    if line == "peak\n":
        print(json.dumps(dict(fma_peak_gflops=100)), flush=True)
        continue
    count = int(line.split()[1])
    time.sleep(count * float(os.environ[kind + "_ms"]) / 1000)
    step += count
    print(json.dumps(dict(seconds=count * float(os.environ[kind + "_ms"]) / 1000, steps=count, step=step, peak_rss_mib=10,
                          loss=float(os.environ.get(kind + "_loss", 3)), flops_per_step=1, version="")), flush=True)
PYTHON
printf '#!/bin/sh\n[ "$1" = -c ] && exit 0\nexec "%s" "$@"\n' "$fake/step" >"$fake/python"
# A compiler that "compiles" to the server.
printf '#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\ncp "%s" "$2"\n' "$fake/step" >"$fake/cc"
cp "$fake/step" "$fake/bench/train_step"
chmod +x "$fake/step" "$fake/python" "$fake/cc" "$fake/bench/train_step"

compare() {  # compare ARGUMENTS: its output and exit status in $output and $status
    output=$(CC="$fake/cc" TORCH_PYTHON="$fake/python" python3 tests/bench/compare.py --build-dir "$fake" --threads 1 --rounds 1 \
        --seconds 0.01 --eager-only "$@" 2>"$fake/err")
    status=$?
}
says() { grep -qF -- "$1" <<<"$output"; }
# The machine may be busy while tests run, which is a missed bar of its own: only then may a good row fail.
passes() { [ $status = 0 ] || { says 'NOT MET**: other programs took' && [ "$(grep -c 'NOT MET' <<<"$output")" = 1 ]; }; }
row() { grep -cF -- "| ($1" "$fake/tables/$2.md"; }
export ours_ms=10 torch_ms=20 llmc_ms=150 bf16_ms=5

compare --configs d --llmc "$fake/llmc" --write "$fake/tables"
check 'twice as fast passes' passes
check 'and says so' says 'met: 2.00 times the speed of the fastest PyTorch column'
check "llm.c's bar is held" says 'met: 15.00 times the speed of llm.c; bar 11'
check 'the row is in the table of chapter 02' [ "$(row d bench_02)" = 1 ]
check 'and in no other' [ ! -e "$fake/tables/bench.md" ]

llmc_ms=100 compare --configs d --llmc "$fake/llmc"
check 'ten times as fast as llm.c is too slow' says '**NOT MET**: 10.00 times the speed of llm.c; bar 11'

sed -i 's/ [0-9-]* [0-9:]* |$/ 2001-02-03 04:05 |/; s/^2[0-9-]* [0-9:]*: /2001-02-03 04:05: /' "$fake/tables/bench_02.md"
torch_ms=11 compare --configs c --write "$fake/tables"
check 'too slow fails' [ $status = 1 ]
check 'and says so' says '**NOT MET**: 1.10 times the speed of the fastest PyTorch column (PyTorch eager); bar 1.25'
check 'memory that is not below fails' says '**NOT MET**: peak memory 10 MiB'
check '(c) is in both tables' [ "$(row c bench)$(row c bench_02)" = 11 ]
check 'the row of another day is still there' [ "$(row d bench_02)" = 1 ]
check 'with its day' grep -q '^2001-02-03 04:05: .*Command' "$fake/tables/bench_02.md"
check 'and its details' grep -q '^## (d) ' "$fake/tables/bench_02_details.md"

torch_loss=3.001 compare --configs d
check 'other losses fail' says '**NOT MET**: losses of steps 1 and 3'
check 'without a checkout, llm.c is said to be missing' says 'counted: llm.c was not measured'

compare --configs d --precision bf16 --write "$fake/tables"
check 'bf16 has its own bars' says 'times the speed of ours, float32; bar 1.5'
check 'and its own row' [ "$(row 'd) bf16' bench_02)" = 1 ]
check 'beside the old one' [ "$(row 'd)' bench_02)" = 2 ]
bf16_ms=9 compare --configs d --precision bf16
if python3 -c 'import sys; sys.path.insert(0, "tests/bench"); import machine; sys.exit(not machine.has_bf16())'; then
    check 'bf16 that gains little fails' says '**NOT MET**: 1.11 times the speed of ours, float32; bar 1.5'
else
    check 'bf16 that gains little counts where there are instructions for it' \
        says 'not counted: 1.11 times the speed of ours, float32; bar 1.5, for processors with bf16 instructions'
fi
REFUSES=1 compare --configs d --precision bf16
check 'a build without bf16 is refused' [ $status = 1 ]
check 'in its own words' grep -qx 'error: no bf16 here' "$fake/err"
compare --configs d --llmc "$fake"
check 'a folder that is no llm.c is refused' grep -q '^error: --llmc' "$fake/err"

echo "$((cases - failures)) passed, $failures failed"
[ $failures = 0 ]
