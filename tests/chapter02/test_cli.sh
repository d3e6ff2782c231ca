#!/usr/bin/env bash
# The command line of chapter 02: ranges, unknown words, data that do not fit, sizes that no machine has, what goes where.
# shellcheck source=tests/chapter02/support.sh
# shellcheck disable=SC2016  # single quotes are for eval
source "$(dirname "$0")/support.sh"

# ---- every number outside of its range, and what is no number ----
many=1099511627776
count train --layers 1 1000
count train --heads 1 1024
count train --head-size 1 1024
count train --channels 1 65536
count train --context 1 1048576
count train --batch 1 1048576
count train --accumulate 1 1048576
count train --stride 1 1048576
count train --epochs 1 $many
count train --decay-steps 1 $many
count train --warmup 0 $many
count train --max-steps 1 $many
count train --eval-every 1 $many
count train --checkpoint-every 1 $many
count train --sample-tokens 1 65536
count train --keep-states 0 40
count train --threads 1 1024
count train --seed 0 9223372036854775807
count prepare --validation-percent 1 40
count prepare --test-percent 1 40
count prepare --shard-mb 1 1048576
real train --lr 'finite and above 0' 0 -1 1e-60 1e39
real train --min-lr 'finite and above 0' 0 -1
real train --dropout 'at least 0 and below 1' 1 -0.1
real train --weight-decay 'finite and at least 0' -1e-9
real train --beta2 'at least 0 and below 1' 1 -1
real train --clip 'finite and at least 0' -1

count find-lr --steps 2 1048576
real find-lr --lowest-lr 'finite and above 0' 0 -1
real find-lr --highest-lr 'finite and above 0' 0 -1

# ---- words that nobody knows, values that contradict each other ----
refused 'unknown verb' 2 "no verb 'prepair'" 'nearest is prepare' -- prepair
refused 'unknown flag' 2 '--contxt' 'nearest is --context' -- train --contxt 64
refused 'unknown preset' 2 "'origial'" 'nearest is original' -- train --preset origial
refused 'channels and heads' 2 '--channels 33' '--heads 2' -- train "${tiny[@]}" --channels 33
refused '--out and --resume' 2 '--out' '--resume' -- train --out a --resume b
refused 'empty --data' 2 '--data' -- train --data ''

