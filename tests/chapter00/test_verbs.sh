#!/usr/bin/env bash
# What the verbs of chapter 00 write: samples, tape, gradcheck, the files of a run; and the text used without a network.
# shellcheck source=tests/chapter00/support.sh
# shellcheck disable=SC2016  # single quotes are for eval
source "$(dirname "$0")/support.sh"

accepted 'train' -- train "${tiny[@]}" --max-steps 30 --eval-every 10 --out model --sample-tokens 40
for file in checkpoint.safetensors config.json log.csv report.html; do check "train wrote $file" [ -s "model/$file" ]; done
check 'log: its header' [ "$(head -1 model/log.csv)" = step,tokens,loss,lr,grad_norm,tokens_per_s,val_loss ]
check 'log: a row per step' [ "$(wc -l <model/log.csv)" = 31 ]
check 'log: seven columns in every row' [ "$(awk -F, 'NF != 7' model/log.csv | wc -l)" = 0 ]
check 'log: evaluated at 10, 20 and 30' [ "$(awk -F, 'NR > 1 && $7 != "" { printf "%s ", $1 }' model/log.csv)" = '10 20 30 ' ]
check 'report: loads nothing' eval '! grep -qE "(src|href)=.?https?:" model/report.html'
if command -v python3 >/dev/null; then check 'config.json is JSON' python3 -m json.tool model/config.json /dev/null; fi
check 'checkpoint: no path in it' eval '! grep -qa "$work" model/checkpoint.safetensors'

# An epoch: its line and its sample, then the end.
run train "${tiny[@]}" --data <(head -c 700 text.txt) --epochs 2 --context 8 --batch 64 --sample-tokens 20 --out epochs
check 'epochs: a line for each on stdout' [ "$(grep -cE '^Epoch [12] train loss: [0-9.]+ val loss: [0-9.]+$' out)" = 2 ]
run train "${tiny[@]}" --data <(head -c 700 text.txt) --epochs 2 --context 8 --batch 64 --sample-tokens 20 --out again --seed 1337
check 'the same command again: the same bytes' same_run epochs again
run train "${tiny[@]}" --data <(head -c 700 text.txt) --epochs 2 --context 8 --batch 64 --sample-tokens 20 --out other --seed 1338
check 'another seed: other bytes' eval '! same_run epochs other'

# ---- sample ----
sample() { run sample --checkpoint model --tokens 60 "$@"; cp out "$name"; [ "$status" = 0 ] || fail "sample $name" "$(cat err)"; }
name=a; sample --prompt 'the ' --seed 3
name=b; sample --prompt 'the ' --seed 3
name=c; sample --prompt 'the ' --seed 4
check 'sample: the same seed, the same bytes' cmp -s a b
check 'sample: another seed, another text' eval '! cmp -s a c'
check 'sample: prompt, 60 characters, line break' [ "$(wc -c <a)" = 65 ]
check 'sample: it begins with the prompt' [ "$(head -c 4 a)" = 'the ' ]
name=greedy; sample --prompt 'the ' --temperature 0
name=greedy2; sample --prompt 'the ' --temperature 0 --seed 9
name=first; sample --prompt 'the ' --top-k 1 --seed 8
check 'sample: temperature 0 needs no seed' cmp -s greedy greedy2
check 'sample: top-k 1 is temperature 0' cmp -s greedy first
name=three; sample --prompt 'the ' --num-samples 3 --seed 3
check 'sample: three of them' [ "$(grep -c '^---$' three)" = 2 ]
check 'sample: the first of three is the only one of one' cmp -s <(head -c 64 a) <(head -c 64 three)
check 'sample: the others differ' [ "$(awk 'BEGIN { RS = "---" } { print }' three | sort -u | wc -l)" -ge 3 ]
name=cold; sample --prompt 'the ' --temperature 1e-30
check 'sample: a tiny temperature is the coldest' cmp -s greedy cold
name=hot; sample --prompt 'the ' --temperature 1e30
name=default; sample
check 'sample: one thread or three' eval 'name=t3; sample --prompt "the " --seed 3 --threads 3; cmp -s a t3'
name=long; sample --prompt "$(head -c 500 text.txt | tr '\n' ' ')"
check 'sample: a prompt longer than the context' [ "$(wc -c <long)" = 561 ]
run sample --checkpoint model --tokens 20 --json --num-samples 2
check 'sample --json: one line' [ "$(wc -l <out)" = 1 ]
run sample --checkpoint model/checkpoint.safetensors --tokens 60 --prompt 'the ' --seed 3
check 'sample: --checkpoint FILE' cmp -s a out
run train "${tiny[@]}" --max-steps 1 --sample-tokens 1
run train "${tiny[@]}" --max-steps 30 --seed 5 --sample-tokens 1
run sample --tokens 60 --prompt 'the ' --seed 3
cp out newest
run sample --checkpoint runs/chapter00/002 --tokens 60 --prompt 'the ' --seed 3
check 'sample: the newest run by default' cmp -s newest out
touch runs/chapter00/001/checkpoint.safetensors
run sample --checkpoint runs/chapter00/001 --tokens 60 --prompt 'the ' --seed 3
cp out older
run sample --tokens 60 --prompt 'the ' --seed 3
check 'sample: the newest is the one written last' cmp -s older out

