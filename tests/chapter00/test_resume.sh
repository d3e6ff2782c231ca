#!/usr/bin/env bash
# A run that is stopped, at whatever moment and by whatever, and resumed, ends with the bytes of one that never was.
# shellcheck source=tests/chapter00/support.sh
# shellcheck disable=SC2016  # single quotes are for eval
source "$(dirname "$0")/support.sh"

# The run of these tests: dropout, two epochs and a bit of a third, several evaluations, a warm-up, clipping.
options=(--preset tiny --threads 2 --dropout 0.1 --batch 16 --accumulate 2 --epochs 5 --warmup 5 --lr 2e-3 --min-lr 1e-4 --clip 0.5
    --context 16 --sample-tokens 30 --eval-every 7 --max-steps 60)
head -c 900 text.txt >small.txt
options+=(--data small.txt)
resume() { run train --resume "$1" --data small.txt "${@:2}"; }

run train "${options[@]}" --out whole --checkpoint-every 10
check 'the run that is never stopped' [ "$status" = 0 ]
check 'it has whole epochs behind it' [ "$(grep -c '^Epoch' out)" -ge 2 ]

# ---- --max-steps, then more of them ----
run train "${options[@]}" --out parts --max-steps 20
check 'stopped by --max-steps 20' [ "$(tail -1 parts/log.csv | cut -d , -f 1)" = 20 ]
resume parts
check 'resumed without more steps: finished, says so' grep -q 'finished: step 20 of 20' err
check 'resumed without more steps: exit status 0, no result' eval '[ $status = 0 ] && [ ! -s out ]'
resume parts --max-steps 10
check 'resumed with fewer steps: finished' eval 'grep -q "finished: step 20 of 10" err && [ $status = 0 ]'
resume parts --max-steps 60
check '--max-steps 20, then --resume --max-steps 60' cmp -s whole/checkpoint.safetensors parts/checkpoint.safetensors
run train "${options[@]}" --out other --threads 3 --checkpoint-every 17
check 'other threads, other checkpoints in between' same_run whole other
run train "${options[@]}" --out silent --quiet --json
check '--quiet and --json change nothing' same_run whole silent

# ---- --precision bf16: its own bytes, for any threads; the checkpoint knows it ----
run train "${options[@]}" --out bf16 --precision bf16
check '--precision bf16: says what multiplies' grep -q 'products in bf16' err
check '--precision bf16: another result' eval '! cmp -s whole/checkpoint.safetensors bf16/checkpoint.safetensors'
# The loss of the last step within half a percent of float32's.
check '--precision bf16: nearly the same loss' eval \
    'paste -d , <(tail -1 whole/log.csv) <(tail -1 bf16/log.csv) | awk -F , "{d = \$2 / \$(NF / 2 + 2) - 1; exit !(d < 0.005 && d > -0.005)}"'
run train "${options[@]}" --out bf16_parts --precision bf16 --threads 3 --max-steps 20
resume bf16_parts --max-steps 60
check '--precision bf16: resumed, with other threads' cmp -s bf16/checkpoint.safetensors bf16_parts/checkpoint.safetensors
resume bf16 --max-steps 70 --precision fp32
check '--precision fp32 contradicts it' eval '[ $status = 1 ] && grep -q -- "--precision fp32 contradicts the checkpoint, which was trained with bf16" err'

# ---- signals ----
# stopped_by SIGNAL SECONDS: a run of many steps in `stopped`, with the signal sent after so long; sets $status.
stopped_by() {
    rm -rf stopped
    "$program" train "${options[@]}" --out stopped --max-steps 2000000 --epochs 2000000 --checkpoint-every 100000 >out 2>err </dev/null &
    local pid=$!
    wait_for stopped/checkpoint.safetensors
    sleep "$2"
    kill -"$1" $pid
    wait $pid
    status=$?
}
wait_for() { for _ in {1..600}; do [ -e "$1" ] && return; sleep 0.05; done; }
for signal in INT TERM; do
    stopped_by $signal 0.4
    check "SIG$signal: exit status 130" [ $status = 130 ]
    check "SIG$signal: says how to go on" grep -q "stopped at step [0-9]*; go on with: .* --resume 'stopped' --data 'small.txt'" err
    check "SIG$signal: no leftovers" [ -z "$(find stopped -name '*.tmp')" ]
    at=$(tail -1 stopped/log.csv | cut -d , -f 1)
    goal=$((at + 10))
    resume stopped --max-steps $goal
    check "SIG$signal at step $at: resumes there" grep -q "resuming at step $at" err
    run train "${options[@]}" --out straight --max-steps $goal --epochs 2000000
    check "SIG$signal: ends as the run that was never stopped" same_run straight stopped
    rm -rf straight
