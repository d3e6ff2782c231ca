#!/usr/bin/env bash
# The drivers of `laptop` and of writing, tried on programs that only answer: a rival that is better must be said.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
command -v python3 >/dev/null || { echo "skipped: comparing needs python3"; exit 0; }
fake=$(mktemp -d)
trap 'rm -rf "$fake"' EXIT
mkdir -p "$fake/bench"
cases=0 failures=0
check() {  # check WHAT COMMAND...
    cases=$((cases + 1))
    if ! "${@:2}"; then
        echo "FAILED: $1"
        failures=$((failures + 1))
    fi
}

# chapter02: a run of --max-steps or --decay-steps steps, which takes two seconds when it is not the short probe.
cat >"$fake/chapter02" <<'PYTHON'
#!/usr/bin/env python3
import json, os, sys, time
given = dict(zip(sys.argv, sys.argv[1:]))
steps = int(given.get("--max-steps") or given.get("--decay-steps") or 100)
time.sleep(0 if "--max-steps" in given else 2)
os.makedirs(given["--out"])
with open(given["--out"] + "/config.json", "w") as f:
    json.dump({"layers": "4", "heads": "4", "channels": "192", "context": "128", "batch": "16", "accumulate": "1", "lr": "0.002",
               "min-lr": "0.0001", "warmup": "100", "beta2": "0.99", "data": "text", "vocabulary": "bpe:4096"}, f)
with open(given["--out"] + "/log.csv", "w") as f:
    f.write("step,tokens,loss,lr,grad_norm,tokens_per_s,val_loss\n" + f"1,2048,3,1,1,{2048 / 0.01},\n" * steps)
print(json.dumps(dict(step=steps, val_bits_per_byte=2.1, test_bits_per_byte=2.0, parameters=10)))
PYTHON
# PyTorch's side of both, and our side of writing.
cat >"$fake/rival" <<'PYTHON'
#!/usr/bin/env python3
import json, os, sys, time
words, used = sys.argv, 0.0
with open(os.environ["CALLS"], "a") as f:
    f.write(" ".join(words) + "\n")
is_ours = words[0].endswith("generate")
for line in sys.stdin:
    command = line.split()
    answer = {}
    if command[0] == "train":
        used = float(command[1])
        answer = dict(seconds=used, steps=7, tokens=7, loss=1)
    elif command[0] == "validate":
        answer = dict(bits_per_byte=3)
    elif command[0] == "test":
        answer = dict(bits_per_byte=float(os.environ["twin"]), validation=3, variant="eager", parameters=9, version="fake")
    elif command[0] == "read":
        answer = dict(read_gbs=1)
    else:
        ids = os.environ.get("plain_ids" if command[0] == "plain" else "ids" if is_ours else "torch_ids", "1")
        seconds = 1.0 if is_ours else float(os.environ["torch_s"])
        if "--int8" in words:
            seconds = float(os.environ.get("int8_s", "0.5")) if is_ours else 0.8
        answer = dict(seconds=seconds, tokens=int(command[1]), ids=ids, version="fake",
                      bytes_per_token=float(os.environ.get("share", "0.8")) * 1e9 / int(command[1]))
    print(json.dumps(answer), flush=True)
PYTHON
printf '#!/bin/sh\n[ "$1" = -c ] && exit 0\nexec "%s" "$@"\n' "$fake/rival" >"$fake/python"
cp "$fake/rival" "$fake/bench/generate"
chmod +x "$fake/chapter02" "$fake/rival" "$fake/python" "$fake/bench/generate"
export CALLS=$fake/calls TORCH_PYTHON=$fake/python CC=true  # compiles nothing

bench() {  # bench SCRIPT ARGUMENTS: its output and exit status in $output and $status
    output=$(python3 "tests/bench/$1" --build-dir "$fake" --threads 1 "${@:2}" 2>"$fake/err")
    status=$?
}
says() { grep -qE -- "$1" <<<"$output"; }
# A machine that is busy while tests run gives no result, which is said and fails, too.
passes_with() { { [ $status = 0 ] && says "$1"; } || { [ $status = 1 ] && says '^other programs took part of our cores'; }; }

twin=2.01 bench laptop.py
check 'fewer bits per byte than the best twin passes' passes_with '^ours is lower .* 2.0000 and 2.0100'
check 'three twins are measured' [ "$(grep -c torch_laptop.py "$CALLS")" = 3 ]
check 'one has our sizes and our rates' grep -q 'channels 192 --context 128 --batch 16 --lr 0.002' "$CALLS"
check 'one has the sizes for a CPU' grep -q 'channels 128 --context 64 --batch 12 --lr 0.001' "$CALLS"
check 'they get the time that ours took' grep -qE -- '--seconds 2\.' "$CALLS"
twin=1.99 bench laptop.py --twins both
check 'a better twin fails' [ $status = 1 ]
check 'and is said' says '^(ours is \*\*not\*\* lower|other programs took)'

torch_s=3.5 twin=0 bench generate.py --rounds 1 --weights float
check 'three times as fast passes' [ $status = 0 ]
check 'and says so' says 'met: 3.50 times the speed of the fastest PyTorch column'
check 'and how much of the memory it uses' says 'met: reads its weights at 0.80'
torch_s=2.9 bench generate.py --rounds 1 --weights float
check 'less fails' [ $status = 1 ]
check 'and is named' says 'NOT MET\*\*: 2.90 times'
torch_s=4 share=0.69 bench generate.py --rounds 1 --weights float
check 'too little of the memory fails' says 'NOT MET\*\*: reads its weights at 0.69'
torch_s=4 plain_ids=2 bench generate.py --rounds 1 --weights float
check 'other ids without the cache fail' says 'NOT MET\*\*: the ids .* not the same'
torch_s=2 int8_s=0.5 bench generate.py --rounds 1
check 'with floats twice as fast fails' says 'NOT MET\*\*: 2.00 times the speed of the fastest PyTorch column \('
check 'with 8 bits four times as fast is met' says 'met: 4.00 times the speed of the fastest PyTorch column of floats'
check 'a rival with 8 bits is no column of floats, and is named' says 'reported, not counted: 1.60 times PyTorch eager \(8 bits\)'
torch_s=2 int8_s=0.8 bench generate.py --rounds 1 --weights int8
check '8 bits that are too slow fail' [ $status = 1 ]
check 'and are named' says 'NOT MET\*\*: 2.50 times the speed of the fastest PyTorch column of floats'
torch_s=4 plain_ids=2 bench generate.py --rounds 1 --weights int8
check 'with 8 bits, too, other ids without the cache fail' says 'NOT MET\*\*: the ids of ours \(8 bits\), .* not the same'
torch_s=4 torch_ids=2 bench generate.py --rounds 1 --weights int8
check 'and other ids of the columns of floats' says 'NOT MET\*\*: the ids of ours, PyTorch eager.* not the same'
check 'while 8 bits have ids of their own' says 'met: the ids of ours \(8 bits\), ours \(8 bits\) without its cache are the same'

echo "$((cases - failures)) passed, $failures failed"
[ $failures = 0 ]
