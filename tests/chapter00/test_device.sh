#!/usr/bin/env bash
# Training with --device cuda, in a build that has the CUDA kernels: the losses of the CPU, the same checkpoint format,
# and the tiny preset by default where CUDA is emulated.
# shellcheck source=tests/chapter00/support.sh
# shellcheck disable=SC2016  # single quotes are for eval
source "$(dirname "$0")/support.sh"

if ! "$program" tape --preset tiny --data text.txt --device cuda >/dev/null 2>err; then
    check 'a build without CUDA says so' grep -q 'no CUDA kernels' err
    skip 'training with --device cuda' 'this build has no CUDA kernels; BUILD=host has'
    finish
    exit
fi

# losses_agree A B: every loss and gradient norm of two logs, within 1e-4 relative.
losses_agree() {
    paste -d , "$1/log.csv" "$2/log.csv" | awk -F , '
        function far(x, y) { d = x - y; return (d < 0 ? -d : d) > 1e-4 * (y < 0 ? -y : y) }
        NR > 1 { rows++; if ($1 != $8 || far($3, $10) || far($5, $12)) bad = 1 }
        END { exit bad || rows != 20 }'
}

run train "${tiny[@]}" --device cpu --max-steps 20 --seed 3 --out cpu
run train "${tiny[@]}" --device cuda --max-steps 20 --seed 3 --out cuda
check 'training with --device cuda: exit status 0' [ "$status" = 0 ]
check '20 losses and gradient norms agree within 1e-4' losses_agree cpu cuda
check 'it says what it computes on' grep -qi 'cuda' err
run train "${tiny[@]}" --device cuda --max-steps 20 --seed 3 --threads 2 --out again
check 'the same bytes with other threads' same_run cuda again
run train "${tiny[@]}" --device cuda --max-steps 10 --seed 3 --out parts
run train --resume parts --data text.txt --device cuda --max-steps 20 --threads 1
check 'stopped and resumed: the same bytes' cmp -s cuda/checkpoint.safetensors parts/checkpoint.safetensors
run train "${tiny[@]}" --device cuda --max-steps 10 --seed 3 --out moved
run train --resume moved --data text.txt --device cpu --max-steps 20 --threads 1
check 'begun with CUDA, finished on the CPU' losses_agree cpu moved
run sample --checkpoint cuda --tokens 20 --seed 1 --device cuda
cp out sampled
run sample --checkpoint cuda --tokens 20 --seed 1 --device cpu
check 'the same sample on both' cmp -s out sampled
run tape --data text.txt --device cuda
check 'tape works on the device' grep -q 'cross_entropy_inplace' out
if "$program" train --help | grep -q 'emulated'; then
    run train --data text.txt --device cuda --max-steps 1 --threads 1 --out default
    check 'emulated CUDA: the default preset is tiny' grep -q '^  channels       32' err
fi
finish