done
# One step of this model takes seconds; the second signal does not wait for its end.
"$program" train --preset tiny --data text.txt --threads 1 --layers 40 --channels 256 --batch 256 --out slow >out 2>err </dev/null &
pid=$!
wait_for slow/checkpoint.safetensors
kill -INT $pid
sleep 0.2
before=$(date +%s%N)
kill -INT $pid
wait $pid
status=$?
check 'a second SIGINT stops at once' [ $((($(date +%s%N) - before) / 1000000)) -lt 1000 ]
check 'a second SIGINT: exit status 130' [ $status = 130 ]
rm -rf slow

# ---- SIGKILL ----
# killed FOLDER MILLISECONDS OPTION...: starts or resumes, and kills after so long. Returns 1 once the run is finished.
killed() {
    local folder=$1 ms=$2
    shift 2
    [ ! -e "$folder/checkpoint.safetensors" ] || set -- --resume "$folder" --data small.txt
    run_for "$ms" train "$@"
    [ "$status" = 137 ] && return
    [ "$status" = 0 ] || fail "killed $folder" "exit status $status: $(head -c 300 err)"
    return 1
}
# until_finished NAME WHOLE OPTION...: many lives of random length. They grow: a slow machine gets on, too.
RANDOM=7
until_finished() {
    local name=$1 whole=$2 kills=0 longest_ms=30 ms
    shift 2
    rm -rf victim
    while ms=$((RANDOM % longest_ms + 3)) && killed victim $ms "$@" --out victim; do
        kills=$((kills + 1))
        longest_ms=$((longest_ms + longest_ms / 8 + 2))
        [ $kills -lt 100 ] || break
    done
    check "$name: $kills kills, the same bytes" same_run "$whole" victim
    check "$name: the report is there" [ -s victim/report.html ]
    check "$name: no leftovers" [ -z "$(find victim -name '*.tmp')" ]
}
until_finished 'killed at random' whole "${options[@]}" --checkpoint-every 10
until_finished 'killed at random, again' whole "${options[@]}" --checkpoint-every 3
# Steps of almost nothing and a large model: most of its life this run writes checkpoints.
wide=(--preset tiny --data small.txt --threads 1 --channels 384 --layers 2 --batch 1 --context 2 --checkpoint-every 1 --max-steps 8 --sample-tokens 5)
run train "${wide[@]}" --out wide
until_finished 'killed while it mostly writes' wide "${wide[@]}"
# And for certain: the kill comes as soon as the unfinished file is seen.
rm -rf victim
halves=0
set -- "${wide[@]}" --out victim
for _ in 1 2 3 4 5 6 7 8; do
    "$program" train "$@" >out 2>err </dev/null &
    pid=$!
    until [ -e victim/checkpoint.safetensors.tmp ] || ! kill -0 $pid 2>/dev/null; do :; done
    kill -KILL $pid 2>/dev/null
    wait $pid 2>/dev/null
    [ ! -e victim/checkpoint.safetensors.tmp ] || halves=$((halves + 1))
    [ ! -e victim/checkpoint.safetensors ] || set -- --resume victim --data small.txt
done
check "killed inside the write: $halves of 8 times" [ $halves -ge 1 ]
run train "$@"
check 'killed inside the write: the same bytes' same_run wide victim

# A writer that dies leaves half of a new file beside the whole old one.
run train "${options[@]}" --out half --max-steps 20
head -c 1000 half/checkpoint.safetensors >half/checkpoint.safetensors.tmp
printf '21,1000,2.5' >>half/log.csv
resume half --max-steps 60
check 'half a checkpoint and half a row are left over' cmp -s whole/checkpoint.safetensors half/checkpoint.safetensors
check 'half a row: the log is whole' [ "$(tail -n +2 half/log.csv | cut -d , -f 1 | tr '\n' ' ')" = "$(seq -s ' ' 60) " ]
# Killed between the last checkpoint and its report, which a run of fewer steps has left.
echo 'of earlier steps' >half/report.html
touch -d '1 hour ago' half/report.html
resume half --max-steps 60
check 'a report of earlier steps is written anew' grep -q '</html>' half/report.html
rm half/log.csv
resume half --max-steps 61
check 'a log that is gone is begun anew' [ "$(wc -l <half/log.csv)" = 2 ]
printf 'not a log\n' >half/log.csv
refused 'a log that is none' 1 'half/log.csv is not a run log' -- train --resume half --data small.txt --max-steps 62

finish