# ---- tape, gradcheck ----
run tape "${tiny[@]}"
check 'tape: ends well' [ "$status" = 0 ]
for op in embedding layernorm linear attention cross_entropy; do check "tape: $op" grep -q "$op" out; done
check 'tape: shapes' grep -q '(4,32,' out
run gradcheck "${tiny[@]}" --layers 1 --channels 8 --context 8 --batch 2
check 'gradcheck: all agree' [ "$status" = 0 ]
check 'gradcheck: a row per parameter' [ "$(grep -c ' ok$' out)" -ge 16 ]
refused 'gradcheck: with dropout' 2 '--dropout 0' -- gradcheck "${tiny[@]}" --dropout 0.1
run gradcheck "${tiny[@]}" --layers 1 --channels 8 --heads 3 --head-size 4 --context 8 --batch 2 --tied --activation relu --json
check 'gradcheck: other sizes, tied, ReLU' [ "$status" = 0 ]

# ---- threads ----
for threads in 1 2 3 4; do
    run train "${tiny[@]}" --threads $threads --max-steps 50 --dropout 0.1 --channels 48 --heads 3 --out "threads$threads"
    check "threads: $threads, byte-identical after 50 steps" same_run threads1 "threads$threads"
done

# ---- neither network nor mirror: the repository's own notes and sources ----
mkdir -p copy/build mirror
cp -r "$repository"/{chapters,common,data} copy/ && rm -rf copy/data/tinyshakespeare
cp "$program" copy/build/chapter00
offline() {
    (cd copy && DATA_MIRROR="$work/mirror" http_proxy=http://127.0.0.1:9 https_proxy=http://127.0.0.1:9 \
        timeout 120 build/chapter00 "$@" >../out 2>../err </dev/null)
    status=$?
}
offline train --preset tiny --threads 1 --max-steps 3 --out fallback --sample-tokens 20
check 'no network: it trains' [ "$status" = 0 ]
check 'no network: it says so loudly' grep -q "^WARNING: .*THIS REPOSITORY'S NOTES AND SOURCES" err
check 'no network: the report says so' grep -q 'NOTES AND SOURCES' copy/fallback/report.html
check 'no network: nothing but results on stdout' eval '! grep -q WARNING out'
offline train --resume fallback --max-steps 5
check 'no network: it resumes' [ "$status" = 0 ]
offline train --preset tiny --threads 1 --max-steps 3 --quiet --out quiet
check 'no network: even --quiet says so' grep -q '^WARNING' err
cp "$program" mirror/chapter00
program=$work/mirror/chapter00
cd mirror && touch out err
refused 'no network, no repository' 1 '--data FILE' -- train --preset tiny --max-steps 1

finish
