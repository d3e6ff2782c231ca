#!/usr/bin/env bash
# A training run that is stopped, at whatever moment and by whatever, and resumed, ends with the bytes of one that never was.
# shellcheck source=tests/chapter02/support.sh
# shellcheck disable=SC2016  # single quotes are for eval
source "$(dirname "$0")/support.sh"

options=("${tiny[@]}" --threads 2 --dropout 0.1 --batch 4 --accumulate 2 --context 16 --stride 3 --decay-steps 60 --warmup 5 --clip 0.5
    --sample-tokens 10 --eval-every 7 --keep-states 3 --max-steps 60)
# Three states: before the first step, at a half of the 60 and at a quarter; no other.
same_states() { for state in 000000 000015 000030; do cmp "$1/state-$state.safetensors" "$2/state-$state.safetensors" || return; done; [ "$(find "$2" -name 'state-*' | wc -l)" = 3 ]; }
resume() { run train --resume "$1" --data prepared "${@:2}"; }

run train "${options[@]}" --out whole --checkpoint-every 10
check 'the run that is never stopped' [ "$status" = 0 ]
check 'it has evaluations behind it' [ "$(grep -c 'bits per byte' out)" -ge 8 ]
check 'the best checkpoint is there' [ -s whole/best.safetensors ]

run train "${options[@]}" --out parts --max-steps 20
resume parts
check 'resumed without more steps: finished, says so' grep -q 'finished: step 20 of 20' err
resume parts --max-steps 60
check '--max-steps 20, then --resume --max-steps 60' cmp -s whole/checkpoint.safetensors parts/checkpoint.safetensors
check 'the same best checkpoint' cmp -s whole/best.safetensors parts/best.safetensors
check 'the same states on the way' same_states whole parts
run train "${options[@]}" --out other --threads 3 --checkpoint-every 17
check 'other threads, other checkpoints in between' same_run whole other
run train "${options[@]}" --out silent --quiet --json
check '--quiet and --json change nothing' same_run whole silent
resume whole --max-steps 70 --lr 1
check 'a flag that contradicts is refused by name' eval '[ $status = 1 ] && grep -q -- "--lr 1 contradicts the checkpoint" err'
run train "${options[@]}" --out bf16 --precision bf16 --max-steps 20
run train "${options[@]}" --out bf16_parts --precision bf16 --max-steps 9
resume bf16_parts --max-steps 20 --threads 3
check '--precision bf16: says what multiplies' grep -q 'products in bf16' err
check '--precision bf16: resumed, with other threads' cmp -s bf16/checkpoint.safetensors bf16_parts/checkpoint.safetensors
check '--precision bf16: in config.json' grep -q '"precision": "bf16"' bf16/config.json
resume bf16 --max-steps 30 --precision fp32
check '--precision fp32 contradicts it' eval '[ $status = 1 ] && grep -q -- "--precision fp32 contradicts" err'
resume whole --max-steps 70 --preset laptop
check 'another preset is refused' eval '[ $status = 1 ] && grep -q -- "--preset laptop contradicts" err'

# ---- gradient accumulation: the batch of a step is the same, and so are its windows ----
run train "${options[@]}" --out one_batch --batch 8 --accumulate 1 --dropout 0 --max-steps 3
run train "${options[@]}" --out two_parts --batch 4 --accumulate 2 --dropout 0 --max-steps 3
check 'accumulation: the same losses to four digits' cmp -s <(cut -d , -f 1-3 one_batch/log.csv | cut -c 1-9) <(cut -d , -f 1-3 two_parts/log.csv | cut -c 1-9)

# ---- signals ----
wait_for() { for _ in {1..600}; do [ -e "$1" ] && return; sleep 0.05; done; }
"$program" train "${options[@]}" --out stopped --max-steps 2000000 --decay-steps 60 --checkpoint-every 100000 >out 2>err </dev/null &
pid=$!
wait_for stopped/checkpoint.safetensors
# The first steps come behind a second of measurement, and their rows about a second later.
for _ in {1..600}; do [ "$(wc -l <stopped/log.csv)" -gt 1 ] && break; sleep 0.05; done
kill -INT $pid
wait $pid
status=$?
check 'SIGINT: exit status 130, says how to go on' eval "[ $status = 130 ] && grep -q \"go on with: .* --resume 'stopped' --data 'prepared'\" err"
at=$(tail -1 stopped/log.csv | cut -d , -f 1)
resume stopped --max-steps $((at + 5))
check "SIGINT at step $at: resumes there" grep -q "resuming at step $at" err
run train "${options[@]}" --out straight --max-steps $((at + 5))
check 'SIGINT: ends as the run that was never stopped' same_run straight stopped

# ---- SIGKILL ----
kills=0 longest_ms=60
RANDOM=7
set -- "${options[@]}" --checkpoint-every 5 --out victim
for _ in {1..100}; do
    run_for $((RANDOM % longest_ms + 5)) train "$@"
    [ "$status" = 137 ] || break
    kills=$((kills + 1)) longest_ms=$((longest_ms + longest_ms / 6 + 3))
    [ ! -e victim/checkpoint.safetensors ] || set -- --resume victim --data prepared
done
check "killed $kills times: finished" [ "$status" = 0 ]
check 'killed: the same bytes' same_run whole victim
check 'killed: the same best checkpoint' cmp -s whole/best.safetensors victim/best.safetensors
check 'killed: the same states on the way' same_states whole victim
check 'killed: no leftovers' [ -z "$(find victim -name '*.tmp')" ]
check 'killed: the report is there' [ -s victim/report.html ]
# Killed between the last checkpoint and its report, which a run of fewer steps has left.
echo 'of earlier steps' >victim/report.html
touch -d '1 hour ago' victim/report.html
run train --resume victim --data prepared
check 'killed: a report of earlier steps is written anew' grep -q '</html>' victim/report.html

# ---- other data, other checkpoints ----
make_documents 200 9 >other.jsonl
run "${prepare[@]}" --data other.jsonl --vocab prepared/vocab --out other_data
refused 'resume: other tokens' 1 'was trained on other tokens' -- train --resume whole --data other_data --max-steps 70
run "${prepare[@]}" --data documents.jsonl --vocab bpe:310 --out other_vocabulary
refused 'resume: another vocabulary' 1 'was trained with another vocabulary' -- train --resume whole --data other_vocabulary --max-steps 70
refused 'resume: missing folder' 1 'no such folder' -- train --resume nowhere --data prepared
mkdir void
refused 'resume: empty folder' 1 'void' 'no checkpoint.safetensors' -- train --resume void --data prepared
refused '--out on a checkpoint' 1 'holds a checkpoint already' -- train "${options[@]}" --out whole
mkdir cut
head -c 5000 whole/checkpoint.safetensors >cut/checkpoint.safetensors
refused 'resume: a cut checkpoint' 1 'cut/checkpoint.safetensors' -- train --resume cut --data prepared

finish
