#!/usr/bin/env bash
# The command line of chapter 00: every flag's range, unknown words, sizes that no machine has, and what goes where.
# shellcheck source=tests/chapter00/support.sh
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
count train --epochs 1 $many
count train --decay-steps 1 $many
count train --warmup 0 $many
count train --max-steps 1 $many
count train --eval-every 1 $many
count train --checkpoint-every 1 $many
count train --sample-tokens 1 65536
count train --threads 1 1024
count train --seed 0 9223372036854775807
count sample --tokens 1 16777216
count sample --top-k 1 1048576
count sample --num-samples 1 1048576
real train --lr 'finite and above 0' 0 -1 1e-60 1e39
real train --min-lr 'finite and above 0' 0 -1
real train --dropout 'at least 0 and below 1' 1 -0.1 0.99999999999
real train --weight-decay 'finite and at least 0' -1e-9
real train --beta2 'at least 0 and below 1' 1 -1
real train --clip 'finite and at least 0' -1
real sample --temperature 'finite and at least 0' -0.5

# ---- words that nobody knows ----
refused 'unknown verb' 2 "no verb 'trian'" 'nearest is train' -- trian
refused 'unknown verb, empty' 2 "no verb ''" -- ''
refused 'a second verb' 2 "'sample'" -- train sample
refused 'unknown flag' 2 '--contxt' 'nearest is --context' -- train --contxt 64
refused 'unknown flag with =' 2 '--contxt' 'nearest is --context' -- train --contxt=64
refused 'unknown flag without a verb' 2 '--sed' 'nearest is --seed' -- --sed 7
refused 'flag of another verb' 2 '--prompt' -- train --prompt x
refused 'one dash' 2 '-seed' -- train -seed 7
refused 'abbreviation' 2 '--check' 'nearest is --checkpoint-every' -- train --check 7
refused 'unknown preset' 2 "'fulll'" 'nearest is full' -- train --preset fulll
refused 'unknown precision' 2 "'fp16'" 'it takes one of: fp32, bf16' -- train --precision fp16
refused 'unknown device' 2 "'gpu'" 'it takes one of: auto, cpu, cuda' -- train --device gpu
refused 'unknown activation' 2 "'glu'" 'nearest is gelu' -- train --activation glu
refused 'forgotten value' 2 '--out wants a value, but --quiet follows' -- train --out --quiet
refused 'forgotten value at the end' 2 '--lr wants a value' -- train --lr
refused 'value for a switch' 2 '--quiet takes no value' -- train --quiet=1
refused 'stray word' 2 "'text.txt'" -- train text.txt
refused 'words after --' 2 'takes no' -- train -- --seed 1
refused 'empty path' 2 '--data' -- train --data ''
refused 'empty --out' 2 '--out' -- train --out ''
refused 'empty --resume' 2 '--resume' -- train --resume ''
refused 'terminal escapes in a flag' 2 '\x1b[2J' -- train $'--\x1b[2J\a'
refused 'line breaks in a verb' 2 'a\nb\nc\nd' -- $'a\nb\nc\nd'
refused 'broken UTF-8 in a value' 2 '\xff\xfe' -- train --preset $'\xff\xfe'
if "$program" train --help | grep -q 'BUILD=cuda' || ! "$program" train --device cuda --max-steps 1 "${tiny[@]}" --out cuda >/dev/null 2>&1; then
    refused 'no CUDA in this build' 1 'no CUDA kernels' '--device cpu' -- train "${tiny[@]}" --device cuda
else
    skip 'no CUDA in this build' 'it has CUDA'
fi

# ---- values that contradict each other ----
refused 'channels and heads' 2 '--channels 33' '--heads 2' -- train "${tiny[@]}" --channels 33
refused 'tied with a bias' 2 '--head-bias' -- train "${tiny[@]}" --tied --head-bias
refused 'min-lr above lr' 2 '--min-lr' '--lr' -- train "${tiny[@]}" --lr 1e-4 --min-lr 1e-3
refused '--out and --resume' 2 '--out' '--resume' -- train --out a --resume b

# ---- sizes that no machine has: quickly, with the bytes, and without a trace ----
make_text 20000 >long.txt
before=$(date +%s)
for sizes in '--channels 65536 --layers 1000' '--batch 1048576 --context 1000 --layers 1000' '--context 50000 --accumulate 1048576' \
    '--context 50000 --batch 1048576 --accumulate 1048576 --channels 65536 --layers 1000 --heads 1024 --head-size 1024'; do
    # shellcheck disable=SC2086  # several words
    refused "absurd sizes: $sizes" 1 bytes GiB -- train --data long.txt --preset tiny $sizes --out absurd
done
for verb in tape gradcheck; do
    refused "absurd sizes: $verb" 1 bytes GiB -- $verb --data long.txt --preset tiny --channels 65536 --layers 1000
done
check 'absurd sizes are refused at once' [ $(($(date +%s) - before)) -le 20 ]

# ---- help ----
for arguments in '--help' '-h' 'train --help' 'sample --help' 'tape --help' 'gradcheck -h'; do
    # shellcheck disable=SC2086
    run $arguments
    what=$(problem 0)
    [ -s err ] && what="stderr: $(head -1 err)"
    for word in Example default; do grep -q "$word" out || what="stdout lacks '$word'"; done
    conclude "help: $arguments" "$what"
done
for flag in device precision threads seed preset out resume max-steps data '\[no-\]quiet' '\[no-\]json' layers heads head-size channels context batch \
    accumulate epochs lr min-lr warmup weight-decay dropout activation '\[no-\]tied' eval-every checkpoint-every; do
    grep -q -e "--$flag\b" <("$program" train --help) || fail "help of train" "lacks --$flag"
done

# ---- what goes where ----
accepted 'a repeated option: the last wins' 'step 3' -- train "${tiny[@]}" --max-steps 5 --max-steps 3 --out last
check 'a repeated option: the log has 3 rows' [ "$(wc -l <last/log.csv)" = 4 ]
accepted 'explicit flags override the preset' 'channels       48' -- train --channels 48 "${tiny[@]}" --max-steps 1 --out explicit
run train "${tiny[@]}" --max-steps 3 --out streams
check 'the configuration is not on stdout' [ "$(grep -c channels out)" = 0 ]
check 'the configuration is on stderr' [ "$(grep -c '^  channels' err)" = 1 ]
run train "${tiny[@]}" --max-steps 3 --out quiet --quiet
check '--quiet: nothing on stderr' [ ! -s err ]
check '--quiet: results stay on stdout' grep -q 'Step 3 train loss' out
is_json() { if command -v python3 >/dev/null; then python3 -m json.tool >/dev/null; else grep -q '^{.*}$'; fi; }
run train "${tiny[@]}" --max-steps 3 --out json --json
check '--json: the last line of train is an object' is_json < <(tail -1 out)
check '--json: it names the run' grep -q '"run": "json"' out
run tape "${tiny[@]}" --json
check '--json: tape' is_json < <(tail -1 out)
run sample --checkpoint json --tokens 3 --json
check '--json: sample' is_json < <(tail -1 out)
run train --resume json --data text.txt --json --quiet
check '--json: a finished run' is_json < <(tail -1 out)

finish