# ---- data that do not fit ----
refused 'data: missing' 1 'nowhere is no prepared folder' 'chapter02 prepare' -- train --preset tiny --data nowhere --out o
mkdir empty
refused 'data: empty folder' 1 'empty is no prepared folder' -- train --preset tiny --data empty --out o
cp -r prepared half
sed -i 's/"complete": true/"complete": false/' half/manifest.json
refused 'data: not finished' 1 'half is not finished' -- train --preset tiny --data half --out o
cp -r prepared exchanged
run "${prepare[@]}" --data documents.jsonl --vocab bpe:310 --out larger
cp larger/vocab/* exchanged/vocab/
refused 'data: the vocabulary was exchanged' 1 'exchanged/train-00000.bin' 'another vocabulary' -- train --preset tiny --data exchanged --out o
cp -r prepared cut
truncate -s 2000 cut/train-00000.bin
refused 'data: a cut shard' 1 'cut/train-00000.bin is cut' -- train --preset tiny --data cut --out o
cp -r prepared version
printf '\002' | dd of=version/test-00000.bin bs=1 seek=8 conv=notrunc 2>/dev/null
refused 'data: another version' 1 'version/test-00000.bin is a shard of version 2' -- train --preset tiny --data version --out o
make_documents 30000 3 >long.jsonl
run "${prepare[@]}" --data long.jsonl --vocab prepared/vocab --shard-mb 1 --out long
check 'data: two shards a split' [ -e long/train-00001.bin ]
cp -r long lost
rm lost/train-00001.bin
refused 'data: a shard is missing' 1 "lost has 1 shards of the split 'train', its manifest.json names 2" -- train --preset tiny --data lost --out o
cp -r long swapped
mv swapped/train-00000.bin swapped/x && mv swapped/train-00001.bin swapped/train-00000.bin && mv swapped/x swapped/train-00001.bin
refused 'data: a shard in the place of another' 1 'swapped/train-00000.bin is not the shard that manifest.json names' -- train --preset tiny --data swapped --out o
rm -r cut/vocab
refused 'data: no vocabulary' 1 'cut/vocab' -- train --preset tiny --data cut --out o
refused 'a context longer than a split' 1 'has no window of --context 100000' -- train "${tiny[@]}" --context 100000 --out o

# ---- sizes that no machine has: quickly, with the bytes ----
before=$(date +%s)
for sizes in '--channels 65536 --layers 1000' '--batch 1048576 --context 100 --layers 1000'; do
    # shellcheck disable=SC2086  # several words
    refused "too large: $sizes" 1 'GiB' 'bytes), the machine has' '--batch' -- train "${tiny[@]}" $sizes --head-size 32 --out o
done
refused 'too large: find-lr' 1 'GiB' 'bytes), the machine has' '--batch' -- find-lr "${tiny[@]}" --channels 65536 --layers 1000 --head-size 32
check 'too large: within two seconds' [ $(($(date +%s) - before)) -le 2 ]

# ---- findings, cost, and what goes where ----
accepted 'findings are warnings' 'finding: the learning rate rises' 'finding: attention is 2 wide' 'finding: only 2 updates' \
    -- train "${tiny[@]}" --min-lr 1 --head-size 1 --max-steps 2 --out odd
check 'findings are in the report' grep -q 'the learning rate rises' odd/report.html
accepted 'cost before the run' 'parameters; training takes' 'floating-point operations a token' 'measured:' 'expected:' -- train "${tiny[@]}" --max-steps 2 --out cost
run train "${tiny[@]}" --max-steps 3 --out quiet --quiet
check '--quiet: nothing on stderr' [ ! -s err ]
check '--quiet: results stay on stdout' grep -q 'test loss' out
run train "${tiny[@]}" --max-steps 3 --out json --json
if command -v python3 >/dev/null; then check '--json: an object on the last line' eval 'tail -1 out | python3 -m json.tool >/dev/null'; fi
# The numbers of the cost line, by hand: 2 blocks of 12 C^2 + 13 C weights, 300 tokens and 32 places of C, a last norm.
run train "${tiny[@]}" --max-steps 1 --out counted
check 'cost: parameters' grep -q "model: $((2 * (12 * 32 * 32 + 13 * 32) + (300 + 32) * 32 + 2 * 32)) parameters;" err
check 'cost: operations a token' grep -qF " $(printf '%.4g' $((3 * (2 * (24 * 32 * 32 + 2 * 32 * 33) + 2 * 300 * 32 + 32)))) floating-point" err

# ---- a learning rate before training ----
files() { find . | grep -vE '^\./(before|after|first|out|err)$' | sort; }
files >before
# Up to 100: how fast so small a model falls apart at 1 is a matter of rounding.
run find-lr "${tiny[@]}" --json --highest-lr 100
check 'find-lr: a table, a suggestion' eval '[ "$status" = 0 ] && grep -q "smoothed loss" out && grep -q "  lowest$" out && grep -q "^suggestion: --lr " out'
check 'find-lr: between 1e-4 and 0.1 for a tiny model' eval 'sed -n "s/.*\"suggested_lr\": \([^}]*\)}/\1/p" out | awk "{ok = \$1 > 1e-4 && \$1 < 0.1} END {exit !ok}"'
cp out first
files >after
check 'find-lr: writes nothing' cmp -s before after
run find-lr "${tiny[@]}" --json --highest-lr 100 --threads 3 --out rates.csv
check 'find-lr: the same for any number of threads' cmp -s out first
check 'find-lr: every step in the csv' [ "$(wc -l <rates.csv)" = "$(($(sed -n 's/^{"steps": \([0-9]*\).*/\1/p' out) + 1))" ]
run find-lr "${tiny[@]}" --steps 40 --lowest-lr 1e-4 --highest-lr 2e-3
check 'find-lr: not far enough' grep -q 'has not risen up to 0.002: try a larger --highest-lr' out
refused 'find-lr: no range' 2 '--lowest-lr 1 is not below --highest-lr 1' -- find-lr "${tiny[@]}" --lowest-lr 1
refused 'find-lr: nowhere to write' 1 'nowhere/rates.csv' -- find-lr "${tiny[@]}" --out nowhere/rates.csv
refused 'find-lr: no such data' 1 'nowhere is no prepared folder' -- find-lr --preset tiny --data nowhere

check 'the checkpoint knows no path' eval '! grep -aq "$work" json/checkpoint.safetensors'
run train "${tiny[@]}" --max-steps 3 --out 'json/../other place'
check 'the checkpoint knows neither folder nor time' cmp -s json/checkpoint.safetensors 'other place/checkpoint.safetensors'
check 'no stand-in is used by itself' eval '! grep -q WARNING err'
cp -r prepared standin
sed -i 's/"sources": "documents.jsonl"/"sources": "webtext-10k"/' standin/manifest.json
accepted 'a stand-in is said loudly' 'WARNING: webtext-10k is a STAND-IN' -- train "${tiny[@]}" --data standin --max-steps 1 --out silent --quiet
check 'help names every verb' eval 'grep -q memorize <("$program" --help) && grep -q find-lr <("$program" --help)'
for flag in device threads seed preset out resume max-steps data layers heads head-size channels context stride batch accumulate epochs lr min-lr \
    warmup weight-decay clip dropout activation eval-every checkpoint-every keep-states; do
    grep -q -e "--$flag\b" <("$program" train --help) || fail "help of train" "lacks --$flag"
done

finish
